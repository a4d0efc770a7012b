"""The row of a published table that a recipe stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Published:
    """What the paper says came out, of what it was learnt, and whom the recipe follows where paper and code disagree.

    AP in percent is that of the authors on the 100 test images of SyRIP. They do not say how certain it is.
    """

    table: str
    row: str
    ap: float
    real: int  # images with keypoints
    synthetic: int | None  # images; None: not said
    others: Mapping[str, float] = field(default_factory=dict)  # "AP50", "AR", "AP on COCO val2017", … in percent
    follows: Mapping[str, str] = field(default_factory=dict)  # from a point of disagreement to who is followed, and how

    @property
    def place(self) -> str:
        """Table and row."""
        return f"{self.table} {self.row}"
