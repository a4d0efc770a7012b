"""Draw, render, label, write: a folder of labelled images from a seed, on any number of processes.

The n-th image depends on the style, the seed and n only. It is written first and its label second, so that a run that
was interrupted goes on where it stopped; the labels become one ``annotations.json`` when all are there.
"""

from __future__ import annotations

import multiprocessing
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from fidip import __version__
from fidip.annotations import LabelledImage
from fidip.coco import read_coco, write_coco
from fidip.errors import FidipError, RecipeError, StorageError
from fidip.files import new_folder, read_json, remove_stale_temporaries, storage_error, write_json
from fidip.platform import single_threaded_children
from fidip.synthesis.bodies import check_texture_layout
from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.camera import Camera
from fidip.synthesis.renderers import RENDERERS
from fidip.synthesis.sample import (
    BUNDLED,
    IMAGES,
    LABELS,
    REFUSED,
    TRUTH,
    Encoded,
    Settings,
    encode_sample,
    label_file,
    write_encoded,
)
from fidip.synthesis.scene import SCENE_STYLES
from fidip.synthesis.threads import single_thread
from fidip.synthesis.world import Renderer, Scene

SETTINGS, ANNOTATIONS, MANIFEST = "synth.json", "annotations.json", "manifest.json"

Shard = tuple[int, int]
"""(i, n): every n-th image, from the i-th on, counted from 1."""

WHOLE: Shard = (1, 1)

Crew = Callable[[Settings, list[int]], Iterator[Encoded]]
"""Makes the samples of these numbers, in any order; this process writes them."""

SIZES = (32, 4096)
"""Shortest and longest side of an image in pixels."""


def generate(
    out: Path,
    settings: Settings,
    crew: Crew | int = 1,
    shard: Shard = WHOLE,
    progress: Callable[[int], None] | None = None,
) -> list[LabelledImage]:
    """Write the labelled images of some settings to a folder and return their labels.

    ``out/annotations.json`` holds the labels, ``out/images`` the pictures, ``out/manifest.json`` what they were made
    from; with ``keep_ground_truth`` ``out/truth`` holds masks, depth, body parts, joints, body and camera of each. A
    folder that an interrupted run of the same settings has left is completed. A ``shard`` is a part of the images, with
    the numbers, names and bytes that they have in the whole. ``crew`` is who works: so many processes of this machine,
    or something that makes samples elsewhere. ``progress`` is told how many images are done.

    Raises:
        RecipeError: the settings make no sense, or no draw shows enough of a body.
        ImageError: one of the user's pictures is no longer what it was when its folder was opened.
        StorageError: ``out`` holds something else, or cannot be written to.
        MissingExtra: the style's renderer needs a package that is not installed.
    """
    _check(settings, crew, shard)
    record = {**settings.to_json(), "shard": list(shard), "fidip": __version__}
    _claim(out, record, settings.keep_ground_truth)
    if not (out / ANNOTATIONS).exists():
        numbers = range(shard[0] - 1, settings.count, shard[1])
        missing = [number for number in numbers if not label_file(out, number).exists()]
        present = len(numbers) - len(missing)
        for done, _ in enumerate(_write_samples(out, settings, missing, crew), start=present + 1):
            if progress:
                progress(done)
        images = [image for number in numbers for image in read_coco(label_file(out, number))]
        write_json(out / MANIFEST, {"settings": record, **_manifest(images, settings)}, indent=2)
        write_coco(out / ANNOTATIONS, images)
    _discard_labels(out)
    return read_coco(out / ANNOTATIONS)


def _manifest(images: list[LabelledImage], settings: Settings) -> dict[str, Any]:
    """What a set was made from, and how many draws were refused for which reason."""
    refused: Counter[str] = Counter()
    for image in images:
        refused.update(image.extras[REFUSED])
    return {
        "images": len(images),
        "postures": dict(sorted(Counter(image.posture for image in images if image.posture).items())),
        REFUSED: dict(refused.most_common()),
        "assets": settings.body.hashes(),
        "versions": {"fidip": __version__, **{name: version(name) for name in ("numpy", "torch")}},
    }


