from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.fitting_cases import cases

from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.fit import SCHEDULE, fit, minimise
from fidip.synthesis.fit_body import AnatomicalBody
from fidip.synthesis.fit_people import observe, subjects
from fidip.synthesis.fit_terms import Objective, Observed, State, keypoint_residuals
from fidip.synthesis.priors import ShapePrior, default_prior

CPU = torch.device("cpu")
NAMES = ("pose", "root", "place", "shape", "log_focal")


@pytest.fixture(scope="module")
def objective() -> Objective:
    model = AnnyBody.load()
    return Objective(AnatomicalBody(model, ShapePrior.of_population(model), CPU, torch.float64, 8), default_prior())


@pytest.fixture(scope="module")
def observed() -> Observed:
    people, _ = subjects([case.image for case in cases("supine", "sitting", "prone", "standing", "side")])
    return observe(people, "optimise", CPU, torch.float64)


@pytest.fixture(scope="module")
def fitted(objective: Objective, observed: Observed) -> State:
    return fit(objective, observed, free_focal=True)[0]


def test_keypoints_are_met(objective: Objective, observed: Observed, fitted: State) -> None:
    residual, _, _ = keypoint_residuals(objective.body, fitted, observed)
    assert residual.norm(dim=2).median(1).values.max() < 0.015


def test_the_result_is_a_minimum(objective: Objective, observed: Observed, fitted: State) -> None:
    """No small step in any single unknown lowers the energy by more than what still counts as settled."""
    weights = SCHEDULE[-1].weights
    lowest = objective(fitted, observed, weights).energy
    U = objective(fitted, observed, weights).gradient.shape[1]
    for index in range(U):
        for size in (1e-3, -1e-3):
            step = torch.zeros(len(observed), U, dtype=torch.float64)
            step[:, index] = size
            gain = lowest - objective(fitted.moved(step), observed, weights).energy
            assert float(gain.max()) < 2e-3 * float(lowest.max())


@pytest.mark.parametrize("rows", [[3], [4, 3, 0], [1, 1, 2, 3]])
def test_nobody_depends_on_the_others_or_on_the_order(objective, observed, fitted, rows) -> None:
    again = fit(objective, observed.take(torch.tensor(rows)), free_focal=True)[0]
    for name in NAMES:
        torch.testing.assert_close(getattr(again, name), getattr(fitted, name)[rows], rtol=1e-7, atol=1e-7)


def test_a_step_never_raises_the_energy(objective: Objective, observed: Observed, fitted: State) -> None:
    generator = torch.Generator().manual_seed(0)
    U = objective(fitted, observed, SCHEDULE[-1].weights).gradient.shape[1]
    start = fitted.moved(0.2 * torch.randn(len(observed), U, generator=generator, dtype=torch.float64))
    energies = [objective(start, observed, SCHEDULE[-1].weights).energy]
    for steps in range(1, 6):
        _, reached = minimise(objective, start, observed, replace(SCHEDULE[-1], steps=steps), True)
        energies.append(reached.energy)
    for before, after in itertools.pairwise(energies):
        assert (after <= before).all()
    assert (energies[-1] < 0.5 * energies[0]).all()


def test_what_is_not_free_stands_still(objective: Objective, observed: Observed) -> None:
    start = fit(objective, observed.take(torch.tensor([0])), free_focal=False, schedule=SCHEDULE[:2])[0]
    assert torch.equal(start.log_focal, observed.log_focal[:1])
    seen = observed.take(torch.tensor([0]))
    view = minimise(objective, start, seen, SCHEDULE[0], True)[0]
    assert torch.equal(view.shape, start.shape)
    assert not torch.equal(view.pose, start.pose)


def test_single_precision_finds_the_same_views(observed: Observed, fitted: State) -> None:
    """For devices without doubles."""
    model = AnnyBody.load()
    body = AnatomicalBody(model, ShapePrior.of_population(model), CPU, torch.float32, 8)
    some = observed.take(torch.tensor([1, 3]))
    single = Observed(*(getattr(some, n).float() for n in ("keypoints", "weights", "scale", "principal", "log_focal")))
    found = fit(Objective(body, default_prior()), single, free_focal=True)[0]
    residual, _, _ = keypoint_residuals(body, found, single)
    assert residual.norm(dim=2).median(1).values.max() < 0.02
    torch.testing.assert_close(found.root.double(), fitted.root[[1, 3]], atol=0.05, rtol=0)


def test_one_wrong_label_does_not_spoil_the_rest(objective: Objective, observed: Observed) -> None:
    """A wrist a whole size away: Geman and McClure's term lets go of it."""
    seen = observed.take(torch.tensor([1]))
    wrong = seen.keypoints.clone()
    wrong[0, 9] += 1.5 * seen.scale[0]
    found = fit(objective, replace(seen, keypoints=wrong), free_focal=True)[0]
    residual = keypoint_residuals(objective.body, found, seen)[0].norm(dim=2)[0]
    others = np.delete(residual.numpy(), 9)
    assert np.median(others) < 0.05
