"""The demo at several seeds: its table as mean, spread and every run, for ``docs/paper.md``.

::

    python benchmarks/demo_seeds.py --seeds 0 1 2 --out runs/seeds --json benchmarks/results/demo_seeds.json

Every seed renders its own training images and trains its own networks; the test images are the same. A seed that is
already there is read, so that killed runs go on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fidip.cli.output import plain
from fidip.evaluation.embedding import domain_probe
from fidip.evaluation.report import Table, to_markdown
from fidip.files import write_json
from fidip.studies.demo import FULL, DemoResult, demo_facts, run_demo


def measure(result: DemoResult) -> dict[str, Any]:
    """The numbers of one seed."""
    rows = {}
    for arm in result.arms:
        found, difference = result.evaluated[arm.name], result.differences.get(arm.name)
        with np.load(result.measured[arm.name].features, allow_pickle=False) as stored:
            features = np.concatenate([stored["real"], stored["synthetic"]])
            synthetic = np.arange(len(features)) >= len(stored["real"])
        ratios = [line["gradient_ratio"] for line in result.histories.get(arm.name, ()) if line["gradient_ratio"]]
        rows[arm.name] = {
            "title": arm.title,
            **found.to_json(),
            "control": arm.control,
            "difference": None if difference is None else [difference.observed, difference.low, difference.high],
            "linear_probe": domain_probe(features, synthetic, result.seed),
            "gradient_ratio": ratios,
        }
    return {"seed": result.seed, "facts": demo_facts(result), "networks": rows}


def summary(runs: list[dict[str, Any]]) -> Table:
    """Mean and standard deviation over the seeds, and the seeds themselves."""
    rows = []
    for name, first in runs[0]["networks"].items():
        of_arm = [run["networks"][name] for run in runs]
        ap = 100 * np.array([one["AP"] for one in of_arm])
        each = ", ".join(_interval((one["AP"], *one["ci95"]), "") for one in of_arm)
        differences = ", ".join(_interval(one["difference"], "+") for one in of_arm if one["difference"])
        probe = np.mean([one["linear_probe"] for one in of_arm])
        rows.append((first["title"], _spread(ap), each, differences, f"{100 * probe:.0f} %"))
    images = runs[0]["networks"]["source"]["images"]
    ratios = [ratio for run in runs for ratio in run["networks"]["fidip"]["gradient_ratio"]]
    caption = f"{len(runs)} seeds; AP by box area on {images} simulated-real infants; "
    caption += f"FiDIP's gradient ratio {min(ratios):.2f} to {max(ratios):.2f}."
    header = ("network", "AP, mean ± sd", "each seed (95 % interval)", "difference to its control", "linear probe")
    return Table(header, tuple(rows), caption)


def _interval(values: Sequence[float], sign: str) -> str:
    middle, low, high = (f"{100 * value:{sign}.1f}" for value in values)
    return f"{middle} ({low} to {high})"


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/seeds"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/demo_seeds.json"))
    given = parser.parse_args()
    runs = []
    for seed in given.seeds:
        runs.append(measure(run_demo(given.out / str(seed), seed, FULL, given.workers, lambda *_: None)))
        given.json.parent.mkdir(exist_ok=True)
        write_json(given.json, plain({"runs": runs}), indent=1)
        print(to_markdown(summary(runs)), flush=True)


if __name__ == "__main__":
    main()
