"""Poses near a pose: noise on the motions of its joints, less of it until the body is possible."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from fidip.synthesis.anatomy import MOTIONS, bone_rotations, joint_angles
from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.fit_check import DEEPEST
from fidip.synthesis.laying import Laid, lay_as, lying_faults
from fidip.synthesis.plausibility import Fault, penetration_faults, stature

LEAST = 0.5
"""Degrees of noise below which the pose itself is taken."""

Refused = tuple[tuple[Fault, ...], ...]


def vary_lying(
    rng: np.random.Generator,
    body: BodyModel,
    shape: torch.Tensor,  # (S,)
    laid: Laid,
    degrees: float,
) -> tuple[Laid, Refused]:  # and the faults of every draw that was refused before it
    """A body like the one that was laid down, every motion moved, at rest from the same orientation."""
    refused: list[tuple[Fault, ...]] = []
    posture = laid.resting.pose.posture
    for rotations in _draws(rng, laid.resting.pose.rotations, body, degrees):
        varied = lay_as(body, shape, rotations, posture, laid.root)
        faults = lying_faults(body, varied.resting)
        if not faults:
            return varied, tuple(refused)
        refused.append(faults)
    return laid, tuple(refused)


def vary_floating(
    rng: np.random.Generator,
    body: BodyModel,
    shape: torch.Tensor,  # (S,)
    rotations: NDArray[np.float32],  # (J, 3)
    degrees: float,
) -> tuple[NDArray[np.float32], Refused]:  # (J, 3), and the faults of every draw that was refused before it
    """Rotations like these, the root's the same, of a body whose parts do not reach into each other."""
    refused: list[tuple[Fault, ...]] = []
    for varied in _draws(rng, rotations, body, degrees):
        with torch.no_grad():
            posed = body(shape[None], torch.from_numpy(varied)[None], torch.zeros(1, 3))
        vertices = posed.vertices[0].numpy()
        faults = penetration_faults(body, vertices, DEEPEST * stature(vertices, body.faces))
        if not faults:
            return varied, tuple(refused)
        refused.append(faults)
    return rotations, tuple(refused)


def within_limits(angles: dict[str, float]) -> dict[str, float]:
    """Motions in degrees, each brought to the nearest that its joint allows."""
    return {name: float(np.clip(value, *MOTIONS[name])) for name, value in angles.items()}


def _draws(
    rng: np.random.Generator, rotations: NDArray[np.float32], body: BodyModel, degrees: float
) -> Iterator[NDArray[np.float32]]:
    """Rotations with noise of the deviation asked for, of half of it, and so on."""
    angles = joint_angles(rotations, body.bone_names)
    while degrees >= LEAST:
        noise = degrees * rng.standard_normal(len(MOTIONS))
        moved = {name: angles[name] + float(more) for name, more in zip(MOTIONS, noise, strict=True)}
        varied = bone_rotations(within_limits(moved), body.bone_names)
        varied[0] = rotations[0]
        yield varied
        degrees /= 2
