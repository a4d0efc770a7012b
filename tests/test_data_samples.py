"""Pieces against the pictures they were cut from, and against pictures known as functions of their coordinates."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidip.annotations import Domain, LabelledImage, Person
from fidip.data.samples import (
    DENSITY,
    Reach,
    compose,
    cut,
    half_body_crops,
    load_samples,
    person_crop,
    to_input,
    to_planes,
    warp,
)
from fidip.errors import DataError, ImageError
from fidip.geometry import Crop, apply_affine, crop_around, crop_to_input, invert_affine
from fidip.images import write_image

SIZE = (48, 64)
CONVENTIONS = ["dark", "simple-baseline", "udp"]


def smooth(x, y):
    """A picture as a function of image coordinates, slow enough for bilinear sampling."""
    red = 127 + 100 * np.sin(x / 23) * np.cos(y / 31)
    green = 127 + 100 * np.cos((x + y) / 29)
    return np.stack([red, green, 0.4 * x + 0.2 * y], axis=-1)


def smooth_image(width=300, height=240):
    y, x = np.mgrid[:height, :width].astype(float)
    return np.round(smooth(x, y)).clip(0, 255).astype(np.uint8)


def grid(size):
    y, x = np.mgrid[: size[1], : size[0]].astype(float)
    return np.stack([x, y], axis=-1)


def person(points, **fields):
    return Person(np.column_stack([points, np.full(len(points), 2.0)]), **fields)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_image(folder / "a.png", smooth_image())
    return folder


def load(folder, people, reach=Reach(), size=(300, 240), **options):  # noqa: B008
    image = LabelledImage(1, "a.png", *size, tuple(people))
    return load_samples([image], [folder / "a.png"], Domain.REAL, (SIZE, "dark"), reach, **options)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("width", [40, 90, 180])
def test_a_cut_shows_the_picture_at_the_coordinates_of_the_affine(convention, width) -> None:
    crop = Crop((150.3, 119.6), (width, width * 4 / 3), rotation=0.4)
    shown = cut(smooth_image(), crop, SIZE, convention)
    points = apply_affine(invert_affine(crop_to_input(crop, SIZE, convention)), grid(SIZE))
    inside = ((points > 2) & (points < [297, 237])).all(axis=-1)
    assert np.abs(shown[inside] - smooth(*points[inside].T)).max() < 2.5


def test_outside_the_image_is_black() -> None:
    shown = cut(np.full((50, 50, 3), 200, dtype=np.uint8), Crop((0, 25), (48, 64)), SIZE)
    assert (shown[:, :23] == 0).all()
    assert (shown[10:50, 26:] == 200).all()


def test_a_crop_beside_the_image_is_black() -> None:
    assert not cut(np.full((50, 50, 3), 200, dtype=np.uint8), Crop((400, 400), (48, 64)), SIZE).any()


def test_a_large_window_is_averaged_not_picked() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    shown = cut(noise, Crop((512, 512), (672, 896)), SIZE)
    # Each of these pixels stands for 14 x 14 of the image, of which bilinear sampling alone would see 2 x 2: its
    # spread would be 74 · 2/3 = 49 grey levels.
    assert shown[4:-4, 4:-4].std() < 15


@given(
    scale=st.floats(0.65, 1.35), turn=st.floats(-np.pi, np.pi), x=st.floats(60, 240), y=st.floats(60, 180),
    side=st.floats(20, 160),
)  # fmt: skip
def test_a_piece_holds_all_that_an_augmentation_can_reach(scale, turn, x, y, side) -> None:
    folder = Path(test_a_piece_holds_all_that_an_augmentation_can_reach.folder)
    wanted = person(np.array([[x, y], [x + 1, y]]), box=(x - side / 2, y - side / 2, side, side))
    (sample,) = load(folder, [wanted], Reach(scale=1.35, turns=True)).samples
    crop = replace(sample.crop.scaled(scale), rotation=turn)
    affine = crop_to_input(crop, SIZE)
    piece = warp(sample.piece, compose(affine, invert_affine(sample.to_piece)), SIZE)
    points = apply_affine(invert_affine(affine), grid(SIZE))
    inside = ((points > 3) & (points < [296, 236])).all(axis=-1)
    expected = smooth(*points[inside].T)
    assert np.abs(piece[inside] - expected).max(initial=0) < 4
    outside = ((points < -3) | (points > [303, 243])).any(axis=-1)
    assert not piece[outside].any()


@pytest.fixture(autouse=True, scope="module")
def _folder_for_hypothesis(folder) -> None:
    test_a_piece_holds_all_that_an_augmentation_can_reach.folder = folder


def test_a_piece_has_bounded_resolution(tmp_path) -> None:
    write_image(tmp_path / "a.png", np.zeros((1200, 900, 3), dtype=np.uint8))
    whole = person(np.array([[450.0, 600.0], [460, 610]]), box=(0.0, 0.0, 900.0, 1200.0))
    (sample,) = load(tmp_path, [whole], size=(900, 1200)).samples
    window = sample.crop.size[0] * sample.to_piece[0, 0]
    assert window == pytest.approx(DENSITY * SIZE[0], rel=0.02)
    back = apply_affine(invert_affine(sample.to_piece), np.array([[-0.5, -0.5]]))
    assert np.allclose(back, -0.5)  # the piece's corner is the image's corner


def test_who_cannot_be_learnt_from_is_counted(folder) -> None:
    points = np.array([[100.0, 100.0], [120, 140]])
    nobody = Person(np.zeros((2, 3)), box=(10.0, 10.0, 50.0, 50.0))
    people = [
        person(points, box=(90.0, 90.0, 50.0, 60.0)),
        person(points, box=(90.0, 90.0, 50.0, 60.0), crowd=True),
        nobody,
        person(points, box=(900.0, 90.0, 50.0, 60.0)),
        person(points[:1]),
    ]
    loaded = load(folder, people)
    assert len(loaded) == 1
    assert sum(loaded.skipped.values()) == 4
    assert loaded.skipped["no labelled keypoint"] == 1
    assert len(load(folder, people, unlabelled=True)) == 2
    both = loaded + loaded
    assert len(both) == 2
    assert sum(both.skipped.values()) == 8


def test_images_of_skipped_people_are_not_opened(tmp_path) -> None:
    assert len(load(tmp_path, [Person(np.zeros((2, 3)))])) == 0


def test_without_a_box_one_is_drawn_around_the_keypoints() -> None:
    points = np.array([[100.0, 100.0], [140, 180]])
    drawn = person_crop(person(points), (300, 240), SIZE, "dark")
    box = (94.875, 89.875, 1.25 * 41, 1.25 * 81)
    given_box = person_crop(person(points, box=box), (300, 240), SIZE, "dark")
    assert drawn == given_box == crop_around(box, SIZE)
    within_a_pixel = np.array([[100.0, 100.0], [100.5, 100.5]])
    assert person_crop(person(within_a_pixel), (300, 240), SIZE, "dark") is None


def test_half_body_windows_as_dark_draws_them() -> None:
    points = np.zeros((17, 3))
    points[5:11] = [[10, 20, 2], [30, 20, 2], [10, 60, 1], [30, 60, 2], [10, 100, 2], [30, 100, 2]]
    points[15] = [20, 200, 2]
    (upper,) = half_body_crops(points, SIZE)  # a single labelled ankle makes no lower body
    assert upper.center == pytest.approx((20, 60))
    assert upper.size == pytest.approx((1.5 * 60, 1.5 * 80))  # 80 high, so 60 wide at 3:4


def test_an_image_of_another_size_than_its_annotation_is_refused(folder) -> None:
    one = person(np.array([[100.0, 100.0], [140, 180]]))
    with pytest.raises(DataError, match=r"a\.png: the image is 300x240, its annotation says 240x300"):
        load(folder, [one], size=(240, 300))


def test_a_broken_image_is_named(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"a\.png"):
        load(tmp_path, [person(np.array([[100.0, 100.0], [140, 180]]))])


def test_progress_is_told(folder) -> None:
    told = []
    load(folder, [], progress=told.append)
    assert told == [1]


def test_planes_are_a_contiguous_copy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    planes = to_planes(images)
    assert planes.is_contiguous()
    assert np.array_equal(planes.numpy(), images.transpose(0, 3, 1, 2))
    assert np.allclose(to_input(planes).numpy(), planes.numpy() / 255)
