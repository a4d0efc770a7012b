"""What ``torch.compile`` does for a training step on the CPU: time, and how far the results are apart.

::

    python benchmarks/training_compile.py --json benchmarks/results/training_compile.json

The step is forward, backward and Adam of Pose-ResNet-50 at 256x192 with random weights and channels last, on one batch
that is there already. Plain and compiled steps take turns in one process; who begins alternates. CPU seconds, medians.
Both start from the same weights; the differences are those of the first heatmaps and of the first gradient, whatever
parameter it is worst for. Another layout of the weights in memory, which changes the order of sums alone, is their
measure: random weights in many layers magnify the last bit. It needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import torch
from training_step import SEED, bare_step, published_card

from fidip.files import write_json
from fidip.networks.devices import lay_out
from fidip.networks.pose import PoseNet, build_pose_net
from fidip.training.provenance import machine, versions

CPU = torch.device("cpu")


def learner(width: int, frozen: tuple[str, ...], last: bool = True) -> tuple[PoseNet, torch.optim.Adam]:
    net = build_pose_net(published_card(width), torch.Generator().manual_seed(SEED)).train()
    generator = torch.Generator().manual_seed(SEED)
    torch.nn.init.normal_(net.head.get_submodule("final_layer").weight, std=0.1, generator=generator)
    net.freeze(frozen)
    if last:
        lay_out(net, CPU)
    return net, torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-3)


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-12))


def gradients_of(net: PoseNet, images: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The heatmaps, and the gradient of each learning parameter."""
    heatmaps = net(images).heatmaps
    loss = 0.5 * (heatmaps - target).square().mean()
    return heatmaps.detach(), *torch.autograd.grad(loss, [p for p in net.parameters() if p.requires_grad])


def differences(ones: tuple[torch.Tensor, ...], others: tuple[torch.Tensor, ...]) -> dict[str, str]:
    heatmaps, *gradients = map(apart, ones, others)
    return {"heatmaps": f"{heatmaps:.0e}", "worst_gradient": f"{max(gradients):.0e}"}


def compare(width: int, batch: int, repeats: int, frozen: tuple[str, ...]) -> dict[str, Any]:
    """Seconds of both sides, seconds of compiling, and differences relative to the largest number of each tensor."""
    torch.manual_seed(SEED)
    images, target = torch.rand(batch, 3, 256, 192), torch.rand(batch, 17, 64, 48)
    weights = torch.ones(batch, 17)
    sides = {name: learner(width, frozen) for name in ("plain", "compiled")}
    for part in (sides["compiled"][0].backbone, sides["compiled"][0].head):
        part.compile()
    first, seen = {}, {"layout": gradients_of(learner(width, frozen, last=False)[0], images, target)}
    for name, (net, optimizer) in sides.items():
        began = perf_counter()
        seen[name] = gradients_of(net, images, target)
        bare_step(net, optimizer, images, target, weights)
        first[name] = round(perf_counter() - began, 1)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(repeats + 1):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            began = process_time()
            bare_step(*sides[name], images, target, weights)
            if number:
                seconds[name].append(process_time() - began)
    paired = [plain / compiled for plain, compiled in zip(seconds["plain"], seconds["compiled"], strict=True)]
    return {
        "batch": batch,
        "runs": repeats,
        "cpu_seconds": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
        "times_as_fast": round(statistics.median(paired), 3),
        "from_to": [round(min(paired), 3), round(max(paired), 3)],
        "first_two_passes_wall_seconds": first,
        "difference_of_compiling": differences(seen["compiled"], seen["plain"]),
        "difference_of_layout_alone": differences(seen["layout"], seen["plain"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--width", type=int, default=64, help="of the Pose-ResNet: less for a trial")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    report = {
        "what": "forward, backward and Adam of Pose-ResNet-50 at 256x192, compiled against plain, one CPU thread",
        "everything learns": compare(given.width, given.batch, given.repeats, ()),
        "Res1 to Res3 frozen": compare(given.width, given.batch, given.repeats, ("res1", "res2", "res3")),
        "seed": SEED,
        "versions": versions(),
        "machine": machine(CPU),
    }
    print(json.dumps(report, indent=2))
    if given.json:
        write_json(given.json, report, indent=2)


if __name__ == "__main__":
    main()
