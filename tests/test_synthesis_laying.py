from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fidip.synthesis.anatomy import bone_rotations, joint_angles
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.framing import draw_camera, draw_view
from fidip.synthesis.laying import canonical_roots, lay, lay_as, lying_faults, posture_of
from fidip.synthesis.mending import draw_plausible_pose
from fidip.synthesis.postures import POSTURES, YEARS, Posture
from fidip.synthesis.scene import SCENE_STYLES

EACH = 5
UP = np.array([0.0, 0.0, 1.0])


def own(root: NDArray[np.floating], direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """A direction of the world about a body's own axes."""
    return np.asarray(Rotation.from_rotvec(root).inv().apply(direction))


@pytest.mark.parametrize("told", [True, False])
def test_up_is_found_from_limbs_and_camera(told: bool) -> None:
    body, rng = AnnyBody.load(), np.random.default_rng(4)
    errors = []
    for posture in POSTURES["infant"]:
        for _ in range(EACH):
            shape, _ = body.draw_shape(rng, "infant", YEARS.get(("infant", posture)))
            resting, _ = draw_plausible_pose(rng, posture, body, shape)
            camera = draw_camera(
                rng, draw_view(rng, SCENE_STYLES["infant-photo"].views), resting.vertices[::15], (64, 64)
            )
            way = camera.position - resting.vertices.mean(0)
            root = resting.pose.rotations[0]
            turned = resting.pose.rotations.copy()
            turned[0] = Rotation.random(random_state=int(rng.integers(1000))).as_rotvec()  # is not to be looked at
            laid, _ = lay(body, shape, turned, posture if told else None, own(root, way / np.linalg.norm(way)))
            if laid is None:
                errors.append(180.0)
                continue
            cosine = own(laid.resting.pose.rotations[0], UP) @ own(root, UP)
            errors.append(float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))))
            np.testing.assert_array_equal(laid.resting.pose.rotations[1:], turned[1:])
    assert np.mean(np.array(errors) < 20) >= 0.85


def test_the_camera_tells_on_which_side_somebody_lies() -> None:
    body, rng = AnnyBody.load(), np.random.default_rng(1)
    shape = body.draw_shape(rng, "infant")[0]
    resting, _ = draw_plausible_pose(rng, "side", body, shape)
    for sign in (1.0, -1.0):
        camera = np.array([sign, 0.0, 0.0])
        laid, _ = lay(body, shape, resting.pose.rotations, "side", camera)
        assert laid is not None
        assert own(laid.resting.pose.rotations[0], UP) @ camera > 0.5


def test_limbs_of_one_posture_are_refused_in_another() -> None:
    body, rng = AnnyBody.load(), np.random.default_rng(2)
    shape = body.draw_shape(rng, "infant")[0]
    pose = draw_plausible_pose(rng, "sitting", body, shape)[0].pose
    nothing, refused = lay(body, shape, pose.rotations, "standing", None)
    assert nothing is None
    assert {fault.check for faults in refused for fault in faults} == {"out of balance"}
    assert len(refused) == len(canonical_roots("standing", joint_angles(pose.rotations, body.bone_names)))


def test_thighs_in_each_other_lies_in_no_way() -> None:
    body = AnnyBody.load()
    shape = body.draw_shape(np.random.default_rng(0), "infant")[0]
    folded = bone_rotations(
        {"left_hip_abduction": -30.0, "right_hip_abduction": -30.0},
        body.bone_names,
    )
    root = canonical_roots("supine", {})[0]
    assert "self-penetration" in {
        fault.check for fault in lying_faults(body, lay_as(body, shape, folded, "supine", root).resting)
    }
    assert lay(body, shape, folded, None, None)[0] is None


@pytest.mark.parametrize(
    ("name", "posture"),
    [
        ("Supine", "supine"),
        (" prone", "prone"),
        ("SITTING", "sitting"),
        ("Standing", "standing"),
        ("asleep", None),
        (None, None),
    ],
)
def test_words_of_annotations(name: str | None, posture: Posture | None) -> None:
    assert posture_of(name) == posture


@pytest.mark.parametrize("posture", POSTURES["infant"])
def test_the_floor_carries_the_body(posture: Posture) -> None:
    body, rng = AnnyBody.load(), np.random.default_rng(5)
    shape, _ = body.draw_shape(rng, "infant", YEARS.get(("infant", posture)))
    rotations = draw_plausible_pose(rng, posture, body, shape)[0].pose.rotations
    laid, _ = lay(body, shape, rotations, posture, None)
    assert laid is not None
    resting = laid.resting
    again = body(
        shape[None], torch.from_numpy(resting.pose.rotations)[None], torch.from_numpy(resting.pose.translation)[None]
    )
    np.testing.assert_allclose(resting.vertices, again.vertices[0].numpy(), atol=2e-5)
    assert -0.03 < resting.vertices[:, 2].min() < 0
