"""The whole idea of FiDIP on one machine, without a photograph of a real infant.

Two infant domains stand for those of the paper: *synthetic* (flat renderer, as the published images were made) and
*simulated real* (ray-cast light and shadow, other textures and cameras, sensor noise, blur, JPEG), few images of the
second, as few real infants are in life. A small source network that knows adults is adapted in the ways of the paper's
Table 2, and every network is measured on simulated-real infants that none of them has seen.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch

from fidip import __version__
from fidip.coco import read_coco, read_results
from fidip.errors import RecipeError
from fidip.evaluation.average_precision import EvaluationResult, evaluate
from fidip.evaluation.statistics import PairedDifference, paired_difference
from fidip.networks.weights import weights_sha256
from fidip.recipes import RECIPES
from fidip.studies.arms import Arm, Measured, run_arms
from fidip.studies.sets import RenderedSet, Watch, claim, render
from fidip.training.provenance import machine, versions
from fidip.training.recipe import Recipe

SETTINGS = "demo.json"
AREA: Literal["bbox"] = "bbox"
"""As in the paper's Table 1: the file of its 100 test images stores the area of the box."""

TEST_SEED = 7_000_000
"""The test images are the same for every seed of the demo, and nothing else is ever drawn from this seed."""


@dataclass(frozen=True, slots=True)
class DemoSize:
    """How much is rendered and learnt."""

    synthetic: int
    real: int
    validation: int
    test: int
    held_out: int  # synthetic infants whose features are looked at
    adults: int  # of each domain, for the pre-stage
    epochs: int
    steps_per_epoch: int


FULL = DemoSize(
    synthetic=500, real=60, validation=40, test=300, held_out=80, adults=80, epochs=8, steps_per_epoch=60
)  # fmt: skip
QUICK = DemoSize(synthetic=64, real=20, validation=8, test=40, held_out=20, adults=24, epochs=2, steps_per_epoch=8)
IMAGE_SIZE = (192, 192)


@dataclass(frozen=True, slots=True, eq=False)
class DemoResult:
    """What the demo found, for its table and its report."""

    seed: int
    size: DemoSize
    data: dict[str, Path]  # annotation files by the part they play
    arms: tuple[Arm, ...]
    measured: dict[str, Measured]
    evaluated: dict[str, EvaluationResult]
    differences: dict[str, PairedDifference | None]  # of an arm to its control
    histories: dict[str, list[dict[str, Any]]]
    seconds: dict[str, float]


def run_demo(out: Path, seed: int, size: DemoSize, workers: int, watch: Watch) -> DemoResult:
    """Render, train, measure. A demo that was killed goes on where it stood; one that is finished is read again.

    Raises:
        RecipeError: the seed is negative.
        StorageError: the folder holds a demo with other settings, or cannot be written to.
    """
    if seed < 0:
        raise RecipeError(f"--seed {seed}: a seed is 0 or more")
    made_with = {"adult-small": weights_sha256("adult-small"), "fidip": __version__}
    claim(out, SETTINGS, {"seed": seed, **asdict(size), **made_with}, "demo")
    seconds: dict[str, float] = {}
    started = perf_counter()
    data = render(out / "data", _sets(seed, size), IMAGE_SIZE, workers, watch)
    seconds["rendering"] = perf_counter() - started
    arms = demo_arms(data, _recipe(size, seed))
    total = sum(_steps(arm.recipe) for arm in arms if arm.recipe)
    done = 0

    def count(_arm: str, _record: object) -> None:
        nonlocal done
        done += 1
        watch("training", min(done, total), total)

    started = perf_counter()
    measured = run_arms(arms, data["test"], data["held-out"], out / "arms", workers, count)
    seconds["training and prediction"] = perf_counter() - started
    started = perf_counter()
    evaluated = _evaluate(arms, measured, data["test"], watch)
    differences = {
        arm.name: paired_difference(evaluated[arm.name], evaluated[arm.control], np.random.default_rng(seed))
        for arm in arms
        if arm.control is not None
    }
    seconds["evaluation"] = perf_counter() - started
    histories = {arm.name: _history(out / "arms" / arm.name / "run" / "history.jsonl") for arm in arms if arm.recipe}
    return DemoResult(seed, size, data, arms, measured, evaluated, differences, histories, seconds)


def demo_arms(data: dict[str, Path], fidip: Recipe) -> tuple[Arm, ...]:
    """The rows of the demo's table; everything but what a row is about is the same in all of them."""
    alone = replace(fidip, classifier=None, domain_weight=0.0, domain_ramp=0.0, pretrain=None, synthetic_share=None)
    control = replace(fidip, name="demo-both", domain_weight=0.0)
    real, synthetic = data["real"], data["synthetic"]
    rows: tuple[tuple[str, str, Recipe | None, Path | None, Path | None, str | None], ...] = (
        ("source", "adults only", None, None, None, None),
        ("real", "few real", replace(alone, name="demo-real"), real, None, "source"),
        ("synthetic", "synthetic", replace(alone, name="demo-synthetic"), None, synthetic, "source"),
        ("both", "both, λ = 0", control, real, synthetic, "source"),
        ("fidip", "FiDIP", replace(fidip, name="demo-fidip"), real, synthetic, "both"),
    )
    adults = (data["adults-real"], data["adults-synthetic"])
    return tuple(
        Arm(
            name, title, recipe, first, second, data["validation"] if recipe else None,
            adults if recipe and recipe.pretrain else None, control=other,
        )
        for name, title, recipe, first, second, other in rows
    )  # fmt: skip


def demo_facts(result: DemoResult) -> dict[str, str]:
    """What a reader needs to make the same numbers: settings, versions, machine, seconds."""
    host = machine(torch.device("cpu"))
    return {
        "command": f"fidip demo --seed {result.seed}" + (" --quick" if result.size == QUICK else ""),
        "seed": f"{result.seed}; one run",
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "machine": f"{host['system']}, {host['processor']}, one thread a process",
        "seconds": ", ".join(f"{name} {value:.0f}" for name, value in result.seconds.items()),
    }


def _recipe(size: DemoSize, seed: int) -> Recipe:
    recipe = RECIPES["fidip-small"]
    return replace(recipe, epochs=size.epochs, steps_per_epoch=size.steps_per_epoch, seed=seed)


def _steps(recipe: Recipe) -> int:
    return recipe.epochs * (recipe.steps_per_epoch or 0)


def _sets(seed: int, size: DemoSize) -> dict[str, RenderedSet]:
    return {
        "test": RenderedSet("infant-photo", size.test, TEST_SEED),
        "real": RenderedSet("infant-photo", size.real, 10 * seed + 1),
        "validation": RenderedSet("infant-photo", size.validation, 10 * seed + 2),
        "synthetic": RenderedSet("infant-flat", size.synthetic, 10 * seed + 3),
        "held-out": RenderedSet("infant-flat", size.held_out, 10 * seed + 4),
        "adults-real": RenderedSet("adult-photo", size.adults, 10 * seed + 5),
        "adults-synthetic": RenderedSet("adult-flat", size.adults, 10 * seed + 6),
    }


def _evaluate(
    arms: tuple[Arm, ...], measured: dict[str, Measured], test: Path, watch: Watch
) -> dict[str, EvaluationResult]:
    truth = read_coco(test)
    evaluated = {}
    for done, arm in enumerate(arms, start=1):
        results = read_results(measured[arm.name].results, truth)
        evaluated[arm.name] = evaluate(truth, results, area=AREA)
        watch("evaluation", done, len(arms))
    return evaluated


def _history(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
