"""The tables and pictures of ``docs/study.md``, from what is finished of a study.

::

    fidip study --out runs/study --json benchmarks/results/study.json
    python benchmarks/study_page.py --out runs/study

Prints the tables in Markdown, and writes the pictures to ``docs/images``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fidip.evaluation.report import to_markdown
from fidip.files import atomic_write
from fidip.studies.adaptation_study import BUDGETS, StudyPlan, read_study, study_facts
from fidip.studies.pair import FULL
from fidip.studies.pictures import domain_pictures
from fidip.studies.study_report import (
    DOMAINS,
    advice,
    curves_picture,
    findings,
    frame_text,
    shares_table,
    study_table,
    verdicts,
)

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/study"))
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    given = parser.parse_args()
    result = read_study(given.out, StudyPlan.usual(budgets=given.budgets), FULL)
    found = findings(result)
    for name, picture in (
        ("study.png", curves_picture(found)), ("study_domains.jpg", domain_pictures(result.data, DOMAINS))
    ):  # fmt: skip
        with atomic_write(IMAGES / name) as file:
            file.write(picture.data)
    print(frame_text(result, found), *verdicts(found), *advice(found), sep="\n")
    for budget in dict.fromkeys(arm.budget for arm in found.arms):
        print(to_markdown(study_table(found, budget)))
    print(to_markdown(shares_table(result)))
    print(study_facts(result))


if __name__ == "__main__":
    main()
