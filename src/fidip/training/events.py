"""What a run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fidip.geometry import Size
from fidip.training.computing import Computing
from fidip.training.recipe import Recipe
from fidip.training.stages import StepRecord


@dataclass(frozen=True, slots=True)
class Loading:
    """So many of all reads are done; every image is read twice, for its fingerprint and for its pixels."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Retaining:
    """The run is over; so many images have been looked at to see what is retained."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class StagePlan:
    """How long a stage lasts, on whom, and how its numbers run; pairs are of its first and its last step."""

    name: str
    epochs: int
    steps: int  # of an epoch, all passes together
    passes: int
    batch_size: int
    real: int  # people
    synthetic: int
    real_per_step: float  # on average
    synthetic_per_step: float
    learning_rate: tuple[float, float]
    domain_weight: tuple[float, float]  # λ
    sample_bytes: int  # of the people's pieces, resident in memory


@dataclass(frozen=True, slots=True)
class Plan:
    """What is going to happen, told before it starts."""

    recipe: Recipe
    stages: tuple[StagePlan, ...]
    skipped: dict[str, dict[str, int]]  # by option: why people are left out, and how many
    network: str
    input_size: Size
    heatmap_size: Size
    parameters: int
    learning: int  # of them, not frozen
    classifier_parameters: int
    learner_bytes: int  # all networks, their gradients and Adam's moments
    batch_bytes: int  # images and targets of the largest batch
    step_bytes: int  # at the worst moment of a step of one process, samples apart
    activation_bytes: int  # of them, what layers keep for the way back
    device: str
    computing: Computing
    processes: int
    done_steps: int  # taken before the run was resumed
    total_steps: int


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """An epoch is over; ``line`` is what ``history.jsonl`` says of it."""

    line: dict[str, Any]


Event = Loading | Plan | StepRecord | EpochEnd | Retaining
Watch = Callable[[Event], None]
