"""Images a second on a GPU, the share of its peak, and the ratio to a loop of the published shape, in one run.

::

    python benchmarks/training_gpu.py --batch 64 --json benchmarks/results/training_gpu.json

Ours is the code of ``fidip train`` at several precisions: resident samples, drawn and cut in batches. The published
shape is a DataLoader with 8 workers that decode, warp and draw targets with OpenCV and NumPy sample by sample, float32,
the TF32 setting stated. The published loop also computed an accuracy on the CPU in every step, and started its workers
anew every epoch; here it does not. The peak is that of a product of two bf16 matrices of 8192 rows, measured just
before. ``--device cpu`` with a small ``--width`` is a trial of the program, not of a machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from training_samples import photos, reference_sample
from training_step import SEED, People, on_device, published_card, recipes, records_of, whole_steps

from fidip.annotations import LabelledImage
from fidip.data.samples import ResidentSamples
from fidip.files import write_json
from fidip.networks.devices import find_device
from fidip.training.computing import Computing, Group, prepare
from fidip.training.parts import Pass
from fidip.training.provenance import machine, versions
from fidip.training.recipe import Recipe
from fidip.training.stages import StepRecord
from fidip.training.start import start_network

WORKERS = 8
PEAK_SIDE = 8192


@dataclass(frozen=True, slots=True)
class Precision:
    """How numbers are multiplied."""

    tf32: bool = False
    bf16: bool = False
    compiled: bool = False


PRECISIONS = {
    "fp32, TF32 off": Precision(),
    "fp32, TF32 on": Precision(tf32=True),
    "bf16": Precision(tf32=True, bf16=True),
    "bf16, compiled": Precision(tf32=True, bf16=True, compiled=True),
}


class PublishedSamples(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """The published loaders' way: every sample is decoded, warped and drawn when it is asked for."""

    def __init__(self, images: list[LabelledImage], paths: list[Path], length: int) -> None:
        self.images, self.paths, self.length = images, paths, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        which = index % len(self.images)
        rng = np.random.default_rng(torch.initial_seed() % 2**32 + index)
        images, target, weights = reference_sample(self.paths[which], self.images[which].people[0], rng)
        return images, target, weights


