"""Photos without labels: one person each, or those of a file of boxes."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from fidip.annotations import Domain
from fidip.errors import DataError, RecipeError
from fidip.files import read_json, write_json
from fidip.training.inputs import Inputs, check_inputs, fingerprints
from fidip.training.unlabelled import read_unlabelled
from figures import RECIPE, SUPERVISED, figure_set


@pytest.fixture
def film(tmp_path):
    return figure_set(tmp_path / "film", 3, Domain.REAL, size=(64, 48))


def test_without_boxes_one_person_fills_each_photo(film) -> None:
    folder = film.file.parent / "images"
    (folder / "notes.txt").write_text("no photo")
    (folder / "._000.png").write_text("no photo either")
    found = read_unlabelled(folder)
    assert [path.name for path in found.paths] == ["000.png", "001.png", "002.png"]
    assert [[person.box for person in image.people] for image in found.images] == [[(0.0, 0.0, 64.0, 48.0)]] * 3
    assert not any(person.labelled.any() for image in found.images for person in image.people)


def test_boxes_are_joined_by_name_and_labels_are_not_looked_at(film, tmp_path) -> None:
    document = read_json(film.file)
    document["images"] = document["images"][:2]
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] == 1]
    write_json(tmp_path / "boxes.json", document)
    found = read_unlabelled(film.file.parent / "images", tmp_path / "boxes.json")
    assert [path.name for path in found.paths] == [
        "000.png",
        "002.png",
    ]  # nobody is in the second
    assert found.images[0].people[0].box == pytest.approx(film.images[0].people[0].box)
    assert not found.images[0].people[0].labelled.any()
    assert np.array(found.images[1].people[0].box).tolist() == [0, 0, 64, 48]


def test_mistakes_are_named(film, tmp_path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        read_unlabelled(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no photo or film in this folder"):
        read_unlabelled(tmp_path / "empty")
    document = read_json(film.file)
    for image in document["images"]:
        image["file_name"] = "000.png"
    write_json(tmp_path / "twice.json", document)
    with pytest.raises(DataError, match=r"twice\.json: images: two images are named 000\.png"):
        read_unlabelled(film.file.parent / "images", tmp_path / "twice.json")
    document = read_json(film.file) | {"annotations": []}
    write_json(tmp_path / "nobody.json", document)
    with pytest.raises(DataError, match=r"nobody\.json: annotations: nobody has a box"):
        read_unlabelled(film.file.parent / "images", tmp_path / "nobody.json")


def test_who_learns_from_them_and_who_needs_them(film, tmp_path) -> None:
    unlabelled = read_unlabelled(film.file.parent / "images")
    synthetic = figure_set(tmp_path / "s", 2, Domain.SYNTHETIC)
    with pytest.raises(RecipeError, match="does not use --unlabelled"):
        check_inputs(SUPERVISED, Inputs(synthetic=synthetic, unlabelled=unlabelled))
    teacher = replace(SUPERVISED, method="mean-teacher", domain_weight=1.0)
    with pytest.raises(RecipeError, match="needs --unlabelled: it learns from people without labels"):
        check_inputs(teacher, Inputs(synthetic=synthetic))
    check_inputs(teacher, Inputs(synthetic=synthetic, unlabelled=unlabelled))
    check_inputs(replace(teacher, unlabelled=True), Inputs(real=film))  # those of the file who have no keypoints
    with pytest.raises(RecipeError, match="needs --real"):
        check_inputs(replace(SUPERVISED, method="adabn"), Inputs(synthetic=synthetic))
    for recipe in (replace(RECIPE, pretrain=None), replace(SUPERVISED, method="adabn")):
        check_inputs(recipe, Inputs(synthetic=synthetic, unlabelled=unlabelled))  # photos are real images


def test_their_pixels_are_part_of_what_a_run_learns_from(film, tmp_path) -> None:
    folder = film.file.parent / "images"
    prints = fingerprints(Inputs(unlabelled=read_unlabelled(folder)), lambda: None)["unlabelled"]
    assert prints["annotations_sha256"] is None
    assert prints["images"] == 3
    shutil.copytree(folder, tmp_path / "moved")
    assert (
        fingerprints(Inputs(unlabelled=read_unlabelled(tmp_path / "moved")), lambda: None)["unlabelled"][
            "images_sha256"
        ]
        == prints["images_sha256"]
    )
    validation = figure_set(tmp_path / "v", 1, Domain.REAL, size=(64, 48))  # the same picture as the film's first
    with pytest.raises(DataError, match=r"the same picture as 000\.png of --unlabelled"):
        fingerprints(Inputs(unlabelled=read_unlabelled(folder), validation=validation), lambda: None)
