"""Share of drawn poses that pass every check, by population and posture, and of the same poses exaggerated.

::

    python benchmarks/pose_plausibility.py --json benchmarks/results/pose_plausibility.json

The exaggerated control turns every joint but the root 1.6 times as far; checks that let it pass would be worthless.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fidip.files import write_json
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.protocol import Population
from fidip.synthesis.habits import draw_habit
from fidip.synthesis.mending import lay_down
from fidip.synthesis.plausibility import reasons
from fidip.synthesis.poses import draw_pose
from fidip.synthesis.postures import POSTURES, YEARS, Posture

EXAGGERATION = np.float32(1.6)


def share(body: AnnyBody, population: Population, posture: Posture, count: int, stretch: np.float32) -> dict[str, Any]:
    """How many of ``count`` bodies pass, and what refuses the others."""
    generator, refused = np.random.default_rng(0), []
    for _ in range(count):
        shape = body.draw_shape(generator, population, YEARS.get((population, posture)))[0]
        pose = draw_habit(generator, body, shape, draw_pose(generator, posture, body, population))
        rotations = pose.rotations * stretch
        rotations[0] = pose.rotations[0]
        _, faults = lay_down(body, shape, replace(pose, rotations=rotations))
        if faults:
            refused.append(faults)
    return {
        "pass": round(1 - len(refused) / count, 3),
        "reasons": {reason: round(number / count, 3) for reason, number in reasons(refused).items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="bodies of each population and posture")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    body = AnnyBody.load()
    report: dict[str, Any] = {"count": given.count, "seed": 0}
    for population, postures in POSTURES.items():
        for posture in postures:
            drawn = share(body, population, posture, given.count, np.float32(1))
            wild = share(body, population, posture, given.count, EXAGGERATION)
            report[f"{population} {posture}"] = {"drawn": drawn, "exaggerated": wild}
            worst = ", ".join(f"{reason} {value:.0%}" for reason, value in list(drawn["reasons"].items())[:3])
            print(
                f"{population:7} {posture:9} {drawn['pass']:6.1%}, exaggerated {wild['pass']:6.1%}   {worst}",
                flush=True,
            )
    if given.json:
        write_json(given.json, report, indent=2)


if __name__ == "__main__":
    main()
