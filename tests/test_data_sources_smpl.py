"""The step from rig joints to COCO keypoints, against the numbers that it was derived from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fidip.data.sources.smpl import HIP_RISE, HIP_SPREAD, coco_points
from fidip.skeleton import COCO_17
from fidip.smpl_joints import KEYPOINT_JOINTS, PARENTS
from fidip.synthesis.bodies.anny import AnnyBody
from source_folders import RIG, standing_joints

LEFT_HIP, RIGHT_HIP = 11, 12


def test_every_keypoint_is_the_joint_of_its_name() -> None:
    own = {
        "shoulder": "upper_arm",
        "elbow": "forearm",
        "wrist": "hand",
        "hip": "thigh",
        "knee": "calf",
        "ankle": "foot",
    }
    joints = np.arange(48.0).reshape(24, 2)
    points = coco_points(joints, "adult", "joints")
    for k, name in enumerate(COCO_17.keypoints):
        side, _, kind = name.partition("_")
        if kind in own:
            assert points[k].tolist() == joints[RIG.index(f"{side}_{own[kind]}")].tolist()
        else:
            assert np.isnan(points[k]).all()  # nose, eyes, ears
    assert len(KEYPOINT_JOINTS) == 12
    assert np.isnan(coco_points(joints, "adult", "none")[[LEFT_HIP, RIGHT_HIP]]).all()


def test_parents_lead_to_the_pelvis() -> None:
    assert len(RIG) == len(PARENTS) == 24
    for joint in range(24):
        steps, at = 0, joint
        while at > 0:
            at, steps = PARENTS[at], steps + 1
        assert at == 0
        assert steps < 10
    assert [RIG[PARENTS[RIG.index(n)]] for n in ("left_calf", "right_hand", "left_collar")] == [
        "left_thigh", "right_forearm", "spine2",
    ]  # fmt: skip


def test_moved_hips_by_hand() -> None:
    joints = standing_joints(100, 40)  # thighs at x 110 and 90, y 130; shoulders at y 65
    points = coco_points(joints, "adult", "moved")
    rise = 0.04 * (130 - 65)
    assert points[LEFT_HIP] == pytest.approx([100 + 10 * 1.5, 130 - rise])
    assert points[RIGHT_HIP] == pytest.approx([100 - 10 * 1.5, 130 - rise])
    infant = coco_points(joints, "infant", "moved")
    assert infant[LEFT_HIP, 0] == pytest.approx(100 + 10 * 0.54 / 0.40)


@given(st.integers(0, 10_000), st.floats(-3.1, 3.1), st.floats(0.2, 5))
def test_moving_hips_commutes_with_turning_scaling_and_shifting(seed: int, angle: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    joints, shift = rng.normal(size=(24, 2)), rng.normal(size=2)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    direct = coco_points(joints @ turn.T + shift, "infant", "moved")
    after = coco_points(joints, "infant", "moved") @ turn.T + shift
    np.testing.assert_allclose(direct, after, atol=1e-9)


def test_the_shares_are_those_of_the_bundled_bodies() -> None:
    """SMPL's neutral body: femoral heads 0.137 m, shoulders 0.339 m apart, heads at 0.590 from shoulders to knees."""
    body, rng = AnnyBody.load(), np.random.default_rng(0)
    for population in ("infant", "adult"):
        shapes = torch.stack([body.draw_shape(rng, population)[0] for _ in range(100)])
        keypoints = body.rest(shapes).keypoints.numpy()
        hips, shoulders = (np.linalg.norm(keypoints[:, k] - keypoints[:, k + 1], axis=1).mean() for k in (LEFT_HIP, 5))
        assert HIP_SPREAD[population] == pytest.approx((hips / shoulders) / (0.137 / 0.339), rel=0.03)
    middle = (keypoints[:, [5, 11, 13]] + keypoints[:, [6, 12, 14]]) / 2  # adults: shoulders, hips, knees
    share = ((middle[:, 0] - middle[:, 1]) / (middle[:, 0] - middle[:, 2]))[:, 2].mean()
    assert (0.590 - share) / 0.590 == pytest.approx(HIP_RISE, abs=0.005)
