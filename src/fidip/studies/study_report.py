"""The study's tables, its learning curves, and what may be said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fidip.evaluation.plots import Band, plot_bands
from fidip.evaluation.report import Picture, Section, Table, to_html
from fidip.studies.adaptation_study import StudyResult
from fidip.studies.cells import AREA, unpacked
from fidip.studies.comparing import Mean, Paired, holm, mean_of, paired
from fidip.studies.learning_curve import LearningCurve
from fidip.studies.pictures import domain_pictures
from fidip.studies.treatments import LABELLED_PER_STEP, TREATMENTS, UNLABELLED_PER_STEP

BASELINE = "fine-tune"
"""Whose learning curve says what labels are worth: what one does without any method."""

SIGNIFICANT = 0.05

DOMAINS = {"real": "simulated real", "synthetic": "synthetic"}


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """A treatment at a budget, over its seeds."""

    treatment: str
    budget: int
    ap: Mean
    pck: Mean
    probe: Mean
    ratio: float | None  # mean of the recorded gradient ratios
    difference: Paired | None
    p: float | None = None  # after Holm's correction for the comparisons at this budget

    @property
    def verdict(self) -> int:
        """1 or −1 where it differs from its control with p below 5 % after the correction, else 0."""
        if self.difference is None or self.p is None or self.p >= SIGNIFICANT:
            return 0
        return 1 if self.difference.over_seeds.mean > 0 else -1


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """The arms of a study, and the learning curve of fine-tuning."""

    arms: tuple[Arm, ...]
    curve: LearningCurve | None
    oracle: Mean | None

    def arm(self, treatment: str, budget: int) -> Arm | None:
        """One of the arms."""
        return next((a for a in self.arms if (a.treatment, a.budget) == (treatment, budget)), None)


def findings(result: StudyResult) -> Findings:
    """Everything that the tables say, from the cells."""
    groups: dict[tuple[str, int], dict[int, Mapping[str, Any]]] = {}
    for line in result.cells:
        cell = line["cell"]
        groups.setdefault((cell["treatment"], cell["budget"]), {})[cell["seed"]] = line
    matches = {key: {seed: unpacked(line["matches"]) for seed, line in of.items()} for key, of in groups.items()}
    arms = []
    for budget in sorted({key[1] for key in groups}):
        at = {name: groups[name, budget] for name in TREATMENTS if (name, budget) in groups}
        differences = {}
        for name in at:
            control = TREATMENTS[name].control
            if control in at:
                rng = np.random.default_rng(0)
                differences[name] = paired(matches[name, budget], matches[control, budget], rng)
        raw = {name: one.p for name, one in differences.items() if one and one.p is not None}
        corrected = holm({name: p for name, p in raw.items() if p is not None})
        arms += [_arm(name, budget, of, differences.get(name), corrected.get(name)) for name, of in at.items()]
    base = {a.budget: a.ap for a in arms if a.treatment == BASELINE}
    curve = LearningCurve.of({n: ap.mean for n, ap in base.items()}, {n: ap.count for n, ap in base.items()})
    oracle = next((a.ap for a in arms if a.treatment == "oracle"), None)
    return Findings(tuple(arms), curve, oracle)


def _arm(
    name: str, budget: int, of: Mapping[int, Mapping[str, Any]], difference: Paired | None, p: float | None
) -> Arm:
    ratios = [h["gradient_ratio"] for line in of.values() for h in line["history"] if h["gradient_ratio"]]
    ap, pck, probe = (mean_of([line[key] for line in of.values()]) for key in ("AP", "PCK", "probe"))
    return Arm(name, budget, ap, pck, probe, float(np.mean(ratios)) if ratios else None, difference, p)


def study_table(found: Findings, budget: int) -> Table:
    """One budget: every arm with its mean, spread and difference to its control."""
    rows: list[tuple[str, ...]] = []
    strong: set[int] = set()
    for arm in found.arms:
        if arm.budget != budget or TREATMENTS[arm.treatment].labels == "all":
            continue
        one = TREATMENTS[arm.treatment]
        if arm.verdict > 0 and one.exact:
            strong.add(len(rows))
        control = "" if one.control is None or arm.difference is None else TREATMENTS[one.control].title
        rows.append(
            (
                one.title, _spread(arm.ap), _spread(arm.pck), f"{100 * arm.probe.mean:.0f} %",
                "–" if arm.ratio is None else f"{arm.ratio:.2f}", _difference(arm.difference), _p(arm.p), control,
            )
        )  # fmt: skip
    seeds = sorted({arm.ap.count for arm in found.arms if arm.budget == budget})
    caption = (
        f"{budget} labelled real images; seeds: {' or '.join(map(str, seeds))}; AP in percent, mean ± standard "
        "deviation; differences are paired by seed, with the 95 % interval of Student's t over the seeds and, in "
        "brackets, the one that asks for other test images too; p belongs to the second and is corrected by Holm for "
        "the comparisons of this table. Rows in bold beat their exact control with p below 5 %."
    )
    header = ("method", "AP", "PCK", "linear probe", "gradient ratio", "difference", "p", "to")
    return Table(header, tuple(rows), caption, frozenset(strong))


def frame_text(result: StudyResult, found: Findings) -> str:
    """What lies between knowing nothing of the real domain and knowing all labels."""
    source = 100 * result.source["AP"]
    text = f"The source network, as it is, has AP {source:.1f}"
    if found.oracle is not None:
        everybody = result.size.labelled + result.size.unlabelled
        text += f"; with labels on all {everybody} real images the same budget leads to {_spread(found.oracle)}"
        text += f": a gap of {100 * found.oracle.mean - source:.1f}"
        alone = found.arm(BASELINE, 0)
        if alone is not None:
            gap = 100 * (found.oracle.mean - alone.ap.mean)
            text += f", or of {gap:.1f} to the source network after more of the same synthetic images"
    return text + "."


def verdicts(found: Findings) -> list[str]:
    """For every method and budget, whether it beats its exact control; nothing is left out."""
    lines = []
    for budget in sorted({arm.budget for arm in found.arms}):
        better: list[str] = []
        worse: list[str] = []
        neither: list[str] = []
        for arm in found.arms:
            if arm.budget != budget or not TREATMENTS[arm.treatment].exact or arm.difference is None:
                continue
            group = {1: better, -1: worse, 0: neither}[arm.verdict]
            group.append(f"{TREATMENTS[arm.treatment].title} ({100 * arm.difference.over_seeds.mean:+.1f})")
        if not (better or worse or neither):
            continue
        parts = [
            f"{verb} {', '.join(names)}"
            for verb, names in (
                ("better than their exact control:", better),
                ("worse:", worse),
                ("not distinguishable from it:", neither),
            )
            if names
        ]
        lines.append(f"With {budget} labelled real images, {'; '.join(parts)}.")
    return lines


def advice(found: Findings) -> list[str]:
    """What labels are worth, and which number of them a method replaces."""
    curve = found.curve
    if curve is None:
        return []
    lines = []
    for low, high in zip(curve.budgets, curve.budgets[1:], strict=False):
        gain = 100 * (curve.at(high) - curve.at(low))
        lines.append(f"Fine-tuning on both: from {low} to {high} labelled images AP rises by {gain:.1f}")
        more = curve.more_for(low, 0.01)
        lines[-1] += f"; about {more:.0f} more labels are worth one AP." if more else "."
    for arm in found.arms:
        if not TREATMENTS[arm.treatment].exact or arm.verdict <= 0:
            continue
        same = curve.labels_for(arm.ap.mean)
        title = TREATMENTS[arm.treatment].title
        worth = (
            f"more than {curve.budgets[-1]} labels"
            if same is None
            else f"about {max(same - arm.budget, 0):.0f} more labels"
        )
        lines.append(f"{title} with {arm.budget} labelled images is worth {worth} to somebody who fine-tunes.")
    return lines


def curves_picture(found: Findings) -> Picture:
    """AP over the number of labels, a band a method."""
    bands: dict[str, Band] = {}
    for name, one in TREATMENTS.items():
        arms = [arm for arm in found.arms if arm.treatment == name and one.labels == "budget"]
        if arms:
            low = [100 * (a.ap.interval or (a.ap.mean,) * 2)[0] for a in arms]
            high = [100 * (a.ap.interval or (a.ap.mean,) * 2)[1] for a in arms]
            bands[one.title] = ([a.budget for a in arms], [100 * a.ap.mean for a in arms], low, high)
    level = {} if found.oracle is None else {TREATMENTS["oracle"].title: 100 * found.oracle.mean}
    data = plot_bands(bands, level, "labelled real images", "AP (%)")
    caption = "Mean over the seeds with the 95 % interval of the mean. The axis is linear in log(1 + n)."
    return Picture(data, "AP of every method over the number of labelled real images", caption)


def study_report(result: StudyResult, footer: Mapping[str, str]) -> str:
    """The report as one HTML page."""
    found = findings(result)
    budgets = sorted({arm.budget for arm in found.arms if TREATMENTS[arm.treatment].labels == "budget"})
    sections = [
        Section(
            "What was compared",
            [_design(result), domain_pictures(result.data, DOMAINS), frame_text(result, found), shares_table(result)],
        ),
        Section("What may be said", [*verdicts(found), *advice(found)]),
        Section("Learning curves", [curves_picture(found)]),
        *(Section(f"{budget} labelled real images", [study_table(found, budget)]) for budget in budgets),
    ]
    lead = "Methods of adaptation, each against its exact control, on one pair of rendered domains."
    return to_html("fidip: a study of adaptation", lead, sections, footer)


def _design(result: StudyResult) -> str:
    size = result.size
    steps = size.epochs * size.steps_per_epoch
    return (
        f"Synthetic infants are rendered flat ({size.synthetic}); simulated real ones as a baby monitor films them, by "
        f"day and, two of three, by infrared light. {size.unlabelled} real images never have labels, up to "
        f"{size.labelled} have; {size.test} more are the test, {size.validation} more choose the weights of the "
        f"methods. Every method starts from one network that has learnt adults and synthetic infants, and has {steps} "
        f"steps of {LABELLED_PER_STEP} labelled people (and {UNLABELLED_PER_STEP} without labels, where it uses them); "
        f"the last step is kept. AP divides by the area policy «{AREA}», in boxes of the truth, without flip test. "
        "Seeds change who has labels and all that is random in learning; images and source network stay."
    )


def shares_table(result: StudyResult) -> Table:
    """Which weights were tried, and which were chosen."""
    rows = []
    by: dict[tuple[str, float], list[float]] = {}
    for line in result.tuning:
        by.setdefault((line["cell"]["treatment"], line["cell"]["share"]), []).append(100 * line["AP"])
    for (name, share), values in by.items():
        chosen = "chosen" if result.shares.get(name) == share else ""
        rows.append((TREATMENTS[name].title, f"{share:g}", ", ".join(f"{value:.1f}" for value in values), chosen))
    caption = (
        f"The weight of each method as a share of the pose gradient, chosen on {result.size.validation} validation "
        "images without labelled training images, by seeds that are used for nothing else."
    )
    return Table(("method", "share", "AP on validation, each seed", ""), tuple(sorted(rows)), caption)


def study_json(result: StudyResult, found: Findings, facts: Mapping[str, str]) -> dict[str, Any]:
    """Everything but matches and histories, for a program and for keeping."""
    keep = ("AP", "AP50", "AP75", "AR", "PCK", "probe", "seconds")

    def short(line: Mapping[str, Any]) -> dict[str, Any]:
        last = line["history"][-1]
        shown = {name: last[name] for name in ("gradient_ratio", "domain_accuracy", "believed", "pose_loss")}
        return {**line["cell"], **{name: line[name] for name in keep}, **shown}

    return {
        "facts": dict(facts),
        "size": asdict(result.size),
        "source": {name: result.source[name] for name in keep if name in result.source},
        "shares": dict(result.shares),
        "tuning": [short(line) for line in result.tuning],
        "arms": [asdict(arm) for arm in found.arms],
        "curve": None if found.curve is None else asdict(found.curve),
        "cells": [short(line) for line in result.cells],
    }


def _spread(mean: Mean) -> str:
    return f"{100 * mean.mean:.1f}" + (f" ± {100 * mean.sd:.1f}" if mean.sd is not None else "")


def _difference(difference: Paired | None) -> str:
    if difference is None:
        return "–"
    text = f"{100 * difference.over_seeds.mean:+.1f}"
    if difference.over_seeds.interval is not None:
        text += f" ({_range(difference.over_seeds.interval)})"
    if difference.interval is not None:
        text += f" [{_range(difference.interval)}]"
    return text


def _range(interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * low:+.1f} to {100 * high:+.1f}"


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
