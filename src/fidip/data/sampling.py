"""In which order samples are seen: a function of the seed, the stage and the epoch, of nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import Domain
from fidip.errors import DataError

Indices = NDArray[np.intp]

SMALLEST_BATCH = 2
"""Batch normalisation of a vector needs two samples; a rest of one is dropped."""


@dataclass(frozen=True, slots=True)
class Order:
    """How the samples of an epoch are put in batches.

    Without ``synthetic_share`` the samples are shuffled together, as in the paper, and the last batch may be smaller.
    With it every batch holds exactly that share of synthetic samples (rounded); the epoch ends when the domain that is
    rarer in a batch, compared with its number of samples, has been seen once, and the other is reshuffled and
    repeated. ``steps`` sets the number of batches instead; samples are then repeated, or left for the next epoch.
    """

    batch_size: int
    synthetic_share: float | None = None
    steps: int | None = None


def generator(seed: int, stage: int, epoch: int, batch: int | None = None) -> np.random.Generator:
    """The randomness of an epoch's order, or of its n-th batch."""
    # NumPy pads short seeds with zeros, so [..., epoch] and [..., epoch, 0] would be the same stream.
    return np.random.default_rng([seed, stage, epoch, 0 if batch is None else batch + 1])


def epoch_batches(domains: Indices, order: Order, rng: np.random.Generator) -> list[Indices]:
    """The batches of one epoch as indices of samples.

    Raises:
        DataError: there are fewer than two samples, or a balanced order lacks one of the domains.
    """
    if len(domains) < SMALLEST_BATCH:
        raise DataError("training data", "", f"{len(domains)} usable people; at least {SMALLEST_BATCH} are needed")
    if order.synthetic_share is None:
        return _shuffled(len(domains), order, rng)
    return _balanced(domains, order, order.synthetic_share, rng)


def _shuffled(count: int, order: Order, rng: np.random.Generator) -> list[Indices]:
    size = order.batch_size
    if order.steps is not None:
        return list(_repeated(np.arange(count), order.steps * size, rng).reshape(order.steps, size))
    shuffled = rng.permutation(count)
    batches = [shuffled[start : start + size] for start in range(0, count, size)]
    return [batch for batch in batches if len(batch) >= SMALLEST_BATCH]


def _balanced(domains: Indices, order: Order, share: float, rng: np.random.Generator) -> list[Indices]:
    synthetic = min(max(round(order.batch_size * share), 1), order.batch_size - 1)
    quotas = {Domain.REAL: order.batch_size - synthetic, Domain.SYNTHETIC: synthetic}
    members = {domain: np.flatnonzero(domains == domain) for domain in quotas}
    for domain, indices in members.items():
        if len(indices) == 0:
            raise DataError("training data", "", f"balanced batches need {domain.name.lower()} people; none is usable")
    steps = order.steps or max(-(-len(members[domain]) // quota) for domain, quota in quotas.items())
    streams = [_repeated(members[d], steps * quota, rng).reshape(steps, quota) for d, quota in quotas.items()]
    return [rng.permutation(batch) for batch in np.concatenate(streams, axis=1)]


def _repeated(members: Indices, count: int, rng: np.random.Generator) -> Indices:
    """``count`` members: all of them in a random order, then all of them in another, …"""
    rounds = -(-count // len(members))
    return np.concatenate([rng.permutation(members) for _ in range(rounds)])[:count]
