from __future__ import annotations

import errno
import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fidip import files
from fidip.annotations import Domain, LabelledImage
from fidip.coco import image_paths, read_coco
from fidip.errors import RecipeError, StorageError
from fidip.images import read_image, write_image
from fidip.synthesis import sample as sample_module
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.generate import generate
from fidip.synthesis.pictures import UserPictures
from fidip.synthesis.renderers import RENDERERS
from fidip.synthesis.sample import Settings, make_sample

SIZE = (64, 72)
COUNT = 4
WHOLE_SET = Settings("infant-flat", COUNT, SIZE, seed=3, keep_ground_truth=True)
ONE = Settings("infant-flat", 1, SIZE, seed=0)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def same(a: LabelledImage, b: LabelledImage) -> bool:
    (p,), (q,) = a.people, b.people
    return (
        (a.id, a.file_name, a.width, a.height, a.domain, a.posture, a.body_seed, dict(a.extras), p.box, p.area, p.id)
        == (b.id, b.file_name, b.width, b.height, b.domain, b.posture, b.body_seed, dict(b.extras), q.box, q.area, q.id)
    ) and (p.keypoints == q.keypoints).all()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[LabelledImage]]:
    out = tmp_path_factory.mktemp("synth") / "one"
    return out, generate(out, WHOLE_SET)


def test_bytes_do_not_depend_on_the_number_of_workers(run, tmp_path: Path) -> None:
    out, _ = run
    generate(tmp_path / "two", WHOLE_SET, crew=2)
    assert contents(tmp_path / "two") == contents(out)


def test_the_folder_holds_labels_images_and_truth(run) -> None:
    out, images = run
    assert sorted(path.name for path in out.iterdir()) == [
        "annotations.json", "images", "manifest.json", "synth.json", "truth",
    ]  # fmt: skip
    read = read_coco(out / "annotations.json")
    assert len(read) == len(images) == COUNT
    assert all(same(a, b) for a, b in zip(read, images, strict=True))
    for image, path in zip(images, image_paths(out / "annotations.json", images), strict=True):
        assert read_image(path).shape == (SIZE[1], SIZE[0], 3)
        assert image.domain is Domain.SYNTHETIC
        assert image.extras["renderer"] == "flat"


def test_images_and_bodies_differ(run) -> None:
    out, images = run
    assert len({(out / "images" / image.file_name).read_bytes() for image in images}) == COUNT
    assert len({image.body_seed for image in images}) == COUNT


def test_a_longer_run_starts_with_the_same_images(run, tmp_path: Path) -> None:
    out, images = run
    generate(tmp_path / "long", Settings("infant-flat", 2, SIZE, seed=3))
    for image in images[:2]:
        assert (tmp_path / "long" / "images" / image.file_name).read_bytes() == (
            out / "images" / image.file_name
        ).read_bytes()


def test_keypoints_are_the_projected_joints_of_the_ground_truth(run) -> None:
    out, images = run
    for image in images:
        with np.load(out / "truth" / f"{image.id:06d}.npz") as truth:
            local = (truth["keypoints"] - truth["camera_position"]) @ truth["camera_rotation"].T
            pixels = truth["camera_focal"] * local[:, :2] / local[:, 2:] + truth["camera_principal"]
            assert truth["rotations"].shape[0] == truth["joints"].shape[0]
        part, depth, mask = (
            cv2.imread(str(out / "truth" / f"{image.id:06d}_{kind}.png"), cv2.IMREAD_UNCHANGED).astype(int)
            for kind in ("parts", "depth", "mask")
        )
        part -= 1
        assert ((mask == 255) == (part >= 0)).all()
        (person,) = image.people
        labelled = person.labelled
        assert labelled.sum() >= 8
        assert person.keypoints[labelled, :2] == pytest.approx(pixels[labelled], abs=1e-3)
        assert (depth[part >= 0] > 0).all()
        x, y = np.round(pixels).astype(int).T
        seen = (person.keypoints[:, 2] == 2) & (x >= 0) & (y >= 0) & (x < SIZE[0]) & (y < SIZE[1])
        millimetres = 1000 * local[seen, 2]  # a visible joint lies a little behind the surface that shows it
        assert np.median(np.abs(depth[y[seen], x[seen]] - millimetres)) < 60
        rows, columns = np.nonzero(part >= 0)
        width, height = columns.max() - columns.min() + 1, rows.max() - rows.min() + 1
        assert person.box == (columns.min(), rows.min(), width, height)
        assert person.area == len(rows)


def test_shards_hold_the_images_and_labels_of_the_whole(run, tmp_path: Path) -> None:
    whole = contents(run[0])
    labels = []
    for part in (1, 2, 3):
        out = tmp_path / str(part)
        labels += generate(out, WHOLE_SET, shard=(part, 3))
        for name, data in contents(out).items():
            assert name in ("annotations.json", "manifest.json", "synth.json") or whole[name] == data, name
    assert sum("images/" in name for name in whole) == len(labels)
    assert all(same(a, b) for a, b in zip(sorted(labels, key=lambda image: image.id), run[1], strict=True))
    with pytest.raises(StorageError, match="other settings"):
        generate(tmp_path / "1", WHOLE_SET, shard=(2, 3))


def test_the_manifest_says_what_the_set_was_made_from_and_what_was_refused(run) -> None:
    out, images = run
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["settings"]["seed"] == 3
    assert manifest["images"] == COUNT
    assert sum(manifest["postures"].values()) == COUNT
    refused = [image.extras["refused"] for image in images]
    assert manifest["refused"] == {
        reason: sum(one.get(reason, 0) for one in refused) for reason in {name for one in refused for name in one}
    }
    assert re.fullmatch("[0-9a-f]{64}", manifest["assets"]["anny_bundle.npz"])


