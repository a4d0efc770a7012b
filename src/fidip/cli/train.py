"""``fidip train``: run a recipe on files."""

from __future__ import annotations

import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidip.training.events import Event, Plan, StagePlan
    from fidip.training.recipe import Recipe

Json = Annotated[Path | None, tyro.conf.arg(metavar="JSON")]


@contextmanager
def _one_voice() -> Iterator[None]:
    """Of several processes the first one speaks; of a failure that the first one shares, the others stay silent.

    ``torchrun`` ends all processes when one has failed, so whoever waits a little is heard only if it failed alone.
    """
    from fidip.errors import DataWarning, FidipError
    from fidip.training.computing import process_number

    with warnings.catch_warnings():
        if process_number() > 0:
            warnings.simplefilter("ignore", DataWarning)
        try:
            yield
        except FidipError:
            if process_number() > 0:
                time.sleep(PAUSE)
            raise


PAUSE = 3
"""Seconds; ``torchrun`` looks ten times a second whether a process has failed."""


@_one_voice()
def train(
    recipe: tyro.conf.Positional[str],
    *,
    out: Path,
    real: Json = None,
    synthetic: Json = None,
    validation: Json = None,
    unlabelled: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    unlabelled_boxes: Json = None,
    adults: Annotated[tuple[Path, Path] | None, tyro.conf.arg(metavar="REAL.json SYN.json")] = None,
    init: Annotated[str | None, tyro.conf.arg(metavar="WEIGHTS")] = None,
    images: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    device: Literal["cpu", "cuda", "mps"] = "cpu",
    precision: Literal["32", "bf16"] = "32",
    accumulate: int = 1,
    compile: bool = False,
    seed: int | None = None,
    epochs: int | None = None,
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATH=VALUE")] = (),
    domain_share: float | None = None,
    resume: bool = False,
) -> None:
    """Train a pose network by a recipe; `fidip recipes` lists them.

    Annotation files are COCO keypoint JSON. The option by which a file enters decides its domain. Nothing is split:
    without a validation file the last epoch is kept.

    Args:
        recipe: Name of the recipe.
        out: Folder for best.safetensors, best.json, history.jsonl and the checkpoint.
        real: Real infants.
        synthetic: Synthetic infants.
        validation: Infants on whom the best epoch is chosen; they may share nothing with the others.
        unlabelled: Folder of photos of real infants without labels, for methods that learn from them.
        unlabelled_boxes: COCO file that says where people are in these photos; without it one fills each photo.
        adults: Real and synthetic adults, for the pre-stage.
        init: Weights to start from: a file, or the name of an embedded network.
        images: Folder of the images, if they do not lie beside their annotation file.
        device: Where to compute.
        precision: Of the pose network's arithmetic; bf16 is for recent GPUs.
        accumulate: Parts in which a batch goes through the pose network, for devices with little memory.
        compile: Compile the pose network first, which takes minutes and makes steps on a GPU faster.
        seed: Seed, instead of the recipe's.
        epochs: Number of epochs, instead of the recipe's.
        set: Another value for a number of the recipe, such as pretrain.epochs=2; may be repeated.
        domain_share: Weight of the method's second loss as a share of the pose gradient, instead of the recipe's λ.
        resume: Go on from the checkpoint in the folder.
    """
    from fidip.errors import RecipeError
    from fidip.recipes import find_recipe
    from fidip.training import run
    from fidip.training.computing import Computing, process_number
    from fidip.training.inputs import Inputs, LabelledSet
    from fidip.training.settings import with_settings
    from fidip.training.unlabelled import read_unlabelled

    numbers = {"seed": seed, "epochs": epochs, "domain_share": domain_share}
    settings = [f"{name}={number}" for name, number in numbers.items() if number is not None]
    settings += ["domain_weight=0"] if domain_share is not None else []
    chosen = with_settings(find_recipe(recipe), [*settings, *set])

    def read(file: Path | None) -> LabelledSet | None:
        return None if file is None else LabelledSet.read(file, images)

    if unlabelled_boxes is not None and unlabelled is None:
        raise RecipeError("--unlabelled-boxes without --unlabelled: name the folder of the photos too")
    inputs = Inputs(
        real=read(real),
        synthetic=read(synthetic),
        validation=read(validation),
        adults=adults and (LabelledSet.read(adults[0], images), LabelledSet.read(adults[1], images)),
        init=init,
        unlabelled=None if unlabelled is None else read_unlabelled(unlabelled, unlabelled_boxes),
    )
    computing = Computing(precision, accumulate, compile)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        result = run.train(chosen, inputs, out, device, resume, _Watcher(progress), computing)
    if process_number() == 0:
        if result.ended:
            print(result.ended)
        print(f"{result.weights}: {_line(result.best)}")


