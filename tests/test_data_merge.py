"""Several labelled folders to one: numbers, names, copies, and what is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fidip.annotations import Domain, LabelledImage, Person
from fidip.coco import read_coco, write_coco
from fidip.data.merge import merge
from fidip.errors import DataError, ImageError, RecipeError
from fidip.training.inputs import LabelledSet
from source_folders import picture


def labelled_folder(root: Path, names: list[str], domain: Domain | None, seed: int, **fields: object) -> Path:
    """Images with one person each whose nose is at x = seed + number."""
    images = []
    for n, name in enumerate(names):
        picture(root / "images" / name, (32, 24), seed + n)
        keypoints = np.zeros((17, 3))
        keypoints[0] = seed + n, 5, 2
        person = Person(keypoints, box=(1.0, 2.0, 20.0, 20.0), area=200.5, id=n, extras={"track_id": n})
        images.append(
            LabelledImage(n, name, 32, 24, (person,), domain, "Prone", extras={"camera": seed}, **fields)  # type: ignore[arg-type]
        )
    write_coco(root / "annotations.json", images)
    return root / "annotations.json"


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    return [
        labelled_folder(tmp_path / "a", ["1.png", "2.png"], Domain.REAL, 0, subject="S1"),
        labelled_folder(tmp_path / "b", ["2.png", "3.png"], Domain.SYNTHETIC, 10, source="v"),
        labelled_folder(tmp_path / "c", ["2.PNG", "deep/1.png"], None, 20, subject="S1"),
    ]


def test_labels_and_pictures_stay_together(three: list[Path], tmp_path: Path) -> None:
    merged = merge(three, tmp_path / "out")
    labelled = LabelledSet.read(tmp_path / "out/annotations.json")
    assert [image.id for image in labelled.images] == [1, 2, 3, 4, 5, 6]
    assert [image.people[0].id for image in labelled.images] == [1, 2, 3, 4, 5, 6]
    assert [image.file_name for image in labelled.images] == [
        "1.png", "2.png", "2-2.png", "3.png", "2-3.PNG", "deep/1.png",
    ]  # fmt: skip
    assert [image.people[0].keypoints[0, 0] for image in labelled.images] == [0, 1, 10, 11, 20, 21]
    assert [image.domain for image in labelled.images] == [Domain.REAL] * 2 + [Domain.SYNTHETIC] * 2 + [None] * 2
    assert [image.extras["camera"] for image in labelled.images] == [0, 0, 10, 10, 20, 20]
    originals = [LabelledSet.read(file) for file in three]
    expected = [path.read_bytes() for original in originals for path in original.paths]
    assert [path.read_bytes() for path in labelled.paths] == expected
    everybody = [image.people[0] for original in originals for image in original.images]
    for before, after in zip(everybody, (image.people[0] for image in labelled.images), strict=True):
        assert np.array_equal(before.keypoints, after.keypoints)
        assert (before.box, before.area, before.extras) == (after.box, after.area, after.extras)
    assert len(read_coco(tmp_path / "out/real.json")) == len(read_coco(tmp_path / "out/synthetic.json")) == 2
    assert merged.tally.changed == {"renamed, since another image has the name": ["2.png: 2-2.png", "2.PNG: 2-3.PNG"]}
    assert merged.tally.remarks == {"the same subject in several files": [f"S1: {three[0]} and {three[2]}"]}
    assert [part["taken"] for part in merged.to_json()["files"]] == [2, 2, 2]


def test_the_order_given_decides_and_nothing_else(three: list[Path], tmp_path: Path) -> None:
    outs = [tmp_path / name for name in ("one", "two", "three")]
    for out, order in zip(outs, (three, three, three[::-1]), strict=True):
        merge(order, out)
    one, two, other = ((out / "annotations.json").read_bytes() for out in outs)
    assert one == two
    assert one != other


@pytest.mark.parametrize("duplicates", ["refuse", "drop", "keep"])
def test_one_picture_in_two_sets(three: list[Path], tmp_path: Path, duplicates: str) -> None:
    shutil.copy(tmp_path / "a/images/1.png", tmp_path / "b/images/3.png")
    if duplicates == "refuse":
        with pytest.raises(DataError, match=r"image 1 \(3.png\): the same picture as .*a/annotations.json: 1.png"):
            merge(three, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        return
    merged = merge(three, tmp_path / "out", duplicates=duplicates)  # type: ignore[arg-type]
    found = merged.tally.left_out if duplicates == "drop" else merged.tally.remarks
    assert merged.made["images"] == (5 if duplicates == "drop" else 6)
    (places,) = [places for why, places in found.items() if "same picture" in why]
    assert places == [f"{three[1]}: 3.png (as {three[0]}: 1.png)"]
    assert [part["taken"] for part in merged.files] == [2, 1 if duplicates == "drop" else 2, 2]


def test_images_elsewhere_and_links(three: list[Path], tmp_path: Path) -> None:
    folders = []
    for n, file in enumerate(three):
        folders.append(tmp_path / f"pictures{n}")
        shutil.move(file.parent / "images", folders[-1])
    with pytest.raises(DataError, match="not found in"):
        merge(three, tmp_path / "out")
    merge(three, tmp_path / "out", folders, "link")
    assert (tmp_path / "out/images/1.png").samefile(folders[0] / "1.png")
    with pytest.raises(RecipeError, match="--images names 2 folders for 3 files"):
        merge(three, tmp_path / "x", folders[:2])
    with pytest.raises(RecipeError, match="two files or more"):
        merge(three[:1], tmp_path / "x")


def test_damaged_and_mislabelled_pictures_are_refused(three: list[Path], tmp_path: Path) -> None:
    (tmp_path / "b/images/3.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"3.png: not a JPEG"):
        merge(three, tmp_path / "out")
    picture(tmp_path / "b/images/3.png", (33, 24))
    with pytest.raises(DataError, match=r"image 1: 3\.png is 33 x 24, labelled as 32 x 24"):
        merge(three, tmp_path / "out")
    document = json.loads(three[2].read_text())
    document["images"][0]["file_name"] = "../../secret.png"
    three[2].write_text(json.dumps(document))
    with pytest.raises(DataError, match="leads out of the folder"):
        merge(three, tmp_path / "out")
    assert not (tmp_path / "out").exists()
