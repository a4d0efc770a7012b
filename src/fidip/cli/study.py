"""``fidip study``: methods of adaptation against their exact controls."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import tyro

QUICK_SEEDS = 2


def study(
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs/study"),
    methods: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")] = (),
    budgets: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N")] = (),
    seeds: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    headline_seeds: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    quick: bool = False,
    finished: bool = False,
    init: Annotated[str, tyro.conf.arg(metavar="WEIGHTS")] = "adult-small",
    device: Literal["cpu", "cuda", "mps"] = "cpu",
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = min(2, os.cpu_count() or 1),
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Compare methods of adaptation on rendered domains, at several label budgets, against exact controls.

    Every network leaves a JSON file; a study that was interrupted goes on, and one that is asked for more grows.

    Args:
        out: The folder for images, cells and report.html.
        methods: Which methods; their controls come along. None named: all.
        budgets: Numbers of labelled real images; 0, 10, 30, 60 and 200 unless told.
        seeds: Networks of every method at every budget; 5 unless told.
        headline_seeds: As many, at least, at the budgets 0 and 10, where adaptation matters most; 8 unless told.
        quick: A small one that shows the way and measures nothing: 0 and 12 labels, two seeds.
        finished: Train nothing; tell what is finished of a study, which may be under way.
        init: The adult network that the source network starts from: a file, or the name of an embedded network.
        device: Where to compute.
        workers: Networks that are trained at a time; on a GPU 1 is right.
        json: Also write all numbers to this file.
    """
    from time import perf_counter

    from rich.console import Console
    from rich.table import Table

    from fidip.cli.output import write_report
    from fidip.cli.progress import phases
    from fidip.files import write_text
    from fidip.studies.adaptation_study import (
        BUDGETS,
        HEADLINE_SEEDS,
        SEEDS,
        StudyPlan,
        read_study,
        run_study,
        study_facts,
    )
    from fidip.studies.pair import FULL, QUICK
    from fidip.studies.study_report import (
        advice,
        findings,
        study_json,
        study_report,
        study_table,
        verdicts,
    )
    from fidip.studies.treatments import TREATMENTS

    started = perf_counter()
    size, usual = (QUICK, (0, QUICK.labelled)) if quick else (FULL, BUDGETS)
    if seeds is None:
        seeds = QUICK_SEEDS if quick else SEEDS
    if headline_seeds is None:
        headline_seeds = QUICK_SEEDS if quick else HEADLINE_SEEDS
    plan = StudyPlan.usual(methods, budgets or usual, seeds, headline_seeds)
    with phases() as show:
        result = read_study(out, plan, size) if finished else run_study(out, plan, size, workers, show, init, device)
    found = findings(result)
    facts = study_facts(result)
    write_text(out / "report.html", study_report(result, facts))
    for budget in dict.fromkeys(arm.budget for arm in found.arms if TREATMENTS[arm.treatment].labels == "budget"):
        table = study_table(found, budget)
        shown = Table(*table.header, caption=table.caption, caption_justify="left")
        for number, row in enumerate(table.rows):
            shown.add_row(*row, style="bold" if number in table.strong else None)
        Console().print(shown)
    print(*verdicts(found), *advice(found), sep="\n")
    write_report(json, study_json(result, found, facts))
    print(f"{perf_counter() - started:.0f} s; open {out / 'report.html'} in a browser")
