"""Crops a CPU second through a network at test time; what another layout and merged layers would give.

::

    python benchmarks/network_speed.py --json benchmarks/results/network_speed.json

First a network as ``Predictor`` has it, with decoding. Then the network alone, in turns in one process:
as it is built, with channels last (``fidip.networks.devices.lay_out``, what ``Predictor`` does), with convolutions and
batch norm merged, and with both. CPU seconds, medians; the difference is the largest of a heatmap, of its maximum.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fidip.files import write_json
from fidip.inference.predictor import Predictor
from fidip.networks.devices import lay_out
from fidip.networks.estimation import estimate_keypoints
from fidip.networks.pose import PoseNet, build_pose_net
from fidip.networks.published import PUBLISHED
from fidip.networks.weights import load_pose_net
from fidip.training.provenance import machine, versions

SECONDS = 3.0
NETWORKS = ("infant-small", "pose-resnet-50-256x192", "dark-hrnet-w32-256x192")
CPU = torch.device("cpu")


def network(name: str) -> PoseNet:
    """An embedded network, or a published one with random weights."""
    if name in PUBLISHED:
        return build_pose_net(PUBLISHED[name], torch.Generator().manual_seed(0)).eval()
    return load_pose_net(name).eval()


def last(net: PoseNet) -> PoseNet:
    copy = deepcopy(net)
    lay_out(copy, CPU)
    return copy


def merged(net: PoseNet) -> PoseNet:
    """A copy in which a convolution and the batch norm behind it are one layer."""
    copy = deepcopy(net)
    for parent in list(copy.modules()):
        children = list(parent.named_children())
        for (name, layer), (other, norm) in pairwise(children):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
                transposed = isinstance(layer, nn.ConvTranspose2d)
                setattr(parent, name, fuse_conv_bn_eval(layer, norm, transpose=transposed))
                setattr(parent, other, nn.Identity())
    return copy


def crops_a_cpu_second(net: PoseNet) -> dict[str, float]:
    width, height = net.card.input_size
    rates = {}
    for batch in (1, 16):
        for flip_test in (False, True):
            images = torch.rand(batch, 3, height, width)
            estimate_keypoints(net, images, flip_test)
            done, started = 0, process_time()
            while process_time() - started < SECONDS:
                estimate_keypoints(net, images, flip_test)
                done += batch
            kind = f"batch {batch}, {'flip test' if flip_test else 'plain'}"
            rates[kind] = round(done / (process_time() - started), 1)
    return rates


@torch.inference_mode()
def compare(net: PoseNet, batch: int, repeats: int) -> dict[str, Any]:
    width, height = net.card.input_size
    images = torch.rand(batch, 3, height, width)
    expected = net(images).heatmaps
    sides: dict[str, Callable[[torch.Tensor], Any]] = {
        "as built": net, "channels last": last(net), "merged": merged(net), "both": last(merged(net)),
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(repeats + 1):
        for name, side in sides.items():
            began = process_time()
            side(images)
            if number:
                seconds[name].append(process_time() - began)
    report: dict[str, Any] = {"batch": batch}
    for name, side in sides.items():
        apart = float((side(images).heatmaps - expected).abs().max() / expected.abs().max())
        ratio = statistics.median(a / b for a, b in zip(seconds["as built"], seconds[name], strict=True))
        milliseconds = 1e3 * statistics.median(seconds[name])
        report[name] = {
            "cpu_milliseconds": round(milliseconds, 2), "times_as_fast": round(ratio, 2), "difference": f"{apart:.0e}",
        }  # fmt: skip
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="infant-small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    net = Predictor.load(given.name).net
    report: dict[str, Any] = {
        "network": given.name,
        "parameters": net.card.parameters,
        "input": list(net.card.input_size),
        "crops_per_cpu_second": crops_a_cpu_second(net),
        "layouts": {name: [compare(network(name), batch, given.repeats) for batch in (1, 8)] for name in NETWORKS},
        "repeats": given.repeats,
        "versions": versions(),
        "machine": machine(CPU),
    }
    print(json.dumps(report, indent=2))
    if given.json:
        given.json.parent.mkdir(exist_ok=True)
        write_json(given.json, report, indent=2)


if __name__ == "__main__":
    main()
