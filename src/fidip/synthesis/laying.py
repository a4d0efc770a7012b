"""Which way is down for limbs whose gravity is not known: try the resting orientations, keep the best that holds.

Each posture has a few canonical orientations of the pelvis. Where the posture is known they alone are tried. Where it
is not, three things order them: how the motions look beside those that the sampler draws for the posture, whether the
camera would stand above the floor, and how often the posture is seen; the first one that rests is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fidip.skeleton import COCO_17
from fidip.synthesis.anatomy import MOTIONS, REFERENCE, SIDES, joint_angles
from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.fit_check import DEEPEST
from fidip.synthesis.plausibility import SUNKEN_SHARE, Fault, floor_faults, penetration_faults, stature, toppling
from fidip.synthesis.poses import Pose, Resting, rest_on_floor
from fidip.synthesis.postures import POSTURE_NAMES, POSTURES, RANGES, Posture, draw_angles

LOOSENED = 12.0
"""Degrees added to the deviation of every motion of a posture: depths of a fit are guesses."""

DRAWS = 300
"""Of each posture, from which the mean and the covariance of its motions are taken."""

LOWEST_VIEW, BELOW = 10.0, 8.0
"""Degrees over the horizon from which infants are photographed, and the deviation of those who do it from lower."""

MEANT_TOO: dict[Posture, tuple[Posture, ...]] = {"prone": ("crawling",)}
"""What annotators who know fewer postures may have meant by one."""

HIPS, KNEES, ANKLES, SHOULDERS = (
    [COCO_17.keypoints.index(f"{side}_{name}") for side in SIDES] for name in ("hip", "knee", "ankle", "shoulder")
)


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """Limbs that were laid down."""

    resting: Resting
    root: NDArray[np.float32]  # (3,) orientation before it settled


def posture_of(name: str | None) -> Posture | None:
    """The posture of an infant that a ``posture`` field names, in any case; ``None`` for other words."""
    wanted = None if name is None else name.strip().casefold()
    return next((posture for posture in POSTURES["infant"] if POSTURE_NAMES[posture].casefold() == wanted), None)


def lay(
    body: BodyModel,
    shape: torch.Tensor,  # (S,)
    rotations: NDArray[np.float32],  # (J, 3); the root's is not looked at
    posture: Posture | None,
    camera: NDArray[np.float64] | None,  # (3,) from the body to the camera, about the body's own axes
) -> tuple[Laid | None, tuple[tuple[Fault, ...], ...]]:  # and the faults of everything that was tried before
    """Lay an infant with these limbs on the floor, in a posture or in the likeliest in which it can rest.

    The camera tells on which side somebody lies, and belly from back; ``None`` where nothing is known of it.
    """
    angles = motions_of(rotations, body)
    if posture is not None:
        guesses = (posture, *MEANT_TOO.get(posture, ()))
        tried = [(guess, root) for guess in guesses for root in _ordered(canonical_roots(guess, angles), camera)]
    else:
        tried = _likeliest(angles, camera)
    refused: list[tuple[Fault, ...]] = []
    for guess, root in tried:
        laid = lay_as(body, shape, rotations, guess, root)
        faults = lying_faults(body, laid.resting)
        if not faults:
            return laid, tuple(refused)
        refused.append(faults)
    return None, tuple(refused)


def lay_as(
    body: BodyModel, shape: torch.Tensor, rotations: NDArray[np.float32], posture: Posture, root: NDArray[np.float32]
) -> Laid:
    """Lay limbs down from one orientation of the root, whatever comes of it."""
    turned = rotations.copy()
    turned[0] = root
    pose = Pose(posture, "infant", turned, np.zeros(3, np.float32))
    return Laid(rest_on_floor(body, shape, pose), root)


def lying_faults(body: BodyModel, resting: Resting) -> tuple[Fault, ...]:
    """What speaks against the way in which limbs were laid down; joints are the business of who made them.

    Parts may reach as deep into each other as in a plausible fit.
    """
    length = stature(resting.vertices, body.faces)
    faults = [*toppling(resting), *floor_faults(resting.vertices, SUNKEN_SHARE * length)]
    if problem := _unlike(resting.pose.posture, resting.keypoints[:, 2], length):
        faults.append(Fault("out of balance", problem))
    return (*faults, *(() if faults else penetration_faults(body, resting.vertices, DEEPEST * length)))


def canonical_roots(posture: Posture, angles: dict[str, float]) -> list[NDArray[np.float32]]:  # (3,) each
    """Orientations of the pelvis of an infant in a posture: first what its legs ask for, then the range of its lean."""
    low, high = RANGES["infant"][posture]["lean"]
    leans = [(low + high) / 2, low, high]
    if angles:
        hips, knees = (np.mean([angles[f"{side}_{joint}_flexion"] for side in SIDES]) for joint in ("hip", "knee"))
        wanted = {"sitting": hips - 97, "crawling": hips, "standing": hips - knees / 2}.get(posture)  # as drawn
        if wanted is not None:
            leans.insert(0, float(np.clip(wanted, low - 12, high + 12)))
    sides = (90.0, -90.0) if posture == "side" else (0.0,)
    return [
        (Rotation.from_euler("y", side, degrees=True) * Rotation.from_euler("x", lean, degrees=True))
        .as_rotvec()
        .round(4)
        .astype(np.float32)
        for lean in leans
        for side in sides
    ]


def motions_of(rotations: NDArray[np.float32], body: BodyModel) -> dict[str, float]:
    """The motions of a body's joints in degrees; none for a body whose bones are not the bundled one's."""
    return joint_angles(rotations, body.bone_names) if "upperleg01.L" in body.bone_names else {}


def posture_shares(angles: dict[str, float]) -> dict[Posture, float]:
    """How likely each posture is for these motions, all postures being as frequent; the shares sum to one."""
    levels = np.array([_likelihood(posture, angles) for posture in POSTURES["infant"]])
    shares = np.exp(levels - levels.max())
    return dict(zip(POSTURES["infant"], (shares / shares.sum()).tolist(), strict=True))


def _likeliest(
    angles: dict[str, float], camera: NDArray[np.float64] | None
) -> list[tuple[Posture, NDArray[np.float32]]]:
    """Every orientation of every posture, the best first."""
    found = [
        (_likelihood(posture, angles) + _seen(root, camera), posture, root)
        for posture in POSTURES["infant"]
        for root in canonical_roots(posture, angles)
    ]
    return [(posture, root) for _, posture, root in sorted(found, key=lambda each: -each[0])]  # ties as they stand


def _ordered(roots: Sequence[NDArray[np.float32]], camera: NDArray[np.float64] | None) -> list[NDArray[np.float32]]:
    return sorted(roots, key=lambda root: -_seen(root, camera))


def _seen(root: NDArray[np.float32], camera: NDArray[np.float64] | None) -> float:
    """Logarithm of how well a camera there agrees with a floor below."""
    if camera is None:
        return 0.0
    up = Rotation.from_rotvec(root).inv().apply((0.0, 0.0, 1.0))
    elevation = float(np.degrees(np.arcsin(np.clip(up @ camera, -1, 1))))
    return -0.5 * (max(0.0, LOWEST_VIEW - elevation) / BELOW) ** 2


def _likelihood(posture: Posture, angles: dict[str, float]) -> float:
    """Logarithm of the density of a posture's motions, as one Gaussian."""
    if not angles:
        return 0.0
    mean, root = _motions(posture)
    away = np.linalg.solve(root, np.array([angles[name] for name in MOTIONS]) - mean)
    return float(-0.5 * away @ away - np.log(np.diag(root)).sum())


