"""Limbs moved a little: a hand out of a thigh or to the mouth, by the joints that carry it.

The least change of a limb's motions that moves one of its points as far as wanted along one direction solves a single
linear equation: the row of the point's derivatives by these motions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fidip.synthesis.anatomy import LIMITS, REFERENCE, SCAPULA, SHOULDER, SPINE
from fidip.synthesis.bodies.protocol import PARTS
from fidip.synthesis.fit_motions import turns

TURNS = turns()

FURTHEST = 25.0
"""Degrees that a motion changes at once; beyond, a point's path is no longer straight."""

IDLE = 1e-7
"""Square metres per square degree: motions that hardly move a point are left alone."""

CHAINS = {
    "arm": (*SPINE, *SHOULDER, "lowerarm01", "lowerarm02", "wrist"),
    "leg": ("upperleg01", "upperleg02", "lowerleg01", "foot"),
}
"""From the root to the hand and to the foot."""

MOVES: dict[str, tuple[str, ...]] = {
    "arm": ("shoulder_elevation", "shoulder_reach", "shoulder_rotation", "elbow_flexion"),
    "leg": ("hip_flexion", "hip_abduction", "hip_rotation", "knee_flexion"),
}
"""Motions that carry a hand and a foot about."""

CARRIERS: dict[str, tuple[str, str]] = {
    "upper_arm": ("arm", "upperarm02"), "forearm": ("arm", "lowerarm02"), "hand": ("arm", "wrist"),
    "thigh": ("leg", "upperleg02"), "shin": ("leg", "lowerleg01"), "foot": ("leg", "foot"),
}  # fmt: skip
"""The limb that a part belongs to, and the last bone that moves it."""


@dataclass(frozen=True, slots=True, eq=False)
class Push:
    """A point of a limb, and where to it should move."""

    part: int  # index into PARTS, not of head or torso
    point: NDArray[np.floating]  # (3,) in the world
    towards: NDArray[np.floating]  # (3,) of unit length
    metres: float


def limb_of(part: int) -> str | None:
    """``"arm"`` or ``"leg"``; ``None`` for head and torso."""
    name = PARTS[part].partition("_")[2]
    return CARRIERS[name][0] if name in CARRIERS else None


def moved(
    angles: Mapping[str, float],
    root: NDArray[np.floating],  # (3,) axis-angle of the root in the world
    joints: Mapping[str, NDArray[np.floating]],  # (3,) in the world, by bone
    push: Push,
) -> dict[str, float]:
    """All motions in degrees, those of one limb changed as little as moves its point, each within its limits.

    A push that the limb cannot make, or that is no small one, is made in part. Raises ``KeyError`` for a point that is
    on no limb.
    """
    side, _, name = PARTS[push.part].partition("_")
    limb, last = CARRIERS[name]
    chain = tuple(bone + ("" if bone in SPINE else f".{side[0].upper()}") for bone in CHAINS[limb])
    chain = chain[: chain.index(f"{last}.{side[0].upper()}") + 1]
    names = [f"{side}_{motion}" for motion in MOVES[limb]]
    row = _derivatives(angles, names, chain, root, joints, push)
    now = np.array([angles[one] for one in names])
    low, high = np.array([LIMITS[motion] for motion in MOVES[limb]]).T
    change, free = np.zeros(len(names)), np.ones(len(names), bool)
    for _ in names:  # what a joint at its limit cannot do the others have to
        wanted = push.metres - row[~free] @ change[~free]
        change[free] = row[free] * wanted / (row[free] @ row[free] + IDLE)
        bounded = np.clip(now + change, low, high) - now
        beyond = free & (bounded != change)
        change[beyond] = bounded[beyond]
        free &= ~beyond
        if not beyond.any():
            break
    change *= min(1.0, FURTHEST / max(float(np.abs(change).max()), 1e-9))
    return {**angles, **dict(zip(names, map(float, now + change), strict=True))}


def _derivatives(
    angles: Mapping[str, float],
    names: list[str],
    chain: tuple[str, ...],
    root: NDArray[np.floating],  # (3,)
    joints: Mapping[str, NDArray[np.floating]],
    push: Push,
) -> NDArray[np.float64]:  # (M,)
    """Metres that the point moves along the push for each degree of the motions named.

    A turn about an axis through a joint moves the point by a cross product; a motion is one turn or more.
    """
    row = dict.fromkeys(names, 0.0)
    above = Rotation.from_rotvec(root).as_matrix()
    for turn in (turn for turn in TURNS if turn.bone in chain):
        lever = np.cross(push.point - joints[turn.bone], push.towards) @ above
        vector = turn.offset.copy()
        for motion, axis in zip(turn.motions, turn.axes, strict=True):
            followed, degrees, rate = _followed(motion, angles)
            vector += np.radians(degrees) * axis
            if followed in row:  # its axis is the turn's own: no other motion of a limb shares it
                row[followed] += rate * float(axis @ lever)
        above = above @ Rotation.from_rotvec(vector).as_matrix() @ turn.after
    return np.radians(list(row.values()))


def _followed(motion: str, angles: Mapping[str, float]) -> tuple[str, float, float]:
    """Of a motion that goes with another one: that one, its own degrees, and how fast it goes."""
    side, _, name = motion.partition("_")
    if name != "scapula":
        return motion, angles[motion], 1.0
    elevation = angles[f"{side}_shoulder_elevation"]
    raised = elevation > REFERENCE["shoulder_elevation"]
    return f"{side}_shoulder_elevation", SCAPULA * (elevation - 30.0) * raised, SCAPULA * raised
