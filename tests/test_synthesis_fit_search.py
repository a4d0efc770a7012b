from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.fit_body import AnatomicalBody
from fidip.synthesis.fit_search import APART, DIRECTIONS, STARTS, starts, view_rotations
from fidip.synthesis.fit_terms import Objective, Observed, keypoint_residuals
from fidip.synthesis.priors import ShapePrior, default_prior


@pytest.fixture(scope="module")
def objective() -> Objective:
    model = AnnyBody.load()
    prior = ShapePrior.of_population(model)
    return Objective(AnatomicalBody(model, prior, torch.device("cpu"), torch.float64, 4), default_prior())


def test_views_are_rotations_spread_over_the_sphere() -> None:
    views = view_rotations(torch.zeros(1, dtype=torch.float64))
    assert views.shape == (DIRECTIONS, 3, 3)
    torch.testing.assert_close(
        views @ views.transpose(1, 2), torch.eye(3).double().expand_as(views), atol=1e-12, rtol=0
    )
    assert torch.linalg.det(views).min() > 0
    generator = np.random.default_rng(0)
    anywhere = generator.standard_normal((2000, 3))
    anywhere /= np.linalg.norm(anywhere, axis=1, keepdims=True)
    nearest = np.degrees(np.arccos((anywhere @ views[:, 2].numpy().T).max(1)))
    assert nearest.max() < 13


def seen(objective: Objective, component: int, root: torch.Tensor, shift: tuple[float, float]) -> Observed:
    """The mean pose of a component from far away: 100 pixels for a metre's width."""
    points = objective.body.points(objective.means[[component]], torch.zeros(1, 4, dtype=torch.float64))[0][0]
    inside = points @ root.T + torch.tensor([0.0, 0.0, 50.0])
    keypoints = 5000 * inside[:, :2] / inside[:, 2:] + torch.tensor(shift)
    one = torch.ones(1, dtype=torch.float64)
    return Observed(
        keypoints[None], torch.ones(1, 17).double(), 20 * one, torch.zeros(1, 2).double(), math.log(5000) * one
    )


@pytest.mark.parametrize("direction", [0, 57, 111, 199])
@pytest.mark.parametrize("roll", [0.3, 2.0, -2.8])
def test_a_known_view_is_found_with_its_roll_and_place(objective: Objective, direction: int, roll: float) -> None:
    cos, sin = math.cos(roll), math.sin(roll)
    turn = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    root = turn @ view_rotations(objective.means)[direction]
    observed = seen(objective, 3, root, (120.0, -40.0))
    found = starts(objective, observed)
    assert len(found.pose) == STARTS
    torch.testing.assert_close(found.root[0], root, atol=0.02, rtol=0)
    torch.testing.assert_close(found.pose[0], objective.means[3], atol=1e-9, rtol=0)  # one that its mirror may equal
    assert float(found.translation()[0, 2]) == pytest.approx(50, rel=0.02)
    many = Observed(*(getattr(observed, name).expand(STARTS, *[-1] * (getattr(observed, name).ndim - 1))
                      for name in ("keypoints", "weights", "scale", "principal", "log_focal")))  # fmt: skip
    residual, _, in_view = keypoint_residuals(objective.body, found, many)
    assert in_view.all()
    assert float(residual[0].abs().max()) < 0.05


def test_starts_look_from_apart_directions(objective: Objective) -> None:
    views = view_rotations(objective.means)
    forward = starts(objective, seen(objective, 0, views[20], (0.0, 0.0))).root[:, 2]
    apart = torch.arccos((forward @ forward.T).clamp(-1, 1))
    apart.fill_diagonal_(math.pi)
    assert float(apart.min()) >= APART - 1e-6
