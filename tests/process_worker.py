"""What each process does that ``torchrun`` starts for a test: every method on drawn figures, or a run that is left."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch

from fidip.training.computing import Computing, process_number
from fidip.training.inputs import Inputs, LabelledSet
from fidip.training.recipe import Recipe
from fidip.training.run import train
from fidip.training.stages import StepRecord
from fidip.training.teacher import MeanTeacher
from fidip.training.unlabelled import read_unlabelled
from figures import RECIPE, SUPERVISED

STEPS = 20
JUDGED = replace(RECIPE, epochs=1, steps_per_epoch=STEPS, batch_size=6, keep_statistics=True, pretrain=None)
PLAIN = replace(JUDGED, classifier=None, domain_weight=0.05)
RECIPES: dict[str, Recipe] = {
    "fidip": replace(JUDGED, pretrain=RECIPE.pretrain, synthetic_share=0.5),
    "fine-tune": replace(PLAIN, domain_weight=0.0, frozen=("res1", "res2")),
    "mmd": replace(PLAIN, method="mmd", domain_weight=0.0, domain_share=0.3),
    "regda": replace(PLAIN, method="regda"),
    "mean-teacher": replace(PLAIN, method="mean-teacher", teacher=MeanTeacher(decay=0.9, confidence=0.01)),
}
LEARNING = replace(SUPERVISED, epochs=2, save_every=2)
"""Batch norm learns, and the last batch of an epoch is a rest."""

ONE_STEP = replace(SUPERVISED, epochs=1, steps_per_epoch=1)


def inputs_in(folder: Path, recipe: Recipe) -> Inputs:
    sets = {name: LabelledSet.read(folder / name / "annotations.json") for name in ("r", "s", "v", "ar", "as")}
    taught = recipe.learning == "mean-teacher"
    return Inputs(
        sets["r"], sets["s"], sets["v"],
        (sets["ar"], sets["as"]) if recipe.pretrain else None,
        init=str(folder / "start.safetensors"),
        unlabelled=read_unlabelled(folder / "film" / "images") if taught else None,
    )  # fmt: skip


def records_of(recipe: Recipe, folder: Path, out: Path, computing: Computing = Computing()) -> list[StepRecord]:  # noqa: B008
    records: list[StepRecord] = []

    def watch(event: object) -> None:
        if isinstance(event, StepRecord):
            records.append(event)

    train(recipe, inputs_in(folder, recipe), out, watch=watch, computing=computing)
    return records


def every_method(folder: Path, out: Path) -> None:
    told = {name: records_of(recipe, folder, out / name) for name, recipe in RECIPES.items()}
    told["fidip in parts"] = records_of(RECIPES["fidip"], folder, out / "parts", Computing(accumulate=2))
    records_of(ONE_STEP, folder, out / "one-step")
    learn(folder, out / "learning")
    if process_number() == 0:
        lines = {name: [asdict(record) for record in records] for name, records in told.items()}
        (out / "records.json").write_text(json.dumps(lines))


def learn(folder: Path, out: Path, left_by: int | None = None) -> None:
    """One run, resumed if there is one; the process ``left_by`` is killed at the fourth step."""
    from fidip.training import run

    original, seen = run.turns, []

    def turns(*arguments):
        for turn in original(*arguments):
            seen.append(turn)
            if process_number() == left_by and len(seen) == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            yield turn

    run.turns = turns
    recipe = LEARNING
    train(recipe, inputs_in(folder, recipe), out, resume=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    task, folder, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if task == "methods":
        every_method(folder, out)
    else:
        learn(folder, out, 1 if task == "left" else None)
