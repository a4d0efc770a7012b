"""``fidip demo``: the whole idea on one machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import tyro


def demo(
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs/demo"),
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0,
    quick: bool = False,
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Adapt an adult network to infants and measure the gain, on rendered images only.

    Args:
        out: The folder for images, networks and report.html; a demo that was interrupted goes on there.
        seed: Of everything random but the test images, which are always the same.
        quick: A small one that shows the way and measures nothing.
        json: Also write the table's numbers to this file.
    """
    from time import perf_counter

    from rich.console import Console
    from rich.table import Table

    from fidip.cli.output import write_report
    from fidip.cli.progress import phases
    from fidip.files import write_text
    from fidip.studies.demo import FULL, QUICK, demo_facts, run_demo
    from fidip.studies.demo_report import demo_findings, demo_report, demo_table

    started = perf_counter()
    with phases() as show:
        result = run_demo(out, seed, QUICK if quick else FULL, min(2, os.cpu_count() or 1), show)
    facts = demo_facts(result)
    write_text(out / "report.html", demo_report(result, facts))
    table = demo_table(result)
    shown = Table(*table.header, caption=table.caption, caption_justify="left")
    for row in table.rows:
        shown.add_row(*row)
    Console().print(shown)
    print(*demo_findings(result), sep="\n")
    write_report(json, {name: found.to_json() for name, found in result.evaluated.items()} | {"facts": facts})
    print(f"{perf_counter() - started:.0f} s; open {out / 'report.html'} in a browser")
