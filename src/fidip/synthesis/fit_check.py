"""What tells a fit that may be used from one that may not: every check answers with a reason in words.

The thresholds were set by ``benchmarks/fitting.py --thresholds`` on the sampler's poses and on the same poses
exaggerated; docs/fitting.md has the shares that pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.fit_body import FitBody
from fidip.synthesis.plausibility import penetration_faults, stature

MOST_REPROJECTION = 0.05
"""Median distance of visible keypoints, in shares of the person's size."""

MOST_BEYOND = 5.0  # degrees beyond a joint's limit
DEEPEST = 0.03  # of the stature: a fit knows nothing of flesh, and depth is a guess
MOST_POSE_ENERGY = 120.0
"""Of the body's own prior: the sampler's poses have 45 to 80, half of the exaggerated more than 150; carried over to a
user's body, with more numbers, 70 to 105 and half more than 130."""

MOST_SHAPE_ENERGY = 16.0
"""Squared Mahalanobis distance from the mean infant: four standard deviations."""

THRESHOLDS = ("MOST_REPROJECTION", "MOST_BEYOND", "DEEPEST", "MOST_POSE_ENERGY", "MOST_SHAPE_ENERGY")
"""Names of the above, for the record of a run."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a fit beside its body."""

    reprojection: float
    """Median distance of visible keypoints, in shares of the person's size."""

    pose_energy: float
    """Of the pose prior that belongs to the body, whatever prior it was fitted with."""

    shape_energy: float


def fit_faults(
    bodies: tuple[BodyModel, FitBody],
    rotations: NDArray[np.float32],  # (J, 3)
    vertices: NDArray[np.float32],  # (V, 3)
    measured: Measured,
) -> tuple[str, ...]:
    """Every reason against a fit of a body; none where it is plausible."""
    model, fitted = bodies
    reprojection, pose, shape = measured.reprojection, measured.pose_energy, measured.shape_energy
    checks = (
        (
            reprojection <= MOST_REPROJECTION,
            f"reprojection: {reprojection:.1%} of the size, at most {MOST_REPROJECTION:.0%}",
        ),
        (pose <= MOST_POSE_ENERGY, f"pose prior: energy {pose:.0f}, at most {MOST_POSE_ENERGY:.0f}"),
        (shape <= MOST_SHAPE_ENERGY, f"shape prior: energy {shape:.0f}, at most {MOST_SHAPE_ENERGY:.0f}"),
    )
    return (
        *(reason for passed, reason in checks if not passed),  # what is not a number passes nothing
        *_joint_faults(fitted, rotations),
        *map(str, penetration_faults(model, vertices, DEEPEST * stature(vertices, model.faces))),
    )


def _joint_faults(fitted: FitBody, rotations: NDArray[np.float32]) -> Iterator[str]:
    degrees = np.degrees(fitted.pose(rotations))
    limits = np.degrees(fitted.limits.cpu().double().numpy())
    for name, value, (low, high) in zip(fitted.motions, degrees.tolist(), limits.tolist(), strict=True):
        if not low - MOST_BEYOND <= value <= high + MOST_BEYOND:
            yield f"joint limit: {name} {value:.0f} degrees, limits {low:.0f} to {high:.0f}"
