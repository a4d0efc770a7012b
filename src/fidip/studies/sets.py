"""Rendered sets in the place of real ones: how they come to be and are read."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fidip.errors import DataWarning, StorageError
from fidip.files import output_folder, read_json, write_json
from fidip.geometry import Size
from fidip.synthesis.generate import generate
from fidip.synthesis.sample import Settings

WORTH_A_POOL = 24
"""Images: fewer are rendered sooner in this process than others take to start. The bytes are the same."""

Watch = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class RenderedSet:
    """What to render: a style of scenes, how many, and a seed that no other set has, so that no body is drawn twice."""

    style: str
    count: int
    seed: int


def render(out: Path, sets: Mapping[str, RenderedSet], size: Size, workers: int, watch: Watch) -> dict[str, Path]:
    """Render each set once, into a folder of its name, and return the annotation files."""
    total, before = sum(one.count for one in sets.values()), 0
    for name, one in sets.items():

        def show(done: int, before: int = before) -> None:
            watch("rendering", before + done, total)

        processes = workers if one.count > WORTH_A_POOL else 1
        generate(out / name, Settings(one.style, one.count, size, one.seed), processes, progress=show)
        before += one.count
    return {name: out / name / "annotations.json" for name in sets}


def claim(out: Path, name: str, settings: Mapping[str, Any], kind: str) -> None:
    """Make ``out`` the folder of one experiment: ``name`` in it holds what decides every number.

    Raises:
        StorageError: it holds something else, or the experiment with other settings, or cannot be written to.
    """
    file = out / name
    if not file.exists():
        if any(output_folder(out).iterdir()):
            raise StorageError(f"{out}: not empty and not a {kind}'s folder; choose another --out")
        write_json(file, settings)
    elif read_json(file) != settings:
        raise StorageError(f"{out}: holds a {kind} with other settings; choose another --out, or delete it")


@contextmanager
def standing_for_real() -> Iterator[None]:
    """No warning that simulated-real images say they are rendered: they stand for real ones all the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* say they are synthetic", DataWarning)
        yield
