"""Train the networks that come with the package, and put them there.

::

    python benchmarks/embedded_networks.py adult --out runs/adult-small
    python benchmarks/embedded_networks.py infant --out runs/infant-small

Each renders people with seeds that nothing else uses and trains the recipe of the network's name on them; killed and
started again it goes on where it stood. The weights are stored in half precision with a card that says how they came
about; the figures in it are those of the stored file, on people rendered for that alone. It trains on one numeric
thread, so that the weights do not depend on the number of cores.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import fidip.networks
from fidip.evaluation.average_precision import evaluate
from fidip.images import read_image
from fidip.inference.predictor import Predictor
from fidip.networks.weights import load_pose_net, save_pose_net
from fidip.recipes import RECIPES
from fidip.studies.cells import steps_seconds
from fidip.studies.demo import AREA, IMAGE_SIZE
from fidip.studies.sets import RenderedSet, render, standing_for_real
from fidip.training.inputs import Inputs, LabelledSet
from fidip.training.resuming import SUMMARY
from fidip.training.run import train

EMBEDDED = Path(fidip.networks.__file__).parent / "embedded"
ADULTS = {
    "real": RenderedSet("adult-photo", 3000, 8_000_001),
    "synthetic": RenderedSet("adult-flat", 3000, 8_000_002),
    "validation": RenderedSet("adult-photo", 200, 8_000_003),
}
INFANTS = {
    "photo": RenderedSet("infant-photo", 3000, 8_100_001),
    "monitor": RenderedSet("infant-monitor", 1200, 8_100_002),
    "synthetic": RenderedSet("infant-flat", 1500, 8_100_003),
    "test": RenderedSet("infant-photo", 500, 8_100_004),
    "test-monitor": RenderedSet("infant-monitor", 500, 8_100_005),
}


def adult(out: Path, workers: int) -> dict[str, Any]:
    """Train the source network of the demo on rendered adults."""
    files = render(out, ADULTS, IMAGE_SIZE, workers, lambda *_: None)
    sets = {part: LabelledSet.read(file) for part, file in files.items()}
    facts = _train("adult-small", Inputs(**sets), out / "run") | {"data": _told(ADULTS)}
    description = "Adults, rendered: the source network that the demo adapts to infants. It has seen no photograph."
    tests = {"adults by day": sets["validation"]}
    return embed(out / "run" / "best.safetensors", "adult-small", description, facts, tests)


def infant(out: Path, workers: int) -> dict[str, Any]:
    """Train a network for infants by day and night: adult-small learns infants of every kind."""
    files = render(out, INFANTS, IMAGE_SIZE, workers, lambda *_: None)
    sets = {part: LabelledSet.read(file) for part, file in files.items()}
    inputs = Inputs(
        real=joined(sets["photo"], sets["monitor"]), synthetic=sets["synthetic"], init="adult-small"
    )  # fmt: skip
    facts = _train("infant-small", inputs, out / "run") | {"data": _told(INFANTS)}
    description = "Infants, rendered, by day and by the infrared light of a night camera. It has seen no photograph."
    tests = {"infants by day": sets["test"], "infants before a baby monitor, mostly at night": sets["test-monitor"]}
    return embed(out / "run" / "best.safetensors", "infant-small", description, facts, tests)


def joined(first: LabelledSet, second: LabelledSet) -> LabelledSet:
    """Two sets as one; the images of the second get ids that the first does not have."""
    start = max(image.id for image in first.images)
    others = [replace(image, id=start + number) for number, image in enumerate(second.images, start=1)]
    return LabelledSet(first.file, [*first.images, *others], [*first.paths, *second.paths])


def _train(name: str, inputs: Inputs, run: Path) -> dict[str, Any]:
    with standing_for_real():  # rendered, in the place of real ones
        train(RECIPES[name], inputs, run, resume=True, watch=lambda _: None)
    summary = json.loads((run / SUMMARY).read_text(encoding="utf-8"))
    hours = steps_seconds(run) / 3600
    return {
        "recipe": name,
        "seed": RECIPES[name].seed,
        "chosen": summary["chosen"],
        "machine": summary["machine"],
        "hours": round(hours, 2),
    }


def _told(sets: Mapping[str, RenderedSet]) -> dict[str, str]:
    return {part: f"{one.count} of {one.style}, seed {one.seed}" for part, one in sets.items()}


def embed(
    weights: Path, name: str, description: str, facts: dict[str, Any], tests: Mapping[str, LabelledSet]
) -> dict[str, Any]:
    """Store weights in half precision under a name, with a card whose figures are measured on the stored file."""
    target = EMBEDDED / f"{name}.safetensors"
    target.parent.mkdir(exist_ok=True)
    net = load_pose_net(weights)
    net.card = replace(net.card, name=name, description=description, licence="Apache-2.0", training=facts)
    save_pose_net(net, target, half=True)
    figures = {title: measured(target, test) for title, test in tests.items()}
    net.card = replace(net.card, training={**facts, "figures": figures})
    save_pose_net(net, target, half=True)
    return {"file": target.name, "bytes": target.stat().st_size, **facts, "figures": figures}


def measured(weights: Path, test: LabelledSet) -> dict[str, Any]:
    """AP of stored weights, in boxes of the truth, with flip test."""
    predictor = Predictor.load(weights)
    found = {
        image.id: predictor(read_image(path), [person.box for person in image.people if person.box])
        for image, path in zip(test.images, test.paths, strict=True)
    }
    result = evaluate(test.images, found, area=AREA)
    return {"AP": round(result.AP, 4), "ci95": result.ci95, "area": result.area, "images": result.images}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=["adult", "infant"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    given = parser.parse_args()
    torch.set_num_threads(1)
    report = (infant if given.network == "infant" else adult)(given.out, given.workers)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
