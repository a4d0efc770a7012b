"""Train the networks that come with the package, and put them there.

::

    python benchmarks/embedded_networks.py adult --out runs/adult-small    # render adults, train, embed
    fidip demo --out runs/demo                                             # then its adapted network:
    python benchmarks/embedded_networks.py infant --demo runs/demo

The first renders adults of both kinds with seeds that nothing else uses and trains the recipe ``adult-small`` on them;
killed and started again it goes on where it stood. The weights are stored in half precision with a card that says how
they came about; the figures in it are those of the stored file. It trains on one numeric thread, so that the weights do
not depend on the number of cores.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import fidip.networks
from fidip.errors import DataWarning
from fidip.evaluation.average_precision import evaluate
from fidip.images import read_image
from fidip.inference.predictor import Predictor
from fidip.networks.weights import load_pose_net, save_pose_net
from fidip.recipes import RECIPES
from fidip.studies.demo import AREA, FULL, IMAGE_SIZE
from fidip.synthesis.generate import generate
from fidip.synthesis.sample import Settings
from fidip.training.inputs import Inputs, LabelledSet
from fidip.training.run import train

EMBEDDED = Path(fidip.networks.__file__).parent / "embedded"
ADULTS = {"real": ("adult-photo", 8_000_001), "synthetic": ("adult-flat", 8_000_002)}
HELD_OUT = ("adult-photo", 8_000_003, 200)


def adult(out: Path, count: int, workers: int) -> dict[str, Any]:
    """Train the source network of the demo on rendered adults."""
    for part, (style, seed) in ADULTS.items():
        generate(out / part, Settings(style, count, IMAGE_SIZE, seed), workers)
    style, seed, held_out = HELD_OUT
    generate(out / "validation", Settings(style, held_out, IMAGE_SIZE, seed), workers)
    sets = {part: LabelledSet.read(out / part / "annotations.json") for part in (*ADULTS, "validation")}
    recipe = RECIPES["adult-small"]
    warnings.filterwarnings("ignore", ".* say they are synthetic", DataWarning)  # rendered, in the place of real ones
    result = train(recipe, Inputs(**sets), out / "run", resume=True, watch=lambda _: None)
    facts = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "data": {part: f"{count} of {style}, seed {seed}" for part, (style, seed) in ADULTS.items()},
        "chosen": "the best AP on 200 held-out adults",
    }
    description = "Adults, rendered: the source network that the demo adapts to infants. It has seen no photograph."
    return embed(result.weights, "adult-small", description, facts, sets["validation"])


def infant(demo: Path) -> dict[str, Any]:
    """Ship the adapted network of a full demo."""
    settings = json.loads((demo / "demo.json").read_text(encoding="utf-8"))
    if settings["test"] != FULL.test or settings["steps_per_epoch"] != FULL.steps_per_epoch:
        raise SystemExit(f"{demo}: not a full demo; run it without --quick")
    summary = json.loads((demo / "arms" / "fidip" / "run" / "best.json").read_text(encoding="utf-8"))
    facts = {
        "recipe": summary["recipe"]["name"],
        "seed": settings["seed"],
        "data": settings,
        "chosen": summary["chosen"],
    }
    description = "Infants, rendered: adult-small adapted by FiDIP in the demo. It has seen no photograph."
    test = LabelledSet.read(demo / "data" / "test" / "annotations.json")
    return embed(demo / "arms" / "fidip" / "run" / "best.safetensors", "infant-small", description, facts, test)


def embed(weights: Path, name: str, description: str, facts: dict[str, Any], test: LabelledSet) -> dict[str, Any]:
    """Store weights in half precision under a name, with a card whose figures are measured on the stored file."""
    target = EMBEDDED / f"{name}.safetensors"
    target.parent.mkdir(exist_ok=True)
    net = load_pose_net(weights)
    net.card = replace(net.card, name=name, description=description, licence="Apache-2.0", training=facts)
    save_pose_net(net, target, half=True)
    predictor = Predictor.load(target)
    found = {
        image.id: predictor(read_image(path), [person.box for person in image.people if person.box])
        for image, path in zip(test.images, test.paths, strict=True)
    }
    result = evaluate(test.images, found, area=AREA)
    figures = {"AP": round(result.AP, 4), "ci95": result.ci95, "area": result.area, "images": result.images}
    net.card = replace(net.card, training={**facts, "figures": figures})
    save_pose_net(net, target, half=True)
    return {"file": target.name, "bytes": target.stat().st_size, **facts, "figures": figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("adult")
    one.add_argument("--out", type=Path, default=Path("runs/adult-small"))
    one.add_argument("--count", type=int, default=3000, help="adults of each kind")
    one.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    two = commands.add_parser("infant")
    two.add_argument("--demo", type=Path, default=Path("runs/demo"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    report = infant(given.demo) if given.command == "infant" else adult(given.out, given.count, given.workers)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
