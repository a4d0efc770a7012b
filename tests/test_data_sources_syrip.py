"""SyRIP folders in miniature: every known defect of the released files, and the rules by which pictures are joined."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from fidip.annotations import Domain
from fidip.coco import read_coco
from fidip.data.sources.conversion import convert
from fidip.data.sources.syrip import Syrip, one_address, published_name, subset_files
from fidip.errors import DataError, RecipeError, StorageError
from fidip.training.inputs import LabelledSet
from source_folders import picture, syrip_image, syrip_label, write_coco_document

POINTS = {0: (20, 10, 2), 5: (12, 20, 2), 6: (28, 20, 1), 11: (-45, -45, 0), 12: (-45, -45, 0)}
WATCH = "https://www.youtube.com/watch?v=abcdefghijk"


def syrip_folder(root: Path) -> Path:
    """Two subsets: three photos of which one has two flaws, and two rendered images."""
    photos = [
        syrip_image(0, "test0.jpg", (64, 48), image_source=f"{WATCH}&t=397s"),
        syrip_image(1, "test1.jpg", (50, 60), image_source="", posture="Prone"),
        syrip_image(2, "test2.jpg", (40, 40), image_source=WATCH.removeprefix("https://www."), posture="Sitting"),
    ]
    labels = [
        syrip_label(0, POINTS, (10, 5, 30, 40), 2443298.476),
        syrip_label(1, POINTS, (-4.5, 6, 30, 100), 2443298.476),
        syrip_label(2, {**POINTS, 15: (44, 20, 2), 16: (20, 39, 2)}, (5, 5, 30, 20), 400),
    ]
    write_coco_document(root / "annotations/validate500/person_keypoints_validate_infant.json", photos, labels)
    rendered = [syrip_image(10001 + n, f"train{10001 + n}.jpg", (64, 64), is_synthetic=True) for n in range(2)]
    write_coco_document(
        root / "annotations/1000S/person_keypoints_train_infant.json",
        rendered,
        [syrip_label(10001 + n, POINTS, (10, 5, 20, 30)) for n in range(2)],
    )
    for image in photos:
        picture(root / "images/validate_infant" / image["file_name"], (image["width"], image["height"]), image["id"])
    for image in rendered:
        picture(root / "images/train_infant" / image["file_name"], (64, 64), image["id"])
    return root


def test_a_subset_becomes_a_folder_that_every_reader_takes(tmp_path: Path) -> None:
    source, out = syrip_folder(tmp_path / "syrip"), tmp_path / "out"
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    conversion = convert(Syrip(source, ("validate500",)), out)
    first, second, third = LabelledSet.read(out / "annotations.json").images
    assert [image.id for image in (first, second, third)] == [1, 2, 3]
    assert [image.people[0].id for image in (first, second, third)] == [1, 2, 3]
    assert first.domain is Domain.REAL
    assert (first.posture, second.posture, third.posture) == ("Supine", "Prone", "Sitting")
    assert first.source == third.source == WATCH  # one video under two addresses
    assert second.source is None
    assert first.people[0].keypoints[[0, 5, 6, 11]].tolist() == [[20, 10, 2], [12, 20, 2], [28, 20, 1], [0, 0, 0]]
    assert (first.people[0].box, first.people[0].area) == ((10, 5, 30, 40), 1200)
    assert (second.people[0].box, second.people[0].area) == ((0, 6, 25.5, 54), 25.5 * 54)  # cut to 50 x 60
    assert third.people[0].area == 600  # not the 400 of the file, which nobody measured
    assert third.people[0].keypoints[15].tolist() == [0, 0, 0]  # 4 pixels beyond the edge
    assert first.extras["subset"] == "validate500"
    assert (first.extras["original_id"], "nframes" in first.extras, "scores" in first.people[0].extras) == (
        0, False, False,
    )  # fmt: skip
    for name in ("test0.jpg", "test1.jpg", "test2.jpg"):
        assert (out / "images" / name).read_bytes() == (source / "images/validate_infant" / name).read_bytes()
    assert before == {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    reference = COCO(str(out / "annotations.json"))
    assert reference.getAnnIds() == [1, 2, 3]
    assert [reference.anns[i]["num_keypoints"] for i in (1, 2, 3)] == [3, 3, 4]
    report = conversion.to_json()
    assert report["domains"] == {"real": 3}
    counts = {what: found["count"] for what, found in report["changed"].items()}
    assert counts == {
        "num_keypoints recounted": 3,
        "deleted keypoints at (-45, -45) made unlabelled": 3,
        "time stamps taken off the address of a video": 2,
        "an impossible area replaced by the box's": 2,
        "an area that nobody measured replaced by the box's": 1,
        "box cut to the image": 1,
        "keypoints outside the image made unlabelled": 1,
    }
    remarks = {what: found["count"] for what, found in report["remarks"].items()}
    assert remarks == {
        "no source is known, so a leak by it cannot be seen": 1,
        "a labelled keypoint lies outside the box": 2,  # x = 28 beyond -4.5 + 30, and y = 39 below 5 + 20
    }
    assert report["left_out"] == {}


def test_several_subsets_with_both_domains_give_a_file_for_each(tmp_path: Path) -> None:
    source, out = syrip_folder(tmp_path / "syrip"), tmp_path / "out"
    made = convert(Syrip(source, ("validate500", "1000S")), out).made
    assert made["domains"] == {"real": 3, "synthetic": 2}
    everything = read_coco(out / "annotations.json")
    assert len(read_coco(out / "real.json")) == 3
    synthetic = LabelledSet.read(out / "synthetic.json")
    assert [image.id for image in synthetic.images] == [4, 5]
    assert {image.domain for image in synthetic.images} == {Domain.SYNTHETIC}
    assert [image.file_name for image in everything[3:]] == ["train10001.jpg", "train10002.jpg"]


def test_the_subset_has_to_be_named_where_there_are_several(tmp_path: Path) -> None:
    source = syrip_folder(tmp_path / "syrip")
    with pytest.raises(RecipeError, match="choose with --subset: 1000S, validate500"):
        convert(Syrip(source), tmp_path / "out")
    with pytest.raises(RecipeError, match="no subset 200R; choose of 1000S, validate500"):
        convert(Syrip(source, ("200R",)), tmp_path / "out")
    with pytest.raises(DataError, match="name the folder that holds annotations/ and images/"):
        convert(Syrip(tmp_path / "nowhere"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_straight_in_annotations_are_subsets_too(tmp_path: Path) -> None:
    source = syrip_folder(tmp_path / "syrip")
    shutil.copy(
        source / "annotations/1000S/person_keypoints_train_infant.json",
        source / "annotations/person_keypoints_train_infant.json",
    )
    shutil.rmtree(source / "annotations/1000S")
    shutil.rmtree(source / "annotations/validate500")
    assert list(subset_files(source)) == ["train_infant"]
    assert convert(Syrip(source), tmp_path / "out").made["images"] == 2


def test_sources_missing_in_one_subset_are_taken_from_another(tmp_path: Path) -> None:
    source = syrip_folder(tmp_path / "syrip")
    image = syrip_image(0, "test0.jpg", (64, 48))  # as in validate100: without image_source
    write_coco_document(
        source / "annotations/validate100/person_keypoints_validate_infant.json",
        [image], [syrip_label(0, POINTS, (11, 5, 30, 40), 1200)],
    )  # fmt: skip
    conversion = convert(Syrip(source, ("validate100", "validate500")), tmp_path / "out")
    first, *others = read_coco(tmp_path / "out/annotations.json")
    assert first.source == WATCH
    assert first.people[0].box == (11, 5, 30, 40)  # the subset named first decides
    assert [other.file_name for other in others] == ["test1.jpg", "test2.jpg"]
    assert conversion.tally.changed["source taken from another subset's file"] == ["validate100/test0.jpg"]
    left_out = conversion.tally.left_out["the picture is already in another chosen subset"]
    assert left_out == ["validate500/test0.jpg"]


@pytest.mark.parametrize("rule", ["id", "original_file_name"])
def test_pictures_are_joined_by_the_rule_that_fits(tmp_path: Path, rule: str) -> None:
    sizes = {0: (64, 48), 1: (50, 60), 2: (40, 40)}
    images = [syrip_image(id, f"IMG{id}.jpg", size) for id, size in sizes.items()]
    if rule == "original_file_name":  # as in validate700, whose names mean other pictures than those that are there
        images = [dict(image, file_name=f"test{image['id']}.jpg") for image in images]
        for image, name in zip(images, ("train00001.jpg", "train00002.jpg", "test7.jpg"), strict=True):
            image["original_file_name"] = f"C:\\data\\{name}"
    labels = [syrip_label(id, POINTS, (10, 5, 25, 30)) for id in sizes]
    source = tmp_path / "syrip"
    write_coco_document(source / "annotations/x/person_keypoints_validate_infant.json", images, labels)
    places = {
        "id": [(f"validate_infant/test{id}.jpg", sizes[id]) for id in sizes],
        "original_file_name": [
            ("validate_infant/test0.jpg", (99, 99)), ("validate_infant/test1.jpg", (98, 98)),
            ("train_infant/train00001.jpg", sizes[0]), ("train_infant/train00002.jpg", sizes[1]),
            ("validate_infant/test7.jpg", sizes[2]),
        ],
    }[rule]  # fmt: skip
    for seed, (place, size) in enumerate(places):
        picture(source / "images" / place, size, seed)
    conversion = convert(Syrip(source), tmp_path / "out")
    assert conversion.made["images"] == 3
    names = [image.file_name for image in read_coco(tmp_path / "out/annotations.json")]
    expected = {
        "id": ["test0.jpg", "test1.jpg", "test2.jpg"],
        "original_file_name": ["train00001.jpg", "train00002.jpg", "test7.jpg"],
    }
    assert names == expected[rule]
    assert any(f"joined by {rule}" in what for what in conversion.tally.changed)


def test_the_published_pattern_of_names() -> None:
    assert published_name("validate_infant", 3) == "test3.jpg"
    assert published_name("train_infant", 42) == "train00042.jpg"
    assert published_name("train_pre_infant", 10001) == "train10001.jpg"


@pytest.mark.parametrize(
    ("address", "one"),
    [
        (WATCH, WATCH), (f"{WATCH}&t=59s", WATCH), (f"{WATCH}&has_verified=1", WATCH),
        ("youtube.com/watch?v=abcdefghijk", WATCH), ("https://youtu.be/abcdefghijk?t=3", WATCH),
        ("https://www.youtube.com/watch?t=3&v=abcdefghijk", WATCH),
        ("https://i.example.com/a.jpg?v=abcdefghijk", "https://i.example.com/a.jpg?v=abcdefghijk"), ("", ""),
    ],
)  # fmt: skip
def test_a_video_has_one_address(address: str, one: str) -> None:
    assert one_address(address) == one


def test_pictures_that_are_missing_damaged_or_of_another_size_are_named(tmp_path: Path) -> None:
    source = syrip_folder(tmp_path / "syrip")
    folder = source / "images/validate_infant"
    (folder / "test0.jpg").unlink()
    data = (folder / "test1.jpg").read_bytes()
    (folder / "test1.jpg").write_bytes(data[: len(data) // 2])
    conversion = convert(Syrip(source, ("validate500",)), tmp_path / "out")
    assert conversion.made["images"] == 1
    assert conversion.tally.left_out["the picture is not there"] == ["validate500/test0.jpg"]
    assert len(conversion.tally.unreadable) == 1
    assert "test1.jpg" in conversion.tally.unreadable[0]
    picture(folder / "test1.jpg", (51, 60))
    again = convert(Syrip(source, ("validate500",)), tmp_path / "again")
    (problem,) = again.tally.left_out["the image has another size than its label"]
    assert problem == "validate500/test1.jpg: the image is 51 x 60, labelled as 50 x 60"


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    source = syrip_folder(tmp_path / "syrip")
    file = source / "annotations/validate500/person_keypoints_validate_infant.json"
    document = json.loads(file.read_text())
    document["images"][1]["file_name"] = "../../../secret.jpg"
    file.write_text(json.dumps(document))
    picture(tmp_path / "secret.jpg", (50, 60))
    with pytest.raises(DataError, match="leads out of the folder"):
        convert(Syrip(source, ("validate500",)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_subset_that_nobody_asked_for_does_no_harm(tmp_path: Path) -> None:
    source = syrip_folder(tmp_path / "syrip")
    (source / "annotations/1000S/person_keypoints_train_infant.json").write_text("{")
    conversion = convert(Syrip(source, ("validate500",)), tmp_path / "out")
    (remark,) = [places for what, places in conversion.tally.remarks.items() if "not asked for" in what]
    assert "1000S" in remark[0]
    with pytest.raises(DataError, match="line 1, column 2: not JSON"):
        convert(Syrip(source, ("1000S",)), tmp_path / "x")


def test_references_need_the_folder_of_the_source(tmp_path: Path) -> None:
    source, out = syrip_folder(tmp_path / "syrip"), tmp_path / "out"
    convert(Syrip(source, ("1000S",)), out, files="reference")
    assert sorted(path.name for path in out.iterdir()) == ["annotations.json"]
    labelled = LabelledSet.read(out / "annotations.json", source)
    assert [path.name for path in labelled.paths] == ["train10001.jpg", "train10002.jpg"]
    assert labelled.images[0].file_name == "images/train_infant/train10001.jpg"


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    source, out = syrip_folder(tmp_path / "syrip"), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    with pytest.raises(StorageError, match="not empty"):
        convert(Syrip(source, ("1000S",)), out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
