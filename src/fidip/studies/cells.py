"""One cell of the study of adaptation: a network is trained and measured, and one JSON file remains of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np

from fidip.errors import StorageError
from fidip.evaluation.average_precision import EvaluationResult, evaluate
from fidip.evaluation.embedding import domain_probe
from fidip.evaluation.keypoint_errors import keypoint_errors
from fidip.evaluation.matching import THRESHOLDS, Matches
from fidip.files import read_json, write_json
from fidip.networks.devices import find_device
from fidip.networks.weights import load_pose_net
from fidip.platform import locked
from fidip.recipes.study import STUDY
from fidip.studies.arms import pooled_features
from fidip.studies.pair import StudySize, labelled, unlabelled
from fidip.studies.processes import Tell
from fidip.studies.sets import standing_for_real
from fidip.studies.treatments import TREATMENTS, Cell, recipe_of
from fidip.training.inputs import Inputs, LabelledSet
from fidip.training.provenance import machine
from fidip.training.recipe import Recipe
from fidip.training.resuming import TIMINGS
from fidip.training.run import train
from fidip.training.validation import estimates, load_validation

AREA: Literal["bbox"] = "bbox"
PCK = 0.2
"""In torso lengths."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all cells of a study share."""

    out: Path
    data: Mapping[str, Path]  # annotation files by the part they play
    start: str  # weights that every cell starts from
    size: StudySize
    device: str = "cpu"

    def file(self, cell: Cell) -> Path:
        """What remains of a cell."""
        return self.out / "cells" / f"{cell.name}.json"


def finished(bench: Bench, cell: Cell) -> dict[str, Any] | None:
    """What a cell found, if it was run before.

    Raises:
        StorageError: by another recipe.
    """
    file = bench.file(cell)
    if not file.exists():
        return None
    found: dict[str, Any] = read_json(file)
    if _completed(found["recipe"] | {"source": ""}, _in_json(STUDY)) != _recipe(bench, cell):
        raise StorageError(f"{file}: of another recipe; choose another --out, or delete this file")
    return found


def run_cell(bench: Bench, cell: Cell, tell: Tell) -> dict[str, Any]:
    """Train and measure; a training that was killed goes on where it stood.

    A process that outlived a killed study may be at the same cell: it is waited for, and what it found is taken.
    """
    running = bench.out / "running" / cell.name
    running.parent.mkdir(parents=True, exist_ok=True)
    lock = running.with_name(f"{cell.name}.lock")
    lock.touch()
    with locked(lock):
        return finished(bench, cell) or _run_cell(bench, cell, running, tell)


def _run_cell(bench: Bench, cell: Cell, running: Path, tell: Tell) -> dict[str, Any]:
    recipe = recipe_of(cell, bench.size.epochs, bench.size.steps_per_epoch)
    with standing_for_real():
        result = train(recipe, _inputs(bench, cell), running, bench.device, resume=True, watch=tell)
    trained, started = steps_seconds(running), perf_counter()
    found = {
        "cell": asdict(cell),
        "recipe": _recipe(bench, cell),
        **measure(result.weights, bench, "validation" if cell.tuning else "test"),
        "history": list(result.history),
        "seconds": trained + perf_counter() - started,
        "machine": machine(find_device(bench.device)),
    }
    bench.file(cell).parent.mkdir(parents=True, exist_ok=True)
    write_json(bench.file(cell), found)
    shutil.rmtree(running)
    return found


def steps_seconds(run: Path) -> float:
    """What the steps of a run took, also those before it was interrupted."""
    lines = (run / TIMINGS).read_text(encoding="utf-8").splitlines()
    return float(sum(json.loads(line)["seconds"] for line in lines))


def measure(weights: Path | str, bench: Bench, part: str) -> dict[str, Any]:
    """AP, PCK and the linear probe of a network on one part of the pair, with what a paired comparison needs."""
    net = load_pose_net(weights)
    truth = LabelledSet.read(bench.data[part])
    device = find_device(bench.device)
    people = estimates(net.to(device), load_validation(truth, net.card, lambda _: None), device)
    result = evaluate(truth.images, people, area=AREA, resamples=0)
    net.cpu()
    real, synthetic = (pooled_features(net, one) for one in (truth, LabelledSet.read(bench.data["held-out"])))
    features, domain = np.concatenate([real, synthetic]), np.arange(len(real) + len(synthetic)) >= len(real)
    return {
        **{name: value for name, value in result.to_json().items() if name != "ci95"},
        "measured_on": part,
        "PCK": keypoint_errors(truth.images, people, area=AREA).pck[PCK],
        "probe": domain_probe(features, domain, 0),
        "matches": packed(result),
    }


def packed(result: EvaluationResult) -> dict[str, Any]:
    """The matches of images of one person each in few numbers: how many thresholds each prediction passes."""
    matches = result.matches
    passed = matches.correct.sum(axis=0)
    simple = (matches.people == 1).all() and not matches.ignored.any()
    if not simple or not np.array_equal(matches.correct, np.arange(len(THRESHOLDS))[:, None] < passed):
        raise ValueError("only images of one person each can be packed")
    return {"image_ids": matches.image_ids.tolist(), "image": matches.image.tolist(), "passed": passed.tolist()}


def unpacked(found: Mapping[str, Any]) -> Matches:
    """What ``packed`` stored."""
    image_ids = np.array(found["image_ids"], np.int64)
    correct = np.arange(len(THRESHOLDS))[:, None] < np.array(found["passed"])
    image = np.array(found["image"], np.intp)
    return Matches(image_ids, np.ones(len(image_ids), np.int64), image, correct, np.zeros_like(correct))


def _inputs(bench: Bench, cell: Cell) -> Inputs:
    one, size = TREATMENTS[cell.treatment], bench.size
    real = LabelledSet.read(bench.data["real"])
    some = labelled(real, size, cell.budget, cell.seed) if cell.budget else None
    return Inputs(
        real=real if one.labels == "all" else some,
        synthetic=LabelledSet.read(bench.data["synthetic"]) if one.synthetic else None,
        adults=_adults(bench) if recipe_of(cell, 1, 1).pretrain else None,
        init=bench.start,
        unlabelled=unlabelled(real, size) if one.unlabelled else None,
    )


def _adults(bench: Bench) -> tuple[LabelledSet, LabelledSet]:
    return LabelledSet.read(bench.data["adults-real"]), LabelledSet.read(bench.data["adults-synthetic"])


def _recipe(bench: Bench, cell: Cell) -> dict[str, Any]:
    return _in_json(recipe_of(cell, bench.size.epochs, bench.size.steps_per_epoch))


def _completed(stored: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A stored recipe with what is younger than it, which had its default."""
    parts = {
        key: _completed(value, defaults[key])
        for key, value in stored.items()
        if isinstance(value, dict) and isinstance(defaults.get(key), dict)
    }
    return {**defaults, **stored, **parts}


def _in_json(recipe: Recipe) -> dict[str, Any]:
    """As it is when it has been stored, but for the words about it."""
    return dict(json.loads(json.dumps(recipe.to_json() | {"source": ""})))
