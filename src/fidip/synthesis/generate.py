"""Draw, render, label, write: a folder of labelled images from a seed, on any number of processes.

The n-th image depends on the style, the seed and n only. It is written first and its label second, so that a run that
was interrupted goes on where it stopped; the labels become one ``annotations.json`` when all are there.
"""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from fidip import __version__
from fidip.annotations import LabelledImage
from fidip.coco import read_coco, write_coco
from fidip.errors import FidipError, RecipeError, StorageError
from fidip.files import new_folder, read_json, remove_stale_temporaries, storage_error, write_json
from fidip.geometry import Size
from fidip.platform import single_threaded_children
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.camera import Camera
from fidip.synthesis.renderers import RENDERERS
from fidip.synthesis.sample import IMAGES, LABELS, TRUTH, Settings, label_file, write_sample
from fidip.synthesis.scene import SCENE_STYLES
from fidip.synthesis.threads import single_thread
from fidip.synthesis.world import Renderer, Scene

SETTINGS, ANNOTATIONS = "synth.json", "annotations.json"

SIZES = (32, 4096)
"""Shortest and longest side of an image in pixels."""


def generate(
    out: Path,
    count: int,
    style: str,
    size: Size,
    seed: int,
    workers: int = 1,
    *,
    keep_ground_truth: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[LabelledImage]:
    """Write ``count`` labelled images of a style of ``SCENE_STYLES`` to a new folder and return their labels.

    ``out/annotations.json`` holds the labels, ``out/images`` the pictures; with ``keep_ground_truth`` ``out/truth``
    holds depth, body parts, joints and body parameters of each. ``size`` is (width, height). A folder that an
    interrupted run of the same settings has left is completed. ``progress`` is told how many images are done.

    Raises:
        RecipeError: the settings make no sense, or no draw shows enough of a body.
        StorageError: ``out`` holds something else, or cannot be written to.
        MissingExtra: the style's renderer needs a package that is not installed.
    """
    settings = Settings(style, count, size, seed, keep_ground_truth)
    _check(settings, workers)
    _claim(out, settings)
    if not (out / ANNOTATIONS).exists():
        missing = [number for number in range(count) if not label_file(out, number).exists()]
        present = count - len(missing)
        for done, _ in enumerate(_write_samples(out, settings, missing, workers), start=present + 1):
            if progress:
                progress(done)
        write_coco(
            out / ANNOTATIONS, [image for number in range(count) for image in read_coco(label_file(out, number))]
        )
    _discard_labels(out)
    return read_coco(out / ANNOTATIONS)


def _write_samples(out: Path, settings: Settings, numbers: list[int], workers: int) -> Iterator[int]:
    """Write the samples of these numbers; yields each as it is done."""
    if not numbers:
        return
    renderer = RENDERERS[SCENE_STYLES[settings.style].renderer]()
    _warm_up(renderer)
    if min(workers, len(numbers)) == 1:
        with single_thread():
            body = AnnyBody.load()
            for number in numbers:
                write_sample(out, settings, number, body, renderer)
                yield number
    else:
        yield from _write_in_parallel(out, settings, numbers, workers)


def _write_in_parallel(out: Path, settings: Settings, numbers: list[int], workers: int) -> Iterator[int]:
    pool = ProcessPoolExecutor(
        min(workers, len(numbers)), multiprocessing.get_context("spawn"), _start_worker, (out, settings)
    )
    # Few samples wait at a time, so that Ctrl-C and errors end the run at once.
    waiting = iter(numbers)
    try:
        with single_threaded_children():
            running = {pool.submit(_work, number) for number in islice(waiting, 2 * workers)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    number, problem = future.result()
                    if problem is not None:
                        raise problem
                    if (following := next(waiting, None)) is not None:
                        running.add(pool.submit(_work, following))
                    yield number
    except BrokenProcessPool as error:
        raise FidipError(
            f"{out}: a worker process was ended from outside, perhaps for want of memory; run the same command again "
            "to go on, with fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(slots=True, eq=False)
class _Worker:
    """What a worker process keeps between samples."""

    out: Path
    settings: Settings
    body: AnnyBody
    renderer: Renderer


_worker: list[_Worker] = []
"""The one of this process, once it is started."""


def _start_worker(out: Path, settings: Settings) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker.append(_Worker(out, settings, AnnyBody.load(), RENDERERS[SCENE_STYLES[settings.style].renderer]()))


def _work(number: int) -> tuple[int, FidipError | None]:
    """Write one sample; a user's mistake is handed back as its message, since not every error survives the way."""
    (worker,) = _worker
    try:
        write_sample(worker.out, worker.settings, number, worker.body, worker.renderer)
    except StorageError as error:
        return number, StorageError(str(error))
    except FidipError as error:
        return number, FidipError(str(error))
    return number, None


def _warm_up(renderer: Renderer) -> None:
    """Compile and load the renderer once, before several processes would do so at the same time."""
    camera = Camera.looking_at(np.array([0.0, -1.0, 0.0]), np.zeros(3), (8, 8), 0.7)
    renderer(Scene((), camera, (), (1.0, 1.0, 1.0), np.zeros((8, 8, 3), np.uint8)), 0)


def _check(settings: Settings, workers: int) -> None:
    if settings.style not in SCENE_STYLES:
        raise RecipeError(f"no scene style '{settings.style}'; choose one of {', '.join(SCENE_STYLES)}")
    if settings.count < 1:
        raise RecipeError(f"--count {settings.count}: at least one image is needed")
    if workers < 1:
        raise RecipeError(f"--workers {workers}: at least one process is needed")
    if settings.seed < 0:
        raise RecipeError(f"--seed {settings.seed}: a seed is 0 or more")
    if not all(SIZES[0] <= side <= SIZES[1] for side in settings.size):
        width, height = settings.size
        raise RecipeError(f"--size {width}x{height}: each side must have {SIZES[0]} to {SIZES[1]} pixels")


def _claim(out: Path, settings: Settings) -> None:
    """Make the folder, or make sure that what lies in it is a part of the same run."""
    record = {**asdict(settings), "size": list(settings.size), "fidip": __version__}
    if not (out / SETTINGS).exists():
        new_folder(out)
        write_json(out / SETTINGS, record)
    elif read_json(out / SETTINGS) != record:
        raise StorageError(
            f"{out}: holds images of other settings ({SETTINGS}); choose a new folder or delete this one"
        )
    try:
        for folder in (out / IMAGES, out / LABELS, *([out / TRUTH] if settings.keep_ground_truth else [])):
            folder.mkdir(exist_ok=True)
            remove_stale_temporaries(folder)
        remove_stale_temporaries(out)
    except OSError as error:
        raise storage_error(out, error) from error


def _discard_labels(out: Path) -> None:
    try:
        shutil.rmtree(out / LABELS)
    except OSError as error:
        raise storage_error(out / LABELS, error) from error