def test_infants_have_the_ages_asked_for_and_do_what_these_ages_can(tmp_path: Path) -> None:
    settings = replace(ONE, count=12, size=(32, 32), months=(1.0, 3.0))
    images = generate(tmp_path / "young", settings)
    assert all(1 <= image.extras["age_months"] <= 3 for image in images)
    assert {image.posture for image in images} <= {"Supine", "Prone", "Side"}


def test_the_user_s_pictures_take_part(tmp_path: Path) -> None:
    """Of 60 backgrounds 24 are the bank's own; the user's have a colour that nothing else has."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for number in range(36):
        write_image(folder / f"{number}.png", np.full((40, 50 + number, 3), (0, 255, 255), np.uint8))
    settings = replace(ONE, count=6, size=(64, 64), pictures=UserPictures.open(None, folder))
    images = generate(tmp_path / "set", settings)
    shares = [
        (read_image(path) == (0, 255, 255)).all(2).mean()
        for path in image_paths(tmp_path / "set" / "annotations.json", images)
    ]
    assert 1 <= sum(share > 0.2 for share in shares) < 6
    assert all(share > 0.2 or share == 0 for share in shares)
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert manifest["settings"]["pictures"] == {"backgrounds": UserPictures.open(None, folder).backgrounds.sha256}


def test_most_of_a_body_shows_in_every_image(run) -> None:
    for image in run[1]:
        assert (image.people[0].keypoints[:, 2] == 2).sum() >= sample_module.LEAST_VISIBLE


def test_the_style_enters_the_seed() -> None:
    body, renderer = AnnyBody.load(), RENDERERS["flat"]()
    styles = ("infant-flat", "adult-flat")
    samples = [make_sample(Settings(style, 1, (64, 64), 0), 0, body, renderer) for style in styles]
    assert samples[0].label.body_seed != samples[1].label.body_seed


def test_a_photographed_sample_is_a_jpeg_with_the_noise_of_its_sensor() -> None:
    body, renderer = AnnyBody.load(), RENDERERS["flat"]()  # shows any scene, only without light
    settings = Settings("infant-photo", 1, (64, 64), 5)
    first, again = (make_sample(settings, 0, body, renderer) for _ in range(2))
    assert first.label.file_name == "000001.jpg"
    assert first.drawn.sensor.jpeg_quality is not None
    assert (first.pixels == again.pixels).all()


def test_a_finished_folder_is_read_and_not_made_again(run, monkeypatch: pytest.MonkeyPatch) -> None:
    out, images = run
    before = contents(out)
    monkeypatch.setattr(sample_module, "draw_scene", None)
    again = generate(out, WHOLE_SET)
    assert all(same(a, b) for a, b in zip(again, images, strict=True))
    assert contents(out) == before


def test_a_folder_with_something_else_in_it_is_refused(run, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"not empty.*note\.txt"):
        generate(tmp_path, ONE)
    assert contents(tmp_path) == {"note.txt": b"mine"}
    with pytest.raises(StorageError, match="other settings"):
        generate(run[0], replace(WHOLE_SET, seed=4))


@pytest.mark.parametrize("workers", [1])
def test_a_full_disk_leaves_nothing_half_written_and_the_run_can_go_on(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    out = tmp_path / "full"
    write, left = files._write, [7]

    def fill(descriptor: int, data) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    with monkeypatch.context() as full:
        full.setattr(files, "_write", fill)
        with pytest.raises(StorageError, match="disk"):
            generate(out, WHOLE_SET, workers)
    whole = contents(run[0])
    assert not (out / "annotations.json").exists()
    for name, data in contents(out).items():
        assert name.startswith("labels/") or data == whole[name], name
    assert not list(out.rglob("*.tmp"))
    done = []
    generate(out, WHOLE_SET, workers, progress=done.append)
    assert contents(out) == whole
    assert 0 < len(done) < COUNT + 1
    assert done[-1] == COUNT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"style": "dog-flat"}, "no scene style 'dog-flat'; choose one of infant-flat"),
        ({"count": 0}, "--count 0"),
        ({"size": (8, 8)}, "--size 8x8"),
        ({"seed": -1}, "--seed -1"),
        ({"crew": 0}, "--workers 0"),
        ({"shard": (3, 2)}, "--shard 3/2: give i/n"),
        ({"shard": (2, 2)}, "--shard 2/2: of 1 images none is left"),
        ({"months": (30.0, 40.0)}, "--age-months 30-40: no infant of these ages"),
        ({"months": (3.0, 6.0), "style": "adult-flat"}, "--age-months 3-6: no adult of these ages"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_made(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    run = {"crew": 1, "shard": (1, 1)}
    how = {name: change.get(name, value) for name, value in run.items()}
    settings = replace(ONE, **{name: value for name, value in change.items() if name not in run})
    with pytest.raises(RecipeError, match=message):
        generate(tmp_path / "none", settings, **how)  # type: ignore[arg-type]
    assert not (tmp_path / "none").exists()


def test_a_body_that_never_shows_ends_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_module, "LEAST_VISIBLE", 18)
    monkeypatch.setattr(sample_module, "TRIES", 2)
    with pytest.raises(RecipeError, match="too little of the body"):
        generate(tmp_path / "none", ONE)
