"""What infants do with their hands: to the mouth, and from about four months on to the feet."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fidip.synthesis.anatomy import SIDES, Side, bone_rotations, joint_angles
from fidip.synthesis.bodies.protocol import PARTS, BodyModel, PosedBody
from fidip.synthesis.limbs import Push, moved
from fidip.synthesis.poses import Pose
from fidip.synthesis.postures import Posture

Habit = Literal["hand to mouth", "hand to foot"]

HABITS: dict[Posture, dict[Habit, float]] = {
    "supine": {"hand to mouth": 0.2, "hand to foot": 0.12},
    "side": {"hand to mouth": 0.3},
    "prone": {"hand to mouth": 0.1},
    "sitting": {"hand to mouth": 0.12},
}
"""How often an infant in a posture has a hand where."""

BOTH = 0.35
"""Share of these who use both hands."""

GRASPS = 0.66
"""Metres: the stature from which on infants find their feet, at four to six months."""

APPROACHES, NEAR = 12, 0.01
"""Steps in which a hand is brought to its place, and how near, in metres, is near enough."""

KNUCKLE, INSTEP = "finger3-1", "toe3-1"
"""Bones at whose joints a hand is brought somewhere, and a foot is held."""


def draw_habit(
    generator: np.random.Generator,
    body: BodyModel,
    shape: torch.Tensor,  # (S,)
    pose: Pose,
) -> Pose:
    """The pose of an infant, now and then with one or both hands where they like to be."""
    shares = HABITS.get(pose.posture, {})
    if pose.population != "infant" or not shares or generator.random() >= sum(shares.values()):
        return pose
    odds = np.array(list(shares.values()))
    habit = list(shares)[int(generator.choice(len(odds), p=odds / odds.sum()))]
    first: Side = "left" if generator.random() < 0.5 else "right"
    hands = SIDES if generator.random() < BOTH else (first,)
    angles = joint_angles(pose.rotations, body.bone_names)
    if habit == "hand to foot":
        if _stature(body, shape) < GRASPS:
            return pose
        angles["spine_flexion"] += generator.uniform(18, 30)
        angles |= _legs_up(generator, hands)
    for side in hands:
        angles[f"{side}_finger_curl"] = float(generator.uniform(30, 70))
    for _ in range(APPROACHES):
        posed = _posed(body, shape, angles, pose)
        joints = dict(zip(body.bone_names, posed.joints[0].numpy().astype(np.float64), strict=True))
        done = True
        for side in hands:
            knuckle = joints[_bone(KNUCKLE, side)]
            place = _mouth(posed, side) if habit == "hand to mouth" else _instep(joints, side)
            way = place - knuckle
            distance = float(np.linalg.norm(way))
            if distance > NEAR:
                done = False
                meets = 0.4 if habit == "hand to foot" else 0.0  # share of the way that the foot comes
                push = Push(PARTS.index(f"{side}_hand"), knuckle, way / distance, (1 - meets) * distance)
                angles = moved(angles, pose.rotations[0], joints, push)
                if meets:
                    push = Push(PARTS.index(f"{side}_foot"), place, -way / distance, meets * distance)
                    angles = moved(angles, pose.rotations[0], joints, push)
        if done:
            break
    rotations = bone_rotations(angles, body.bone_names)
    rotations[0] = pose.rotations[0]
    return replace(pose, rotations=rotations)


def _legs_up(generator: np.random.Generator, hands: tuple[Side, ...]) -> dict[str, float]:
    """Legs that hands can reach from the back: thighs beside the belly, feet in the air."""
    legs: dict[str, float] = {}
    for side in hands:
        legs |= {
            f"{side}_hip_flexion": generator.uniform(122, 138), f"{side}_hip_abduction": generator.uniform(15, 45),
            f"{side}_hip_rotation": generator.uniform(30, 60), f"{side}_knee_flexion": generator.uniform(25, 110),
            f"{side}_shoulder_elevation": generator.uniform(15, 45),
            f"{side}_shoulder_reach": generator.uniform(45, 70),
        }  # fmt: skip
    return legs


def _posed(body: BodyModel, shape: torch.Tensor, angles: dict[str, float], pose: Pose) -> PosedBody:
    rotations = bone_rotations(angles, body.bone_names)
    rotations[0] = pose.rotations[0]
    with torch.no_grad():
        return body(shape[None], torch.from_numpy(rotations)[None], torch.zeros(1, 3, dtype=shape.dtype))


def _bone(name: str, side: Side) -> str:
    return f"{name}.{side[0].upper()}"


def _mouth(posed: PosedBody, side: Side) -> NDArray[np.float64]:  # (3,)
    """Where knuckles are while fingers are in the mouth: before it, a little to their side."""
    nose, left_eye, right_eye, left_ear, right_ear = posed.keypoints[0, :5].numpy().astype(np.float64)
    leftwards = left_eye - right_eye
    span = float(np.linalg.norm(leftwards))
    forwards = nose - (left_ear + right_ear) / 2
    forwards /= np.linalg.norm(forwards)
    upwards = np.cross(forwards, leftwards / span)  # the head's own
    aside = leftwards * (0.3 if side == "left" else -0.3)
    return np.asarray(nose - 0.7 * span * upwards + 0.45 * span * forwards + aside)


def _instep(joints: dict[str, NDArray[np.float64]], side: Side) -> NDArray[np.float64]:  # (3,)
    """The outer edge of the foot of that side, where a hand holds it."""
    foot = [joints[_bone(name, side)] for name in ("toe5-1", "foot")]
    inner = joints[_bone("toe1-1", side)]
    edge = 0.7 * foot[0] + 0.3 * foot[1]
    outwards = foot[0] - inner
    return np.asarray(edge + 0.018 * outwards / np.linalg.norm(outwards))


def _stature(body: BodyModel, shape: torch.Tensor) -> float:
    with torch.no_grad():
        still = torch.zeros(1, len(body.bone_names) + 1, 3, dtype=shape.dtype)
        rest = body(shape[None], still[:, 1:], still[:, 0]).vertices[0, :, 2]
    return float(rest.max() - rest.min())
