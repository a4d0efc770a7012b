"""Labelled images per second from ``fidip synth`` at its default quality, files included.

::

    python benchmarks/synthesis_speed.py --json benchmarks/results/synthesis_speed.json

Start-up (imports, asset bank, compiled kernels) is left out by timing from the first finished image on; the whole
run's time stands beside it.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

from fidip.files import write_json
from fidip.synthesis.generate import generate
from fidip.synthesis.sample import Settings

LARGE = 640
STYLES = ("infant-photo", "infant-flat", "adult-photo", "adult-flat")


def rate(style: str, count: int, side: int, workers: int) -> dict[str, float]:
    """Images per second of one style."""
    started, finished = perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(style, count, (side, side), seed=1)
        generate(Path(folder) / "set", settings, workers, progress=lambda _: finished.append(perf_counter()))
    first = min(2 * workers, count // 4)
    return {
        "images_per_second": round((count - first - 1) / (finished[-1] - finished[first]), 2),
        "whole_run_seconds": round(perf_counter() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    report: dict[str, Any] = {
        "count": given.count,
        "size": given.size,
        "workers": given.workers,
        "cores": os.cpu_count(),
        "machine": platform.platform(),
        "versions": {name: version(name) for name in ("fidip", "warp-lang", "torch", "numpy")},
        "styles": {style: rate(style, given.count, given.size, given.workers) for style in STYLES},
        "large": {"size": LARGE, "infant-photo": rate("infant-photo", given.count // 4, LARGE, given.workers)},
    }
    for style, numbers in [*report["styles"].items(), (f"infants {LARGE}²", report["large"]["infant-photo"])]:
        print(f"{style:14} {numbers['images_per_second']:6.2f} images/s, {numbers['whole_run_seconds']:.1f} s in all")
    if given.json:
        given.json.parent.mkdir(exist_ok=True)
        write_json(given.json, report, indent=2)


if __name__ == "__main__":
    main()
