"""What tells a fit that may be used from one that may not: every check answers with a reason in words.

The thresholds were set by ``benchmarks/fitting.py --thresholds`` on the sampler's poses and on the same poses
exaggerated; docs/fitting.md has the shares that pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.plausibility import joint_faults, penetration_faults, stature

MOST_REPROJECTION = 0.05
"""Median distance of visible keypoints, in shares of the person's size."""

MOST_BEYOND = 5.0  # degrees beyond a joint's limit
DEEPEST = 0.03  # of the stature: a fit knows nothing of flesh, and depth is a guess
MOST_POSE_ENERGY = 120.0
"""Of the default prior, in its own units: the sampler's poses have 45 to 80, exaggerated ones mostly above 150."""

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
    body: BodyModel,
    rotations: NDArray[np.float32],  # (J, 3)
    vertices: NDArray[np.float32],  # (V, 3)
    measured: Measured,
) -> tuple[str, ...]:
    """Every reason against a fit; none where it is plausible."""
    reprojection, pose, shape = measured.reprojection, measured.pose_energy, measured.shape_energy
    reasons = [
        (
            reprojection <= MOST_REPROJECTION,
            f"reprojection: {reprojection:.1%} of the size, at most {MOST_REPROJECTION:.0%}",
        ),
        (pose <= MOST_POSE_ENERGY, f"pose prior: energy {pose:.0f}, at most {MOST_POSE_ENERGY:.0f}"),
        (shape <= MOST_SHAPE_ENERGY, f"shape prior: energy {shape:.0f}, at most {MOST_SHAPE_ENERGY:.0f}"),
    ]
    faults = (
        *joint_faults(rotations, body.bone_names, MOST_BEYOND),
        *penetration_faults(body, vertices, DEEPEST * stature(vertices, body.faces)),
    )
    return (*(reason for passed, reason in reasons if not passed), *map(str, faults))
