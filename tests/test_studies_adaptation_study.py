"""The study on a handful of images: it grows, goes on after an interruption, and its control is exact."""

import json
from dataclasses import replace
from html import escape

import numpy as np
import pytest
import torch

from fidip.annotations import Domain
from fidip.cli import main
from fidip.errors import RecipeError, StorageError
from fidip.evaluation.bootstrap import weighted_average_precision
from fidip.networks.pose import build_pose_net
from fidip.networks.weights import load_pose_net, save_pose_net
from fidip.studies import adaptation_study, cells
from fidip.studies.adaptation_study import StudyPlan, check_plan, chosen_shares, read_study, run_study, study_facts
from fidip.studies.cells import Bench, finished, run_cell, unpacked
from fidip.studies.pair import FULL, QUICK, StudySize
from fidip.studies.study_report import advice, findings, frame_text, study_json, study_report, study_table, verdicts
from fidip.studies.treatments import TREATMENTS, Cell
from fidip.training.recipe import Recipe
from fidip.training.stages import StepRecord
from figures import TINY as CARD
from figures import figure_set

SIZE = StudySize(
    synthetic=8, labelled=6, unlabelled=6, validation=6, test=8, held_out=6, adults=6, source_epochs=1, epochs=1,
    steps_per_epoch=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Drawn figures in the place of rendered infants, and a tiny network to start from."""
    out = tmp_path_factory.mktemp("bench")
    parts = {
        "real": (12, Domain.REAL), "validation": (6, Domain.REAL), "test": (8, Domain.REAL),
        "synthetic": (8, Domain.SYNTHETIC), "held-out": (6, Domain.SYNTHETIC),
        "adults-real": (6, Domain.REAL), "adults-synthetic": (6, Domain.SYNTHETIC),
    }  # fmt: skip
    data = {
        name: figure_set(out / "data" / name, count, domain, seed=number).file
        for number, (name, (count, domain)) in enumerate(parts.items())
    }
    save_pose_net(build_pose_net(replace(CARD, width=8), torch.Generator().manual_seed(0)), out / "start.safetensors")
    return Bench(out, data, str(out / "start.safetensors"), SIZE)


def kept_weights(monkeypatch, bench, cell):
    """The weights that a cell leaves, before they are thrown away."""
    kept = {}
    monkeypatch.setattr(
        cells.shutil, "rmtree", lambda path: kept.update(load_pose_net(path / "best.safetensors").state_dict())
    )
    run_cell(bench, cell, lambda _: None)
    return kept


WEIGHED = [name for name, one in TREATMENTS.items() if one.weighed or one.tuned_as]


@pytest.mark.parametrize("name", WEIGHED)
def test_without_weight_every_method_is_its_control_to_the_bit(bench, tmp_path, monkeypatch, name):
    own = replace(bench, out=tmp_path)
    control = kept_weights(monkeypatch, own, Cell(TREATMENTS[name].control, 4, 0))
    silent = kept_weights(monkeypatch, own, Cell(name, 4, 0, share=0.0))
    loud = kept_weights(monkeypatch, own, Cell(name, 4, 1, share=0.5))
    assert all(torch.equal(control[key], silent[key]) for key in control)
    assert any(not torch.equal(control[key], loud[key]) for key in control)


def test_without_anybody_who_borrows_colours_they_are_the_control_to_the_bit(bench, tmp_path, monkeypatch):
    own = replace(bench, out=tmp_path)
    control = kept_weights(monkeypatch, own, Cell("control", 4, 0))
    borrowed = kept_weights(monkeypatch, own, Cell("colours", 4, 0))
    assert any(not torch.equal(control[key], borrowed[key]) for key in control)
    monkeypatch.setitem(TREATMENTS, "colours", replace(TREATMENTS["colours"], colours=0.0))
    monkeypatch.setattr(Recipe, "learns_from_labels_only", False)
    plain = kept_weights(monkeypatch, replace(bench, out=tmp_path / "plain"), Cell("colours", 4, 0))
    assert all(torch.equal(control[key], plain[key]) for key in control)


def test_a_cell_leaves_one_file_that_holds_its_figures(bench, tmp_path):
    own, cell = replace(bench, out=tmp_path), Cell("mean-teacher", 0, 0, share=0.3)
    found = run_cell(own, cell, lambda _: None)
    assert [path.name for path in (tmp_path / "cells").iterdir()] == ["mean-teacher-0-0.json"]
    assert not (tmp_path / "running" / cell.name).exists()
    assert 0 < found["seconds"] < 600
    assert finished(own, cell) == json.loads(json.dumps(found))
    ap = weighted_average_precision(unpacked(found["matches"]), np.ones((1, 8), np.int64))
    assert ap[0] == pytest.approx(found["AP"], abs=1e-9)
    assert found["measured_on"] == "test"
    assert run_cell(replace(own, out=tmp_path / "again"), cell, lambda _: None)["AP"] == found["AP"]


def test_a_cell_of_another_recipe_is_refused_and_a_younger_field_is_not(bench, tmp_path):
    own, cell = replace(bench, out=tmp_path), Cell("fine-tune", 0, 0)
    found = run_cell(own, cell, lambda _: None)
    file = own.file(cell)
    older = {key: value for key, value in found["recipe"].items() if key != "stop_at_accuracy"}
    older["augmentation"] = {k: v for k, v in older["augmentation"].items() if k != "borrowed_colours"}
    file.write_text(json.dumps(found | {"recipe": older}))
    assert finished(own, cell) is not None
    file.write_text(json.dumps(found | {"recipe": found["recipe"] | {"learning_rate": 0.5}}))
    with pytest.raises(StorageError, match=r"fine-tune-0-0\.json: of another recipe"):
        finished(own, cell)


def test_the_share_of_the_highest_mean_is_chosen_and_of_equal_ones_the_smaller():
    lines = [
        {"cell": {"treatment": name, "share": share}, "AP": ap}
        for name, share, ap in (
            ("dann", 0.3, 0.3), ("dann", 0.1, 0.2), ("dann", 0.1, 0.5), ("dann", 0.3, 0.3), ("mmd", 1.0, 0.4),
            ("mmd", 0.1, 0.4),
        )
    ]  # fmt: skip
    assert chosen_shares(lines) == {"dann": 0.1, "mmd": 0.1}


def test_a_plan_lists_cells_with_their_controls_seed_by_seed():
    plan = StudyPlan(("fidip", "oracle", "real-only"), {0: 2, 4: 1})
    names = [cell.name for cell in plan.cells({"fidip": 0.3})]
    assert names == [
        "fine-tune-0-0", "control-0-0", "fidip-0-0", "oracle-0-0",
        "real-only-4-0", "fine-tune-4-0", "control-4-0", "fidip-4-0",
        "fine-tune-0-1", "control-0-1", "fidip-0-1", "oracle-0-1",
    ]  # fmt: skip
    assert all(cell.seed >= 1000 for cell in plan.tuning())


def test_a_plan_without_the_budget_of_none_has_its_oracle():
    plan = StudyPlan.usual(("fidip", "oracle"), (4,), seeds=1)
    assert [cell.name for cell in plan.cells({"fidip": 0.1})] == [
        "fine-tune-4-0", "control-4-0", "fidip-4-0", "oracle-0-0",
    ]  # fmt: skip


def test_the_usual_plan_has_more_seeds_where_labels_are_few():
    assert dict(StudyPlan.usual().seeds) == {0: 8, 10: 8, 30: 5, 60: 5, 200: 5}
    assert StudyPlan.usual().treatments == tuple(TREATMENTS)
    assert all(budget <= FULL.labelled for budget in StudyPlan.usual().seeds)


def test_the_command_tells_what_it_found(study, capsys, monkeypatch, tmp_path):
    """The quick one, with the tiny study in the place of the one that it would render."""
    run, out = study
    asked = []

    def run_tiny(_out, plan, size, *_):
        asked.append((plan, size))
        return run(StudyPlan(("mean-teacher",), {0: 2}))

    monkeypatch.setattr(adaptation_study, "run_study", run_tiny)
    assert main(["study", "--quick", "--out", str(out), "--json", str(tmp_path / "study.json")]) == 0
    printed = capsys.readouterr().out
    assert "mean teacher" in printed
    assert "With 0 labelled real images" in printed
    assert (out / "report.html").exists()
    assert json.loads((tmp_path / "study.json").read_text())["arms"]
    ((plan, size),) = asked
    check_plan(plan, size)
    assert (size, dict(plan.seeds)) == (QUICK, {0: 2, 12: 2})


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (StudyPlan(("fidipp",), {0: 1}), "no method 'fidipp'; there are"),
        (StudyPlan(("fidip",), {7: 1}), "--budgets 7: the pair has 6 real images"),
        (StudyPlan(("fidip",), {0: 0}), "--seeds 0: at least 1"),
        (StudyPlan(("fidip",), {}), "--budgets: at least one"),
    ],
)
def test_plans_that_cannot_be(plan, message):
    with pytest.raises(RecipeError, match=message):
        check_plan(plan, SIZE)


def in_this_process(jobs, _out, _workers, watch):
    def tell(name):
        return lambda event: watch(name, event) if isinstance(event, StepRecord) else None

    return {name: job(tell(name)) for name, job in jobs.items()}


@pytest.fixture(scope="module")
def study(tmp_path_factory, bench):
    """A study of one method on the figures: nothing is rendered."""
    patch = pytest.MonkeyPatch()
    patch.setattr(adaptation_study, "render", lambda *_: bench.data)
    patch.setattr(adaptation_study, "CANDIDATES", (0.1, 0.3))
    patch.setattr(adaptation_study, "side_by_side", in_this_process)  # the demo's tests and those of arms start others
    out = tmp_path_factory.mktemp("study") / "out"
    init = bench.start
    yield lambda plan: run_study(out, plan, SIZE, 2, lambda *_: None, init), out
    patch.undo()


def test_a_study_runs_grows_and_reports(study):
    run, out = study
    first = run(StudyPlan(("mean-teacher", "oracle"), {0: 1}))
    stamps = {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    result = run(StudyPlan(("mean-teacher", "oracle"), {0: 2, 4: 2}))
    assert {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}.items() >= stamps.items()
    assert [line["AP"] for line in result.cells if line["cell"] == first.cells[0]["cell"]] == [first.cells[0]["AP"]]
    found = findings(result)
    assert [(arm.treatment, arm.budget, arm.ap.count) for arm in found.arms] == [
        ("fine-tune", 0, 2), ("control", 0, 2), ("mean-teacher", 0, 2), ("oracle", 0, 2),
        ("fine-tune", 4, 2), ("control", 4, 2), ("mean-teacher", 4, 2),
    ]  # fmt: skip
    rows = study_table(found, 4).rows
    assert [row[0] for row in rows] == ["fine-tuning on both", "both, λ = 0", "mean teacher"]
    by_hand = np.mean([_ap(result, "mean-teacher", 4, s) - _ap(result, "control", 4, s) for s in (0, 1)])
    assert found.arm("mean-teacher", 4).difference.over_seeds.mean == pytest.approx(by_hand)
    assert "all 12 real images" in frame_text(result, found)
    assert len(verdicts(found)) == 2
    assert advice(found)
    page = study_report(result, {"seeds": "2"})
    assert "Learning curves" in page
    assert all(escape(line) in page for line in verdicts(found))
    stored = json.dumps(study_json(result, found, {}))
    assert "matches" not in json.loads(stored)["cells"][0]


def _ap(result, treatment, budget, seed):
    return next(
        line["AP"]
        for line in result.cells
        if (line["cell"]["treatment"], line["cell"]["budget"], line["cell"]["seed"]) == (treatment, budget, seed)
    )


def test_what_is_finished_is_told_without_training(study, tmp_path):
    run, out = study
    whole = run(StudyPlan(("mean-teacher",), {0: 2}))
    (out / "cells" / "mean-teacher-0-1.json").rename(tmp_path / "kept")
    part = read_study(out, StudyPlan.usual(("mean-teacher",), (0, 4)), SIZE)
    (tmp_path / "kept").rename(out / "cells" / "mean-teacher-0-1.json")
    arm = findings(part).arm("mean-teacher", 0)
    assert (arm.ap.count, arm.p) == (1, None)
    assert study_facts(part)["seeds"].startswith("2 at 0 labels")
    assert [line for line in whole.cells if line in part.cells] == [
        line for line in part.cells if line["cell"]["budget"] == 0
    ]
    with pytest.raises(StorageError, match="holds no study of this size"):
        read_study(tmp_path, StudyPlan.usual(budgets=(0,)), SIZE)


def test_a_folder_of_another_study_is_refused(study, bench):
    _, out = study
    with pytest.raises(StorageError, match="holds a study with other settings"):
        run_study(out, StudyPlan(("fidip",), {0: 1}), replace(SIZE, epochs=2), 1, lambda *_: None, bench.start)


def test_a_wrong_method_is_one_line(tmp_path, capsys):
    assert main(["study", "--out", str(tmp_path / "s"), "--methods", "fidipp"]) == 2
    assert "no method 'fidipp'" in capsys.readouterr().err
