from __future__ import annotations

import numpy as np
import pytest

from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.smpl import KEYPOINT_VERTICES, SmplBody
from fidip.synthesis.skin import SkinChart, paint_eye, paint_skin, skin_chart
from fidip.synthesis.surface import surface_of
from smpl_cases import converted


@pytest.fixture(scope="module")
def chart() -> SkinChart:
    return skin_chart(surface_of(AnnyBody.load()), 128)


def test_masks_cover_small_parts_of_the_atlas(chart: SkinChart) -> None:
    for name, most in (("flush", 0.5), ("lips", 0.1), ("brows", 0.1), ("palms", 0.3)):
        mask = getattr(chart, name)
        assert mask.shape == (128, 128)
        assert mask.min() >= 0
        assert mask.max() <= 1.001
        assert 0 < mask.mean() < most, name


def test_tones_run_from_light_to_dark_and_stay_human(chart: SkinChart) -> None:
    light, middle, dark = (
        paint_skin(np.random.default_rng(0), chart, darkness)[..., :3].astype(float).mean((0, 1))
        for darkness in (0.0, 0.5, 1.0)
    )
    assert light.sum() > middle.sum() > dark.sum()
    for tone in (light, middle, dark):
        assert tone[0] > tone[1] > tone[2]  # redder than green, greener than blue


def test_lips_are_redder_and_dark_palms_paler_than_the_skin_around(chart: SkinChart) -> None:
    picture = paint_skin(np.random.default_rng(1), chart, 0.8)[..., :3].astype(float)
    plain = (chart.lips < 0.05) & (chart.flush < 0.05) & (chart.palms < 0.05) & (chart.brows < 0.05)
    redness = picture[..., 0] / picture.sum(-1)
    assert redness[chart.lips > 0.6].mean() > redness[plain].mean() + 0.02
    assert picture[chart.palms > 0.6].mean() > picture[plain].mean() + 10


def test_an_eye_has_a_pupil_an_iris_and_a_white() -> None:
    eye = paint_eye(np.random.default_rng(0), 64)[..., :3].astype(float).mean(-1)
    assert eye[32, 32] < 60
    assert eye[32, 2] > 180
    assert eye[28:36, 28:36].mean() < eye[28:36, 40:46].mean() < eye[28:36, 56:].mean()


def test_a_body_without_eyeballs_has_its_eyes_painted_on(chart: SkinChart) -> None:
    """Looked up at the places of SMPL's vertices for the eyes, in the file's own layout."""
    assert not np.stack([chart.eyes, chart.irises, chart.pupils]).any()
    body = SmplBody(converted())
    own = skin_chart(surface_of(body), 512)
    painted = paint_skin(np.random.default_rng(0), own, 0.2)[..., :3].astype(float)
    lips = painted[own.lips > 0.9].mean(0)
    for name in ("left_eye", "right_eye"):
        u, v = converted()["uvs"][KEYPOINT_VERTICES[name]]
        row, column = int((1 - v) * 512), int(u * 512)
        around = painted[row - 4 : row + 5, column - 8 : column + 9]
        assert painted[row, column].max() < 90 < lips.max()
        assert (around.min(-1) > 190).sum() >= 6  # the white
    assert 0.00005 < (own.eyes > 0.5).mean() < 0.01
