from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from fidip.synthesis.anatomy import bone_rotations
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.protocol import PARTS
from fidip.synthesis.plausibility import (
    Fault,
    check_pose,
    joint_faults,
    penetration_faults,
    reasons,
)
from fidip.synthesis.poses import Pose, rest_on_floor


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody.load()


@pytest.fixture(scope="module")
def shape(body: AnnyBody) -> torch.Tensor:
    return body.draw_shape(np.random.default_rng(1), "adult")[0]


def posed(body: AnnyBody, shape: torch.Tensor, angles: dict[str, float]) -> np.ndarray:
    rotations = torch.from_numpy(bone_rotations(angles, body.bone_names))[None]
    return body(shape[None], rotations, torch.zeros(1, 3)).vertices[0].numpy()


def standing(body: AnnyBody, shape: torch.Tensor, angles: dict[str, float]) -> tuple[Pose, np.ndarray]:
    pose = Pose("standing", "adult", bone_rotations(angles, body.bone_names), np.zeros(3, np.float32))
    resting = rest_on_floor(body, shape, pose)
    return resting.pose, resting.vertices


def winding(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """How often a surface winds round each point (van Oosterom and Strackee's solid angles): near 1 inside it."""
    total = np.zeros(len(points))
    for row, point in enumerate(points):
        a, b, c = np.moveaxis(corners - point, 1, 0)
        la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
        volume = np.einsum("fi,fi->f", a, np.cross(b, c))
        dot = np.einsum
        below = la * lb * lc + dot("fi,fi->f", a, b) * lc + dot("fi,fi->f", b, c) * la + dot("fi,fi->f", c, a) * lb
        total[row] = np.arctan2(volume, below).sum() / (2 * np.pi)
    return total


def test_a_body_at_ease_has_no_fault(body: AnnyBody, shape: torch.Tensor) -> None:
    pose, vertices = standing(body, shape, {})
    assert check_pose(body, pose, vertices) == ()


@pytest.mark.parametrize(
    ("angles", "pair"),
    [
        ({"left_shoulder_elevation": 0.0, "left_shoulder_reach": 30.0, "left_shoulder_rotation": 90.0,
          "left_elbow_flexion": 100.0}, {"torso", "left_"}),
        ({"right_hip_abduction": -25.0, "left_hip_abduction": -25.0}, {"left_", "right_"}),
        ({"right_elbow_flexion": 114.0, "right_shoulder_reach": -6.0, "right_shoulder_elevation": 149.0,
          "right_shoulder_rotation": -72.0}, {"head", "right_"}),
    ],
)  # fmt: skip
def test_an_arm_in_the_trunk_a_leg_in_a_leg_and_a_hand_in_the_head_are_found(
    body: AnnyBody, shape: torch.Tensor, angles: dict[str, float], pair: set[str]
) -> None:
    faults = penetration_faults(body, posed(body, shape, angles), 0.02)
    assert faults
    assert any(all(part in fault.detail for part in pair) for fault in faults), [str(fault) for fault in faults]
    assert all(fault.check == "self-penetration" for fault in faults)


def test_penetration_agrees_with_winding_numbers(body: AnnyBody) -> None:
    """Left hand and forearm against all that is neither they nor next to them, exactly and slowly."""
    arm = [PARTS.index(f"left_{part}") for part in ("upper_arm", "forearm", "hand")]
    mine = np.unique(body.faces[np.isin(body.face_parts, arm[1:])])[::60]
    others = body.faces[~np.isin(body.face_parts, arm)]
    deepest, agreed, deep = 0.006, 0, 0
    generator = np.random.default_rng(8)
    shape = body.draw_shape(generator, "infant", (0.5, 1.0))[0]
    for elbow in (20.0, 60.0, 95.0):
        for elevation in (5.0, 95.0):
            bent = {"left_hip_flexion": 100.0, "left_shoulder_elevation": elevation, "left_elbow_flexion": elbow}
            vertices = posed(body, shape, bent | {"left_shoulder_rotation": 40.0})
            points = vertices[mine].astype(float)
            inside = winding(points, vertices[others].astype(float)) > 0.5
            depth = (cKDTree(vertices[np.unique(others)]).query(points)[0] * inside).max()
            found = penetration_faults(body, vertices, deepest)
            named = any("left_forearm" in fault.detail or "left_hand" in fault.detail for fault in found)
            deep += depth > deepest
            agreed += (depth > deepest) == named or abs(depth - deepest) < 0.003
    assert 2 <= deep <= 4
    assert agreed == 6


def test_joints_beyond_their_limits_are_named(body: AnnyBody) -> None:
    faults = joint_faults(
        bone_rotations({"left_knee_flexion": -40.0, "neck_twist": 120.0}, body.bone_names), body.bone_names
    )
    assert {fault.detail.split(" ")[0] for fault in faults} == {"left_knee_flexion", "neck_twist"}
    assert str(faults[-1]) == "joint limit: left_knee_flexion -40 degrees, limits -5 to 155"


def test_a_body_in_the_floor_and_one_that_falls_over_are_refused(body: AnnyBody, shape: torch.Tensor) -> None:
    pose, vertices = standing(body, shape, {})
    sunken = check_pose(body, pose, vertices - np.array([0, 0, 0.2], np.float32))
    assert "below the floor" in [fault.check for fault in sunken]
    leaning = pose.rotations.copy()
    leaning[0] = (np.radians(20), 0, 0)
    leant = rest_on_floor(body, shape, replace(pose, rotations=leaning))
    assert "out of balance" in [fault.check for fault in check_pose(body, leant.pose, leant.vertices)]


def test_who_stands_on_toes_is_off_its_soles(body: AnnyBody, shape: torch.Tensor) -> None:
    flat, vertices = standing(body, shape, {})
    assert check_pose(body, flat, vertices) == ()
    tiptoe, vertices = standing(body, shape, {f"{side}_ankle_flexion": 45.0 for side in ("left", "right")})
    assert "off its soles" in [fault.check for fault in check_pose(body, tiptoe, vertices)]
    one, vertices = standing(body, shape, {"left_ankle_flexion": 45.0, "left_knee_flexion": 60.0})
    assert "off its soles" in [fault.check for fault in check_pose(body, one, vertices)]
    walking = replace(one, posture="walking")
    assert "off its soles" not in [fault.check for fault in check_pose(body, walking, vertices)]


def test_reasons_count_each_draw_once() -> None:
    deep = Fault("self-penetration", "left_hand 20 mm into head")
    assert reasons([(deep, deep, Fault("joint limit", "neck_twist …")), (deep,)]) == {
        "head in left_hand": 2,
        "joint limit": 1,
    }
