"""Boxes, keypoints and areas of a converted person."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidip.annotations import Person
from fidip.data.sources import checks
from fidip.data.sources.checks import checked_person, cut_box
from fidip.data.tally import Tally
from fidip.evaluation import area as evaluation_area

SIZE = (100, 80)


def person(points: list[tuple[float, float, float]], box: tuple[float, ...] | None, area: float | None) -> Person:
    keypoints = np.zeros((17, 3))
    keypoints[: len(points)] = np.reshape(points, (-1, 3))
    return Person(keypoints, box=box, area=area)  # type: ignore[arg-type]


@given(st.tuples(*[st.floats(-200, 200)] * 2, *[st.floats(0, 300)] * 2))
def test_a_cut_box_is_the_intersection_with_the_image(box: tuple[float, float, float, float]) -> None:
    x, y, width, height = box
    left, right = np.clip([x, x + width], 0, SIZE[0])
    top, bottom = np.clip([y, y + height], 0, SIZE[1])
    found = cut_box(box, SIZE)
    if right - left < 2 or bottom - top < 2:
        assert found is None or min(found[2:]) == pytest.approx(2)
    else:
        assert found == pytest.approx((left, top, right - left, bottom - top))
        assert cut_box(found, SIZE) == found  # twice is once


def test_a_box_inside_stays_the_same_object() -> None:
    box = (0.1, 0.2, 50.3, 60.7)
    assert cut_box(box, SIZE) is box


def test_a_keypoint_on_the_border_is_kept_and_one_outside_is_not() -> None:
    tally = Tally()
    points = [(-1, 5, 2), (-1.01, 5, 2), (100, 80, 1), (100.01, 5, 2), (5, 80.5, 0), (50, 40, 2)]
    checked = checked_person(person(points, (0, 0, 100, 80), 4000), SIZE, tally, "p")
    assert checked is not None
    assert checked.keypoints[:6, 2].tolist() == [2, 0, 1, 0, 0, 2]
    assert checked.keypoints[1].tolist() == [0, 0, 0]
    assert tally.changed == {"keypoints outside the image made unlabelled": ["p"]}


@pytest.mark.parametrize(
    ("area", "measured", "expected", "why"),
    [
        (800.0, True, 800.0, None),
        (1000.0, True, 1000.0, None),
        (99.0, True, 1000.0, "an impossible area replaced by the box's"),
        (1011.0, True, 1000.0, "an impossible area replaced by the box's"),
        (0.0, True, 1000.0, "an impossible area replaced by the box's"),
        (None, True, 1000.0, "no area: the box's is taken"),
        (800.0, False, 1000.0, "an area that nobody measured replaced by the box's"),
        (1005.0, False, 1000.0, None),
    ],
)
def test_areas_that_cannot_be_true_become_the_boxes(
    area: float | None, measured: bool, expected: float, why: str | None
) -> None:
    tally = Tally()
    given_person = person([(30, 30, 2)], (20, 20, 40, 25), area)
    checked = checked_person(given_person, SIZE, tally, "p", measured=measured)
    assert checked is not None
    assert checked.area == expected
    assert tally.changed == ({} if why is None else {why: ["p"]})


def test_the_limits_are_those_of_the_evaluation() -> None:
    assert checks.LARGEST_SHARE == evaluation_area.ROUNDING
    assert checks.SMALLEST_SHARE == evaluation_area.SMALLEST_SHARE


def test_people_without_anything_usable_are_left_out() -> None:
    tally = Tally()
    assert checked_person(person([], (0, 0, 10, 10), 50), SIZE, tally, "a") is None
    assert checked_person(person([(150, 5, 2)], (0, 0, 10, 10), 50), SIZE, tally, "b") is None
    assert checked_person(person([(5, 5, 2)], (-20, 0, 21, 10), 50), SIZE, tally, "c") is None
    assert tally.left_out == {"no labelled keypoint": ["a", "b"], "the box lies outside the image": ["c"]}
    boxless = checked_person(person([(5, 5, 2)], None, None), SIZE, tally, "d")
    assert boxless is not None
    assert (boxless.box, boxless.area) == (None, None)
