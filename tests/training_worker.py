"""A short training in a process of its own, which is killed at random moments and resumed."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import torch
from safetensors.torch import load_file

from fidip.annotations import Domain
from fidip.files import read_json
from fidip.networks.weights import load_pose_net
from fidip.training.checkpoint import read_facts
from fidip.training.events import Event
from fidip.training.inputs import Inputs, LabelledSet
from fidip.training.recipe import Recipe
from fidip.training.run import train
from fidip.training.stages import StepRecord
from fidip.training.unlabelled import read_unlabelled
from figures import RECIPE, figure_set

SETS = {
    "r": (4, Domain.REAL, 0),
    "s": (8, Domain.SYNTHETIC, 0),
    "v": (4, Domain.REAL, 1),
    "ar": (4, Domain.REAL, 2),
    "as": (4, Domain.SYNTHETIC, 2),
}
"""Folders of drawn figures: how many, of which domain, from which seed."""


def draw_figures(folder: Path) -> None:
    """Everything that a run of all stages reads."""
    for name, (count, domain, seed) in SETS.items():
        figure_set(folder / name, count, domain, seed)


def inputs_in(folder: Path) -> Inputs:
    """The figures drawn in a folder."""
    sets = {name: LabelledSet.read(folder / name / "annotations.json") for name in SETS}
    return Inputs(sets["r"], sets["s"], sets["v"], (sets["ar"], sets["as"]))


def taught_inputs_in(folder: Path) -> Inputs:
    """The same for a teacher: some are photos without labels, some are adults to be retained."""
    inputs = inputs_in(folder)
    photos = read_unlabelled(folder / "ar" / "images")
    return replace(inputs, adults=None, unlabelled=photos, retain=LabelledSet.read(folder / "as" / "annotations.json"))


def train_and_kill(folder: Path, out: Path, kills: int, moments: Random, recipe: Recipe = RECIPE) -> None:
    """Train with a checkpoint after every step, ``kill -9`` the process so many times, and let it end.

    A process is killed a few hundredths of a second after one of its next steps: while it learns, writes or validates,
    however slow the machine is. The processes fork from one that has loaded torch, except on Windows, where each loads
    it anew.
    """
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    context.set_forkserver_preload(["training_worker"])
    while kills:
        killed = False
        steps, told = context.Pipe(duplex=False)
        worker = context.Process(target=_train, args=(folder, out, told, recipe))
        worker.start()
        told.close()
        try:
            for _ in range(moments.randint(1, 4)):
                steps.recv()
            time.sleep(moments.uniform(0, 0.06))
            worker.kill()
            killed = True
        except EOFError:  # it came to its end before
            pass
        worker.join()
        steps.close()
        if worker.exitcode == 0:
            shutil.rmtree(out)  # begin another run
        else:
            assert killed, f"the training failed with exit code {worker.exitcode}"
            _check_what_a_kill_left(out)
            kills -= 1
    worker = context.Process(target=_train, args=(folder, out, None, recipe))
    worker.start()
    worker.join()
    assert worker.exitcode == 0


def _check_what_a_kill_left(out: Path) -> None:
    """Every file under its own name is whole, whatever the process was at."""
    if (out / "checkpoint").exists():
        assert read_facts(out / "checkpoint")["journal"]
        assert load_file(out / "checkpoint")
    if (out / "best.safetensors").exists():
        load_pose_net(out / "best.safetensors")
    if (out / "best.json").exists():
        read_json(out / "best.json")


def _train(folder: Path, out: Path, told: Connection | None, recipe: Recipe) -> None:
    torch.set_num_threads(1)

    def tell(event: Event) -> None:
        if told is not None and isinstance(event, StepRecord):
            told.send(event.step)

    inputs = taught_inputs_in(folder) if recipe.learning == "mean-teacher" else inputs_in(folder)
    train(replace(recipe, save_every=1), inputs, out, resume=True, watch=tell)
