"""In which order samples are seen: a function of the seed, the stage and the epoch, of nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import Domain
from fidip.errors import DataError

Indices = NDArray[np.intp]

UNLABELLED = 2
"""The group of people without labels, beside the two domains of those with."""

GROUPS = ("real", "synthetic", "unlabelled")

SMALLEST_BATCH = 2
"""Batch normalisation of a vector needs two samples; a rest of one is dropped."""


@dataclass(frozen=True, slots=True)
class Order:
    """How the samples of an epoch are put in batches.

    Without ``synthetic_share`` the samples are shuffled together, as in the paper, and the last batch may be smaller.
    With it every batch holds exactly that share of synthetic samples (rounded); the epoch ends when the domain that is
    rarer in a batch, compared with its number of samples, has been seen once, and the other is reshuffled and
    repeated. ``unlabelled_share`` sets apart so much of every batch for people without labels, so that the others are
    met as often whoever else is there; ``synthetic_share`` is then of the rest. ``steps`` sets the number of batches
    instead; samples are then repeated, or left for the next epoch.
    """

    batch_size: int
    synthetic_share: float | None = None
    steps: int | None = None
    unlabelled_share: float | None = None


def generator(seed: int, stage: int, epoch: int, batch: int | None = None) -> np.random.Generator:
    """The randomness of an epoch's order, or of its n-th batch."""
    # NumPy pads short seeds with zeros, so [..., epoch] and [..., epoch, 0] would be the same stream.
    return np.random.default_rng([seed, stage, epoch, 0 if batch is None else batch + 1])


def epoch_batches(groups: Indices, order: Order, rng: np.random.Generator) -> list[Indices]:
    """The batches of one epoch as indices of samples, of which ``groups`` (N,) tells the domain, or ``UNLABELLED``.

    Raises:
        DataError: there are fewer than two samples, or a balanced order lacks one of the groups.
    """
    if len(groups) < SMALLEST_BATCH:
        raise DataError("training data", "", f"{len(groups)} usable people; at least {SMALLEST_BATCH} are needed")
    if order.synthetic_share is None and order.unlabelled_share is None:
        return _shuffled(len(groups), order, rng)
    return _balanced(groups, order, rng)


def _shuffled(count: int, order: Order, rng: np.random.Generator) -> list[Indices]:
    size = order.batch_size
    if order.steps is not None:
        return list(_repeated(np.arange(count), order.steps * size, rng).reshape(order.steps, size))
    shuffled = rng.permutation(count)
    batches = [shuffled[start : start + size] for start in range(0, count, size)]
    return [batch for batch in batches if len(batch) >= SMALLEST_BATCH]


def _balanced(groups: Indices, order: Order, rng: np.random.Generator) -> list[Indices]:
    members, quotas = [], []
    for wanted, quota in _quotas(order):
        found = np.flatnonzero(np.isin(groups, wanted))
        if len(found) == 0:
            names = " or ".join(GROUPS[group] for group in wanted)
            raise DataError("training data", "", f"balanced batches need {names} people; none is usable")
        members.append(found)
        quotas.append(quota)
    steps = order.steps or max(-(-len(some) // quota) for some, quota in zip(members, quotas, strict=True))
    streams = [
        _repeated(some, steps * quota, rng).reshape(steps, quota) for some, quota in zip(members, quotas, strict=True)
    ]
    return [rng.permutation(batch) for batch in np.concatenate(streams, axis=1)]


def _quotas(order: Order) -> list[tuple[tuple[int, ...], int]]:
    """Which groups share which part of every batch."""
    rest, quotas = order.batch_size, []
    if order.unlabelled_share is not None:
        few = 1 if order.synthetic_share is None else 2
        quota = min(max(round(rest * order.unlabelled_share), 1), rest - few)
        quotas, rest = [((UNLABELLED,), quota)], rest - quota
    labelled = (int(Domain.REAL), int(Domain.SYNTHETIC))
    if order.synthetic_share is None:
        return [(labelled, rest), *quotas]
    synthetic = min(max(round(rest * order.synthetic_share), 1), rest - 1)
    return [(labelled[:1], rest - synthetic), (labelled[1:], synthetic), *quotas]


def _repeated(members: Indices, count: int, rng: np.random.Generator) -> Indices:
    """``count`` members: all of them in a random order, then all of them in another, …"""
    rounds = -(-count // len(members))
    return np.concatenate([rng.permutation(members) for _ in range(rounds)])[:count]
