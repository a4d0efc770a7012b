"""``fidip evaluate``: how well predicted poses fit the labelled ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from fidip.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

    from fidip.evaluation.average_precision import EvaluationResult


def evaluate(
    truth: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TRUTH.json")],
    results: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS.json")],
    *,
    area: Literal["file", "bbox", "0.53bbox"] | None = None,
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Measure predicted poses by COCO's keypoint AP and AR, with a 95 % interval.

    Args:
        truth: A COCO keypoint file with the labelled people.
        results: A COCO result file with the predicted people of the same images.
        area: What OKS divides by: the file's own areas, the area of the box, or 0.53 times that. Without it the file's
            areas are taken if they can be believed, else the boxes'.
        json: Also write the numbers to this file, as fractions of 1.
    """
    from rich.console import Console

    from fidip.cli.output import write_report
    from fidip.coco import PERSON, person_categories, read_coco, read_results
    from fidip.evaluation import average_precision

    images = read_coco(truth)
    predictions = read_results(results, images, categories=person_categories(truth) | {PERSON})
    try:
        result = average_precision.evaluate(images, predictions, area=area)
    except DataError as error:
        raise DataError({"truth": truth}.get(error.file, results), error.where, error.problem) from error
    Console().print(_table(result))
    write_report(json, result.to_json())


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


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.1f}"
