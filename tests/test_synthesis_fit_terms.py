from __future__ import annotations

import numpy as np
import pytest
import torch

from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.fit_body import AnatomicalBody
from fidip.synthesis.fit_motions import HINGES, MOTION_NAMES
from fidip.synthesis.fit_terms import (
    RHO,
    Objective,
    Observed,
    State,
    Weights,
    keypoint_residuals,
    overshoot,
    robust,
)
from fidip.synthesis.priors import PosePrior, ShapePrior

P, Z = len(MOTION_NAMES), 4
WEIGHTS = Weights(data=7.0, pose=1.3, shape=0.7, bend=2.0, limits=3.0, focal=2.0)


@pytest.fixture(scope="module")
def prior() -> PosePrior:
    generator = np.random.default_rng(1)
    roots = 0.1 * generator.standard_normal((3, P, P)) + 0.5 * np.eye(P)
    means = generator.normal(0.5, 0.3, (3, P))
    return PosePrior(MOTION_NAMES, means, roots @ roots.swapaxes(1, 2), np.array([0.5, 0.3, 0.2]))


@pytest.fixture(scope="module")
def objective(prior: PosePrior) -> Objective:
    model = AnnyBody.load()
    body = AnatomicalBody(model, ShapePrior.of_population(model), torch.device("cpu"), torch.float64, Z)
    return Objective(body, prior)


def a_state(seed: int, B: int = 3) -> State:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    still = torch.eye(3, dtype=torch.float64).expand(B, 3, 3)
    at = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64) + 0.1 * normal(B, 3)
    state = State(0.5 + 0.6 * normal(B, P), still, at, normal(B, Z), 6.0 + 0.1 * normal(B))
    return state.moved(torch.cat([torch.zeros(B, P), normal(B, 3), torch.zeros(B, Z + 4)], 1).double())


def observed(B: int = 3) -> Observed:
    generator = torch.Generator().manual_seed(9)
    keypoints = 200 + 60 * torch.randn(B, 17, 2, generator=generator, dtype=torch.float64)
    weights = torch.ones(B, 17, dtype=torch.float64)
    weights[:, 3] = 0
    weights[:, 11] = 0.5
    one = torch.ones(B, dtype=torch.float64)
    return Observed(keypoints, weights, 80 * one, torch.full((B, 2), 200.0, dtype=torch.float64), 6.1 * one)


def test_the_robust_term_is_geman_and_mcclures() -> None:
    r = torch.tensor([0.0, 0.01, RHO, 100.0], dtype=torch.float64, requires_grad=True)
    value, weight = robust(r)
    (slope,) = torch.autograd.grad(value.sum(), r, retain_graph=True)
    torch.testing.assert_close(slope, 2 * weight * r)
    value = value.detach()
    torch.testing.assert_close(value, (RHO**2 * r**2 / (r**2 + RHO**2)).detach())
    assert value[2] == pytest.approx(RHO**2 / 2)
    assert value[3] == pytest.approx(RHO**2, rel=1e-3)


def test_every_term_is_its_formula(objective: Objective, prior: PosePrior) -> None:
    """Worked out once more with NumPy, person by person."""
    state, seen = a_state(0), observed()
    terms = objective(state, seen, WEIGHTS).terms
    points = objective.body.points(state.pose, state.shape)[0].numpy()
    for b in range(3):
        depth = np.exp(float(state.place[b, 2]))
        at = np.array([state.place[b, 0] * depth, state.place[b, 1] * depth, depth])
        inside = points[b] @ state.root[b].numpy().T + at
        pixels = np.exp(float(state.log_focal[b])) * inside[:, :2] / inside[:, 2:] + 200
        r = (pixels - seen.keypoints[b].numpy()) / 80
        data = (seen.weights[b].numpy()[:, None] ** 2 * RHO**2 * r**2 / (r**2 + RHO**2)).sum()
        assert float(terms["data"][b]) == pytest.approx(7.0**2 * data)
        pose = state.pose[b].numpy()
        volumes = np.sqrt(np.linalg.det(prior.covariances))
        energies = [
            0.5 * (pose - m) @ np.linalg.inv(c) @ (pose - m) - np.log(w / ((2 * np.pi) ** (P / 2) * v / volumes.min()))
            for m, c, w, v in zip(prior.means, prior.covariances, prior.weights, volumes, strict=True)
        ]
        assert float(terms["pose"][b]) == pytest.approx(1.3**2 * min(energies))
        assert float(terms["shape"][b]) == pytest.approx(0.7**2 * float((state.shape[b] ** 2).sum()))
        assert float(terms["bend"][b]) == pytest.approx(2.0 * np.exp(-2 * pose[HINGES]).sum())
        assert float(terms["focal"][b]) == pytest.approx(2.0**2 * float(state.log_focal[b] - 6.1) ** 2)
    assert [
        MOTION_NAMES.index(f"{side}_{joint}_flexion") for joint in ("elbow", "knee") for side in ("left", "right")
    ] == HINGES


