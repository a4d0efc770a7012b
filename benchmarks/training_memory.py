"""The memory of a training step: of every recipe as it is told beforehand, and told against measured.

::

    python benchmarks/training_memory.py --json benchmarks/results/training_memory.json

The first table is made on the meta device, for batches and sizes as the recipes have them. The second trains small
networks and batches on the CPU, each in a process of its own by the code of ``fidip train``, and compares the most
resident memory with what was told: that of the process above what it had before networks were built, when libraries
were loaded and the samples were there. Linux only. Blocks of 64 KiB and more are given back to the system when they are
freed (``MALLOC_MMAP_THRESHOLD_``), so that holes of the allocator are not counted.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training_samples import photos
from training_step import SEED, on_device, records_of, whole_steps

from fidip.data.augment import Augmentation
from fidip.files import read_json, write_json
from fidip.networks.card import NetworkCard
from fidip.networks.pose import PoseNet, build_pose_net
from fidip.networks.published import PUBLISHED
from fidip.recipes import RECIPES
from fidip.training.computing import PLAIN, Computing
from fidip.training.memory import step_memory
from fidip.training.provenance import machine, versions
from fidip.training.recipe import Recipe
from fidip.training.stages import Learners
from fidip.training.start import start_learners

CPU, META = torch.device("cpu"), torch.device("meta")
GIB, MIB = 2**30, 2**20
KINDS: dict[str, tuple[dict[str, bool], Computing]] = {
    "fp32": ({}, PLAIN),
    "fp32, Adam for each": ({"foreach": True}, PLAIN),
    "fp32, fused Adam": ({"fused": True}, PLAIN),
    "bf16, fused Adam": ({"fused": True}, Computing("bf16")),
}
"""How Adam is set, and whether layers multiply bf16 numbers. PyTorch's default: on a CPU the first, else the second."""

SMALL = RECIPES["adult-small"]

CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "Pose-ResNet-50 256x192": ("pose-resnet-50-256x192", {}, 8),
    "Pose-ResNet-50 256x192, Res1 to Res3 frozen, pooled classifier": (
        "pose-resnet-50-256x192",
        {"frozen": ("res1", "res2", "res3"), "classifier": "pooled", "domain_weight": 0.01},
        16,
    ),
    "HRNet-W32 256x192": ("hrnet-w32-256x192", {}, 4),
    "MobileNetV2 224x224": ("fidip-mobilenet-v2-224x224", {}, 16),
    "ViTPose-S 256x192": ("vitpose-s-256x192", {}, 16),
    "infant-small 128x128": ("", {}, 128),
}
"""What is measured: a published network (or the embedded one), what of the recipe differs, and the batch."""


def outlined(recipe: Recipe, card: NetworkCard, adam: dict[str, bool]) -> Learners:
    """The learners with which a run of a recipe starts, on the meta device."""
    with META:
        net = build_pose_net(card)
        net = PoseNet(net.backbone, net.head, replace(net.card, input_size=recipe.input_size or card.input_size))
        learners = start_learners(recipe, net, META)
    for optimizer in (learners.pose_optimizer, learners.domain_optimizer):
        if optimizer is not None:
            optimizer.defaults |= adam  # a fused one cannot be made on the meta device
    return learners


def card_of(recipe: Recipe) -> NetworkCard:
    """The network that a recipe builds or starts from."""
    if recipe.starts_from is not None:
        return PUBLISHED[recipe.starts_from]
    return recipe.network or SMALL.network  # type: ignore[return-value]  # infant-small goes on from adult-small


def told(recipe: Recipe, kinds: Iterable[str] = KINDS) -> dict[str, Any]:
    """What every stage of a recipe takes, in GiB."""
    stages = {"adapt": recipe.batch_size} | ({"pretrain": recipe.pretrain.batch_size} if recipe.pretrain else {})
    found: dict[str, Any] = {}
    for kind in kinds:
        adam, computing = KINDS[kind]
        learners = outlined(recipe, card_of(recipe), adam)
        for stage, batch in stages.items():
            memory = step_memory(learners, batch, pretrain=stage == "pretrain", computing=computing)
            found.setdefault(stage, {"batch": batch})[kind] = in_gib(asdict(memory))
    return found


def in_gib(sizes: dict[str, int]) -> dict[str, float]:
    return {name: round(size / GIB, 3) for name, size in sizes.items()}


