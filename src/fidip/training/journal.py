"""How far a run is and what its epochs showed: the part of a checkpoint that is no tensor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fidip.training.stages import StepRecord

MEANS = ("pose_loss", "domain_loss", "domain_accuracy", "domain_weight", "believed")


@dataclass(slots=True)
class Journal:
    """The next step to take, sums over the epoch that is under way, and a line for every epoch that is over."""

    stage: int = 0
    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)  # of the steps that had such a number
    seconds: float = 0.0
    gradient_ratio: float | None = None  # the mean of those that were taken
    ratios: int = 0  # how many
    skipped: int = 0  # steps at which something was not finite
    skipped_in_a_row: int = 0  # the last steps, in whichever epoch
    history: list[dict[str, Any]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None  # the line of the epoch whose weights are kept
    ended: str | None = None  # why the run ended before its last epoch
    finished: bool = False

    @property
    def started(self) -> bool:
        """Whether a step has been taken."""
        return bool(self.step or self.history)

    def add(self, record: StepRecord) -> None:
        """Note one step."""
        self.epoch, self.step = record.epoch, self.step + 1
        for name in MEANS:
            value = getattr(record, name)
            if value is not None:
                self.sums[name] = self.sums.get(name, 0.0) + value
                self.counts[name] = self.counts.get(name, 0) + 1
        self.seconds += record.seconds
        self.skipped += record.skipped is not None
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if record.skipped is not None else 0
        if record.gradient_ratio is not None:
            self.ratios += 1
            before = self.gradient_ratio or 0.0
            self.gradient_ratio = before + (record.gradient_ratio - before) / self.ratios

    def close_epoch(self, record: StepRecord, validation: dict[str, Any] | None) -> dict[str, Any]:
        """End the epoch with its last step; returns its line of the history."""
        line = {
            "stage": record.stage,
            "epoch": record.epoch + 1,
            "steps": self.step,
            "skipped": self.skipped,
            **{name: self.sums[name] / self.counts[name] if name in self.sums else None for name in MEANS},
            "gradient_ratio": self.gradient_ratio,
            "learning_rate": record.learning_rate,
            "validation": validation,
        }
        self.history.append(line)
        self.timings.append({"stage": record.stage, "epoch": record.epoch + 1, "seconds": round(self.seconds, 3)})
        self.epoch, self.step, self.sums, self.counts = record.epoch + 1, 0, {}, {}
        self.seconds, self.gradient_ratio, self.ratios, self.skipped = 0.0, None, 0, 0
        return line

    def close_stage(self) -> None:
        """Go on to the next stage."""
        self.stage, self.epoch, self.step = self.stage + 1, 0, 0

    def better(self, line: dict[str, Any]) -> bool:
        """Whether an epoch's validation AP is not below the best so far; of two equals the later has learnt more."""
        return self.best is None or line["validation"]["AP"] >= self.best["validation"]["AP"]
