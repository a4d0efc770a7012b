"""Whole runs of every method on drawn figures: what they leave, and that a stop changes nothing."""

import json
from dataclasses import replace

import pytest
import torch

from fidip.annotations import Domain
from fidip.networks.weights import load_pose_net
from fidip.training.checkpoint import read_facts
from fidip.training.inputs import Inputs
from fidip.training.run import train
from fidip.training.stages import StepRecord
from fidip.training.teacher import MeanTeacher
from fidip.training.unlabelled import read_unlabelled
from figures import RECIPE, SUPERVISED, figure_set

PLAIN = replace(RECIPE, pretrain=None, domain_weight=0.05)
WITHOUT = replace(SUPERVISED, domain_weight=0.05)
RECIPES = {
    "fidip by share": replace(PLAIN, domain_weight=0.0, domain_share=0.3, domain_ramp=1.0),
    "dann": replace(PLAIN, method="dann"),
    "dann by share": replace(PLAIN, method="dann", domain_weight=0.0, domain_share=0.3),
    "mmd": replace(WITHOUT, method="mmd"),
    "mmd by share": replace(WITHOUT, method="mmd", domain_weight=0.0, domain_share=0.3),
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


@pytest.mark.parametrize("name", [name for name in RECIPES if "by share" in name])
def test_both_the_weight_and_the_share_are_logged(inputs, tmp_path, name) -> None:
    recipe = replace(RECIPES[name], domain_ramp=0.0, steps_per_epoch=12, epochs=3)
    last = train(recipe, inputs_of(recipe, inputs), tmp_path / "run").history[-1]
    assert last["domain_weight"] > 0
    if recipe.method == "mean-teacher":  # a network so young is mostly not believed, and then has no gradient
        assert last["gradient_ratio"] > 0
        assert 0 < last["believed"] < 1
    else:
        assert last["gradient_ratio"] == pytest.approx(0.3, rel=0.5)  # of each batch; a running mean is what is held
    assert "balance/log_ratio" in torch_names(tmp_path / "run" / "checkpoint")


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
