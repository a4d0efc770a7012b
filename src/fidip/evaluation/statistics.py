"""Is one network better than another? The difference of two results on the same images, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fidip.errors import FidipError
from fidip.evaluation.average_precision import EvaluationResult
from fidip.evaluation.bootstrap import RESAMPLES, percentile_interval, resample_weights, weighted_average_precision


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """AP of the first result minus AP of the second, both on the same resamples of the same images.

    ``observed`` is the difference on the images as they are, ``mean`` that over the resamples, ``low`` and ``high`` the
    95 % percentile interval. ``p`` is two-sided: twice the share of resamples on the rarer side of zero, which counts
    ties for both sides and is never 0.
    """

    observed: float
    mean: float
    low: float
    high: float
    p: float


def paired_difference(
    a: EvaluationResult, b: EvaluationResult, rng: np.random.Generator, resamples: int = RESAMPLES
) -> PairedDifference | None:
    """Compare two results on the same images; ``None`` if fewer than two images hold somebody to be found.

    Raises:
        FidipError: the results are of different images or people, or divide by different areas.
    """
    if a.area != b.area:
        raise FidipError(f"results under the area policies {a.area} and {b.area} cannot be compared: choose one")
    first, second = a.matches, b.matches
    if not (np.array_equal(first.image_ids, second.image_ids) and np.array_equal(first.people, second.people)):
        raise FidipError("results of different images cannot be paired: evaluate both on the same annotation file")
    if np.count_nonzero(first.people) < 2:
        return None
    weights = resample_weights(len(first.people), resamples, rng)
    difference = weighted_average_precision(first, weights) - weighted_average_precision(second, weights)
    difference = difference[~np.isnan(difference)]
    interval = percentile_interval(difference)
    if interval is None:
        return None
    rarer = int(min(np.count_nonzero(difference <= 0), np.count_nonzero(difference >= 0)))
    return PairedDifference(
        observed=a.AP - b.AP,
        mean=float(difference.mean()),
        low=interval[0],
        high=interval[1],
        p=min(1.0, 2 * (rarer + 1) / (len(difference) + 1)),
    )
