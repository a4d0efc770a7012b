"""Whole runs of every method on drawn figures: what they leave, and that a stop changes nothing."""

import json
import random
from dataclasses import replace

import pytest
import torch

from fidip.annotations import Domain
from fidip.errors import DataError
from fidip.networks.card import NetworkCard
from fidip.networks.lora import LowRank
from fidip.networks.weights import load_pose_net
from fidip.training.checkpoint import read_facts
from fidip.training.events import Plan
from fidip.training.inputs import Inputs
from fidip.training.run import train
from fidip.training.stages import StepRecord
from fidip.training.start import start_network
from fidip.training.teacher import MeanTeacher
from fidip.training.unlabelled import read_unlabelled
from figures import RECIPE, SUPERVISED, figure_set
from training_worker import draw_figures, taught_inputs_in, train_and_kill

PLAIN = replace(RECIPE, pretrain=None, domain_weight=0.05)
VIT = NetworkCard("vit-12", 24, (32, 32), 8, heatmap_sigma=1.0, blur_kernel=3)
WITHOUT = replace(SUPERVISED, domain_weight=0.05)
RECIPES = {
    "fidip by share": replace(PLAIN, domain_weight=0.0, domain_share=0.3, domain_ramp=1.0),
    "dann": replace(PLAIN, method="dann"),
    "dann by share": replace(PLAIN, method="dann", domain_weight=0.0, domain_share=0.3),
    "mmd": replace(WITHOUT, method="mmd"),
    "mmd by share": replace(WITHOUT, method="mmd", domain_weight=0.0, domain_share=0.3),
    "regda": replace(WITHOUT, method="regda"),
    "regda by share": replace(WITHOUT, method="regda", domain_weight=0.0, domain_share=0.3),
    "mean-teacher": replace(
        WITHOUT, method="mean-teacher", domain_weight=0.5, teacher=MeanTeacher(decay=0.9, confidence=0.01)
    ),
    "mean-teacher by share": replace(
        WITHOUT,
        method="mean-teacher",
        domain_weight=0.0,
        domain_share=0.3,
        synthetic_share=0.5,
        unlabelled_share=0.5,
        teacher=MeanTeacher(decay=0.5, confidence=0.01, keep="teacher"),
    ),
    "dann with unlabelled": replace(PLAIN, method="dann", unlabelled_share=0.25),
    "lora": replace(SUPERVISED, network=VIT, lora=LowRank(rank=2, alpha=4.0)),
    "dann, lora": replace(PLAIN, network=VIT, method="dann", lora=LowRank(rank=2, alpha=4.0)),
    "mean-teacher, lora": replace(
        WITHOUT,
        network=VIT,
        method="mean-teacher",
        lora=LowRank(rank=2, alpha=4.0),
        teacher=MeanTeacher(decay=0.5, confidence=0.01, keep="teacher"),
    ),
    "adabn": replace(SUPERVISED, method="adabn"),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Inputs:
    folder = tmp_path_factory.mktemp("figures")
    sets = {"real": (4, Domain.REAL, 0), "synthetic": (8, Domain.SYNTHETIC, 0), "validation": (4, Domain.REAL, 1)}
    figure_set(folder / "film", 4, Domain.REAL, 5)
    photos = read_unlabelled(folder / "film" / "images")
    return Inputs(**{name: figure_set(folder / name, *one) for name, one in sets.items()}, unlabelled=photos)


def inputs_of(recipe, inputs) -> Inputs:
    wanted = recipe.method == "mean-teacher" or recipe.unlabelled_share
    return inputs if wanted else replace(inputs, unlabelled=None)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("name", RECIPES)
def test_a_stop_at_any_method_changes_nothing(inputs, tmp_path, name) -> None:
    recipe = replace(RECIPES[name], save_every=1)
    inputs = inputs_of(recipe, inputs)
    whole = train(recipe, inputs, tmp_path / "whole")
    taken = []

    def stop(event):
        if isinstance(event, StepRecord):
            taken.append(event)
            if len(taken) == 2:
                raise StoppedError

    for _ in range(2):  # in the first epoch and in the second
        taken.clear()
        with pytest.raises(StoppedError):
            train(recipe, inputs, tmp_path / "run", resume=True, watch=stop)
    train(recipe, inputs, tmp_path / "run", resume=True)
    for file in ("best.safetensors", "best.json", "history.jsonl"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    assert len(whole.history) == 2
    for line in whole.history:
        assert line["pose_loss"] > 0
        assert 0 <= line["validation"]["AP"] <= 1
    assert load_pose_net(whole.weights).card.name == "tiny"


def test_ten_kills_change_nothing(tmp_path) -> None:
    """The method that carries most: a teacher and a running mean."""
    draw_figures(tmp_path / "figures")
    recipe = RECIPES["mean-teacher by share"]
    whole = train(recipe, taught_inputs_in(tmp_path / "figures"), tmp_path / "whole")
    assert whole.retained
    train_and_kill(tmp_path / "figures", tmp_path / "run", 10, random.Random(1), recipe)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {"best.safetensors", "best.json", "history.jsonl", "timings.jsonl", "checkpoint"}
    for file in ("best.safetensors", "history.jsonl"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


@pytest.mark.parametrize("name", [name for name in RECIPES if "by share" in name])
def test_both_the_weight_and_the_share_are_logged(inputs, tmp_path, name) -> None:
    recipe = replace(RECIPES[name], domain_ramp=0.0, steps_per_epoch=12, epochs=3)
    last = train(recipe, inputs_of(recipe, inputs), tmp_path / "run").history[-1]
    assert last["domain_weight"] > 0
    if recipe.method == "mean-teacher":  # a network so young is mostly not believed, and then has no gradient
        assert last["gradient_ratio"] > 0
        assert 0 < last["believed"] < 1
    else:
        assert 0.15 < last["gradient_ratio"] < 0.6  # of single batches; what is held is the running mean
    assert "balance/log_ratio" in torch_names(tmp_path / "run" / "checkpoint")


def test_adapters_leave_an_ordinary_network_that_keeps_what_it_knew(inputs, tmp_path) -> None:
    """It differs from the start in attention's matrices, by a product of the adapters' rank, and in the head."""
    recipe = RECIPES["lora"]
    plans = []
    result = train(recipe, replace(inputs, validation=None, unlabelled=None), tmp_path / "run", watch=plans.append)
    before, after = start_network(recipe, None).state_dict(), load_pose_net(result.weights).state_dict()
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    of_backbone = {name for name in moved if name.startswith("backbone.")}
    assert of_backbone == {f"backbone.blocks.{n}.attn.{part}.weight" for n in range(12) for part in ("qkv", "proj")}
    assert any(name.startswith("head.") for name in moved)
    for name in of_backbone:
        singular = torch.linalg.svdvals((after[name] - before[name]).double())
        assert singular[2] < 1e-4 * singular[0], name
    (plan,) = (event for event in plans if isinstance(event, Plan))
    head = sum(tensor.numel() for name, tensor in after.items() if name.startswith("head.") and "running" not in name)
    counters = sum("num_batches_tracked" in name for name in after)
    assert plan.learning == 12 * 2 * (24 + 72 + 24 + 24) + head - counters


def test_a_teacher_without_anybody_to_teach_on_is_refused(inputs, tmp_path) -> None:
    recipe = replace(RECIPES["mean-teacher"], unlabelled=True)
    with pytest.raises(DataError, match=r"everybody has labels, .*; give --unlabelled or another method"):
        train(recipe, replace(inputs, unlabelled=None), tmp_path / "run")


def torch_names(path) -> set[str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return set(file.keys())


def test_adabn_learns_as_fine_tuning_does_and_leaves_other_statistics(inputs, tmp_path) -> None:
    data = replace(inputs, validation=None, unlabelled=None)
    tuned = train(SUPERVISED, data, tmp_path / "tuned")
    adapted = train(RECIPES["adabn"], data, tmp_path / "adapted")
    assert [line["pose_loss"] for line in tuned.history] == [line["pose_loss"] for line in adapted.history]
    before, after = (load_pose_net(result.weights).state_dict() for result in (tuned, adapted))
    changed = {name.rpartition(".")[2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"running_mean", "running_var", "num_batches_tracked"}


def test_the_control_of_a_share_is_fine_tuning(inputs, tmp_path) -> None:
    inputs = replace(inputs, unlabelled=None)
    tuned = train(SUPERVISED, inputs, tmp_path / "tuned")
    control = train(replace(SUPERVISED, method="mmd", domain_share=0.0), inputs, tmp_path / "control")
    before, after = (load_pose_net(result.weights).state_dict() for result in (tuned, control))
    assert all(torch.equal(before[name], after[name]) for name in before)
    facts = json.loads(json.dumps(read_facts(tmp_path / "control" / "checkpoint")))
    assert facts["identity"]["recipe"]["domain_share"] == 0.0
