"""Which method of adaptation is worth its while? Methods by label budgets by seeds, each against its exact control.

A study is a folder that grows: every network leaves one JSON file in ``cells``, a killed one goes on where it stood,
and asking for more methods, budgets or seeds adds the cells that are missing. What is compared, and by how many
labelled images, stands in ``fidip.studies.treatments``; on which images, in ``fidip.studies.pair``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fidip import __version__
from fidip.errors import RecipeError, StorageError
from fidip.files import read_json, write_json
from fidip.networks.weights import weights_sha256
from fidip.platform import locked
from fidip.recipes.study import STUDY_SOURCE
from fidip.studies.cells import Bench, finished, measure, run_cell
from fidip.studies.pair import StudySize, sets
from fidip.studies.processes import Tell, side_by_side
from fidip.studies.sets import Watch, claim, render, standing_for_real
from fidip.studies.treatments import TREATMENTS, Budget, Cell
from fidip.training.inputs import Inputs, LabelledSet
from fidip.training.provenance import versions
from fidip.training.recipe import Recipe
from fidip.training.resuming import BEST
from fidip.training.run import train
from fidip.training.stages import StepRecord

SETTINGS = "study.json"
SHARES = "shares.json"
SOURCE = "source.json"
IMAGE_SIZE = (192, 192)

CANDIDATES = (0.03, 0.1, 0.3)
"""Shares of the pose gradient that are tried for every weighed method."""

TUNING_SEEDS = (1000, 1001)
"""Of the networks that choose among them; no other cell has these seeds."""

TUNING_BUDGET: Budget = 0


BUDGETS: tuple[Budget, ...] = (0, 10, 30, 60, 200)
SEEDS = 5
HEADLINE_BUDGETS: tuple[Budget, ...] = (0, 10)
"""Where adaptation matters most, and gets more seeds."""
HEADLINE_SEEDS = 8


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What is asked for: which treatments, at which budgets, with how many seeds each."""

    treatments: tuple[str, ...]
    seeds: Mapping[Budget, int]

    @classmethod
    def usual(
        cls,
        treatments: Sequence[str] = (),
        budgets: Sequence[Budget] = BUDGETS,
        seeds: int = SEEDS,
        headline_seeds: int = HEADLINE_SEEDS,
    ) -> StudyPlan:
        """Every treatment, unless some are named, with at least ``headline_seeds`` where adaptation matters most."""
        count = {budget: max(seeds, headline_seeds) if budget in HEADLINE_BUDGETS else seeds for budget in budgets}
        return cls(tuple(treatments) or tuple(TREATMENTS), count)

    def cells(self, shares: Mapping[str, float]) -> list[Cell]:
        """Every network, seed by seed, so that a study that ends early has whole comparisons."""
        asked = {
            Cell(name, budget, seed, shares.get(TREATMENTS[name].tuned_as or name))
            for name in self._with_controls()
            for budget, count in self.seeds.items()
            for seed in range(count)
            if TREATMENTS[name].labels == "budget" and TREATMENTS[name].possible(budget)
        }
        most = max(self.seeds.values())
        asked |= {Cell(name, 0, seed) for name in self.treatments for seed in range(most) if _budgetless(name)}
        order = list(dict.fromkeys((*self.seeds, 0)))
        place = list(TREATMENTS)
        return sorted(asked, key=lambda cell: (cell.seed, order.index(cell.budget), place.index(cell.treatment)))

    def tuning(self) -> list[Cell]:
        """The networks that choose a share for every weighed treatment."""
        tuned = [TREATMENTS[name].tuned_as or name for name in self._with_controls()]
        weighed = [name for name in TREATMENTS if TREATMENTS[name].weighed and name in tuned]
        return [
            Cell(name, TUNING_BUDGET, seed, share, tuning=True)
            for seed in TUNING_SEEDS
            for name in weighed
            for share in CANDIDATES
        ]

    def _with_controls(self) -> list[str]:
        wanted = list(self.treatments)
        for name in wanted:  # grows while it is walked
            control = TREATMENTS[name].control
            if control is not None and control not in wanted:
                wanted.append(control)
        return wanted


@dataclass(frozen=True, slots=True, eq=False)
class StudyResult:
    """All that the cells asked for have found."""

    plan: StudyPlan
    size: StudySize
    data: Mapping[str, Path]  # annotation files by the part they play
    shares: Mapping[str, float]
    tuning: Sequence[Mapping[str, Any]]
    source: Mapping[str, Any]  # the network that everybody starts from, as it is
    cells: Sequence[Mapping[str, Any]]


def run_study(
    out: Path, plan: StudyPlan, size: StudySize, workers: int, watch: Watch, init: str = "adult-small",
    device: str = "cpu",
) -> StudyResult:  # fmt: skip
    """Render the pair, train the source network, choose the shares, run the cells; whatever is there is kept.

    Another study in the same folder is waited for.

    Raises:
        RecipeError: an unknown treatment, or a budget that the pair does not have.
        StorageError: the folder holds a study with other settings, or cannot be written to.
    """
    check_plan(plan, size)
    claim(out, SETTINGS, {**asdict(size), "init": weights_sha256(init), "fidip": __version__}, "study")
    with locked(out / SETTINGS):
        return _run_study(out, plan, size, workers, watch, init, device)


def _run_study(
    out: Path, plan: StudyPlan, size: StudySize, workers: int, watch: Watch, init: str, device: str
) -> StudyResult:
    data = render(out / "data", sets(size), IMAGE_SIZE, workers, watch)
    start = _source(out / "source", data, size, init, device, watch)
    bench = Bench(out, data, str(start), size, device)
    source = _source_measured(bench)
    tuning = _run(bench, plan.tuning(), "choosing weights", workers, watch)
    shares = chosen_shares(tuning)
    write_json(out / SHARES, shares, indent=1)
    cells = _run(bench, plan.cells(shares), "training", workers, watch)
    return StudyResult(plan, size, data, shares, tuning, source, cells)


