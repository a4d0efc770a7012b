"""How alike pictures look that are different, and copies of one, by what warns of a leak; and how long it takes.

::

    python benchmarks/likeness.py --json benchmarks/results/likeness.json

Rendered pictures of both renderers are compared each with each, and with copies of themselves: encoded anew, resized,
darkened, cut. Rates are of CPU time of one thread, on drawn photos of 640x480 as JPEG and as PNG.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from training_samples import photos

from fidip.data.leaks import ALIKE, SIDE, Pictures, alike_pictures, look_of
from fidip.files import sha256_of, write_json
from fidip.images import RGBImage, grey_thumbnail, read_image, write_image
from fidip.synthesis.generate import generate
from fidip.synthesis.sample import Settings
from fidip.training.provenance import machine, versions

SEED = 1
STYLES = ("infant-photo", "infant-flat")
CUT, DARK, QUALITY = 0.03, 0.5, 30
OLD, NEW = 20_000, 2_000
"""So many pictures are compared with so many others for the time that it takes."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What becomes of a picture, and how it is written."""

    change: Callable[[RGBImage], RGBImage]
    suffix: str = ".png"
    quality: int | None = None


def resized(scale: float) -> Copy:
    """The whole picture, with so many times as many pixels a side."""
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return Copy(lambda pixels: np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=kind), np.uint8))


def cut(pixels: RGBImage) -> RGBImage:
    """The picture without a margin on every side."""
    height, width = pixels.shape[:2]
    top, left = round(CUT * height), round(CUT * width)
    return pixels[top : height - top, left : width - left].copy()


COPIES = {
    f"JPEG of quality {QUALITY}": Copy(lambda pixels: pixels, ".jpg", QUALITY),
    "a quarter of the size": resized(0.25),
    "half the size": resized(0.5),
    "twice the size": resized(2.0),
    f"{DARK:g} times as bright": Copy(lambda pixels: np.rint(DARK * pixels).astype(np.uint8)),
    f"cut by {CUT:.0%} on all sides": Copy(cut),
}


def looks_of(paths: list[Path]) -> NDArray[np.float32]:  # (N, D)
    """What is compared of each file."""
    return np.stack([look_of(grey_thumbnail(path, SIDE)) for path in paths])


def likeness(paths: list[Path], folder: Path) -> dict[str, Any]:
    """Correlations of all pairs of different pictures, and of every picture with each of its copies."""
    looks = looks_of(paths)
    different = (looks @ looks.T)[np.triu_indices(len(paths), 1)]
    report: dict[str, Any] = {
        "different": {
            "pairs": len(different),
            "most": round(float(different.max()), 4),
            "quantile_0.999": round(float(np.quantile(different, 0.999)), 4),
            "found": int((different >= ALIKE).sum()),
        },
        "copies": {},
    }
    pictures = [read_image(path) for path in paths]
    for number, (name, copy) in enumerate(COPIES.items()):
        copies = [folder / f"{number}-{n}{copy.suffix}" for n in range(len(pictures))]
        for file, picture in zip(copies, pictures, strict=True):
            write_image(file, copy.change(picture), copy.quality)
        same = (looks * looks_of(copies)).sum(axis=1)
        report["copies"][name] = {
            "least": round(float(same.min()), 4),
            "median": round(float(np.median(same)), 4),
            "found": int((same >= ALIKE).sum()),
        }
    return report


def rate(act: Callable[[Path], object], files: list[Path], least: float) -> float:
    """Files a CPU second, over at least so many CPU seconds."""
    act(files[0])
    began, done = process_time(), 0
    while process_time() - began < least:
        for file in files:
            act(file)
        done += len(files)
    return round(done / (process_time() - began), 1)


def rates(folder: Path, count: int, least: float) -> dict[str, Any]:
    """How many files are read in a second, and how long the comparison takes."""
    jpeg = [folder / image.file_name for image in photos(folder, count, np.random.default_rng(SEED))]
    png = [file.with_suffix(".png") for file in jpeg]
    for source, target in zip(jpeg, png, strict=True):
        write_image(target, read_image(source))

    def hash_and_look(file: Path) -> None:
        sha256_of(file)
        look_of(grey_thumbnail(file, SIDE))

    rng = np.random.default_rng(SEED)
    old, new = (strangers(number, rng, name) for number, name in ((OLD, "old"), (NEW, "new")))
    began = process_time()
    alike_pictures(old, new)
    took = process_time() - began
    return {
        "jpeg_640x480_hash": rate(sha256_of, jpeg, least),
        "jpeg_640x480_hash_and_look": rate(hash_and_look, jpeg, least),
        "jpeg_640x480_decoded": rate(read_image, jpeg, least),
        "png_640x480_hash_and_look": rate(hash_and_look, png, least),
        "comparison": {"pictures": NEW, "with": OLD, "cpu_seconds": round(took, 3)},
    }


def strangers(count: int, rng: np.random.Generator, name: str) -> Pictures:
    """Looks of pictures of noise."""
    looks = rng.normal(size=(count, 2 * SIDE * (SIDE - 1))).astype(np.float32)
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    names = tuple(f"{name}-{n}" for n in range(count))
    return Pictures(tuple(map(Path, names)), names, looks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=150, help="pictures of each renderer")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU time for each rate")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder, paths = Path(name), []
        for style in STYLES:
            generate(folder / style, Settings(style, given.count, (given.size, given.size), SEED), given.workers)
            paths += sorted((folder / style / "images").iterdir())
        (folder / "photos").mkdir()
        report = {
            "what": "correlation of small grey copies, of different pictures and of copies; files a CPU second",
            "count": len(paths),
            "size": given.size,
            "styles": STYLES,
            "threshold": ALIKE,
            **likeness(paths, folder),
            "rates_per_cpu_second": rates(folder / "photos", given.photos, given.seconds),
            "seed": SEED,
            "cores": os.cpu_count(),
            "versions": versions(),
            "machine": machine(torch.device("cpu")),
        }
    for kind, figures in [("different pictures", report["different"]), *report["copies"].items()]:
        print(f"{kind:24} {figures}")
    print(report["rates_per_cpu_second"])
    if given.json:
        write_json(given.json, report, indent=2)


if __name__ == "__main__":
    main()
