from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidip.synthesis.camera import Camera

SIZES = [(64, 64), (96, 48), (33, 70)]


@pytest.mark.parametrize("size", SIZES)
def test_the_target_lies_in_the_middle_of_the_image(size: tuple[int, int]) -> None:
    camera = Camera.looking_at(np.array([1.0, -2.0, 1.5]), np.array([0.2, 0.1, 0.3]), size, 0.7, roll=0.4)
    x, y, depth = camera.project(np.array([0.2, 0.1, 0.3]))
    assert (x, y) == pytest.approx(((size[0] - 1) / 2, (size[1] - 1) / 2))
    assert depth == pytest.approx(np.linalg.norm([0.8, -2.1, 1.2]))


@given(
    st.tuples(*[st.floats(-3, 3)] * 3),
    st.tuples(*[st.floats(-1, 1)] * 3),
    st.floats(-np.pi, np.pi),
)
def test_the_camera_frame_is_right_handed_and_rigid(
    position: tuple[float, float, float], target: tuple[float, float, float], roll: float
) -> None:
    if np.linalg.norm(np.subtract(position, target)) < 1e-3:
        return
    camera = Camera.looking_at(np.array(position), np.array(target), (64, 48), 0.8, roll)
    np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(camera.rotation) == pytest.approx(1.0)


def test_up_is_up_right_is_right_and_roll_turns_the_picture() -> None:
    eye, target = np.array([0.0, -2.0, 0.0]), np.zeros(3)
    camera = Camera.looking_at(eye, target, (101, 101), 0.8)
    x, y, _ = camera.project(np.array([0.1, 0.0, 0.2]))
    assert x > 50
    assert y < 50
    turned = Camera.looking_at(eye, target, (101, 101), 0.8, roll=np.pi / 2)
    across, down, _ = turned.project(np.array([0.1, 0.0, 0.2]))
    # A quarter turn: (dx, dy) goes to (dy, −dx).
    assert (across - 50, down - 50) == pytest.approx((y - 50, -(x - 50)))


def test_looking_straight_down_the_y_axis_points_up() -> None:
    camera = Camera.looking_at(np.array([0.0, 0.0, 2.0]), np.zeros(3), (101, 101), 0.8)
    x, y, depth = camera.project(np.array([0.0, 0.3, 0.0]))
    assert x == pytest.approx(50)
    assert y < 50
    assert depth == pytest.approx(2.0)


@pytest.mark.parametrize("size", SIZES)
def test_the_field_of_view_spans_the_longer_side(size: tuple[int, int]) -> None:
    view = 0.9
    camera = Camera.looking_at(np.array([0.0, -1.0, 0.0]), np.zeros(3), size, view)
    edge = np.tan(view / 2)
    first, last = camera.project(np.array([[-edge, 0, edge], [edge, 0, -edge]]))
    longer = int(np.argmax(size))
    # The picture's outer edges, half a pixel beyond the centres of its outer pixels.
    assert first[longer] == pytest.approx(-0.5)
    assert last[longer] == pytest.approx(max(size) - 0.5)


def test_points_behind_the_camera_have_no_pixel_and_no_positive_depth() -> None:
    camera = Camera.looking_at(np.array([0.0, -1.0, 0.0]), np.zeros(3), (64, 64), 0.8)
    x, y, depth = camera.project(np.array([0.3, -2.0, 0.1]))
    assert np.isnan(x)
    assert np.isnan(y)
    assert depth == pytest.approx(-1.0)


def test_projection_is_the_stated_formula() -> None:
    camera = Camera.looking_at(np.array([0.5, -1.0, 0.7]), np.array([0.1, 0.0, 0.0]), (80, 60), 0.8, roll=-0.3)
    points = np.random.default_rng(0).normal(0, 0.2, (5, 4, 3))
    X, Y, Z = np.moveaxis(camera.to_camera(points), -1, 0)
    expected = np.stack([camera.focal * X / Z + 39.5, camera.focal * Y / Z + 29.5, Z], axis=-1)
    np.testing.assert_allclose(camera.project(points), expected)
