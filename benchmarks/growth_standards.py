"""How infants grow by the WHO Child Growth Standards (2006), and how a nurse would measure a body of vertices.

A part of ``build_body_bundle.py`` and ``body_growth.py``.
"""

from __future__ import annotations

import numpy as np

DENSITY = 1030.0  # kg per cubic metre: infants' bodies sink, barely

# WHO Child Growth Standards (2006), medians by month: length (cm), weight (kg), head circumference (cm).
WHO_MONTHS = (0, 1, 2, 3, 4, 5, 6, 9, 12, 15, 18, 24)
WHO_BOYS = {
    "length": (49.9, 54.7, 58.4, 61.4, 63.9, 65.9, 67.6, 72.0, 75.7, 79.1, 82.3, 87.8),
    "weight": (3.3, 4.5, 5.6, 6.4, 7.0, 7.5, 7.9, 8.9, 9.6, 10.3, 10.9, 12.2),
    "head": (34.5, 37.3, 39.1, 40.5, 41.6, 42.6, 43.3, 45.0, 46.1, 46.8, 47.4, 48.3),
}
WHO_GIRLS = {
    "length": (49.1, 53.7, 57.1, 59.8, 62.1, 64.0, 65.7, 70.1, 74.0, 77.5, 80.7, 86.4),
    "weight": (3.2, 4.2, 5.1, 5.8, 6.4, 6.9, 7.3, 8.2, 8.9, 9.6, 10.2, 11.5),
    "head": (33.9, 36.5, 38.3, 39.5, 40.6, 41.5, 42.2, 43.8, 44.9, 45.7, 46.2, 47.2),
}


def head_circumference(head: np.ndarray, eye: float) -> float:
    """The longest level girth above the brows, of thin slices' convex hulls: ears lie below.

    By Cauchy's formula the perimeter of a convex outline is the integral of its support function over all directions.
    """
    top = head[:, 2].max()
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    girths = []
    for share in np.linspace(0.3, 0.6, 7):
        level = eye + share * (top - eye)
        slab = head[np.abs(head[:, 2] - level) < 0.06 * (top - eye)]
        girths.append(2 * np.pi * (slab[:, :2] @ directions).max(0).mean() if len(slab) else 0.0)
    return max(girths)


def who(measure: str, months: np.ndarray, male: np.ndarray) -> np.ndarray:
    return np.where(male, *(np.interp(months, WHO_MONTHS, table[measure]) for table in (WHO_BOYS, WHO_GIRLS)))


def who_median(measure: str, month: float) -> float:
    """The median of both sexes, averaged."""
    return float(np.mean([who(measure, np.array(month), np.array(male)) for male in (True, False)]))
