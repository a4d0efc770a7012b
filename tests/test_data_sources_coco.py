"""COCO folders in miniature: who is left out, draws, crops, areas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fidip.annotations import Domain
from fidip.coco import read_coco
from fidip.data.sources.coco import Coco, window
from fidip.data.sources.conversion import convert
from fidip.errors import DataError, RecipeError
from fidip.images import read_image
from fidip.training.inputs import LabelledSet
from source_folders import coco_folder, coco_label, picture, write_coco_document

FACE = {0: (30, 12, 2), 1: (32, 11, 2)}


def mixed_folder(root: Path) -> Path:
    """Two usable people, a crowd, somebody unlabelled, and somebody outside the picture."""
    picture(root / "val2017/a.jpg", (64, 48))
    images = [{"id": 7, "file_name": "a.jpg", "width": 64, "height": 48, "license": 1, "flickr_url": "http://y"}]
    labels = [
        coco_label(31, 7, FACE, (25, 5, 20, 30), 300.0),
        coco_label(32, 7, FACE, (0, 0, 64, 48), 1000.0, crowd=1),
        coco_label(33, 7, {}, (1, 2, 10, 10), 50.0),
        coco_label(34, 7, {0: (30, 12, 2)}, (25, 5, 20, 30), 5.0),
        coco_label(35, 7, FACE, (80, 5, 20, 30), 300.0),
    ]
    write_coco_document(root / "annotations/person_keypoints_val2017.json", images, labels)
    return root


def test_people_are_filtered_and_told(tmp_path: Path) -> None:
    conversion = convert(Coco(mixed_folder(tmp_path / "coco")), tmp_path / "out")
    (image,) = LabelledSet.read(tmp_path / "out/annotations.json").images
    assert (image.domain, image.source) == (Domain.REAL, "coco/7")
    assert image.extras == {"license": 1, "flickr_url": "http://y", "original_id": 7, "split": "val2017"}
    first, second = image.people
    assert (first.id, first.area, first.box, dict(first.extras)) == (1, 300.0, (25, 5, 20, 30), {"original_id": 31})
    assert (second.id, second.area, second.extras["original_id"]) == (2, 600.0, 34)
    assert conversion.tally.left_out == {
        "a crowd": ["annotation 32"],
        "no labelled keypoint": ["annotation 33"],
        "the box lies outside the image": ["annotation 35"],
    }
    assert conversion.tally.changed == {"an impossible area replaced by the box's": ["annotation 34"]}
    strict = convert(Coco(tmp_path / "coco", min_keypoints=2), tmp_path / "strict")
    assert strict.made["people"] == 1
    assert strict.tally.left_out["fewer than 2 labelled keypoints"] == ["annotation 34"]


def test_a_draw_is_a_set_of_people(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path / "coco", {11: 3, 12: 1, 13: 4, 14: 2})
    drawn = {}
    for seed in (0, 0, 1, 2):
        out = tmp_path / f"{seed}-{len(drawn)}-{len(list(tmp_path.iterdir()))}"
        assert convert(Coco(folder, count=5, seed=seed), out).made["people"] == 5
        images = read_coco(out / "annotations.json")
        found = [(image.extras["original_id"], p.extras["original_id"]) for image in images for p in image.people]
        assert found == sorted(found)
        assert all(number // 1000 == image for image, number in found)
        assert drawn.setdefault(seed, found) == found
        assert len(list((out / "images").iterdir())) == len(images)
    assert drawn[0] != drawn[1]
    assert convert(Coco(folder, count=10), tmp_path / "all").made["people"] == 10


def test_the_order_in_the_file_does_not_change_the_draw(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path / "coco", {11: 3, 12: 1, 13: 4, 14: 2})
    file = folder / "annotations/person_keypoints_val2017.json"
    people = []
    for turn in range(2):
        convert(Coco(folder, count=4, seed=5), tmp_path / f"out{turn}")
        images = read_coco(tmp_path / f"out{turn}/annotations.json")
        people.append({p.extras["original_id"] for image in images for p in image.people})
        document = json.loads(file.read_text())
        document["images"].reverse()
        document["annotations"].reverse()
        file.write_text(json.dumps(document))
    assert people[0] == people[1]


def test_a_draw_passes_over_what_cannot_be_read(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path / "coco", {11: 2, 12: 1, 13: 1})
    (folder / "val2017/000000000011.jpg").write_bytes(b"damaged")
    conversion = convert(Coco(folder, count=2), tmp_path / "out")
    assert conversion.made == conversion.made | {"images": 2, "people": 2}
    with pytest.raises(DataError, match=r"val2017: 3 people wanted, 2 can be used \(1 unreadable, the first .*11.jpg"):
        convert(Coco(folder, count=3), tmp_path / "more")
    assert not (tmp_path / "more").exists()
    with pytest.raises(RecipeError, match="--count 0"):
        convert(Coco(folder, count=0), tmp_path / "none")


def test_missing_and_damaged_pictures_are_named(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path / "coco", {11: 1, 12: 1, 13: 1})
    (folder / "val2017/000000000011.jpg").unlink()
    (folder / "val2017/000000000012.jpg").write_bytes(b"damaged")
    conversion = convert(Coco(folder), tmp_path / "out")
    assert conversion.made["images"] == 1
    assert conversion.tally.left_out == {"the picture is not there": ["000000000011.jpg"]}
    assert [Path(problem.partition(":")[0]).name for problem in conversion.tally.unreadable] == ["000000000012.jpg"]


def test_a_crop_shows_one_person_with_labels_in_its_own_pixels(tmp_path: Path) -> None:
    folder = mixed_folder(tmp_path / "coco")
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[12, 30] = pixels[11, 32] = 255
    Image.fromarray(pixels).save(folder / "val2017/a.jpg", quality=100, subsampling=0)
    conversion = convert(Coco(folder, crop=True), tmp_path / "out")
    assert conversion.made["images"] == 2
    first, second = LabelledSet.read(tmp_path / "out/annotations.json").images
    assert (first.file_name, second.file_name) == ("a-31.jpg", "a-34.jpg")
    assert first.extras["crop"] == [20, 0, 30, 43]  # the box 25 5 20 30, half as much again, cut at the top
    assert (first.width, first.height) == (30, 43)
    assert first.people[0].box == (5, 5, 20, 30)
    shown = read_image(tmp_path / "out/images/a-31.jpg").sum(2)
    assert shown.shape == (43, 30)
    for k in (0, 1):
        x, y, _ = first.people[0].keypoints[k]
        assert shown[int(y), int(x)] > 300  # the bright pixel under the label
    assert first.source == "coco/7"
    with pytest.raises(RecipeError, match="have no file to refer to"):
        convert(Coco(folder, crop=True), tmp_path / "x", files="reference")


@given(st.tuples(*[st.floats(0, 90)] * 2, *[st.floats(2, 90)] * 2), st.integers(100, 200), st.integers(100, 200))
def test_a_window_holds_its_box_and_stays_inside(box: tuple[float, ...], width: int, height: int) -> None:
    x, y, w, h = window((*box[:2], min(box[2], width - box[0]), min(box[3], height - box[1])), (width, height))
    assert 0 <= x <= box[0]
    assert 0 <= y <= box[1]
    assert x + w <= width
    assert y + h <= height
    assert x + w >= min(box[0] + box[2], width) - 1e-9
    assert y + h >= min(box[1] + box[3], height) - 1e-9


def test_references_name_the_pictures_below_the_folder(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path / "coco", {11: 1})
    convert(Coco(folder), tmp_path / "out", files="reference")
    labelled = LabelledSet.read(tmp_path / "out/annotations.json", folder)
    assert labelled.images[0].file_name == "val2017/000000000011.jpg"


def test_another_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"person_keypoints_val2017\.json: no such file"):
        convert(Coco(tmp_path), tmp_path / "out")