def published_steps(recipe: Recipe, people: People, device: torch.device, workers: int) -> Iterator[float]:
    """One step of the published loop whenever the next loss is asked for.

    Frozen layers are in training mode there, and the loss is summed up joint by joint.
    """
    net = start_network(recipe, None).to(device)
    net.freeze(recipe.frozen, drifting_statistics=True)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=recipe.learning_rate)
    loader = DataLoader(
        PublishedSamples(*people, length=10**6), recipe.batch_size, shuffle=True, num_workers=workers,
        pin_memory=device.type == "cuda", multiprocessing_context="spawn" if workers else None,
    )  # fmt: skip
    net.train()
    for loaded in loader:
        images, target, weights = (part.to(device, non_blocking=True) for part in loaded)
        heatmaps = net.head(net.backbone(images)).flatten(2)  # the loader has normalised
        aims, loss = target.flatten(2), torch.zeros((), device=device)
        for k in range(heatmaps.shape[1]):
            difference = heatmaps[:, k] * weights[:, k] - aims[:, k] * weights[:, k]
            loss = loss + 0.5 * difference.square().mean()
        loss = loss / heatmaps.shape[1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def compare(
    recipe: Recipe,
    people: People,
    device: torch.device,
    precisions: dict[str, Precision],
    *,
    repeats: int,
    steps: int,
    workers: int = WORKERS,
    peak_side: int = PEAK_SIDE,
) -> dict[str, Any]:
    """Images a second of this package and of the published shape, in turns of ``steps`` steps, medians."""
    peak = matrix_peak(device, peak_side)
    samples = on_device(recipe, people, device)
    operations = operations_of_a_step(recipe, samples, device)
    peak_memory(device)
    rates: dict[str, Any] = {}
    for name, precision in precisions.items():
        with multiplying(precision.tf32):
            ours = ours_at(precision, recipe, samples, device)
            theirs = published_steps(recipe, people, device, workers) if not precision.bf16 else None
            sides = {"ours": ours} | ({"published": theirs} if theirs else {})
            rates[name] = timed(sides, device, (repeats, 2 * workers, steps), recipe.batch_size)
            share = rates[name]["ours"] / recipe.batch_size * operations / peak
            rates[name] |= {"ours_share_of_bf16_peak": round(share, 4), "most_mib": peak_memory(device)}
            del ours, theirs, sides
        gc.collect()
    published = {name: found["published"] for name, found in rates.items() if "published" in found}
    ratios = {
        f"{name} to published {other}": round(found["ours"] / rate, 2)
        for name, found in rates.items()
        for other, rate in published.items()
    }
    return {
        "batch": recipe.batch_size,
        "runs": repeats,
        "steps_a_run": steps,
        "workers_of_the_published_loop": workers,
        "bf16_matrix_peak_tflops": round(peak / 1e12, 1),
        "tera_operations_a_step": round(operations / 1e12, 4),
        "images_a_second": rates,
        "ratios": ratios,
    }


def ours_at(
    precision: Precision, recipe: Recipe, samples: ResidentSamples, device: torch.device
) -> Iterator[StepRecord]:
    """Whole steps at a precision: the network alone computes in bf16; samples, losses and Adam stay in float32."""
    learners, stage = whole_steps(recipe, samples, device)
    computing = Computing("bf16" if precision.bf16 else "32", compile=precision.compiled)
    group = Group.start(computing, str(device))
    prepare(learners.pose_net, computing, group)
    return records_of(replace(learners, forward=Pass(group)), stage, recipe, device)


def timed(
    sides: dict[str, Iterator[Any]], device: torch.device, runs: tuple[int, int, int], batch: int
) -> dict[str, float]:
    """Images a second of each side, the median of runs that take turns; one run of each warms up.

    ``runs`` are how many, and the steps of each that are not timed and those that are: workers go on loading while the
    other side runs, and what they have ready then would flatter them.
    """
    repeats, before, steps = runs
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(repeats + 1):
        for name, side in sides.items():
            for _ in range(before):
                next(side)
            synchronise(device)
            began = perf_counter()
            for _ in range(steps):
                next(side)
            synchronise(device)
            if number:
                found[name].append(batch * steps / (perf_counter() - began))
    return {name: round(statistics.median(rates), 1) for name, rates in found.items()}


def matrix_peak(device: torch.device, side: int, repeats: int = 20) -> float:
    """Operations a second of a product of two square bf16 matrices: the fastest of several."""
    first, second = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(repeats):
        synchronise(device)
        began = perf_counter()
        first @ second
        synchronise(device)
        best = min(best, perf_counter() - began)
    return 2 * side**3 / best


def operations_of_a_step(recipe: Recipe, samples: ResidentSamples, device: torch.device) -> int:
    """Multiplications and additions of the matrices and convolutions of one step, forward and backward."""
    records = records_of(*whole_steps(recipe, samples, device), recipe, device)
    with FlopCounterMode(display=False) as counter:
        next(records)
    return int(counter.get_total_flops())


@contextmanager
def multiplying(tf32: bool) -> Iterator[None]:
    """Inside, float32 convolutions and matrices use TF32 or do not; cuDNN tries its algorithms, as published."""
    before = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> int | None:
    """Most MiB that were in use since the last question, both sides together."""
    if device.type != "cuda":
        return None
    most = torch.cuda.max_memory_allocated(device) // 2**20
    torch.cuda.reset_peak_memory_stats(device)
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30, help="of a run")
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--width", type=int, default=64, help="of the Pose-ResNet: less for a trial")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    device = find_device(given.device)
    chosen = recipes(published_card(given.width), given.batch)
    found = {}
    with tempfile.TemporaryDirectory() as name:
        images = photos(Path(name), given.photos, np.random.default_rng(SEED))
        people = (images, [Path(name) / image.file_name for image in images])
        for title, recipe in chosen.items():
            if recipe.network == published_card(given.width):  # the published loader's sizes
                found[title] = compare(recipe, people, device, PRECISIONS, repeats=given.repeats, steps=given.steps)
                print(title, json.dumps(found[title], indent=2), flush=True)
    report = {
        "what": "training: images a second and share of the bf16 matrix peak, against a loop of the published shape",
        "cases": found,
        "seed": SEED,
        "photos": given.photos,
        "versions": versions(),
        "machine": machine(device),
    }
    if given.json:
        write_json(given.json, report, indent=2)


if __name__ == "__main__":
    main()