def _write_samples(out: Path, settings: Settings, numbers: list[int], crew: Crew | int) -> Iterator[int]:
    """Write the samples of these numbers; yields each as it is done."""
    if not numbers:
        return
    if not isinstance(crew, int):
        for encoded in crew(settings, numbers):
            write_encoded(out, encoded)
            yield encoded.number
        return
    renderer = RENDERERS[SCENE_STYLES[settings.style].renderer]()
    _warm_up(renderer)
    if min(crew, len(numbers)) == 1:
        with single_thread():
            body = settings.body.load()
            for number in numbers:
                write_encoded(out, encode_sample(settings, number, body, renderer))
                yield number
    else:
        yield from _write_in_parallel(out, settings, numbers, crew)


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
    body: BodyModel
    renderer: Renderer


_worker: list[_Worker] = []
"""The one of this process, once it is started."""


def _start_worker(out: Path, settings: Settings) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker.append(_Worker(out, settings, settings.body.load(), RENDERERS[SCENE_STYLES[settings.style].renderer]()))


def _work(number: int) -> tuple[int, FidipError | None]:
    """Write one sample; a user's mistake is handed back as its message, since not every error survives the way."""
    (worker,) = _worker
    try:
        write_encoded(worker.out, encode_sample(worker.settings, number, worker.body, worker.renderer))
    except StorageError as error:
        return number, StorageError(str(error))
    except FidipError as error:
        return number, FidipError(str(error))
    return number, None


def _warm_up(renderer: Renderer) -> None:
    """Compile and load the renderer once, before several processes would do so at the same time."""
    camera = Camera.looking_at(np.array([0.0, -1.0, 0.0]), np.zeros(3), (8, 8), 0.7)
    renderer(Scene((), camera, (), (1.0, 1.0, 1.0), np.zeros((8, 8, 3), np.uint8)), 0)


def _check(settings: Settings, crew: Crew | int, shard: Shard) -> None:
    if settings.style not in SCENE_STYLES:
        raise RecipeError(f"no scene style '{settings.style}'; choose one of {', '.join(SCENE_STYLES)}")
    if settings.count < 1:
        raise RecipeError(f"--count {settings.count}: at least one image is needed")
    if isinstance(crew, int) and crew < 1:
        raise RecipeError(f"--workers {crew}: at least one process is needed")
    if settings.seed < 0:
        raise RecipeError(f"--seed {settings.seed}: a seed is 0 or more")
    if not 1 <= shard[0] <= shard[1]:
        raise RecipeError(f"--shard {shard[0]}/{shard[1]}: give i/n with i from 1 to n")
    if settings.count < shard[0]:
        raise RecipeError(f"--shard {shard[0]}/{shard[1]}: of {settings.count} images none is left for it")
    _ = settings.scene_style  # are there infants of these ages?
    if not all(SIZES[0] <= side <= SIZES[1] for side in settings.size):
        width, height = settings.size
        raise RecipeError(f"--size {width}x{height}: each side must have {SIZES[0]} to {SIZES[1]} pixels")
    _check_body(settings)


def _check_body(settings: Settings) -> None:
    """Raise ``FidipError`` where fits or textures are for another body than the one that is to be shown."""
    body = settings.body.load()
    for folder in settings.pictures.bodies:
        check_texture_layout(body, folder.folder)
    if settings.fitted is not None:
        settings.fitted.check(settings.body)
    elif settings.body != BUNDLED:
        raise RecipeError(f"--body {settings.body.name}: it is shown in the poses of fits only; add --fits DIR")


def _claim(out: Path, record: dict[str, Any], keep_ground_truth: bool) -> None:
    """Make the folder, or make sure that what lies in it is a part of the same run."""
    if not (out / SETTINGS).exists():
        new_folder(out)
        write_json(out / SETTINGS, record)
    elif read_json(out / SETTINGS) != record:
        raise StorageError(
            f"{out}: holds images of other settings ({SETTINGS}); choose a new folder or delete this one"
        )
    try:
        for folder in (out / IMAGES, out / LABELS, *([out / TRUTH] if keep_ground_truth else [])):
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
