from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fidip.skeleton import COCO_17
from fidip.synthesis.anatomy import LIMITS, MOTIONS, REFERENCE, bone_rotations, flat_hand, joint_angles, mirrored
from fidip.synthesis.bodies.anny import AnnyBody

Keypoints = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody.load()


@pytest.fixture(scope="module")
def shape(body: AnnyBody) -> torch.Tensor:
    return body.draw_shape(np.random.default_rng(0), "adult")[0][None]


@pytest.fixture(scope="module")
def keypoints(body: AnnyBody, shape: torch.Tensor) -> Callable[[dict[str, float]], Keypoints]:
    def of(angles: dict[str, float]) -> Keypoints:
        rotations = torch.from_numpy(bone_rotations(angles, body.bone_names))[None]
        points = body.keypoints(shape, rotations, torch.zeros(1, 3))[0].numpy()
        return dict(zip(COCO_17.keypoints, points, strict=True))

    return of


def towards(keypoints: Keypoints, first: str, second: str) -> np.ndarray:
    way = keypoints[second] - keypoints[first]
    return way / np.linalg.norm(way)


def bend(keypoints: Keypoints, first: str, middle: str, last: str) -> float:
    return float(np.degrees(np.arccos(towards(keypoints, first, middle) @ towards(keypoints, middle, last))))


angles = st.fixed_dictionaries(
    {name: st.floats(0.95 * low, 0.95 * high, allow_subnormal=False) for name, (low, high) in MOTIONS.items()}
)


@settings(max_examples=25)
@given(angles)
def test_angles_come_back(drawn: dict[str, float]) -> None:
    names = AnnyBody.load().bone_names
    read = joint_angles(bone_rotations(drawn, names), names)
    assert read.keys() == MOTIONS.keys()
    for name, value in drawn.items():
        assert read[name] == pytest.approx(value, abs=0.05), name


def test_no_motion_is_the_reference_pose(body: AnnyBody) -> None:
    rotations = bone_rotations({}, body.bone_names)
    assert not np.abs(rotations).max() > 1e-6
    for name, value in joint_angles(rotations, body.bone_names).items():
        assert value == pytest.approx(REFERENCE.get(name.split("_", 1)[1], 0.0), abs=1e-3)


@pytest.mark.parametrize(
    ("motion", "value", "first", "second", "direction"),
    [
        ("left_shoulder_elevation", 0.0, "left_shoulder", "left_elbow", (0, 0, -1)),
        ("left_shoulder_elevation", 90.0, "left_shoulder", "left_elbow", (1, 0, 0)),
        ("right_shoulder_elevation", 90.0, "right_shoulder", "right_elbow", (-1, 0, 0)),
        ("left_shoulder_elevation", 170.0, "left_shoulder", "left_elbow", (0.17, 0, 0.98)),
        ("right_shoulder_reach", 85.0, "right_shoulder", "right_elbow", (0, -1, 0)),
        ("left_hip_flexion", 90.0, "left_hip", "left_knee", (0.1, -1, 0)),
        ("right_hip_abduction", 45.0, "right_hip", "right_knee", (-0.7, 0, -0.7)),
        ("left_hip_flexion", -20.0, "left_hip", "left_knee", (0.1, 0.3, -0.95)),
        ("neck_flexion", 40.0, "left_ear", "nose", (-0.5, -0.7, -0.5)),
        ("neck_twist", 60.0, "right_ear", "left_ear", (0.5, 0.87, 0)),
        ("spine_bend", 30.0, "right_shoulder", "left_shoulder", (0.87, 0, -0.5)),
    ],
)
def test_motions_point_where_an_anatomist_says(
    keypoints: Callable[[dict[str, float]], Keypoints],
    motion: str,
    value: float,
    first: str,
    second: str,
    direction: tuple[float, float, float],
) -> None:
    wanted = np.array(direction) / np.linalg.norm(direction)
    found = towards(keypoints({motion: value}), first, second)
    assert np.degrees(np.arccos(np.clip(found @ wanted, -1, 1))) < 16, found


@pytest.mark.parametrize("side", ["left", "right"])
def test_hinges_bend_by_what_they_are_told(keypoints: Callable[[dict[str, float]], Keypoints], side: str) -> None:
    for degrees in (20.0, 90.0, 130.0):
        elbow = keypoints({f"{side}_elbow_flexion": degrees})
        knee = keypoints({f"{side}_knee_flexion": degrees})
        assert bend(elbow, f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist") == pytest.approx(degrees, abs=14)
        assert bend(knee, f"{side}_hip", f"{side}_knee", f"{side}_ankle") == pytest.approx(degrees, abs=14)
    assert knee[f"{side}_ankle"][1] > knee[f"{side}_knee"][1]  # heels go back, not forwards
    assert elbow[f"{side}_wrist"][1] < elbow[f"{side}_elbow"][1]  # hands come forwards


def test_a_turn_out_of_the_hip_swings_the_bent_shin_inwards(
    keypoints: Callable[[dict[str, float]], Keypoints],
) -> None:
    bent = {"left_knee_flexion": 90.0, "left_hip_flexion": 90.0}
    plain, turned = keypoints(bent), keypoints(bent | {"left_hip_rotation": 40.0})
    assert turned["left_ankle"][0] < plain["left_ankle"][0] - 0.1


def test_a_mirrored_pose_is_the_mirror_image(keypoints: Callable[[dict[str, float]], Keypoints]) -> None:
    generator = np.random.default_rng(3)
    pose = {name: float(generator.uniform(low, high)) / 2 for name, (low, high) in MOTIONS.items()}
    here, there = keypoints(pose), keypoints(mirrored(pose))
    for index, name in enumerate(COCO_17.keypoints):
        other = COCO_17.keypoints[COCO_17.flip_permutation[index]]
        np.testing.assert_allclose(here[name] * (-1, 1, 1), there[other], atol=0.02)
    assert mirrored(mirrored(pose)) == pose


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_flat_hand_is_level_with_its_palm_down(body: AnnyBody, shape: torch.Tensor, side: str) -> None:
    root = Rotation.from_euler("x", 85, degrees=True)
    reaching = {f"{side}_shoulder_elevation": 10.0, f"{side}_shoulder_reach": 80.0, f"{side}_elbow_flexion": 15.0}
    pose = reaching | flat_hand(reaching, side, root, 0.0)
    rotations = bone_rotations(pose, body.bone_names)
    rotations[0] = root.as_rotvec()
    joints = body(shape, torch.from_numpy(rotations)[None], torch.zeros(1, 3)).joints[0].numpy()
    at = {name: joints[index] for index, name in enumerate(body.bone_names)}
    suffix = side[0].upper()
    knuckles, wrist = [at[f"finger{finger}-1.{suffix}"] for finger in (2, 5)], at[f"wrist.{suffix}"]
    palm = np.cross(knuckles[0] - wrist, knuckles[1] - wrist) * (-1 if side == "left" else 1)
    assert abs(palm[2]) / np.linalg.norm(palm) > 0.9
    assert palm[2] < 0
    assert np.mean(knuckles, 0)[1] < wrist[1]  # fingers ahead, where the crown of the head points


def test_limits_hold_the_reference_and_unknown_motions_are_refused(body: AnnyBody) -> None:
    for name, (low, high) in LIMITS.items():
        assert low <= REFERENCE.get(name, 0.0) <= high
    with pytest.raises(KeyError, match="no motion left_tail"):
        bone_rotations({"left_tail": 3.0}, body.bone_names)
