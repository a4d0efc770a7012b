from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fidip.annotations import Domain, LabelledImage, Person
from fidip.coco import write_coco
from fidip.drawing import draw_people
from fidip.errors import DataError, DataWarning
from fidip.gallery.cards import PICTURE_SIDE, POSE_SIDE, choose, facts, make_cards, pose_layer, small_png
from fidip.images import write_image
from gallery_sets import colours, labelled, made_folder


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_the_layer_laid_over_a_picture_is_the_drawing_on_that_picture(grey: int) -> None:
    image = labelled(3, (POSE_SIDE, 300))
    layer = pose_layer(image)
    assert layer.shape == (300, POSE_SIDE, 4)
    under = np.full((300, POSE_SIDE, 3), grey, np.uint8)
    drawn = draw_people(under, image.people).astype(float)
    touched = layer[..., 3] > 0
    assert ((drawn != under).any(2) <= touched).all()
    assert 0.01 < touched.mean() < 0.6
    few = np.asarray(Image.open(io.BytesIO(small_png(layer))).convert("RGBA"))
    for pixels, tolerance, mean in ((layer, 3, 0.6), (few, 120, 8)):
        opacity = pixels[..., 3:] / 255
        difference = np.abs(opacity * pixels[..., :3] + (1 - opacity) * under - drawn)
        assert difference[touched].mean() < mean
        assert difference.max() <= tolerance
        assert difference[~touched].max() == 0


def test_the_layer_keeps_its_place_when_it_is_enlarged() -> None:
    """A keypoint in the middle of the pixel (4, 5) of an image of 24 x 48 is at (4.5, 5.5) eighths of the layer."""
    points = np.zeros((17, 3))
    points[0] = (4, 5, 2)
    image = labelled(1, (24, 48), people=(Person(points),))
    opaque = pose_layer(image)[..., 3].astype(float)
    assert opaque.shape == (POSE_SIDE, POSE_SIDE // 2)
    rows, columns = np.indices(opaque.shape)
    centre = [(opaque * axis).sum() / opaque.sum() for axis in (columns, rows)]
    assert centre == pytest.approx([4.5 * 8 - 0.5, 5.5 * 8 - 0.5], abs=0.1)


def test_synthetic_pictures_are_small_jpegs_in_their_own_shape(tmp_path: Path) -> None:
    images = made_folder(tmp_path, count=2)
    big = labelled(3, (600, 300))
    write_image(tmp_path / "images" / big.file_name, colours(big))
    cards = list(make_cards(tmp_path / "annotations.json", [*images, big]))
    for card, image, size in zip(cards, [*images, big], [(40, 30), (40, 30), (PICTURE_SIDE, 128)], strict=True):
        picture = decoded(card.picture)
        assert picture.shape == (size[1], size[0], 3)
        assert picture.astype(float).mean((0, 1)) == pytest.approx(colours(image).mean((0, 1)), abs=3)
    assert b"Exif" not in cards[0].picture


@pytest.mark.parametrize("domain", [Domain.REAL, None])
def test_pictures_that_are_not_known_to_be_synthetic_stay_out(tmp_path: Path, domain: Domain | None) -> None:
    images = [labelled(1), labelled(2, domain=domain, file_name="photo.png")]
    write_coco(tmp_path / "annotations.json", images)
    write_image(tmp_path / "000001.png", colours(images[0]))
    first, second = make_cards(tmp_path / "annotations.json", images)  # the photo is not even there
    assert first.picture is not None
    assert second.picture is None
    assert decoded(second.pose).any()
    with pytest.raises(DataError, match=r"photo\.png not found"):
        list(make_cards(tmp_path / "annotations.json", images, with_photos=True))
    write_image(tmp_path / "photo.png", colours(images[1]))
    shown = list(make_cards(tmp_path / "annotations.json", images, with_photos=True))[1]
    assert decoded(shown.picture).shape == (30, 40, 3)


def test_a_picture_that_cannot_be_used_is_named_and_its_pose_shown(tmp_path: Path) -> None:
    images = made_folder(tmp_path, count=3)
    (tmp_path / "images" / "000001.png").write_bytes(b"no picture")
    write_image(tmp_path / "images" / "000002.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.warns(DataWarning) as caught:
        cards = list(make_cards(tmp_path / "annotations.json", images))
    assert [card.picture is None for card in cards] == [True, True, False]
    named = [str(one.message) for one in caught]
    assert len(named) == 2
    assert "000001.png" in named[0]
    assert "000002.png: 8 x 8 pixels, labelled as 40 x 30" in named[1]


def test_facts_are_counted_over_the_people() -> None:
    image = labelled(4)
    both = replace(image, people=(image.people[0], image.people[0]))
    assert facts(both) == {
        "id": 4, "name": "000004.png", "width": 40, "height": 30, "posture": "Prone", "months": 4.5, "people": 2,
        "keypoints": 34, "visible": 10, "occluded": 12, "share": 0.4, "domain": "synthetic",
    }  # fmt: skip


@pytest.mark.parametrize("age", [None, "3", True, [1], 10**400, float("nan"), float("inf")])
def test_an_age_that_is_no_number_is_none(age: object) -> None:
    assert facts(labelled(1, extras={"age_months": age}))["months"] is None


def test_an_image_without_people_boxes_or_words() -> None:
    bare = LabelledImage(7, "a.png", 10, 10)
    assert facts(bare) == {
        "id": 7, "name": "a.png", "width": 10, "height": 10, "posture": "not stated", "months": None, "people": 0,
        "keypoints": 0, "visible": 0, "occluded": 0, "share": None, "domain": "not stated",
    }  # fmt: skip
    assert not pose_layer(bare)[..., 3].any()


def test_some_images_are_chosen_by_the_seed_and_keep_their_order() -> None:
    images = [labelled(number) for number in range(1, 31)]
    chosen = [image.id for image in choose(images, 8, 1)]
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 8
    assert chosen == [image.id for image in choose(images, 8, 1)]
    assert chosen != [image.id for image in choose(images, 8, 2)]
    assert choose(images, 30, 1) == choose(images, 99, 1) == choose(images, None, 1) == images
