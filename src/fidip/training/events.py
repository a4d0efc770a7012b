"""What a run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fidip.training.recipe import Recipe
from fidip.training.stages import StepRecord


@dataclass(frozen=True, slots=True)
class Loading:
    """So many of all files have been read; every image is read twice, for its fingerprint and for its pixels."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class StagePlan:
    """How long a stage lasts and on whom."""

    name: str
    epochs: int
    steps: int  # of an epoch
    batch_size: int
    real: int  # people
    synthetic: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is going to happen, told before it starts."""

    recipe: Recipe
    stages: tuple[StagePlan, ...]
    skipped: dict[str, dict[str, int]]  # by option: why people are left out, and how many
    network: str
    parameters: int
    learning: int  # of them, not frozen
    classifier_parameters: int
    device: str
    done_steps: int  # taken before the run was resumed
    total_steps: int


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """An epoch is over; ``line`` is what ``history.jsonl`` says of it."""

    line: dict[str, Any]


Event = Loading | Plan | StepRecord | EpochEnd
Watch = Callable[[Event], None]
