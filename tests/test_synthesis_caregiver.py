from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from fidip.skeleton import COCO_17
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.camera import Camera
from fidip.synthesis.caregiver import TOUCHED, reaching_arm
from fidip.synthesis.poses import Resting, draw_pose, rest_on_floor
from fidip.synthesis.surface import surface_of
from fidip.synthesis.world import NO_PART, Mesh

SKIN = np.full((8, 8, 4), 255, np.uint8)
ABOVE = Camera.looking_at(np.array([0.0, -0.5, 1.1]), np.zeros(3), (200, 200), 0.8)


@pytest.fixture(scope="module")
def infant() -> Resting:
    body, rng = AnnyBody.load(), np.random.default_rng(3)
    return rest_on_floor(body, body.draw_shape(rng, "infant")[0], draw_pose(rng, "supine", body))


def reach(infant: Resting, seed: int, camera: Camera = ABOVE) -> Mesh | None:
    surface = surface_of(AnnyBody.load())
    return reaching_arm(
        np.random.default_rng(seed), surface, SKIN, infant.vertices, infant.keypoints.astype(float), camera
    )


@pytest.mark.parametrize("seed", range(6))
def test_an_arm_of_an_adult_touches_the_infant_and_comes_from_outside_the_picture(infant: Resting, seed: int) -> None:
    arm = reach(infant, seed)
    assert arm is not None
    assert 0.5 < np.linalg.norm(np.ptp(arm.vertices, axis=0)) < 0.95  # metres, shoulder to fingertips
    gap, _ = cKDTree(infant.vertices).query(arm.vertices)
    assert gap.min() < 0.02
    touched = infant.keypoints[[COCO_17.keypoints.index(name) for name in TOUCHED]]
    fingers = arm.vertices[np.argmin(gap)]
    assert np.linalg.norm(touched - fingers, axis=1).min() < 0.15
    x, y, _ = ABOVE.project(arm.vertices.astype(float)).T
    outside = (x < 0) | (y < 0) | (x > 200) | (y > 200)
    from_fingers = np.linalg.norm(arm.vertices - fingers, axis=1)
    assert outside[from_fingers > 0.9 * from_fingers.max()].all()  # its open end
    assert not outside[np.argmin(gap)]
    assert arm.vertices[:, 2].max() > infant.vertices[:, 2].max()  # from above
    assert (arm.parts == NO_PART).all()
    assert np.linalg.norm(arm.normals, axis=1) == pytest.approx(1, abs=1e-3)


def test_nobody_reaches_in_where_the_whole_adult_would_show(infant: Resting) -> None:
    far = Camera.looking_at(np.array([0.0, -4.0, 4.0]), np.zeros(3), (200, 200), 1.0)
    assert reach(infant, 0, far) is None


def test_the_generator_decides(infant: Resting) -> None:
    first, again, other = (reach(infant, seed) for seed in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    np.testing.assert_array_equal(first.vertices, again.vertices)
    assert not np.array_equal(first.vertices, other.vertices)
