"""What the fit sees of a user's body, against the body itself and the published formulas in the files' axes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from body_files import TO_SMPL
from fidip.skeleton import COCO_17
from fidip.smpl_joints import BONES
from fidip.synthesis.bodies.smpl import KEYPOINT_VERTICES, SmplBody
from fidip.synthesis.fit_bodies import CPU
from fidip.synthesis.fit_check import Measured, fit_faults
from fidip.synthesis.fit_smpl import AXIS_ANGLE_NAMES, AXIS_ANGLES, BENDING, AxisAngleBody
from fidip.synthesis.fit_terms import Objective, Observed, State, Weights
from smpl_cases import converted, fittable, some_poses

K = COCO_17.keypoints.index
P = len(AXIS_ANGLE_NAMES)


@pytest.fixture(scope="module")
def seen() -> AxisAngleBody:
    body = fittable().seen
    assert isinstance(body, AxisAngleBody)
    return body


@pytest.fixture(scope="module")
def guesses() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    pose = 0.5 * torch.randn(3, P, generator=generator, dtype=torch.float64)
    pose[0, 6:12] = 0  # a joint that is not turned at all
    return pose, torch.randn(3, 10, generator=generator, dtype=torch.float64)


def keypoints(body: SmplBody, pose: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:  # (B, P), (B, S) -> (B, K, 3)
    still = pose.new_zeros(len(pose), 1, 3)
    return body.keypoints(shape, torch.cat([still, pose.view(len(pose), -1, 3)], 1), still[:, 0])


def test_keypoints_and_derivatives_are_those_of_the_posed_body(guesses) -> None:
    """By automatic differentiation of the body model; the head's vertices hang on several bones, as in real files."""
    skin = converted()["skin"].copy()
    skin[list(KEYPOINT_VERTICES.values())] = np.random.default_rng(0).dirichlet(np.full(24, 0.3), 5)
    double = SmplBody(converted() | {"skin": skin}).double()
    points, by_pose, by_shape = AxisAngleBody(double, CPU, torch.float64).points(*guesses)
    torch.testing.assert_close(points, keypoints(double, *guesses), rtol=0, atol=1e-12)
    jacobian = torch.autograd.functional.jacobian(lambda p, s: keypoints(double, p, s).sum(0), guesses)
    for found, expected in zip((by_pose, by_shape), jacobian, strict=True):
        torch.testing.assert_close(found, expected.permute(2, 0, 1, 3), rtol=0, atol=1e-12)


def test_a_file_with_many_coefficients_is_fitted_by_its_first(seen, guesses) -> None:
    arrays = dict(converted())
    for name in ("basis", "joint_basis"):
        arrays[name] = np.concatenate([arrays[name]] * 3)  # 30 of them
    many = AxisAngleBody(SmplBody(arrays), CPU, torch.float64)
    assert (seen.shape_size, many.shape_size) == (10, 20)
    shape = torch.cat([guesses[1], guesses[1]], 1)
    assert many.full_shape(shape).shape == (3, 30)
    assert many.full_shape(shape)[:, 20:].abs().max() == 0
    torch.testing.assert_close(many.points(guesses[0], shape)[0], seen.points(guesses[0], 2 * guesses[1])[0])


def test_poses_and_rotations_are_the_same_numbers(seen) -> None:
    pose = some_poses(0, 1)[0]
    rotations = seen.rotations(pose)
    assert rotations.shape == (24, 3)
    assert not rotations[0].any()
    np.testing.assert_allclose(rotations[BONES.index("left_knee")], pose[9:12], rtol=1e-6)
    assert AXIS_ANGLE_NAMES[9:12] == ("left_knee_x", "left_knee_y", "left_knee_z")
    np.testing.assert_allclose(seen.pose(rotations), pose, rtol=1e-6)


def test_elbows_bend_forwards_and_knees_backwards(seen) -> None:
    """The face looks along −y: a bent elbow brings the wrist there, a bent knee takes the ankle away."""
    still = seen.points(torch.zeros(1, P).double(), torch.zeros(1, 10).double())[0][0]
    for name, sign in BENDING.items():
        side, joint, _ = name.split("_")
        end = K(f"{side}_{'wrist' if joint == 'elbow' else 'ankle'}")
        pose = torch.zeros(1, P).double()
        pose[0, AXIS_ANGLE_NAMES.index(name)] = 0.6 * sign
        moved = seen.points(pose, torch.zeros(1, 10).double())[0][0, end] - still[end]
        assert (moved[1] < -0.01) if joint == "elbow" else (moved[1] > 0.01), name


