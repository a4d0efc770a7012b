"""The whole training step against the bare network, in turns in one process.

::

    python benchmarks/training_step.py --json benchmarks/results/training_step.json

A whole step is the code of ``fidip train``: draw, cut, encode, forward, backward, update. A bare one is forward,
backward and Adam of the same network on one batch that is there already. They take turns, so that both meet the same
disturbances. CPU seconds and wall seconds, medians; ratios are medians of the paired ones. ``training_gpu.py`` does it
on a GPU, against a loop of the published shape.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from training_samples import photos

from fidip.annotations import Domain, LabelledImage
from fidip.data.augment import make_batch
from fidip.data.samples import ResidentSamples, load_samples
from fidip.files import write_json
from fidip.networks.card import NetworkCard, published_pose_resnet
from fidip.networks.pose import PoseNet
from fidip.recipes import RECIPES
from fidip.training.loop import take_steps
from fidip.training.provenance import machine, versions
from fidip.training.recipe import Recipe
from fidip.training.schedule import Stage, lay_out, target_format, turns
from fidip.training.stages import Learners, StepRecord
from fidip.training.start import start_learners, start_network

SEED = 0
STEPS = 1000
"""Of an epoch, all of them full batches."""

People = tuple[list[LabelledImage], list[Path]]


def published_card(width: int = 64) -> NetworkCard:
    """Pose-ResNet-50 at 256x192; narrower for a trial."""
    return replace(published_pose_resnet(50, (192, 256)), width=width)


def recipes(card: NetworkCard, batch: int) -> dict[str, Recipe]:
    """What is timed, all without a classifier: on top of the network's own work only samples are needed."""
    here = {"batch_size": batch, "steps_per_epoch": STEPS, "synthetic_share": None}
    row_g = replace(RECIPES["table2-g"], network=card, starts_from=None, input_size=None, sigma=None, **here)
    alone = {"classifier": None, "pretrain": None, "domain_weight": 0.0, "domain_ramp": 0.0}
    small = replace(RECIPES["fidip-small"], network=RECIPES["adult-small"].network, backbone=None, **alone, **here)
    return {
        "Pose-ResNet-50 256x192, Res1 to Res3 frozen": row_g,
        "Pose-ResNet-50 256x192, everything learns": replace(row_g, frozen=()),
        "fidip-small 128x128, colours varied": small,
    }


def whole_steps(recipe: Recipe, samples: ResidentSamples, device: torch.device) -> tuple[Learners, Stage]:
    """The networks and the stage of a run, as ``fidip train`` makes them."""
    net = start_network(recipe, None)
    return start_learners(recipe, net, device, samples), lay_out(recipe, samples, None)[0]


def records_of(learners: Learners, stage: Stage, recipe: Recipe, device: torch.device) -> Iterator[StepRecord]:
    """One whole step whenever the next record is asked for."""
    return take_steps(stage.learn, learners, turns(stage, recipe, learners.pose_net.card, device, (0, 0)))


def bare_step(net: PoseNet, optimizer: torch.optim.Optimizer, images: Tensor, target: Tensor, weights: Tensor) -> None:
    """Forward, backward and update, as one writes them without this package."""
    net.train()
    loss = 0.5 * ((net(images).heatmaps - target) * weights[:, :, None, None]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def compare(recipe: Recipe, people: People, repeats: int, warmup: int = 2) -> dict[str, Any]:
    """Whole and bare steps in turns; who begins alternates."""
    cpu = torch.device("cpu")
    samples = on_device(recipe, people, cpu)
    learners, stage = whole_steps(recipe, samples, cpu)
    bare, _ = whole_steps(recipe, samples, cpu)
    card = learners.pose_net.card
    records = records_of(learners, stage, recipe, cpu)
    rng, indices = np.random.default_rng(SEED), np.arange(recipe.batch_size)
    batch = make_batch(samples, indices, target_format(card), recipe.augmentation, rng)
    sides: dict[str, Callable[[], object]] = {
        "whole": lambda: next(records),
        "bare": lambda: bare_step(bare.pose_net, bare.pose_optimizer, batch.images, batch.heatmaps, batch.weights),
        "samples": lambda: make_batch(samples, indices, target_format(card), recipe.augmentation, rng),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for number in range(warmup + repeats):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            began = (process_time(), perf_counter())
            sides[name]()
            took = (process_time() - began[0], perf_counter() - began[1])
            if number >= warmup:
                found[name].append(took)
    report: dict[str, Any] = {"batch": recipe.batch_size, "runs": repeats}
    for clock, kind in enumerate(("cpu", "wall")):
        medians = {name: statistics.median(pair[clock] for pair in pairs) for name, pairs in found.items()}
        paired = [whole[clock] / bare[clock] for whole, bare in zip(found["whole"], found["bare"], strict=True)]
        report[f"{kind}_seconds"] = {name: round(value, 4) for name, value in medians.items()}
        report[f"{kind}_ratio_whole_to_bare"] = round(statistics.median(paired), 4)
        report[f"{kind}_ratio_from_to"] = [round(min(paired), 4), round(max(paired), 4)]
    report["share_of_samples"] = round(report["cpu_seconds"]["samples"] / report["cpu_seconds"]["bare"], 4)
    return report


def on_device(recipe: Recipe, people: People, device: torch.device) -> ResidentSamples:
    """The people as a run keeps them on that device."""
    assert recipe.network is not None
    format = (recipe.network.input_size, recipe.network.affine)
    samples = load_samples(*people, Domain.REAL, format, recipe.augmentation.reach)
    return samples if device.type == "cpu" else samples.on(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--photos", type=int, default=64)
    parser.add_argument("--width", type=int, default=64, help="of the Pose-ResNet: less for a trial")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    found = {}
    with tempfile.TemporaryDirectory() as name:
        images = photos(Path(name), given.photos, np.random.default_rng(SEED))
        people = (images, [Path(name) / image.file_name for image in images])
        for title, recipe in recipes(published_card(given.width), given.batch).items():
            found[title] = compare(recipe, people, given.repeats)
            print(title, json.dumps(found[title], indent=2), flush=True)
    report = {
        "what": "a whole training step (draw, cut, encode, forward, backward, update) against the bare network",
        "cases": found,
        "seed": SEED,
        "photos": given.photos,
        "versions": versions(),
        "machine": machine(torch.device("cpu")),
    }
    if given.json:
        write_json(given.json, report, indent=2)


if __name__ == "__main__":
    main()
