"""Copies are found whatever was done to them, strangers are not taken for copies."""

from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fidip.annotations import Domain, LabelledImage
from fidip.data.leaks import (
    ALIKE,
    SIDE,
    alike_pictures,
    compare,
    look_of,
    pictures,
    same_pictures,
    shared_files,
    shared_origins,
)
from fidip.files import read_json, sha256_of
from fidip.images import grey_thumbnail, read_image, write_image
from figures import figure_set


def scene(seed: int, size=(160, 120)) -> np.ndarray:
    """Something with the statistics of a photo: smooth noise of all scales, other shapes for every seed."""
    rng, (width, height) = np.random.default_rng(seed), size
    total = np.zeros((height, width, 3))
    for cells in (2, 3, 5, 8, 16, 40):
        noise = rng.normal(size=(cells, cells, 3))
        total += cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC) / cells**0.7
    total -= total.min()
    return (255 * total / total.max()).astype(np.uint8)


def as_set(paths, **image):
    images = [LabelledImage(i, path.name, 160, 120, **image) for i, path in enumerate(paths, start=1)]
    return SimpleNamespace(file="a.json", images=images, paths=paths, digest=sha256_of, thumbnail=grey_thumbnail)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    for seed in range(30):
        write_image(folder / f"{seed}.png", scene(seed))
    return as_set(sorted(folder.iterdir(), key=lambda path: int(path.stem)))


def saved(path, pixels, quality=None):
    write_image(path, np.ascontiguousarray(pixels), quality)
    return path


def resized(pixels, factor):
    return cv2.resize(
        pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    )


CHANGES = {
    "jpeg of low quality": lambda pixels: (pixels, ".jpg", 30),
    "half as large": lambda pixels: (resized(pixels, 0.5), ".jpg", 90),
    "a quarter as large": lambda pixels: (resized(pixels, 0.25), ".png", None),
    "twice as large": lambda pixels: (resized(pixels, 2.0), ".jpg", 90),
    "of another shape": lambda pixels: (cv2.resize(pixels, (120, 160), interpolation=cv2.INTER_AREA), ".png", None),
    "darker, less contrast": lambda pixels: ((pixels * 0.6 + 30).astype(np.uint8), ".jpg", 90),
    "grey": lambda pixels: (np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2), ".jpg", 90),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_looks_like_its_original_and_no_other(originals, tmp_path, change) -> None:
    chosen = originals.paths[:12]
    copies = []
    for number, path in enumerate(chosen):
        pixels, suffix, quality = CHANGES[change](read_image(path))
        copies.append(saved(tmp_path / f"copy{number}{suffix}", pixels, quality))
    known, found = pictures(originals), pictures(as_set(copies))
    assert same_pictures(known, found) == []
    assert [(a, b) for a, b, _ in alike_pictures(known, found)] == list(zip(chosen, copies, strict=True))


def test_a_tall_photo_turned_by_its_exif_looks_the_same(originals, tmp_path) -> None:
    from PIL import Image

    with Image.open(originals.paths[0]) as image:
        exif = image.getexif()
        exif[0x0112] = 6  # to be turned by 90 degrees
        image.rotate(90, expand=True).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    assert np.abs(read_image(tmp_path / "turned.jpg").astype(int) - read_image(originals.paths[0])).mean() < 6
    alike = alike_pictures(pictures(originals), pictures(as_set([tmp_path / "turned.jpg"])))
    assert [known for known, _, _ in alike] == originals.paths[:1]


def test_strangers_do_not_look_alike(originals, tmp_path) -> None:
    looks = pictures(originals).looks
    assert max(float(looks[i] @ looks[j]) for i, j in combinations(range(len(looks)), 2)) < ALIKE - 0.1
    figures = [figure_set(tmp_path / d.name, 12, d).paths for d in Domain]
    looks = pictures(as_set([path for paths in figures for path in paths])).looks
    assert max(float(looks[i] @ looks[j]) for i, j in combinations(range(len(looks)), 2)) < ALIKE


def test_likeness_is_the_correlation_of_differences() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, SIDE, SIDE)).astype(np.uint8)

    def differences(small):
        down = [float(small[y + 1, x]) - float(small[y, x]) for y in range(SIDE - 1) for x in range(SIDE)]
        return down + [float(small[y, x + 1]) - float(small[y, x]) for y in range(SIDE) for x in range(SIDE - 1)]

    expected = np.corrcoef(differences(a), differences(b))[0, 1]
    assert float(look_of(a) @ look_of(b)) == pytest.approx(expected, abs=1e-5)
    assert float(look_of(a) @ look_of(a)) == pytest.approx(1.0, abs=1e-5)


def test_pictures_that_show_nothing_are_like_none(tmp_path) -> None:
    flat = [saved(tmp_path / f"{level}.png", np.full((32, 32, 3), level, np.uint8)) for level in (90, 91)]
    assert alike_pictures(pictures(as_set(flat[:1])), pictures(as_set(flat[1:]))) == []


def test_many_pictures_are_compared_in_blocks(originals, monkeypatch) -> None:
    every = pictures(originals)
    others = pictures(as_set(originals.paths[::-1]))
    whole = [(a, b, round(s, 5)) for a, b, s in alike_pictures(every, _renamed(others))]
    assert len(whole) == len(originals.paths)
    monkeypatch.setattr("fidip.data.leaks.BLOCK", 7)
    assert [(a, b, round(s, 5)) for a, b, s in alike_pictures(every, _renamed(others))] == whole


def _renamed(found):
    from dataclasses import replace

    return replace(found, digests=tuple(f"other {d}" for d in found.digests))


def test_everything_that_two_sets_share_is_told_by_kind(originals, tmp_path) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(originals.paths[3].read_bytes())
    again = saved(tmp_path / "again.jpg", read_image(originals.paths[5]), 70)
    new = saved(tmp_path / "new.jpg", scene(99), 70)
    first = as_set(originals.paths, subject="S1", source="film", body_seed=4)
    second = as_set([copy, again, new], subject="S1", source="another film", body_seed=4)
    assert shared_origins(first, second) == {"body_seed": ["4"], "subject": ["S1"]}
    assert shared_files(first, second) == []
    assert shared_files(first, as_set([originals.paths[2]])) == [originals.paths[2]]
    shared = compare(first, second, pictures(first), pictures(second))
    assert shared.leaks
    assert shared.same == [(originals.paths[3], copy)]
    assert [(a, b) for a, b, _ in shared.alike] == [(originals.paths[5], again)]
    assert shared.to_json()["same"] == [[str(originals.paths[3]), str(copy)]]
    stranger = as_set([new])
    shared = compare(first, stranger, pictures(first), pictures(stranger))
    assert not shared.leaks
    assert shared.alike == []


def test_the_threshold_lies_where_the_measured_likenesses_say() -> None:
    """Above all different pictures and below all whole copies; the documents quote these figures."""
    root = Path(__file__).parents[1]
    measured = read_json(root / "benchmarks" / "results" / "likeness.json")
    least = {name: figures["least"] for name, figures in measured["copies"].items()}
    (cut,) = (name for name in least if name.startswith("cut"))
    assert measured["threshold"] == ALIKE
    assert measured["different"]["most"] < 0.71 < ALIKE < 0.98 < min(least[name] for name in set(least) - {cut})
    assert least[cut] < ALIKE
    page = (root / "docs" / "datasets.md").read_text(encoding="utf-8")
    assert "no two different ones come above 0.71" in page
    assert f"it has {measured['copies'][cut]['median']:.2f} as a rule\nand {least[cut]:.2f} at least" in page
