"""How far an AP can be trusted: what it would have been on other draws of as many images.

Each resample draws as many images as there are, with return. Matching happens inside an image, so it stays as it is: an
image drawn three times counts three times, and only the precision–recall curve is made anew.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray
from fidip.evaluation.matching import THRESHOLDS, Matches

RECALLS = np.linspace(0.0, 1.0, 101)
"""Where COCO reads the precision–recall curve."""
CONFIDENCE = 0.95
RESAMPLES = 1000
CELLS = 1 << 21
"""Resamples times predictions that are worked on at once: bounds the memory."""


def resample_weights(images: int, resamples: int, rng: np.random.Generator) -> NDArray[np.int64]:  # (R, I)
    """How often each image is drawn in each resample."""
    return rng.multinomial(images, np.full(images, 1 / images), size=resamples)


def weighted_average_precision(matches: Matches, weights: NDArray[np.int64]) -> FloatArray:  # (R,)
    """COCO's AP of the set in which each image (I) stands as often as its weight says, for every row of weights (R, I).

    Not a number where nobody is left to be found.
    """
    rows = max(1, CELLS // max(1, len(matches.image)))
    parts = [_average_precision(matches, weights[start : start + rows]) for start in range(0, len(weights), rows)]
    return np.concatenate([np.zeros(0), *parts])


def confidence_interval(
    matches: Matches, rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[float, float] | None:
    """The 95 % percentile interval of AP; ``None`` if fewer than two images hold somebody to be found."""
    if np.count_nonzero(matches.people) < 2 or resamples < 1:
        return None
    weights = resample_weights(len(matches.people), resamples, rng)
    return percentile_interval(weighted_average_precision(matches, weights))


def percentile_interval(samples: FloatArray) -> tuple[float, float] | None:
    """The 95 % percentile interval of the samples that are numbers; ``None`` if there are none."""
    defined = samples[~np.isnan(samples)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return low, high


def _average_precision(matches: Matches, weights: NDArray[np.int64]) -> FloatArray:  # (R,)
    """The curve, read at its correct predictions only: between them precision falls and recall stands still."""
    people = weights @ matches.people  # (R,)
    drawn = weights[:, matches.image]  # (R, D)
    so_far = np.cumsum(drawn, axis=1)
    total = np.zeros(len(weights))
    for correct, ignored in zip(matches.correct, matches.ignored, strict=True):
        steps, not_counted = np.flatnonzero(correct), np.flatnonzero(ignored)
        found = np.cumsum(drawn[:, steps], axis=1)  # (R, S)
        left_out = np.pad(np.cumsum(drawn[:, not_counted], axis=1), ((0, 0), (1, 0)))
        counted = so_far[:, steps] - left_out[:, np.searchsorted(not_counted, steps)]
        precision = found / (counted + np.spacing(1))  # an image that is not drawn may give 0 / 0
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = found / np.maximum(people, 1)[:, None]
        for row, (height, reached) in enumerate(zip(envelope, recall, strict=True)):
            places = np.searchsorted(reached, RECALLS, side="left")
            total[row] += height[places[places < len(height)]].sum()
    return np.where(people > 0, total / (len(THRESHOLDS) * len(RECALLS)), np.nan)
