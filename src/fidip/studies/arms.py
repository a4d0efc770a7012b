"""Several networks trained and measured side by side, each in a process of its own with one numeric thread.

One thread a process uses two cores better than two threads in one, and makes the numbers independent of how many run at
a time.
"""

from __future__ import annotations

import queue
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fidip.annotations import FloatArray, LabelledImage, Person
from fidip.coco import write_results
from fidip.data.samples import cut, person_crop
from fidip.errors import DataWarning, FidipError, TrainingError
from fidip.files import atomic_write
from fidip.images import read_image
from fidip.inference.predictor import Predictor
from fidip.networks.pose import PoseNet
from fidip.platform import single_threaded_children
from fidip.training.inputs import Inputs, LabelledSet
from fidip.training.recipe import Recipe
from fidip.training.run import train
from fidip.training.stages import StepRecord

FEATURE_SAMPLES = 150
"""So many images of each domain are enough to see whether the domains lie apart."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One network of a comparison: a recipe and the files that it may learn from, or a network taken as it is.

    ``control`` names the arm that it is compared with, image by image.
    """

    name: str
    title: str
    recipe: Recipe | None = None
    real: Path | None = None
    synthetic: Path | None = None
    validation: Path | None = None
    adults: tuple[Path, Path] | None = None
    init: str = "adult-small"
    control: str | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What an arm left on the disk."""

    weights: str
    results: Path  # COCO results on the test images
    features: Path  # npz: real (N, C), synthetic (N, C)


def run_arms(
    arms: Sequence[Arm],
    test: Path,
    held_out: Path,
    out: Path,
    workers: int,
    watch: Callable[[str, StepRecord], None],
) -> dict[str, Measured]:
    """Train every arm, let it look at the test images, and keep the features it sees in both domains.

    ``test`` are real images, ``held_out`` synthetic ones that nobody learns from. What a killed run had finished is
    kept. ``watch`` is told the arm's name and the record of every step.

    Raises:
        FidipError: whatever the training or the prediction raises, or a process was ended from outside. The other
            arms then stop at their next step.
    """
    context = get_context("spawn")
    steps: Queue[tuple[str, StepRecord]] = context.Queue()
    stop = context.Event()
    with (
        single_threaded_children(),
        ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(steps, stop)) as pool,
    ):
        jobs = {arm.name: pool.submit(_run_arm, arm, test, held_out, out) for arm in arms}
        try:
            for name, record in _steps(steps, list(jobs.values())):
                watch(name, record)
            return {name: job.result() for name, job in jobs.items()}
        except BrokenProcessPool as error:
            problem = "a worker process was ended from outside, perhaps for want of memory"
            raise FidipError(f"{out}: {problem}; run the same command again to go on") from error
        finally:
            stop.set()
            for job in jobs.values():
                job.cancel()


def _steps(steps: Queue[Any], jobs: list[Future[Measured]]) -> Iterator[tuple[str, StepRecord]]:
    while not all(job.done() for job in jobs):
        try:
            yield steps.get(timeout=0.2)
        except queue.Empty:
            failed = next((job for job in jobs if job.done() and job.exception() is not None), None)
            if failed is not None:
                failed.result()


_worker: list[tuple[Queue[tuple[str, StepRecord]], Event]] = []
"""How this process tells its steps and hears that it is to stop, once it is started."""


def _start(steps: Queue[tuple[str, StepRecord]], stop: Event) -> None:
    steps.cancel_join_thread()  # records that nobody reads any more must not keep the process from ending
    _worker.append((steps, stop))
    torch.set_num_threads(1)


def _run_arm(arm: Arm, test: Path, held_out: Path, out: Path) -> Measured:
    folder = out / arm.name
    folder.mkdir(parents=True, exist_ok=True)
    weights = arm.init if arm.recipe is None else str(_train(arm, arm.recipe, folder / "run"))
    measured = Measured(weights, folder / "results.json", folder / "features.npz")
    if not measured.features.exists():  # written last
        predictor = Predictor.load(weights)
        truth = LabelledSet.read(test)
        people = {
            image.id: _predict(predictor, image, path) for image, path in zip(truth.images, truth.paths, strict=True)
        }
        write_results(measured.results, people)
        real, synthetic = (_features(predictor.net, part) for part in (truth, LabelledSet.read(held_out)))
        with atomic_write(measured.features) as file:
            np.savez(file, real=real, synthetic=synthetic)
    return measured


def _train(arm: Arm, recipe: Recipe, folder: Path) -> Path:
    def read(path: Path | None) -> LabelledSet | None:
        return None if path is None else LabelledSet.read(path)

    def tell(event: object) -> None:
        ((steps, stop),) = _worker
        if stop.is_set():
            raise TrainingError(f"{arm.name}: stopped, since another network could not be trained")
        if isinstance(event, StepRecord):
            steps.put((arm.name, event))

    adults = None if arm.adults is None else (LabelledSet.read(arm.adults[0]), LabelledSet.read(arm.adults[1]))
    inputs = Inputs(read(arm.real), read(arm.synthetic), read(arm.validation), adults, arm.init)
    with warnings.catch_warnings():
        # Simulated-real images are rendered, as their files say, and stand for real ones all the same.
        warnings.filterwarnings("ignore", ".* say they are synthetic", DataWarning)
        return train(recipe, inputs, folder, resume=True, watch=tell).weights


def _predict(predictor: Predictor, image: LabelledImage, path: Path) -> list[Person]:
    return predictor(read_image(path), [person.box for person in image.people if person.box is not None])


@torch.inference_mode()
def _features(net: PoseNet, labelled: LabelledSet) -> FloatArray:  # (N, C)
    """What the domain classifier sees of the first people, averaged over the map."""
    card, pooled = net.card, []
    for image, path in list(zip(labelled.images, labelled.paths, strict=True))[:FEATURE_SAMPLES]:
        crop = person_crop(image.people[0], (image.width, image.height), card.input_size, card.affine)
        if crop is None:
            continue
        pixels = cut(read_image(path), crop, card.input_size, card.affine)
        features = net(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255).features
        pooled.append(features.mean(dim=(2, 3))[0].double().numpy())
    return np.stack(pooled)
