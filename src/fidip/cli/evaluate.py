"""``fidip evaluate``: how well predicted poses fit the labelled ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from fidip.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

    from fidip.evaluation.average_precision import EvaluationResult
    from fidip.evaluation.statistics import PairedDifference


def evaluate(
    truth: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TRUTH.json")],
    results: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS.json")],
    *,
    area: Literal["file", "bbox", "0.53bbox"] | None = None,
    against: Annotated[Path | None, tyro.conf.arg(metavar="OTHERS.json")] = None,
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Measure predicted poses by COCO's keypoint AP and AR, with a 95 % interval.

    Args:
        truth: A COCO keypoint file with the labelled people.
        results: A COCO result file with the predicted people of the same images.
        area: What OKS divides by: the file's own areas, the area of the box, or 0.53 times that. Without it the file's
            areas are taken if they can be believed, else the boxes'.
        against: Results of another network on the same images: AP of the first less AP of these is told with its
            interval, both on the same resamples.
        json: Also write the numbers to this file, as fractions of 1.
    """
    import warnings
    from dataclasses import asdict

    import numpy as np
    from rich.console import Console

    from fidip.cli.output import write_report
    from fidip.coco import PERSON, person_categories, read_coco, read_results
    from fidip.errors import DataWarning
    from fidip.evaluation import average_precision
    from fidip.evaluation.statistics import paired_difference

    images, categories = read_coco(truth), person_categories(truth) | {PERSON}

    def evaluated(file: Path) -> EvaluationResult:
        predictions = read_results(file, images, categories=categories)
        try:
            return average_precision.evaluate(images, predictions, area=area)
        except DataError as error:
            raise DataError({"truth": truth}.get(error.file, file), error.where, error.problem) from error

    result = evaluated(results)
    report = result.to_json()
    Console().print(_table(result))
    if against is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*OKS uses the area policy", DataWarning)  # told of the first results
            other = evaluated(against)
        difference = paired_difference(result, other, np.random.default_rng(0))
        print(f"against {against}: AP {_percent(other.AP)}, {_difference(difference)}")
        report["against"] = other.to_json() | {"difference": None if difference is None else asdict(difference)}
    write_report(json, report)


def _table(result: EvaluationResult) -> Table:
    from rich.table import Table

    interval = "undefined" if result.ci95 is None else " to ".join(map(_percent, result.ci95))
    table = Table(
        title=f"keypoint AP and AR in %, area policy {result.area}",
        caption=f"AP {_percent(result.AP)}, 95 % interval {interval}; images {result.images}, people {result.people}",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("")
    for name in ("OKS .50:.95", "OKS .50", "OKS .75", "medium", "large"):
        table.add_column(name, justify="right")
    precision = (result.AP, result.AP50, result.AP75, result.AP_medium, result.AP_large)
    recall = (result.AR, result.AR50, result.AR75, result.AR_medium, result.AR_large)
    table.add_row("AP", *map(_percent, precision))
    table.add_row("AR", *map(_percent, recall))
    return table


def _difference(found: PairedDifference | None) -> str:
    if found is None:
        return "too few images for a paired difference"
    observed, low, high = (f"{100 * number:+.1f}" for number in (found.observed, found.low, found.high))
    return f"difference {observed}, 95 % interval {low} to {high}, p {found.p:.3f}"


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.1f}"
