"""The joints' motions as a chain of turns with known derivatives: what :mod:`anatomy` says, in tensors, for fitting.

A turn is ``exp(offset + Σ axis · motion)`` in radians. Each bone's rotation is the product of its turns, so that the
axis about which a motion moves everything below it is known in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fidip.synthesis.anatomy import (
    ACROSS_HAND,
    BACK_OF_HAND,
    ELBOW,
    FOREARM,
    MOTIONS,
    NECK,
    REFERENCE,
    SCAPULA,
    SIDES,
    SPINE,
    THIGH,
    UPPER_ARM,
    Side,
)

Vector = NDArray[np.float64]

X, Y, Z = np.eye(3)
SCAPULA_FROM, SCAPULA_BENT = np.radians(30.0), np.radians(REFERENCE["shoulder_elevation"])
DERIVED = tuple(f"{side}_scapula" for side in SIDES)
"""Motions that follow from others: the shoulder girdle goes with the arm's elevation."""

MOTION_NAMES = tuple(MOTIONS)
"""The motions of a pose vector, in its order."""


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One factor of a bone's rotation: ``exp(offset + Σ axis · motion)``, then ``after``."""

    bone: str
    motions: tuple[str, ...]
    axes: tuple[Vector, ...]  # (3,) each, as long as what a radian of the motion turns
    offset: Vector  # (3,) radians
    after: Vector  # (3, 3)


def turns() -> tuple[Turn, ...]:
    """All turns that move a keypoint, those of one bone in the order of their product."""
    central = [
        _turn(
            bone,
            {f"{chain}_flexion": X / len(bones), f"{chain}_bend": Y / len(bones), f"{chain}_twist": Z / len(bones)},
        )
        for chain, bones in (("spine", SPINE), ("neck", NECK))
        for bone in bones
    ]
    return (*central, *(_sided(turn, side) for side in SIDES for turn in (*_arm(), *_leg())))


def derived_motions(pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # (B, P) -> (B, P + D), (B, D)
    """The pose with the derived motions behind it, and how fast each goes with the elevation it depends on."""
    elevation = pose[:, ELEVATIONS]
    raised = elevation > SCAPULA_BENT
    scapula = torch.where(raised, SCAPULA * (elevation - SCAPULA_FROM), torch.zeros_like(elevation))
    return torch.cat([pose, scapula], 1), SCAPULA * raised.to(pose.dtype)


ELEVATIONS = [MOTION_NAMES.index(f"{side}_shoulder_elevation") for side in SIDES]
HINGES = [MOTION_NAMES.index(f"{side}_{joint}_flexion") for joint in ("elbow", "knee") for side in SIDES]
"""Motions of elbows and knees, which must not bend backwards."""


def _turn(bone: str, motions: dict[str, Vector], offset: Vector | None = None, after: Rotation | None = None) -> Turn:
    matrix = np.eye(3) if after is None else after.as_matrix()
    return Turn(bone, tuple(motions), tuple(motions.values()), np.zeros(3) if offset is None else offset, matrix)


def _reference(motion: str) -> float:
    return float(np.radians(REFERENCE[motion]))


def _arm() -> tuple[Turn, ...]:
    """Left arm; the thumb's second joint carries a trace of the wrist keypoint."""
    lowered = Rotation.from_rotvec(_reference("shoulder_elevation") * Y)
    half_twist, half_roll = {"shoulder_rotation": UPPER_ARM / 2}, {"forearm_pronation": FOREARM / 2}
    return (
        _turn("clavicle", {"scapula": -Y}),
        _turn("upperarm01", {"scapula": Y, "shoulder_elevation": -Y}),
        _turn("upperarm01", {"shoulder_reach": -X}, after=lowered),
        _turn("upperarm01", half_twist),
        _turn("upperarm02", half_twist),
        _turn("lowerarm01", {"elbow_flexion": ELBOW}, -_reference("elbow_flexion") * ELBOW),
        _turn("lowerarm02", half_roll),
        _turn("wrist", half_roll),
        _turn("wrist", {"wrist_flexion": ACROSS_HAND}),
        _turn("wrist", {"wrist_deviation": -BACK_OF_HAND}),
        _turn("finger1-2", {"finger_curl": (ACROSS_HAND + FOREARM) / np.sqrt(18)}),
    )


def _leg() -> tuple[Turn, ...]:
    half_twist = {"hip_rotation": -THIGH / 2}
    return (
        _turn("upperleg01", {"hip_flexion": -X}),
        _turn("upperleg01", {"hip_abduction": -Y}, _reference("hip_abduction") * Y),
        _turn("upperleg01", half_twist),
        _turn("upperleg02", half_twist),
        _turn("lowerleg01", {"knee_flexion": X}, -_reference("knee_flexion") * X),
        _turn("foot", {"ankle_flexion": X, "ankle_inversion": Y, "ankle_adduction": -Z}),
    )


def _sided(turn: Turn, side: Side) -> Turn:
    """A turn of the left as that of a side: mirrored, rotation vectors keep x and reverse y and z."""
    mirror = np.ones(3) if side == "left" else np.array([1.0, -1.0, -1.0])
    return Turn(
        f"{turn.bone}.{side[0].upper()}",
        tuple(f"{side}_{motion}" for motion in turn.motions),
        tuple(axis * mirror for axis in turn.axes),
        turn.offset * mirror,
        turn.after * np.outer(mirror, mirror),
    )