def read_study(out: Path, plan: StudyPlan, size: StudySize) -> StudyResult:
    """What is finished of a study that may be under way; nothing is trained.

    Raises:
        RecipeError: as ``run_study``.
        StorageError: no study of this size is there, or none of its networks is finished.
    """
    check_plan(plan, size)
    settings = read_json(out / SETTINGS) if (out / SETTINGS).exists() else {}
    if {name: settings.get(name) for name in asdict(size)} != asdict(size) or not (out / SHARES).exists():
        raise StorageError(f"{out}: holds no study of this size with networks to compare; leave out --finished")
    data = {name: out / "data" / name / "annotations.json" for name in sets(size)}
    bench = Bench(out, data, str(out / "source" / BEST), size)
    shares: dict[str, float] = read_json(out / SHARES)
    tuning, cells = (
        [found for cell in asked if (found := finished(bench, cell)) is not None]
        for asked in (plan.tuning(), plan.cells(shares))
    )
    if not cells:
        raise StorageError(f"{out}: none of the networks asked for is finished; leave out --finished")
    return StudyResult(plan, size, data, shares, tuning, read_json(out / SOURCE), cells)


def check_plan(plan: StudyPlan, size: StudySize) -> None:
    """Raises ``RecipeError`` where a plan names what there is not."""
    unknown = [name for name in plan.treatments if name not in TREATMENTS]
    if unknown or not plan.treatments:
        named = f"no method {unknown[0]!r}" if unknown else "no method"
        raise RecipeError(f"--methods: {named}; there are {', '.join(TREATMENTS)}")
    for budget, count in plan.seeds.items():
        if not 0 <= budget <= size.labelled:
            raise RecipeError(f"--budgets {budget}: the pair has {size.labelled} real images that may have labels")
        if count < 1:
            raise RecipeError(f"--seeds {count}: at least 1")
    if not plan.seeds:
        raise RecipeError("--budgets: at least one")


def chosen_shares(tuning: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """For each treatment the share of the highest mean AP on the validation images; of equal ones the smaller."""
    found: dict[str, dict[float, list[float]]] = {}
    for line in tuning:
        cell = line["cell"]
        found.setdefault(cell["treatment"], {}).setdefault(cell["share"], []).append(line["AP"])
    return {name: max(sorted(of), key=lambda share: float(np.mean(of[share]))) for name, of in found.items()}


def _run(bench: Bench, cells: Sequence[Cell], what: str, workers: int, watch: Watch) -> list[dict[str, Any]]:
    """The cells' findings in their order."""
    missing = [cell for cell in cells if finished(bench, cell) is None]
    steps = bench.size.epochs * bench.size.steps_per_epoch
    total, done = len(cells) * steps, (len(cells) - len(missing)) * steps
    watch(what, done, total)

    def count(_name: str, record: StepRecord) -> None:
        nonlocal done
        done += record.stage == "adapt"
        watch(what, min(done, total), total)

    jobs: dict[str, Callable[..., dict[str, Any]]] = {cell.name: partial(run_cell, bench, cell) for cell in missing}
    found = side_by_side(jobs, bench.out, workers, count) if jobs else {}
    return [found.get(cell.name) or finished(bench, cell) or {} for cell in cells]


def _source(out: Path, data: Mapping[str, Path], size: StudySize, init: str, device: str, watch: Watch) -> Path:
    """The network that every method starts from; trained once, whatever the recipes say later."""
    if (out.parent / SOURCE).exists():
        return out / BEST
    recipe = replace(STUDY_SOURCE, epochs=size.source_epochs, steps_per_epoch=size.steps_per_epoch)
    total, done = recipe.epochs * size.steps_per_epoch, 0

    def count(_name: str, _record: StepRecord) -> None:
        nonlocal done
        done += 1
        watch("source network", done, total)

    job = partial(_train_source, recipe, data["synthetic"], init, out, device)
    return side_by_side({"source": job}, out, 1, count)["source"]


def _train_source(recipe: Recipe, synthetic: Path, init: str, out: Path, device: str, tell: Tell) -> Path:
    inputs = Inputs(synthetic=LabelledSet.read(synthetic), init=init)
    with standing_for_real():
        return train(recipe, inputs, out, device, resume=True, watch=tell).weights


def _source_measured(bench: Bench) -> Mapping[str, Any]:
    file = bench.out / SOURCE
    if not file.exists():
        write_json(file, measure(bench.start, bench, "test"))
    found: dict[str, Any] = read_json(file)
    return found


def _budgetless(name: str) -> bool:
    return TREATMENTS[name].labels == "all"


def study_facts(result: StudyResult) -> dict[str, str]:
    """What a reader needs to make the same numbers."""
    cells = [*result.tuning, *result.cells]
    machines = sorted({f"{one['machine']['system']}, {one['machine']['processor']}" for one in cells})
    hours = sum(one["seconds"] for one in cells) / 3600
    counts = Counter((one["cell"]["budget"], one["cell"]["treatment"]) for one in result.cells)
    most = {budget: max(n for (b, _), n in counts.items() if b == budget) for budget, _ in sorted(counts)}
    seeds = ", ".join(f"{count} at {budget} labels" for budget, count in most.items())
    return {
        "command": "fidip study",
        "seeds": seeds,
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "machine": "; ".join(machines) + ", one thread a process",
        "hours": f"{hours:.1f} of processes for {len(cells)} networks",
    }
