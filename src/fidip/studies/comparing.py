"""From the cells of a study to what may be said: means with intervals, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fidip.annotations import FloatArray
from fidip.evaluation.bootstrap import (
    CONFIDENCE,
    RESAMPLES,
    percentile_interval,
    resample_weights,
    weighted_average_precision,
)
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

    ``over_seeds`` has the interval of Student's t and ``p`` is that of the two-sided paired t-test: the noise of
    training, on these test images. ``over_both`` is the percentile interval of a bootstrap that draws seeds and images
    anew: it asks for other test images too, and is the wider one as a rule.
    """

    over_seeds: Mean
    p: float | None
    over_both: tuple[float, float] | None

    @property
    def beyond(self) -> int:
        """1 or −1 where both intervals lie on that side of zero, else 0."""
        intervals = [one for one in (self.over_seeds.interval, self.over_both) if one is not None]
        if self.over_seeds.interval is None or not intervals:
            return 0
        return int(all(low > 0 for low, _ in intervals)) - int(all(high < 0 for _, high in intervals))


def mean_of(values: Sequence[float] | FloatArray) -> Mean:
    """Mean and interval of one number a seed."""
    array = np.asarray(values, np.float64)
    mean, count = float(array.mean()), len(array)
    if count < SMALLEST_SAMPLE:
        return Mean(count, mean, None, None)
    sd = float(array.std(ddof=1))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * sd / count**0.5
    return Mean(count, mean, sd, (mean - half, mean + half))


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
    if len(seeds) < SMALLEST_SAMPLE:
        return Paired(over_seeds, None, None)
    drawn = rng.integers(len(seeds), size=(len(seeds), resamples))
    over_both = np.take_along_axis(differences[:, 1:], drawn, axis=0).mean(axis=0)
    return Paired(over_seeds, _p_value(over_seeds), percentile_interval(over_both))


def _p_value(differences: Mean) -> float:
    """Of the two-sided t-test that the mean is zero."""
    assert differences.sd is not None
    if differences.sd == 0:
        return 0.0 if differences.mean else 1.0
    t = differences.mean / (differences.sd / differences.count**0.5)
    return float(2 * stats.t.sf(abs(t), differences.count - 1))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values corrected for having asked so many questions at once (Holm 1979)."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    corrected, most = {}, 0.0
    for rank, name in enumerate(ordered):
        most = max(most, min(1.0, (len(ordered) - rank) * p_values[name]))
        corrected[name] = most
    return corrected
