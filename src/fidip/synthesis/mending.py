"""Poses drawn until one is plausible, and mended before they are thrown away.

A limb that lies too deep in another part or in the floor is pushed out by the joints that carry it; a body that topples
spreads what it lies on. Whatever is wrong with a joint stays wrong.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from fidip.synthesis.anatomy import SIDES, bone_rotations, joint_angles
from fidip.synthesis.bodies.protocol import PARTS, BodyModel, Population
from fidip.synthesis.habits import draw_habit
from fidip.synthesis.limbs import Push, limb_of, moved
from fidip.synthesis.plausibility import (
    DEEPEST_SHARE,
    SUNKEN_SHARE,
    Fault,
    Overlap,
    check_resting,
    overlaps,
    reasons,
    stature,
)
from fidip.synthesis.poses import Pose, Resting, draw_pose, rest_on_floor
from fidip.synthesis.postures import Posture, alike

ROUNDS = 5
"""How often a pose is mended before it is given up."""

CLEARANCE = 0.5
"""Of the depth that is allowed: so much is left where a limb was pushed out."""

UP = np.array([0.0, 0.0, 1.0])

CURLED = {"hip_flexion": 95.0, "knee_flexion": 95.0, "shoulder_reach": 80.0}
"""Degrees: what a body on its side comes nearer to when it would topple."""

BEARING = (
    "shoulder_elevation", "shoulder_reach", "elbow_flexion", "hip_flexion", "hip_abduction", "knee_flexion"
)  # fmt: skip
"""Motions of what a body stands or lies on."""

Faults = tuple[Fault, ...]


def draw_plausible_pose(
    generator: np.random.Generator,
    posture: Posture,
    body: BodyModel,
    shape: torch.Tensor,  # (S,)
    population: Population = "infant",
    attempts: int = 50,
) -> tuple[Resting, tuple[Faults, ...]]:  # and the faults of every draw that was refused before it
    """Draw poses of a posture, lay each on the floor, mend it, and keep the first that passes.

    Raises ``RuntimeError`` with a count of the reasons where none of ``attempts`` passes.
    """
    refused: list[Faults] = []
    for _ in range(attempts):
        pose = draw_habit(generator, body, shape, draw_pose(generator, posture, body, population))
        resting, faults = lay_down(body, shape, pose)
        if not faults:
            return resting, tuple(refused)
        refused.append(faults)
    raise RuntimeError(f"none of {attempts} {posture} poses of an {population} is plausible: {reasons(refused)}")


def lay_down(
    body: BodyModel,
    shape: torch.Tensor,  # (S,)
    pose: Pose,
) -> tuple[Resting, Faults]:
    """A pose at rest on the floor, mended where it can be, and what is still wrong with it."""
    resting = rest_on_floor(body, shape, pose)
    faults = check_resting(body, resting)
    for _ in range(ROUNDS):
        if not faults or any(fault.check == "joint limit" for fault in faults):
            break
        rotations = _mended(body, resting, faults)
        rotations[0] = pose.rotations[0]
        resting = rest_on_floor(body, shape, replace(pose, rotations=rotations))
        faults = check_resting(body, resting)
    return resting, faults


def _mended(body: BodyModel, resting: Resting, faults: Faults) -> NDArray[np.float32]:  # (J, 3)
    pose = resting.pose
    angles = joint_angles(pose.rotations, body.bone_names)
    joints = dict(zip(body.bone_names, resting.joints, strict=True))
    for push in _pushes(body, resting.vertices):
        angles = moved(angles, pose.rotations[0], joints, push)
    if any(fault.check == "out of balance" for fault in faults):
        angles = _steadied(angles, pose.posture)
    return bone_rotations(angles, body.bone_names)


def _steadied(angles: dict[str, float], posture: Posture) -> dict[str, float]:
    """The same body on a broader base: on its side more curled up, elsewhere with the two sides more alike."""
    if posture == "side":
        curled = {f"{side}_{motion}": angle for side in SIDES for motion, angle in CURLED.items()}
        return angles | {name: 0.7 * angles[name] + 0.3 * angle for name, angle in curled.items()}
    return alike(angles, *BEARING, share=0.5)


def _pushes(body: BodyModel, vertices: NDArray[np.float32]) -> list[Push]:
    """What moves each limb out of what it lies too deep in; of two arms or two legs each goes half the way."""
    length = stature(vertices, body.faces)
    allowed = DEEPEST_SHARE * length
    pushes = []
    for overlap in overlaps(body, vertices, allowed):
        movers = _movers(overlap)
        metres = (overlap.depth - CLEARANCE * allowed) / max(len(movers), 1)
        pushes += [
            Push(part, overlap.point, overlap.out if part == overlap.inner else -overlap.out, metres) for part in movers
        ]
    lowest = int(vertices[:, 2].argmin())
    sunken = -float(vertices[lowest, 2])
    if sunken > SUNKEN_SHARE * length:
        part = int(body.face_parts[np.flatnonzero(body.faces == lowest)[0] // 3])
        if limb_of(part):
            pushes.append(Push(part, vertices[lowest], UP, sunken - CLEARANCE * SUNKEN_SHARE * length))
    return pushes


def _movers(overlap: Overlap) -> list[int]:
    """Arms give way to everything, legs to head and torso and to each other."""
    pair = [overlap.inner, overlap.outer]
    for limb in ("arm", "leg"):
        if movers := [part for part in pair if limb_of(part) == limb]:
            return movers
    raise AssertionError(f"{PARTS[overlap.inner]} in {PARTS[overlap.outer]}: head and torso are neighbours")
