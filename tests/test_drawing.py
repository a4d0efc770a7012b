import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidip.annotations import Person
from fidip.drawing import FAINT_BELOW, PALETTE, draw_people, keypoint_sides
from fidip.geometry import flip_points
from fidip.skeleton import COCO_17, Skeleton

WHITE = np.full((120, 160, 3), 255, dtype=np.uint8)
STICK = Skeleton("stick", ("top", "left_end", "right_end"), ((1, 2),), ((0, 1), (0, 2)), (0.1,) * 3)
POINTS = np.array([[80.0, 20.0, 2.0], [120.0, 80.0, 2.0], [40.0, 80.0, 2.0]])
BOX = (0.0, 0.0, 300.0, 200.0)


def label(points=POINTS, box=BOX):
    return Person(np.array(points, dtype=float), box)


def prediction(*confidences):
    return Person(np.column_stack([POINTS[:, :2], confidences]), BOX, score=0.5)


def color_at(image, x, y):
    return tuple(image[round(y), round(x)].tolist())


def changed(image, before=WHITE):
    return (image != before).any(axis=2)


def test_sides_have_their_colors():
    image = draw_people(WHITE, [label()], STICK)
    assert color_at(image, 80, 20) == PALETTE["center"]
    assert color_at(image, 120, 80) == color_at(image, 100, 50) == PALETTE["left"]
    assert color_at(image, 40, 80) == color_at(image, 60, 50) == PALETTE["right"]


def test_limbs_from_side_to_side_belong_to_the_middle():
    shoulders = Skeleton("s", ("left_shoulder", "right_shoulder"), ((0, 1),), ((0, 1),), (0.1, 0.1))
    image = draw_people(WHITE, [label([[120, 60, 2], [40, 60, 2]])], shoulders)
    assert color_at(image, 80, 60) == PALETTE["center"]


def test_coco_sides_are_those_of_the_names():
    named = {"left": "left", "right": "right"}
    assert keypoint_sides(COCO_17) == tuple(named.get(name.partition("_")[0], "center") for name in COCO_17.keypoints)


def luminance(color):
    """Relative luminance of sRGB (WCAG 2)."""
    share = np.array(color) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_colors_differ_in_brightness_too():
    for a, b in itertools.combinations(PALETTE.values(), 2):
        bright, dark = sorted([luminance(a), luminance(b)], reverse=True)
        assert (bright + 0.05) / (dark + 0.05) > 1.5


def test_unlabelled_keypoints_and_their_limbs_are_left_out():
    points = POINTS.copy()
    points[1] = 0
    image = draw_people(WHITE, [label(points)], STICK)
    assert color_at(image, 0, 0) == color_at(image, 100, 50) == (255, 255, 255)
    assert color_at(image, 60, 50) == PALETTE["right"]
    assert np.array_equal(draw_people(WHITE, [label(POINTS * [1, 1, 0])], STICK), WHITE)
    assert np.array_equal(draw_people(WHITE, [], STICK), WHITE)


def test_occluded_keypoints_are_hollow():
    points = POINTS.copy()
    points[1, 2] = 1
    image = draw_people(WHITE, [label(points, (0, 0, 160, 500))], STICK)
    assert color_at(image, 120, 80) == (0, 0, 0)
    ring = [color_at(image, 120 + dx, 80) for dx in range(1, 12)]
    assert PALETTE["left"] in ring
    assert color_at(image, 40, 80) == PALETTE["right"]


def test_uncertain_keypoints_of_a_prediction_are_faint():
    sure = draw_people(WHITE, [prediction(0.9, 0.9, 0.9)], STICK)
    unsure = draw_people(WHITE, [prediction(0.9, FAINT_BELOW - 0.01, 0.9)], STICK)
    for x, y in ((120, 80), (100, 50)):
        assert color_at(sure, x, y) == PALETTE["left"]
        full, faint = 255 - np.array(color_at(sure, x, y)), 255 - np.array(color_at(unsure, x, y))
        assert 0 < faint.max() < full.max() / 2
    assert color_at(unsure, 60, 50) == PALETTE["right"]
    everything = draw_people(WHITE, [prediction(0.9, 0.01, 0.9)], STICK, faint_below=0.0)
    assert np.array_equal(everything, sure)


def test_confidence_one_is_not_taken_for_an_occluded_label():
    image = draw_people(WHITE, [prediction(1.0, 1.0, 1.0)], STICK)
    assert color_at(image, 120, 80) == PALETTE["left"]


def test_lines_grow_with_the_box():
    small, large = (changed(draw_people(WHITE, [label(box=(0, 0, s, s))], STICK)).sum() for s in (20, 300))
    assert large > 1.4 * small
    spread = label(box=None)
    assert changed(draw_people(WHITE, [spread], STICK)).any()


def test_nothing_is_drawn_far_from_the_pose():
    far = changed(draw_people(WHITE, [label()], STICK))
    y, x = np.nonzero(far)
    assert x.min() > 30
    assert x.max() < 130
    assert y.min() > 10
    assert y.max() < 90


def test_positions_hold_to_a_fraction_of_a_pixel():
    dot = Skeleton("dot", ("dot",), (), (), (0.1,))
    for x, y in ((40.0, 50.0), (40.5, 50.25), (40.25, 50.75)):
        image = draw_people(WHITE, [Person(np.array([[x, y, 2.0]]), (0, 0, 400, 400))], dot)
        weight = 255.0 - image[..., 2]  # yellow and black are dark in blue
        rows, columns = np.mgrid[:120, :160]
        assert (columns * weight).sum() / weight.sum() == pytest.approx(x, abs=0.1)
        assert (rows * weight).sum() / weight.sum() == pytest.approx(y, abs=0.1)


def test_the_image_given_is_not_touched():
    given_image = WHITE.copy()
    given_image.flags.writeable = False
    drawn = draw_people(given_image, [prediction(0.9, 0.1, 0.9)], STICK)
    assert drawn is not given_image
    assert drawn.dtype == np.uint8
    assert np.array_equal(given_image, WHITE)


def test_a_mirrored_pose_is_a_mirrored_drawing_with_the_sides_exchanged():
    generator = np.random.default_rng(1)
    points = np.column_stack([generator.uniform(10, 110, (17, 2)), np.full(17, 2.0)])
    image = draw_people(WHITE, [label(points)], COCO_17)
    mirrored = draw_people(WHITE, [label(flip_points(points, 160, COCO_17))], COCO_17)
    assert (changed(image)[:, ::-1] == changed(mirrored)).mean() > 0.99


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_any_coordinates_are_drawn_or_left_out(seed):
    generator = np.random.default_rng(seed)
    points = generator.uniform(-1, 1, (17, 3)) * 10.0 ** generator.integers(0, 30, (17, 1))
    points[generator.integers(17), generator.integers(2)] = generator.choice([np.nan, np.inf, -np.inf])
    points[:, 2] = generator.choice([0, 1, 2], 17)
    people = [label(points), Person(points, score=0.3)]
    assert draw_people(WHITE, people).shape == WHITE.shape
