"""Bodies fitted to 2-D keypoints: many starts, a schedule of stages, a damped Gauss–Newton step for everyone at once.

Nobody's result depends on who else is fitted: every person has a damping and an end of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from fidip.synthesis.fit_search import STARTS, starts
from fidip.synthesis.fit_terms import Evaluation, Objective, Observed, State, Weights

CHUNK = 32
"""People fitted at once on a CPU, which more would not make faster."""

ACCELERATED_NUMBERS = 1024 * 36**2
"""On other devices: people times the square of a pose's numbers, for whose matrices there must be memory."""

FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-2, 1e-6, 1e6
EASED, STIFFENED = 0.3, 5.0
"""What a step that lowers the energy, or one that does not, makes of the damping."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the schedule; it starts from the best guesses of the one before it."""

    name: str
    weights: Weights
    steps: int  # at most
    kept: int  # guesses of each person that go on from here
    shaped: bool = True  # whether shape and focal length may change
    settled: float = 1e-4  # a relative gain of a step below it ends the stage for a person


SCHEDULE = (
    Stage("view", Weights(data=15.0, pose=1.0, shape=1.0, bend=3.17, limits=10.0), steps=8, kept=STARTS, shaped=False),
    Stage("coarse", Weights(data=25.0, pose=1.0, shape=1.4, bend=3.17, limits=15.0), steps=10, kept=8),
    Stage("middle", Weights(data=35.0, pose=1.0, shape=1.4, bend=2.0, limits=20.0), steps=12, kept=2),
    Stage("fine", Weights(data=35.0, pose=1.0, shape=1.4, bend=1.0, limits=30.0), steps=40, kept=1, settled=1e-5),
)
"""From prior to data, as the published schedule, whose prior falls from 404 to 4.78 while the data's weight stands. In
the last stage a keypoint's deviation of 2 % of the person's size weighs what one of the prior's does; its 0.8 % follows
annotators' noise into shapes that no infant has."""


def fit(
    objective: Objective,
    observed: Observed,
    *,
    free_focal: bool,
    schedule: tuple[Stage, ...] = SCHEDULE,
    progress: Callable[[int], None] | None = None,
) -> tuple[State, Evaluation]:
    """The best guess for each person and the objective there, by the weights of the last stage.

    ``free_focal`` lets the focal length move about what was observed. ``progress`` is told how many people are done.
    """
    done: list[tuple[State, Evaluation]] = []
    count = 0
    device = observed.scale.device
    chunk = CHUNK if device.type == "cpu" else ACCELERATED_NUMBERS // objective.means.shape[1] ** 2
    for rows in torch.split(torch.arange(len(observed), device=device), chunk):
        done.append(_fit_chunk(objective, observed.take(rows), free_focal, schedule))
        count += len(rows)
        if progress is not None:
            progress(count)
    return _joined(done)


def _fit_chunk(
    objective: Objective, observed: Observed, free_focal: bool, schedule: tuple[Stage, ...]
) -> tuple[State, Evaluation]:
    B, kept = len(observed), STARTS
    state = starts(objective, observed)
    for stage in schedule:
        people = torch.arange(B, device=observed.scale.device).repeat_interleave(kept)
        state, reached = minimise(objective, state, observed.take(people), stage, free_focal)
        order = reached.energy.view(B, kept).sort(dim=1, stable=True).indices[:, : stage.kept]
        rows = (order + kept * torch.arange(B, device=order.device)[:, None]).flatten()
        state, kept = state.take(rows), stage.kept
    state = state.take(torch.arange(0, B * kept, kept, device=observed.scale.device))
    return state, objective(state, observed, schedule[-1].weights)


def minimise(
    objective: Objective, state: State, observed: Observed, stage: Stage, free_focal: bool
) -> tuple[State, Evaluation]:
    """Levenberg and Marquardt's method: a step is taken where it lowers the energy, and more cautious otherwise."""
    free = _unknowns(state, stage.shaped, stage.shaped and free_focal)
    here = objective(state, observed, stage.weights)
    terms, gradient, matrix = dict(here.terms), here.gradient, here.matrix
    damping = torch.full_like(observed.scale, FIRST_DAMPING)
    going = torch.arange(len(observed), device=observed.scale.device)
    for _ in range(stage.steps):
        step = _step(gradient[going], matrix[going], damping[going], free)
        trial = state.take(going).moved(step)
        there = objective(trial, observed.take(going), stage.weights)
        before = torch.stack([term[going] for term in terms.values()]).sum(0)
        better = there.energy < before
        damping[going] *= torch.where(better, EASED, STIFFENED).to(damping.dtype)
        damping.clamp_(LEAST_DAMPING, MOST_DAMPING)
        rows, taken = going[better], torch.nonzero(better)[:, 0]
        state = state.put(rows, trial.take(taken))
        for name in terms:
            terms[name] = terms[name].index_copy(0, rows, there.terms[name][taken])
        gradient[rows], matrix[rows] = there.gradient[taken], there.matrix[taken]
        settled = better & (before - there.energy < stage.settled * before.abs())
        going = going[~(settled | (damping[going] >= MOST_DAMPING))]
        if not len(going):
            break
    return state, Evaluation(terms, gradient, matrix)


def _step(gradient: torch.Tensor, matrix: torch.Tensor, damping: torch.Tensor, free: torch.Tensor) -> torch.Tensor:
    """(B, U) unknowns that are not free stand still."""
    part = matrix[:, free][:, :, free]
    diagonal = part.diagonal(dim1=1, dim2=2)
    part = part + torch.diag_embed(damping[:, None] * diagonal + 1e-9)
    factor, _ = torch.linalg.cholesky_ex(part)
    step = torch.zeros_like(gradient)
    step[:, free] = -torch.cholesky_solve(gradient[:, free, None], factor)[..., 0]
    return torch.nan_to_num(step)  # a matrix that is not positive definite gives no step


def _unknowns(state: State, shaped: bool, focal: bool) -> torch.Tensor:
    P, Z = state.pose.shape[1], state.shape.shape[1]
    unknowns = [*range(P + 6), *(range(P + 6, P + 6 + Z) if shaped else ()), *((P + 6 + Z,) if focal else ())]
    return torch.tensor(unknowns, device=state.pose.device)


def _joined(parts: list[tuple[State, Evaluation]]) -> tuple[State, Evaluation]:
    states, evaluations = zip(*parts, strict=True)
    joined = State(
        *(torch.cat([getattr(s, name) for s in states]) for name in ("pose", "root", "place", "shape", "log_focal"))
    )
    names = evaluations[0].terms
    return joined, Evaluation(
        {name: torch.cat([e.terms[name] for e in evaluations]) for name in names},
        torch.cat([e.gradient for e in evaluations]),
        torch.cat([e.matrix for e in evaluations]),
    )
