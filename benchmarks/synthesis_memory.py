"""Resident memory of the processes of ``fidip synth`` along a long run.

::

    python benchmarks/synthesis_memory.py --json benchmarks/results/synthesis_memory.json
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fidip.files import write_json
from fidip.synthesis.generate import generate
from fidip.synthesis.sample import Settings

EVERY = 250


def resident_megabytes() -> list[int]:
    """Of this process's children that render, the largest first; Linux only."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            lines = Path(f"/proc/{child}/status").read_text().splitlines()
            found += [int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS")]
    return sorted(found, reverse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--style", default="infant-photo")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    measured: list[list[int]] = []

    def watch(done: int) -> None:
        if done % EVERY == 0:
            measured.append([done, *resident_megabytes()[: given.workers]])
            print(*measured[-1], flush=True)

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(given.style, given.count, (given.size, given.size), seed=2)
        generate(Path(folder) / "set", settings, given.workers, progress=watch)
    report: dict[str, Any] = {
        "style": given.style,
        "count": given.count,
        "size": given.size,
        "workers": given.workers,
        "machine": platform.platform(),
        "versions": {name: version(name) for name in ("fidip", "warp-lang", "torch", "numpy")},
        "images_and_megabytes_of_each_worker": measured,
    }
    if given.json:
        write_json(given.json, report, indent=2)


if __name__ == "__main__":
    main()
