"""From the cells of a study to what may be said: means with intervals, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fidip.annotations import FloatArray
from fidip.evaluation.bootstrap import CONFIDENCE, RESAMPLES, resample_weights, weighted_average_precision
from fidip.evaluation.matching import Matches

SMALLEST_SAMPLE = 2
"""Seeds that a spread needs."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over seeds with the 95 % interval of Student's t, which is ``None`` for a single seed."""

    count: int
    mean: float
    sd: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Paired:
    """The difference of two arms over the seeds that both have, one difference a seed.

    ``over_seeds`` has the interval of Student's t: the noise of training, on these test images. ``interval`` and ``p``
    ask for other test images too: the variance of the mean is that over the seeds plus that of a bootstrap over images
    of the mean difference, with the t distribution of the seeds. It is the wider interval, and the test that belongs
    to it. ``None`` for a single seed.
    """

    over_seeds: Mean
    interval: tuple[float, float] | None
    p: float | None


def mean_of(values: Sequence[float] | FloatArray) -> Mean:
    """Mean and interval of one number a seed."""
    array = np.asarray(values, np.float64)
    mean, count = float(array.mean()), len(array)
    if count < SMALLEST_SAMPLE:
        return Mean(count, mean, None, None)
    sd = float(array.std(ddof=1))
    return Mean(count, mean, sd, _interval(mean, sd / count**0.5, count - 1))


def _interval(mean: float, error: float, freedom: int) -> tuple[float, float]:
    """Of Student's t, by the standard error of the mean."""
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return mean - half, mean + half


def paired(
    a: Mapping[int, Matches], b: Mapping[int, Matches], rng: np.random.Generator, resamples: int = RESAMPLES
) -> Paired | None:
    """AP of arm ``a`` minus AP of arm ``b``, both by seed; ``None`` if no seed has both.

    All must have been measured on the same images.
    """
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        return None
    images = len(next(iter(a.values())).image_ids)
    plain = np.ones((1, images), np.int64)
    weights = np.concatenate([plain, resample_weights(images, resamples, rng)])
    differences = np.stack(
        [weighted_average_precision(a[s], weights) - weighted_average_precision(b[s], weights) for s in seeds]
    )  # (S, 1 + R)
    over_seeds = mean_of(differences[:, 0])
    if over_seeds.sd is None:
        return Paired(over_seeds, None, None)
    of_images = float(differences[:, 1:].mean(axis=0).var(ddof=1))
    error = (over_seeds.sd**2 / len(seeds) + of_images) ** 0.5
    freedom, mean = len(seeds) - 1, over_seeds.mean
    if error == 0:
        return Paired(over_seeds, (mean, mean), 0.0 if mean else 1.0)
    p = float(2 * stats.t.sf(abs(mean) / error, freedom))
    return Paired(over_seeds, _interval(mean, error, freedom), p)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values corrected for having asked so many questions at once (Holm 1979)."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    corrected, most = {}, 0.0
    for rank, name in enumerate(ordered):
        most = max(most, min(1.0, (len(ordered) - rank) * p_values[name]))
        corrected[name] = most
    return corrected