def all_recipes(kinds: Iterable[str] = KINDS) -> dict[str, Any]:
    """One entry for recipes that take the same, be it without the others' pre-stage."""
    groups: dict[Any, list[Recipe]] = {}
    for recipe in RECIPES.values():
        network = recipe.starts_from or recipe.name
        second = recipe.learning if recipe.learning in ("regda", "mean-teacher") else recipe.classifier
        groups.setdefault((network, recipe.batch_size, second, recipe.frozen), []).append(recipe)
    found = {}
    for group in groups.values():
        longest = next((recipe for recipe in group if recipe.pretrain), group[0])
        found[", ".join(recipe.name for recipe in group)] = told(longest, kinds)
    return found


def as_table(recipes: dict[str, Any]) -> str:
    """The figures of all recipes for the documents, in GiB."""
    lines = ["| recipes | batch | networks, gradients, Adam | activations | at most | bf16: activations | at most |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for names, stages in recipes.items():
        for stage, found in stages.items():
            plain, half = found["fp32, fused Adam"], found["bf16, fused Adam"]
            held = plain["networks"] + plain["gradients"] + plain["moments"]
            title = ", ".join(f"`{name}`" for name in names.split(", ")) if stage == "adapt" else "the pre-stage"
            figures = [held, plain["activations"], plain["peak"], half["activations"], half["peak"]]
            lines += [f"| {title} | {found['batch']} | " + " | ".join(f"{value:.2f}" for value in figures) + " |"]
    return "\n".join(lines)


def case_recipe(name: str) -> Recipe:
    published, changes, batch = CASES[name]
    card = PUBLISHED[published] if published else SMALL.network
    plain = {"augmentation": Augmentation(), "synthetic_share": None, "steps_per_epoch": 100, "cosine": False}
    return replace(SMALL, network=card, batch_size=batch, **plain, **changes)


def measure(name: str, steps: int = 3) -> dict[str, int]:
    """Most resident bytes of the first steps above those before networks were built, in this process."""
    recipe = case_recipe(name)
    with tempfile.TemporaryDirectory() as folder:
        images = photos(Path(folder), 16, np.random.default_rng(SEED))
        people = (images, [Path(folder) / image.file_name for image in images])
        samples = on_device(recipe, people, CPU)
        narrow = replace(recipe, network=narrower(recipe.network), batch_size=2)
        next(records_of(*whole_steps(narrow, on_device(narrow, people, CPU), CPU), narrow, CPU))  # loads all libraries
    give_back()
    before = resident("VmRSS")
    learners, stage = whole_steps(recipe, samples, CPU)
    records = records_of(learners, stage, recipe, CPU)
    give_back()
    Path("/proc/self/clear_refs").write_text("5")  # the mark of the most begins anew
    for _ in range(steps):
        next(records)
    most = resident("VmHWM") - before
    return {"measured": most, "told": step_memory(learners, recipe.batch_size).peak}


def narrower(card: NetworkCard | None) -> NetworkCard:
    assert card is not None
    width = {"resnet-50": 8, "resnet-18": 8, "hrnet": 8, "mobilenet-v2": 0.35, "vit-12": 24}[card.backbone]
    return replace(card, width=width, head_width=32, input_size=(64, 64))


def give_back() -> None:
    """Free what nobody refers to, to the system."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)


def resident(kind: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) * 1024


def measured(repeats: int) -> dict[str, Any]:
    """All cases, each several times in processes of their own; the median."""
    found: dict[str, Any] = {}
    for name in CASES:
        runs = [in_own_process(name) for _ in range(repeats)]
        most, promised = statistics.median(run["measured"] for run in runs), runs[0]["told"]
        found[name] = {
            "batch": CASES[name][2],
            "told_mib": round(promised / MIB),
            "measured_mib": round(most / MIB),
            "measured_mib_from_to": [round(end(run["measured"] for run in runs) / MIB) for end in (min, max)],
            "told_to_measured": round(promised / most, 3),
        }
        print(name, found[name], flush=True)
    return found


def in_own_process(name: str) -> dict[str, int]:
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--case", name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", choices=CASES, help="measure this alone, here")
    parser.add_argument(
        "--told", action="store_true", help="print the table of recipes alone, and renew it alone in the file"
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.told:
        recipes = all_recipes()
        print(as_table(recipes))
        if given.json:
            write_json(given.json, read_json(given.json) | {"recipes": recipes}, indent=2)
        return
    if given.case:
        print(json.dumps(measure(given.case)))
        return
    recipes = all_recipes()
    print(as_table(recipes))
    report = {
        "what": "memory of a training step: of all recipes, told, in GiB; of small ones, told against measured",
        "recipes": recipes,
        "measured": measured(given.repeats),
        "seed": SEED,
        "repeats": given.repeats,
        "versions": versions(),
        "machine": machine(CPU),
    }
    if given.json:
        write_json(given.json, report, indent=2)


if __name__ == "__main__":
    main()
