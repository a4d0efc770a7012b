"""Crops per second through an embedded network, flip test and decoding included.

::

    python benchmarks/network_speed.py --name infant-small --threads 2 --json benchmarks/results/network_speed.json
"""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from fidip.files import write_json
from fidip.networks.estimation import estimate_keypoints
from fidip.networks.weights import load_pose_net

SECONDS = 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="infant-small")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    net = load_pose_net(given.name).eval()
    width, height = net.card.input_size
    rates = {}
    for batch in (1, 16):
        for flip_test in (False, True):
            images = torch.rand(batch, 3, height, width)
            estimate_keypoints(net, images, flip_test)
            done, started = 0, perf_counter()
            while perf_counter() - started < SECONDS:
                estimate_keypoints(net, images, flip_test)
                done += batch
            rates[f"batch {batch}, {'flip test' if flip_test else 'plain'}"] = round(
                done / (perf_counter() - started), 1
            )
    report: dict[str, Any] = {
        "network": given.name,
        "parameters": net.card.parameters,
        "input": [width, height],
        "threads": given.threads,
        "cores": os.cpu_count(),
        "machine": platform.platform(),
        "versions": {"fidip": version("fidip"), "torch": version("torch")},
        "crops_per_second": rates,
    }
    for name, value in rates.items():
        print(f"{name:22} {value:8.1f} crops/s")
    if given.json:
        given.json.parent.mkdir(exist_ok=True)
        write_json(given.json, report, indent=2)


if __name__ == "__main__":
    main()