@cache
def _motions(posture: Posture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # (P,), (P, P)
    """Mean of a posture's motions as the sampler draws them, and the Cholesky root of their loosened covariance."""
    rng = np.random.default_rng(0)
    draws = [draw_angles(rng, posture, "infant")[0] for _ in range(DRAWS)]
    at_rest = {name: REFERENCE.get(name.partition("_")[2], 0.0) for name in MOTIONS}
    table = np.array([[(at_rest | draw)[name] for name in MOTIONS] for draw in draws])
    covariance = np.cov(table, rowvar=False) + LOOSENED**2 * np.eye(len(MOTIONS))
    return np.asarray(table.mean(0), np.float64), np.asarray(np.linalg.cholesky(covariance), np.float64)


def _unlike(posture: Posture, heights: NDArray[np.float32], length: float) -> str:  # (K,) metres
    """Why a body that rests is not in this posture; no tilt tells that of one who is held or sits on the heels."""
    hips, knees, ankles, shoulders = (float(heights[which].mean()) for which in (HIPS, KNEES, ANKLES, SHOULDERS))
    if posture == "standing" and not (
        heights[ANKLES].max() < 0.12 * length and ankles + 0.1 * length < knees < hips - 0.1 * length
    ):
        return "does not stand on its feet"
    if posture == "sitting" and not (hips < 0.12 * length and shoulders > hips + 0.12 * length):
        return "does not sit on its seat"
    if posture == "crawling" and not (heights[KNEES].max() < 0.16 * length and hips > 0.15 * length):
        return "is not on its knees"
    return ""
