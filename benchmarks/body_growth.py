"""How the bundled infants grow, beside the WHO Child Growth Standards: a table, a figure, and whether 5 % is kept.

::

    python benchmarks/body_growth.py --figure docs/images/body_growth.png --json benchmarks/results/body_growth.json

Needs the bundle alone. Crown to heel and head circumference are taken from the vertices in the reference pose, weight
is the volume inside the surface x 1.03 kg/l. Medians of drawn bodies stand beside the WHO medians, both sexes averaged.
"""

from __future__ import annotations

import argparse
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from growth_standards import DENSITY, WHO_MONTHS, head_circumference, who_median

from fidip.evaluation.plots import PALETTE, RESOLUTION, Figure
from fidip.files import sha256_of, write_json
from fidip.synthesis.bodies.anny import BUNDLE, AnnyBody

MONTHS = (0, 1, 2, 3, 4, 5, 6, 9, 12, 15, 18, 21, 24)
MEASURES = {"length": "length, cm", "weight": "weight, kg", "head": "head circumference, cm"}
ACCEPTED = 0.05


def measure(body: AnnyBody, month: float, count: int, generator: np.random.Generator) -> np.ndarray:  # (count, 3)
    """Length (cm), weight (kg), head circumference (cm) of infants of one age."""
    head = body.bone_weights("head") > 0.9
    eye = body.bone_names.index("eye.L")
    rows = []
    for _ in range(count):
        rest = body.rest(body.draw_shape(generator, "infant", months=(month, month))[0][None])
        vertices = rest.vertices[0].double().numpy()
        a, b, c = vertices[body.faces].transpose(1, 0, 2)
        volume = np.einsum("fi,fi->", a, np.cross(b, c)) / 6
        around = head_circumference(vertices[head], float(rest.joints[0, eye, 2]))
        rows.append((100 * np.ptp(vertices[:, 2]), DENSITY * volume, 100 * around))
    return np.array(rows)


def table(medians: np.ndarray, expected: np.ndarray) -> str:  # (M, 3) each
    lines = [f"| months | {' | '.join(MEASURES.values())} | largest difference |", "|---|---|---|---|---|"]
    for month, ours, theirs in zip(MONTHS, medians, expected, strict=True):
        cells = [f"{x:.{2 if name == 'weight' else 1}f} ({y:.{2 if name == 'weight' else 1}f})"
                 for name, x, y in zip(MEASURES, ours, theirs, strict=True)]  # fmt: skip
        lines.append(f"| {month} | {' | '.join(cells)} | {100 * np.abs(ours / theirs - 1).max():.1f} % |")
    return "\n".join(lines)


def draw(samples: np.ndarray, path: Path) -> None:  # (M, count, 3)
    figure = Figure(figsize=(9.6, 3.0), layout="constrained")
    for column, (axes, (name, label)) in enumerate(zip(figure.subplots(1, 3), MEASURES.items(), strict=True)):
        low, middle, high = np.percentile(samples[..., column], (10, 50, 90), axis=1)
        axes.fill_between(MONTHS, low, high, color=PALETTE[0], alpha=0.2, linewidth=0, label="drawn, 10 to 90 %")
        axes.plot(MONTHS, middle, color=PALETTE[0], linewidth=1.6, label="drawn, median")
        standard = [who_median(name, month) for month in WHO_MONTHS]
        axes.plot(WHO_MONTHS, standard, "o", color=PALETTE[1], markersize=3.5, label="WHO median")
        axes.set_title(label, fontsize=10)
        axes.set(xlabel="age in months", xticks=range(0, 25, 6))
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path, dpi=RESOLUTION, metadata={"Software": None})


def main() -> int:
    parser = argparse.ArgumentParser(description="How the bundled infants grow.")
    parser.add_argument("--count", type=int, default=200, help="bodies of each age")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, help="write a figure to this PNG")
    parser.add_argument("--json", type=Path, help="write the medians to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    body, generator = AnnyBody.load(), np.random.default_rng(options.seed)
    with torch.no_grad():
        samples = np.array([measure(body, month, options.count, generator) for month in MONTHS])
    medians = np.median(samples, axis=1)
    expected = np.array([[who_median(name, month) for name in MEASURES] for month in MONTHS])
    worst = float(np.abs(medians / expected - 1).max())
    print(table(medians, expected))
    print(f"largest difference {100 * worst:.1f} %, accepted {100 * ACCEPTED:.0f} %")
    if options.figure:
        draw(samples, options.figure)
    if options.json:
        write_json(
            options.json,
            {
                "bundle_sha256": sha256_of(BUNDLE),
                "seed": options.seed,
                "bodies_of_each_age": options.count,
                "months": list(MONTHS),
                "medians": {name: medians[:, i].round(3).tolist() for i, name in enumerate(MEASURES)},
                "who": {name: expected[:, i].round(3).tolist() for i, name in enumerate(MEASURES)},
                "largest_difference": round(worst, 4),
                "machine": platform.machine(),
                "python": platform.python_version(),
                "versions": {name: version(name) for name in ("numpy", "torch")},
            },
            indent=2,
        )
    return int(worst > ACCEPTED)


if __name__ == "__main__":
    sys.exit(main())
