"""``fidip synth``: labelled images of synthetic people."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fidip.errors import RecipeError

STYLES = {"flat": "flat", "raycast": "photo"}
"""What the scenes of a renderer are called."""


def synth(
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")],
    *,
    count: int,
    population: Literal["infant", "adult"] = "infant",
    renderer: Literal["flat", "raycast"] = "raycast",
    size: Annotated[str, tyro.conf.arg(metavar="PX|WxH")] = "256",
    seed: int = 0,
    workers: int = 1,
    keep_ground_truth: bool = False,
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Make labelled images of synthetic infants or adults: OUT/annotations.json and OUT/images.

    The same options and seed give the same bytes, whatever the number of workers. The same command on a folder that an
    interrupted run has left completes it.

    Args:
        out: A new folder.
        count: How many images.
        population: Whom the images show.
        renderer: flat puts unlit bodies before pictures, as the published pipeline did; raycast makes lit rooms with
            soft shadows, seen through a camera's sensor (simulated real images; needs the extra "synthesis").
        size: Width and height in pixels, or one number for both.
        seed: Decides everything random.
        workers: Processes.
        keep_ground_truth: Also write depth, body parts, joints and body parameters of each image to OUT/truth.
        json: Also write what was made, and how fast, to this file.
    """
    from fidip.cli.output import write_report
    from fidip.cli.progress import bar
    from fidip.synthesis.generate import generate

    start = time.perf_counter()
    with bar("rendering", count) as show:
        images = generate(
            out, count, f"{population}-{STYLES[renderer]}", parse_size(size), seed, workers,
            keep_ground_truth=keep_ground_truth, progress=show,
        )  # fmt: skip
    seconds = time.perf_counter() - start
    print(f"{len(images)} images in {out}: annotations.json and images/")
    report = {
        "out": out,
        "annotations": out / "annotations.json",
        "images": len(images),
        "people": sum(len(image.people) for image in images),
        "visible_keypoints": sum(
            int((person.keypoints[:, 2] == 2).sum()) for image in images for person in image.people
        ),
        "population": population,
        "renderer": renderer,
        "seed": seed,
        "seconds": round(seconds, 3),
    }
    write_report(json, report)


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of ``256`` or ``640x480``. Raises ``RecipeError``."""
    match = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text.strip().lower())
    if match is None:
        raise RecipeError(f"--size {text}: give pixels such as 256, or width and height such as 640x480")
    width = int(match[1])
    return width, int(match[2]) if match[2] else width
