"""A short training in a process of its own, which a test may kill at any moment."""

from __future__ import annotations

from pathlib import Path

from fidip.training.inputs import Inputs, LabelledSet
from fidip.training.run import train
from figures import RECIPE


def inputs_in(folder: Path) -> Inputs:
    """The figures that a test has drawn in a folder."""
    sets = {name: LabelledSet.read(folder / name / "annotations.json") for name in ("r", "s", "v", "ar", "as")}
    return Inputs(sets["r"], sets["s"], sets["v"], (sets["ar"], sets["as"]))


def short(folder: Path, out: Path) -> None:
    """Train, or go on training, with a checkpoint after every step."""
    import torch

    torch.set_num_threads(1)
    from dataclasses import replace

    train(replace(RECIPE, save_every=1), inputs_in(folder), out, resume=True)
