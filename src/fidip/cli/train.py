"""``fidip train``: run a recipe on files."""

from __future__ import annotations

import time
import warnings
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidip.training.events import Event, Plan, StagePlan
    from fidip.training.inputs import LabelledSet
    from fidip.training.recipe import Recipe

Json = Annotated[Path | None, tyro.conf.arg(metavar="JSON")]

MethodName = Literal["fine-tune", "fidip", "dann", "mmd", "regda", "mean-teacher", "adabn"]
"""Those of ``fidip.training.adaptation``, said again so that help loads no torch."""


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
    retain: Json = None,
    retain_images: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    unlabelled: Annotated[Path | None, tyro.conf.arg(metavar="DIR|FILM")] = None,
    unlabelled_boxes: Json = None,
    unlabelled_every: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None,
    adults: Annotated[tuple[Path, Path] | None, tyro.conf.arg(metavar="REAL.json SYN.json")] = None,
    method: MethodName | None = None,
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
        retain: Adults of whom nothing is learnt: AP on them before and after, when the run is over.
        retain_images: Folder of their images, if it is neither beside their file nor the one that --images names.
        unlabelled: Folder of photos and films of real infants without labels, or one film.
        unlabelled_boxes: COCO file that says where people are in these pictures; without it one fills each.
        unlabelled_every: Of a film, take one frame of every so many seconds; 1 unless told.
        adults: Real and synthetic adults, for the pre-stage.
        method: How to adapt, instead of the recipe's; its weight is --domain-share or the recipe's λ.
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

    numbers = {"seed": seed, "epochs": epochs, "domain_share": domain_share, "method": method}
    settings = [f"{name}={number}" for name, number in numbers.items() if number is not None]
    settings += ["domain_weight=0"] if domain_share is not None else []
    chosen = with_settings(find_recipe(recipe), [*settings, *set])
    if method is not None:
        _require_a_weight(chosen, method)

    def read(file: Path | None) -> LabelledSet | None:
        return None if file is None else LabelledSet.read(file, images)

    if unlabelled is None and (unlabelled_boxes is not None or unlabelled_every is not None):
        option = "--unlabelled-boxes" if unlabelled_boxes is not None else "--unlabelled-every"
        raise RecipeError(f"{option} without --unlabelled: name the folder of the photos or films too")
    inputs = Inputs(
        real=read(real),
        synthetic=read(synthetic),
        validation=read(validation),
        retain=None if retain is None else LabelledSet.read(retain, retain_images or images),
        adults=adults and (LabelledSet.read(adults[0], images), LabelledSet.read(adults[1], images)),
        init=init,
        unlabelled=None if unlabelled is None else _unlabelled(unlabelled, unlabelled_boxes, unlabelled_every),
    )
    if retain_images is not None and retain is None:
        raise RecipeError("--retain-images without --retain: name the annotation file too")
    computing = Computing(precision, accumulate, compile)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    silent = not console.is_terminal or process_number() > 0
    with Progress(*columns, console=console, transient=True, disable=silent) as progress:
        result = run.train(chosen, inputs, out, device, resume, _Watcher(progress), computing)
    if process_number() == 0:
        if result.ended:
            print(result.ended)
        print(f"{result.weights}: {_line(result.best)}")
        if result.retained is not None:
            print(_retention(result.retained))


def _require_a_weight(recipe: Recipe, method: str) -> None:
    """Whoever asks for a method does not mean its control, which learns as fine-tuning does."""
    from fidip.errors import RecipeError
    from fidip.training.adaptation import WEIGHED

    if recipe.learning in WEIGHED and recipe.domain_share is None and not recipe.domain_weight:
        remedy = f"add --domain-share 0.1, or take the recipe {method}; --domain-share 0 is the control"
        raise RecipeError(f"--method {method}: recipe {recipe.name} gives it no weight: {remedy}")


def _unlabelled(place: Path, boxes: Path | None, every: float | None) -> LabelledSet:
    """Photos and frames; looking through films takes a while, and a bar shows it."""
    from fidip.cli.progress import bar
    from fidip.training.computing import process_number
    from fidip.training.unlabelled import EVERY, read_unlabelled

    done = count(1)
    with bar("looking through films", None, shown=process_number() == 0) as show:
        return read_unlabelled(place, boxes, every=EVERY if every is None else every, tick=lambda: show(next(done)))


class _Watcher:
    """Shows a run: a bar for the files, the schedule, a bar for the steps, a line for every epoch."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.task = progress.add_task("reading")

    def __call__(self, event: Event) -> None:
        from fidip.training.events import EpochEnd, Loading, Plan, Retaining

        if isinstance(event, Loading):
            self.progress.update(self.task, completed=event.done, total=event.total)
        elif isinstance(event, Plan):
            self.progress.remove_task(self.task)
            print(_schedule(event), flush=True)
            self.task = self.progress.add_task("training", total=event.total_steps, completed=event.done_steps)
        elif isinstance(event, EpochEnd):
            print(_line(event.line), flush=True)
        elif isinstance(event, Retaining):
            self.progress.update(self.task, description="retention", completed=event.done, total=event.total)
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
    peak, kept = plan.step_bytes / 2**30, plan.activation_bytes / 2**30
    lines += [f"  memory: {memory}; a step takes at most {peak:.1f} GiB, images apart, layers' results {kept:.1f}"]
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


def _retention(figures: dict[str, Any]) -> str:
    """What became of those whom the initial weights knew, in words."""
    before, after, difference = (figures[name] for name in ("before", "after", "difference"))
    who = f"{figures['people']} people in {figures['images']} images of {figures['file']}, area {figures['area']}"
    if before is None:
        return f"retention: AP {100 * after['AP']:.1f} on {who}; there were no initial weights to compare with"
    change = f"AP {100 * before['AP']:.1f} before, {100 * after['AP']:.1f} after"
    if difference is None:
        return f"retention: {change}; too few images for an interval; {who}"
    low, high = 100 * difference["low"], 100 * difference["high"]
    return f"retention: {change}, {100 * difference['observed']:+.1f} (95 % interval {low:+.1f} to {high:+.1f}); {who}"


SHOWN = {
    "pose_loss": "pose loss",
    "domain_loss": "domain loss",
    "domain_accuracy": "domain accuracy",
    "domain_weight": "weight",
    "gradient_ratio": "gradient ratio",
    "believed": "believed",
}
