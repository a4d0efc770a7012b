"""Whole runs in which the stages take turns of an epoch, and runs that end near chance: exact however interrupted."""

import random
from dataclasses import replace

import pytest

from fidip.files import read_json, sha256_of
from fidip.networks.weights import load_pose_net
from fidip.training.events import EpochEnd, Plan
from fidip.training.inputs import Inputs
from fidip.training.run import train
from fidip.training.stages import StepRecord
from figures import RECIPE
from training_worker import draw_figures, inputs_in, train_and_kill

RESULTS = ("best.safetensors", "best.json", "history.jsonl")
BY_EPOCH = replace(RECIPE, alternation="epoch")


class StoppedError(Exception):
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    draw_figures(folder)
    return folder


@pytest.fixture(scope="module")
def inputs(folder) -> Inputs:
    return inputs_in(folder)


@pytest.fixture(scope="module")
def by_iteration(inputs, tmp_path_factory):
    return train(RECIPE, inputs, tmp_path_factory.mktemp("by-iteration") / "run")


@pytest.fixture(scope="module")
def by_epoch(inputs, tmp_path_factory):
    out, events = tmp_path_factory.mktemp("by-epoch") / "run", []
    return out, events, train(BY_EPOCH, inputs, out, watch=events.append)


def test_by_epoch_both_stages_see_the_batches_of_an_epoch_in_turn(by_epoch, by_iteration) -> None:
    _, events, result = by_epoch
    assert [(line["stage"], line["epoch"], line["steps"]) for line in result.history] == [
        ("pretrain", 1, 2), ("adapt", 1, 6), ("adapt", 2, 6)
    ]  # fmt: skip
    records = [event for event in events if isinstance(event, StepRecord) and event.stage == "adapt"]
    assert [record.step for record in records] == [0, 1, 2] * 4
    for epoch in (0, 1):
        first, second = (records[6 * epoch + start : 6 * epoch + start + 3] for start in (0, 3))
        line = result.history[1 + epoch]
        assert line["domain_loss"] == pytest.approx(sum(record.domain_loss for record in first) / 3)
        assert line["domain_accuracy"] == pytest.approx(sum(record.domain_accuracy for record in first) / 3)
        assert line["pose_loss"] == pytest.approx(sum(record.pose_loss for record in second) / 3)
        assert line["gradient_ratio"] == second[0].gradient_ratio
    assert result.history[0] == by_iteration.history[0]  # the pre-stage does not know of it
    assert result.history[1]["pose_loss"] != by_iteration.history[1]["pose_loss"]
    (plan,) = (event for event in events if isinstance(event, Plan))
    assert (plan.stages[1].steps, plan.stages[1].passes, plan.total_steps) == (6, 2, 2 + 12)


def test_by_epoch_weight_zero_is_the_same_control_to_the_byte(inputs, tmp_path) -> None:
    weights = set()
    for name in ("iteration", "epoch"):
        result = train(replace(RECIPE, alternation=name, domain_weight=0.0), inputs, tmp_path / name)
        net = load_pose_net(result.weights)
        weights.add(b"".join(tensor.numpy().tobytes() for tensor in net.state_dict().values()))
    assert len(weights) == 1


@pytest.mark.parametrize("after", [1, 3, 5, 6, 8, 9, 12, 14])
def test_by_epoch_an_interrupted_run_goes_on_to_the_same_bytes(by_epoch, inputs, tmp_path, after) -> None:
    steps = []

    def stop(event):
        if isinstance(event, StepRecord):
            steps.append(event)
            if len(steps) == after:
                raise StoppedError

    out, recipe = tmp_path / "run", replace(BY_EPOCH, save_every=2)
    with pytest.raises(StoppedError):
        train(recipe, inputs, out, watch=stop)
    train(recipe, inputs, out, resume=True)
    for name in ("best.safetensors", "history.jsonl"):
        assert (out / name).read_bytes() == (by_epoch[0] / name).read_bytes(), name


def test_by_epoch_five_kills_change_nothing(folder, by_epoch, tmp_path) -> None:
    train_and_kill(folder, tmp_path / "run", kills=5, moments=random.Random(1), recipe=BY_EPOCH)
    for name in ("best.safetensors", "history.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (by_epoch[0] / name).read_bytes(), name


@pytest.mark.parametrize("alternation", ["iteration", "epoch"])
@pytest.mark.parametrize("validated", [True, False])
def test_a_classifier_at_chance_ends_the_run(inputs, tmp_path, alternation, validated) -> None:
    data = inputs if validated else replace(inputs, validation=None)
    recipe = replace(RECIPE, alternation=alternation, epochs=5)
    whole = train(recipe, data, tmp_path / "whole")
    accuracies = [line["domain_accuracy"] for line in whole.history if line["stage"] == "adapt"]
    limit = min(accuracies[:-1])
    last = 1 + accuracies.index(limit)  # before the fifth epoch, and exactly at the limit
    recipe = replace(recipe, stop_at_accuracy=limit)
    ended = train(recipe, data, tmp_path / "ended")
    assert ended.history == whole.history[: 1 + last]
    assert ended.ended == (
        f"ended after epoch {last} of 5: the classifier's mean accuracy in stage I was {accuracies[last - 1]:.1%}, "
        f"not above {limit:.1%}"
    )
    summary = read_json(tmp_path / "ended" / "best.json")
    assert summary["ended"] == ended.ended
    assert summary["weights_sha256"] == sha256_of(ended.weights)
    assert load_pose_net(ended.weights).card.training["figures"] == summary["figures"] == ended.best
    if not validated:
        assert ended.best == ended.history[-1]
    assert read_json(tmp_path / "whole" / "best.json")["ended"] is None
    again = train(recipe, data, tmp_path / "ended", resume=True)
    assert (again.history, again.ended) == (ended.history, ended.ended)


def test_a_run_killed_as_it_ends_still_ends_there(inputs, tmp_path) -> None:
    recipe = replace(RECIPE, epochs=5, stop_at_accuracy=0.99)
    whole = train(recipe, inputs, tmp_path / "whole")
    assert whole.ended
    assert len(whole.history) < 6

    def stop(event):
        if isinstance(event, EpochEnd) and event.line == whole.history[-1]:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(recipe, inputs, tmp_path / "run", watch=stop)
    steps = []
    again = train(recipe, inputs, tmp_path / "run", resume=True, watch=steps.append)
    assert again.ended == whole.ended
    assert not any(isinstance(event, StepRecord) for event in steps)
    for name in RESULTS:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
