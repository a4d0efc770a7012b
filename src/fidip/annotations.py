"""The words in which images, people and domains are spoken of everywhere: small frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Box = tuple[float, float, float, float]
"""x, y of the top-left corner, width, height, in pixels."""

NO_EXTRAS: Mapping[str, Any] = MappingProxyType({})


class Domain(IntEnum):
    """Where an image comes from; the value is the label of the domain classifier (paper §3.1)."""

    REAL = 0
    SYNTHETIC = 1


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """One person in one image.

    The third column of ``keypoints`` is the visibility in a label (0 unlabelled, 1 occluded, 2 visible) and the
    network's confidence in a prediction; ``score`` is set in predictions only. ``area`` is what the file says, in
    pixels squared, or ``None``: no number is invented at reading. ``extras`` holds the annotation's other fields, which
    are written back unchanged.
    """

    keypoints: FloatArray  # (K, 3)
    box: Box | None = None
    area: float | None = None
    score: float | None = None
    crowd: bool = False
    id: int | None = None
    extras: Mapping[str, Any] = field(default_factory=lambda: NO_EXTRAS)

    @property
    def labelled(self) -> NDArray[np.bool_]:  # (K,)
        """Which keypoints carry a label."""
        return self.keypoints[:, 2] > 0


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
    """One image of a data set and the people in it.

    ``domain`` is what the file claims (``is_synthetic``), ``None`` where it does not say. ``source``, ``subject`` and
    ``body_seed`` say whom else this image is related to: two files that share one of them must not end up on both sides
    of a split. Other fields of the image are kept in ``extras`` and written back unchanged.
    """

    id: int
    file_name: str
    width: int
    height: int
    people: tuple[Person, ...] = ()
    domain: Domain | None = None
    posture: str | None = None
    source: str | None = None
    subject: str | None = None
    body_seed: int | None = None
    extras: Mapping[str, Any] = field(default_factory=lambda: NO_EXTRAS)

    @property
    def origins(self) -> frozenset[tuple[str, str]]:
        """What this image shares with its relatives: pairs such as ``("subject", "S07")``."""
        named = {"source": self.source, "subject": self.subject, "body_seed": self.body_seed}
        return frozenset((kind, str(value)) for kind, value in named.items() if value not in (None, ""))
