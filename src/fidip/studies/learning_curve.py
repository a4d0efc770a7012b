"""What labels are worth: AP over the number of labelled real images, and both ways of reading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import expm1, log1p

import numpy as np
from scipy.optimize import isotonic_regression

SMALLEST_CURVE = 2
"""Budgets."""


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """AP over the number of labels n, never falling, linear in log(1 + n) between the budgets that were measured."""

    budgets: tuple[int, ...]  # ascending, at least two
    ap: tuple[float, ...]

    @classmethod
    def of(cls, means: Mapping[int, float], counts: Mapping[int, int]) -> LearningCurve | None:
        """The nearest curve that never falls (isotonic regression); ``None`` of fewer than two budgets.

        Where the means fall, it is their noise: more labels cannot be worth less. ``counts`` of seeds weigh them.
        """
        budgets = tuple(sorted(means))
        if len(budgets) < SMALLEST_CURVE:
            return None
        seeds = [counts[budget] for budget in budgets]
        fitted = isotonic_regression([means[budget] for budget in budgets], weights=seeds).x
        return cls(budgets, tuple(float(value) for value in fitted))

    def at(self, labels: float) -> float:
        """AP with so many labels, within the budgets."""
        return float(np.interp(log1p(labels), np.log1p(self.budgets), self.ap))

    def labels_for(self, ap: float) -> float | None:
        """The fewest labels with this AP; ``None`` where the largest budget does not reach it.

        An AP below that of the smallest budget needs no more than the smallest.
        """
        if ap > self.ap[-1]:
            return None
        after = int(np.searchsorted(self.ap, ap))  # the first budget that reaches it
        if after == 0:
            return float(self.budgets[0])
        low, high = self.ap[after - 1], self.ap[after]
        left, right = log1p(self.budgets[after - 1]), log1p(self.budgets[after])
        return expm1(left + (ap - low) / (high - low) * (right - left))

    def more_for(self, labels: int, gain: float) -> float | None:
        """So many more labels raise AP by ``gain``; ``None`` if that is beyond the largest budget."""
        reached = self.labels_for(self.at(labels) + gain)
        return None if reached is None else max(reached - labels, 0.0)
