from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidip.synthesis.framing import LOWEST_CAMERA, OVERHANG, View, draw_camera, draw_view


def body(rng: np.random.Generator, sides: tuple[float, float, float]) -> np.ndarray:
    return rng.uniform(-0.5, 0.5, (300, 3)) * sides + [0, 0, sides[2] / 2]


@given(seed=st.integers(0, 2**31), size=st.sampled_from([(256, 256), (320, 240), (120, 200)]))
def test_a_body_fills_the_frame_as_asked_and_hardly_leaves_it(seed: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    points = body(rng, (0.6, 0.3, 0.15))
    camera = draw_camera(rng, View(1.0, elevation=(20, 89), span=(0.45, 0.9)), points, size)
    pixels = camera.project(points)
    assert (pixels[:, 2] > 0).all()
    extent = (np.ptp(pixels[:, :2], axis=0) / size).max()
    assert 0.42 < extent < 0.95
    beyond = np.maximum(-pixels[:, :2].min(0), pixels[:, :2].max(0) - size)
    assert (beyond < (OVERHANG + 0.04) * np.ptp(pixels[:, :2], axis=0)).all()
    assert camera.position[2] >= LOWEST_CAMERA


@given(seed=st.integers(0, 2**31))
def test_a_standing_photographer_keeps_the_camera_near_eye_height(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = body(rng, (0.6, 0.4, 1.75))
    view = View(1.0, roll=(0, 0), span=(0.6, 0.9), eye_height=(1.5, 1.7))
    camera = draw_camera(rng, view, points, (256, 256))
    assert 1.0 < camera.position[2] < 2.4
    assert camera.project(np.array([[0, 0, 1.7], [0, 0, 0.1]]))[:, 1].argmin() == 0  # upright


@pytest.mark.parametrize("heading", [0.0, 1.0, -2.5])
def test_azimuth_zero_looks_at_the_front(heading: float) -> None:
    points = body(np.random.default_rng(0), (0.4, 0.4, 0.4))
    view = View(1.0, elevation=(10, 10), azimuth=(0, 0), roll=(0, 0))
    camera = draw_camera(np.random.default_rng(1), view, points, (256, 256), heading)
    x, y = camera.position[:2]
    assert np.cos(np.arctan2(y, x) - heading) > 0.97


def test_views_are_drawn_by_weight() -> None:
    views = (View(3.0), View(1.0))
    rng = np.random.default_rng(0)
    share = np.mean([draw_view(rng, views) is views[0] for _ in range(2000)])
    assert share == pytest.approx(0.75, abs=0.04)