def test_parts_in_each_other_and_half_turns_are_reasons_against_a_fit() -> None:
    """On a smooth skin, as real files have it."""
    body = fittable(wrinkled=False)
    none = torch.zeros(1, 10), torch.zeros(1, 3)
    found = {}
    for bent in (0.0, 0.9):
        pose = np.zeros(P)
        pose[[AXIS_ANGLE_NAMES.index("left_shoulder_y"), AXIS_ANGLE_NAMES.index("left_elbow_z")]] = bent, -1.3 * bent
        rotations = body.seen.rotations(pose)
        vertices = body.model(none[0], torch.from_numpy(rotations)[None], none[1]).vertices[0].numpy()
        found[bent] = fit_faults((body.model, body.seen), rotations, vertices, Measured(0.0, 70.0, 1.0))
    assert found[0.0] == ()
    (reason,) = found[0.9]
    assert reason.startswith("self-penetration: left_forearm")
    rotations[BONES.index("neck"), 1] = 4.0
    reasons = fit_faults((body.model, body.seen), rotations, vertices, Measured(0.0, 70.0, 1.0))
    assert "joint limit: neck_y 229 degrees, limits -180 to 180" in reasons


def test_a_mirror_shows_the_mirrored_pose(seen) -> None:
    """Up to the forged body's own asymmetry; its blend shapes move the head's vertices at random."""
    poses = some_poses(3, 4)
    np.testing.assert_array_equal(AXIS_ANGLES.mirrored(AXIS_ANGLES.mirrored(poses)), poses)
    none = torch.zeros(4, 10).double()
    points, shown = (seen.points(torch.from_numpy(p), none)[0].numpy() for p in (poses, AXIS_ANGLES.mirrored(poses)))
    swapped = np.arange(17)
    for left, right in COCO_17.flip_pairs:
        swapped[[left, right]] = right, left
    np.testing.assert_allclose(shown[:, 5:], points[:, swapped[5:]] * (-1, 1, 1), atol=0.002)
    assert np.abs(shown - points[:, swapped]).max() > 0.1


def objective_at(seed: int) -> tuple[Objective, State, Observed]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    root = torch.linalg.qr(normal(2, 3, 3))[0]
    root = root * torch.linalg.det(root).sign()[:, None, None]
    at = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64) + 0.1 * normal(2, 3)
    state = State(0.4 * normal(2, P), root, at, normal(2, 10), 6.0 + 0.1 * normal(2))
    one = torch.ones(2, dtype=torch.float64)
    middle = torch.full((2, 2), 200.0, dtype=torch.float64)
    seen = Observed(200 + 60 * normal(2, 17, 2), torch.ones(2, 17).double(), 80 * one, middle, 6.1 * one)
    return Objective(fittable().seen, fittable().seen.prior), state, seen


def test_the_terms_are_the_published_ones_in_the_files_axes() -> None:
    """Penalty on elbows and knees by its published indices, counted with the root's three numbers, and signs."""
    objective, state, observed = objective_at(0)
    weights = Weights(data=7.0, pose=1.3, shape=0.7, bend=2.0, limits=3.0, focal=2.0)
    terms = objective(state, observed, weights).terms
    theirs = (state.pose.numpy().reshape(2, -1, 3) @ TO_SMPL.T).reshape(2, -1)
    penalty = sum(np.exp(2 * sign * theirs[:, i - 3]) for i, sign in ((55, 1), (58, -1), (12, -1), (15, -1)))
    np.testing.assert_allclose(terms["bend"], 2.0 * penalty)
    np.testing.assert_allclose(terms["shape"], 0.7**2 * (state.shape**2).sum(1))
    np.testing.assert_allclose(terms["pose"], 1.3**2 * fittable().seen.prior.energy(state.pose.numpy()))
    np.testing.assert_array_equal(terms["limits"], 0)
    over = State(state.pose + 4, *(getattr(state, n) for n in ("root", "place", "shape", "log_focal")))
    assert (objective(over, observed, weights).terms["limits"] > 0).all()  # more than half a turn


def test_the_gradient_is_that_of_the_energy() -> None:
    weights = Weights(data=7.0, pose=1.3, shape=0.7, bend=2.0, limits=3.0, focal=2.0)
    objective, state, observed = objective_at(1)
    step = torch.zeros(2, P + 7 + 10, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(objective(state.moved(step), observed, weights).energy.sum(), step)
    torch.testing.assert_close(objective(state, observed, weights).gradient, expected, rtol=1e-8, atol=1e-8)