def test_limits_cost_the_square_of_what_is_beyond_them(objective: Objective) -> None:
    limits = objective.body.limits
    pose = limits.mean(1).repeat(2, 1)
    pose[0, 4] = limits[4, 1] + 0.2
    pose[0, 7] = limits[7, 0] - 0.1
    expected = torch.zeros_like(pose)
    expected[0, 4], expected[0, 7] = 0.2, -0.1
    torch.testing.assert_close(overshoot(pose, limits), expected)
    state = a_state(0, 2)
    terms = objective(
        State(pose, *(getattr(state, n) for n in ("root", "place", "shape", "log_focal"))), observed(2), WEIGHTS
    )
    torch.testing.assert_close(terms.terms["limits"], torch.tensor([9 * (0.04 + 0.01), 0.0], dtype=torch.float64))


def test_the_gradient_is_that_of_the_energy(objective: Objective) -> None:
    """In double precision, by automatic differentiation of a step in all unknowns."""
    state, seen = a_state(4), observed()
    step = torch.zeros(3, P + 7 + Z, dtype=torch.float64, requires_grad=True)
    energy = objective(state.moved(step), seen, WEIGHTS).energy
    (expected,) = torch.autograd.grad(energy.sum(), step)
    torch.testing.assert_close(objective(state, seen, WEIGHTS).gradient, expected, rtol=1e-8, atol=1e-8)


def test_the_matrix_is_gauss_and_newtons(objective: Objective) -> None:
    """Symmetric, positive definite, and for the data term 2 JᵀWJ with J by automatic differentiation."""
    state, seen = a_state(5, 1), observed(1)
    nothing = Weights(data=1.0, pose=0.0, shape=0.0, bend=0.0, limits=0.0, focal=0.0)
    matrix = objective(state, seen, nothing).matrix[0]

    def residuals(step: torch.Tensor) -> torch.Tensor:
        return keypoint_residuals(objective.body, state.moved(step[None]), seen)[0].flatten()

    slopes = torch.autograd.functional.jacobian(residuals, torch.zeros(P + 7 + Z, dtype=torch.float64))
    residual = keypoint_residuals(objective.body, state, seen)[0].flatten()
    weight = seen.weights[0].square().repeat_interleave(2) * (RHO**2 / (residual**2 + RHO**2)) ** 2
    torch.testing.assert_close(matrix, 2 * slopes.T @ (slopes * weight[:, None]), rtol=1e-8, atol=1e-10)
    whole = objective(state, seen, WEIGHTS).matrix
    torch.testing.assert_close(whole, whole.transpose(1, 2))
    assert torch.linalg.eigvalsh(whole).min() > 0


def test_an_unlabelled_keypoint_has_no_say(objective: Objective) -> None:
    seen = observed()
    moved = seen.keypoints.clone()
    moved[:, 3] += 1000
    elsewhere = Observed(moved, seen.weights, seen.scale, seen.principal, seen.log_focal)
    first, second = (objective(a_state(0), each, WEIGHTS) for each in (seen, elsewhere))
    assert torch.equal(first.energy, second.energy)
    assert torch.equal(first.gradient, second.gradient)


def test_a_body_behind_the_camera_is_infinitely_wrong(objective: Objective) -> None:
    state = a_state(0)
    near = State(state.pose, state.root, torch.full_like(state.place, -4.0), state.shape, state.log_focal)
    found = objective(near, observed(), WEIGHTS)
    assert torch.isinf(found.energy).all()
    assert torch.isfinite(found.gradient).all()
