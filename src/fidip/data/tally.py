"""What happened to a data set on its way: what was changed, left out or could not be read, by reason and by place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 20
"""So many places of each reason stand in a report; its count is always whole."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Reasons, each with the places it concerns, in the order in which they were met.

    ``unreadable`` holds whole messages, each of which names its file.
    """

    changed: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    def change(self, what: str, place: str) -> None:
        """Something was changed at a place."""
        self.changed.setdefault(what, []).append(place)

    def leave_out(self, why: str, place: str) -> None:
        """Something at a place was left out."""
        self.left_out.setdefault(why, []).append(place)

    def remark(self, what: str, place: str) -> None:
        """Something at a place is worth knowing; it was left as it is."""
        self.remarks.setdefault(what, []).append(place)

    def to_json(self) -> dict[str, Any]:
        """Counts by reason, with the first places."""
        kinds = {"changed": self.changed, "left_out": self.left_out, "remarks": self.remarks}
        return {kind: _counted(reasons) for kind, reasons in kinds.items()} | {"unreadable": self.unreadable}


def _counted(reasons: Mapping[str, list[str]]) -> dict[str, Any]:
    return {why: {"count": len(places), "first": places[:EXAMPLES]} for why, places in reasons.items()}
