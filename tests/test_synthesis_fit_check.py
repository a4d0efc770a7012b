from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fidip.synthesis.anatomy import bone_rotations
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.fit_bodies import CPU, FIT_BODIES
from fidip.synthesis.fit_check import Measured, fit_faults
from fidip.synthesis.poses import draw_pose
from fidip.synthesis.postures import POSTURES

BODIES = FIT_BODIES["anny"](CPU, torch.float64)
GOOD = Measured(0.02, 60.0, 3.0)


def posed(rotations: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    body = AnnyBody.load()
    shape = body.draw_shape(np.random.default_rng(seed), "infant", (0.5, 1.0))[0][None]
    return rotations, body(shape, torch.from_numpy(rotations)[None], torch.zeros(1, 3)).vertices[0].numpy()


def angles(**motions: float) -> np.ndarray:
    return bone_rotations(motions, AnnyBody.load().bone_names)


def test_a_body_at_ease_has_no_fault() -> None:
    assert fit_faults(BODIES, *posed(angles()), GOOD) == ()


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (replace(GOOD, reprojection=0.071), "reprojection: 7.1% of the size, at most 5%"),
        (replace(GOOD, reprojection=float("nan")), "reprojection: nan% of the size, at most 5%"),
        (replace(GOOD, pose_energy=131.0), "pose prior: energy 131, at most 120"),
        (replace(GOOD, shape_energy=40.0), "shape prior: energy 40, at most 16"),
    ],
)
def test_each_measure_has_its_reason(measured: Measured, reason: str) -> None:
    assert fit_faults(BODIES, *posed(angles()), measured) == (reason,)


def test_joints_and_penetration_have_their_reasons() -> None:
    (bent,) = fit_faults(BODIES, *posed(angles(left_knee_flexion=-20.0)), GOOD)
    assert bent == "joint limit: left_knee_flexion -20 degrees, limits -5 to 155"
    assert fit_faults(BODIES, *posed(angles(left_knee_flexion=-8.0)), GOOD) == ()
    arm = {"shoulder_elevation": 0.0, "shoulder_reach": 10.0, "shoulder_rotation": 90.0, "elbow_flexion": 100.0}
    crossed = posed(angles(**{f"left_{name}": value for name, value in arm.items()}))
    assert any(reason.startswith("self-penetration") for reason in fit_faults(BODIES, *crossed, GOOD))


def test_the_samplers_poses_pass_and_exaggerated_ones_do_not() -> None:
    """The thresholds' own criterion, on a few bodies; benchmarks/fitting.py --thresholds does it on many."""
    model, view = BODIES
    passed = {1.0: 0, 1.6: 0}
    for seed in range(12):
        posture = POSTURES["infant"][seed % 6]
        for exaggeration in passed:
            drawn = draw_pose(np.random.default_rng(seed), posture, model)
            rotations = drawn.rotations * np.float32(exaggeration)
            energy = float(view.prior.energy(view.pose(rotations)[None])[0])
            faults = fit_faults(BODIES, *posed(rotations, seed), Measured(0.0, energy, 0.0))
            passed[exaggeration] += not faults
    assert passed[1.0] >= 11
    assert passed[1.6] <= 3