class _Watcher:
    """Shows a run: a bar for the files, the schedule, a bar for the steps, a line for every epoch."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.task = progress.add_task("reading")

    def __call__(self, event: Event) -> None:
        from fidip.training.events import EpochEnd, Loading, Plan

        if isinstance(event, Loading):
            self.progress.update(self.task, completed=event.done, total=event.total)
        elif isinstance(event, Plan):
            self.progress.remove_task(self.task)
            print(_schedule(event), flush=True)
            self.task = self.progress.add_task("training", total=event.total_steps, completed=event.done_steps)
        elif isinstance(event, EpochEnd):
            print(_line(event.line), flush=True)
        else:
            loss = event.pose_loss if event.pose_loss is not None else event.domain_loss
            told = "skipped" if loss is None else f"loss {loss:.5f}"
            self.progress.update(self.task, description=f"{event.stage} {event.epoch + 1}, {told}", advance=1)


def _schedule(plan: Plan) -> str:
    from fidip.training.adaptation import WEIGHED

    recipe = plan.recipe
    lines = [f"{recipe.name} (seed {recipe.seed}) on {plan.device}: {recipe.source}"]
    if recipe.published is not None:
        published, unknown = recipe.published, "an unknown number of"
        images = f"{published.real} real and {published.synthetic or unknown} synthetic images"
        lines += [f"  published: AP {published.ap:.1f} with {images} ({published.place})"]
    (width, height), (columns, rows) = plan.input_size, plan.heatmap_size
    lines += [f"  {plan.network}, images {height}x{width}, heatmaps {rows}x{columns}"]
    computing = [f"arithmetic in {plan.computing.precision}" * (plan.computing.precision != "32")]
    computing += [f"batches in {plan.computing.accumulate} parts" * (plan.computing.accumulate > 1)]
    computing += [f"{plan.processes} processes" * (plan.processes > 1)]
    computing += ["compiled" * plan.computing.compile]
    lines += [f"  the pose network: {told}" for told in [", ".join(filter(None, computing))] if told]
    frozen = f"; {', '.join(recipe.frozen)} frozen" if recipe.frozen else ""
    drift = ", but for their batch statistics" * recipe.frozen_batchnorm_drifts
    lines += [f"  {plan.learning:,} of {plan.parameters:,} parameters learn{frozen}{drift}"]
    if recipe.classifier:
        lines += [f"  domain classifier, {recipe.classifier}: {plan.classifier_parameters:,} parameters"]
    lines += [f"  method {recipe.learning}{_weight(recipe, recipe.learning in WEIGHED)}"]
    if recipe.real_images == "unlabelled":
        lines += ["  real people teach the domain only; their keypoints are not looked at"]
    lines += [line for stage in plan.stages for line in _stage(stage)]
    if recipe.stop_at_accuracy is not None:
        limit = f"{recipe.stop_at_accuracy:.1%}"
        lines += [f"  ends early after an epoch in which the classifier's mean accuracy is not above {limit}"]
    samples = sum(stage.sample_bytes for stage in plan.stages)
    sizes = {"networks, gradients, Adam": plan.learner_bytes, "one batch": plan.batch_bytes, "images": samples}
    memory = ", ".join(f"{name} {size / 2**20:,.0f} MiB" for name, size in sizes.items())
    lines += [f"  memory: {memory}; the layers' results come on top and grow with the batch"]
    for file, reasons in plan.skipped.items():
        left_out = ", ".join(f"{count} with {reason}" for reason, count in reasons.items())
        lines.append(f"  left out of {file}: {left_out}")
    if plan.done_steps:
        lines.append(f"  resumed after {plan.done_steps} of {plan.total_steps} steps")
    return "\n".join(lines)


def _stage(stage: StagePlan) -> Iterator[str]:
    """How long, on whom, and at which rates."""
    epochs = f"{stage.epochs} epoch" + "s" * (stage.epochs != 1)
    passes = ", half of them stage I, then half stage II" * (stage.passes == 2)
    people = f"{stage.real} real and {stage.synthetic} synthetic people"
    yield f"  {stage.name}: {epochs} of {stage.steps} steps of {stage.batch_size}{passes}, {people}"
    numbers = [f"a step has {stage.real_per_step:.1f} real and {stage.synthetic_per_step:.1f} synthetic on average"]
    numbers += [f"learning rate {_from_to(stage.learning_rate)}"]
    if any(stage.domain_weight):
        numbers += [f"λ {_from_to(stage.domain_weight)}"]
    yield f"    {', '.join(numbers)}"


def _from_to(pair: tuple[float, float]) -> str:
    first, last = (f"{number:.3g}" for number in pair)
    return first if first == last else f"{first} to {last}"


def _weight(recipe: Recipe, weighed: bool) -> str:
    if recipe.domain_share is not None:
        return f", {recipe.domain_share:g} of the pose gradient"
    return f", weight {recipe.domain_weight:g}" if weighed else ""


def _line(line: dict[str, Any]) -> str:
    """A line of the history in words."""
    parts = [f"{line['stage']} epoch {line['epoch']}"]
    for name, shown in SHOWN.items():
        if line[name] is not None:
            parts.append(f"{shown} {line[name]:.3g}")
    if line["skipped"]:
        parts.append(f"{line['skipped']} of {line['steps']} steps skipped")
    if line["validation"] is not None:
        parts.append(f"AP {100 * line['validation']['AP']:.1f} (area {line['validation']['area']})")
    return ", ".join(parts)


SHOWN = {
    "pose_loss": "pose loss",
    "domain_loss": "domain loss",
    "domain_accuracy": "domain accuracy",
    "domain_weight": "weight",
    "gradient_ratio": "gradient ratio",
    "believed": "believed",
}
