from __future__ import annotations

import numpy as np
import torch

from fidip.synthesis.anatomy import MOTIONS, bone_rotations, joint_angles
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.laying import Laid, lay_as, lying_faults
from fidip.synthesis.mending import draw_plausible_pose
from fidip.synthesis.plausibility import joint_faults, penetration_faults, stature
from fidip.synthesis.varying import vary_floating, vary_lying, within_limits

WILD, MILD = 40.0, 4.0


def supine() -> tuple[AnnyBody, torch.Tensor, Laid]:
    body, rng = AnnyBody.load(), np.random.default_rng(0)
    shape = body.draw_shape(rng, "infant")[0]
    pose = draw_plausible_pose(rng, "supine", body, shape)[0].pose
    return body, shape, lay_as(body, shape, pose.rotations, "supine", pose.rotations[0])


def test_noise_is_as_large_as_asked_and_within_limits() -> None:
    body, shape, laid = supine()
    before = joint_angles(laid.resting.pose.rotations, body.bone_names)
    moved = []
    for seed in range(12):
        varied, _ = vary_lying(np.random.default_rng(seed), body, shape, laid, MILD)
        after = joint_angles(varied.resting.pose.rotations, body.bone_names)
        moved.append([after[name] - before[name] for name in MOTIONS])
    assert 0.7 * MILD < np.std(moved) < 1.1 * MILD  # a few are halved or stopped by a limit


def test_what_is_drawn_wildly_is_still_possible_and_some_draws_were_refused() -> None:
    body, shape, laid = supine()
    count = 0
    for seed in range(10):
        varied, refused = vary_lying(np.random.default_rng(seed), body, shape, laid, WILD)
        assert lying_faults(body, varied.resting) == ()
        assert joint_faults(varied.resting.pose.rotations, body.bone_names) == ()
        assert varied.resting.pose.posture == "supine"
        count += len(refused)
        rotations, _ = vary_floating(np.random.default_rng(seed), body, shape, laid.resting.pose.rotations, WILD)
        np.testing.assert_array_equal(rotations[0], laid.resting.pose.rotations[0])
        posed = body(shape[None], torch.from_numpy(rotations)[None], torch.zeros(1, 3)).vertices[0].numpy()
        assert penetration_faults(body, posed, 0.03 * stature(posed, body.faces)) == ()
    assert count > 0


def test_where_no_noise_is_possible_the_pose_itself_is_taken() -> None:
    body, shape, _ = supine()
    folded = bone_rotations({f"{side}_hip_flexion": 175.0 for side in ("left", "right")}, body.bone_names)
    laid = lay_as(body, shape, folded, "standing", np.zeros(3, np.float32))  # stands on nothing
    varied, refused = vary_lying(np.random.default_rng(0), body, shape, laid, 1.0)
    assert varied is laid
    assert len(refused) == 2  # 1 and half a degree


def test_the_same_generator_gives_the_same_pose() -> None:
    body, shape, laid = supine()
    first, second, other = (
        vary_lying(np.random.default_rng(seed), body, shape, laid, 10.0)[0].resting.vertices for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0.005


def test_limits_stop_motions() -> None:
    assert within_limits({"left_knee_flexion": -40.0, "neck_twist": 10.0}) == {
        "left_knee_flexion": MOTIONS["left_knee_flexion"][0],
        "neck_twist": 10.0,
    }
