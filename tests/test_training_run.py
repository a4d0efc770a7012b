"""Whole runs on drawn figures: what they leave, how they stop, and that nobody can tell where they were interrupted."""

import errno
import json
import os
import random
import shutil
from dataclasses import replace

import pytest
import safetensors.torch
import torch

import fidip.files
from fidip.data.augment import Augmentation
from fidip.errors import DataError, DataWarning, FidipError, RecipeError, StorageError, TrainingError, WeightsError
from fidip.files import read_json, sha256_of, write_json
from fidip.networks import weights
from fidip.networks.pose import build_pose_net
from fidip.networks.weights import load_pose_net, save_pose_net
from fidip.training.checkpoint import KEY, read_facts
from fidip.training.events import EpochEnd, Loading, Plan
from fidip.training.inputs import Inputs, LabelledSet
from fidip.training.run import train
from fidip.training.stages import StepRecord
from figures import RECIPE, SUPERVISED, TINY
from training_worker import draw_figures, inputs_in, train_and_kill

RESULTS = ("best.safetensors", "best.json", "history.jsonl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    draw_figures(folder)
    return folder


@pytest.fixture(scope="module")
def inputs(folder) -> Inputs:
    return inputs_in(folder)


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """An uninterrupted run of every stage, and what it told."""
    out, events = tmp_path_factory.mktemp("whole") / "run", []
    result = train(RECIPE, inputs, out, watch=events.append)
    return out, events, result


def same_results(out, other) -> bool:
    return all((out / name).read_bytes() == (other / name).read_bytes() for name in RESULTS)


def test_a_run_leaves_what_it_promises(whole, inputs) -> None:
    out, _, result = whole
    assert {path.name for path in out.iterdir()} == {*RESULTS, "checkpoint", "timings.jsonl"}
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert lines == list(result.history)
    assert [(line["stage"], line["epoch"], line["steps"]) for line in lines] == [
        ("pretrain", 1, 2), ("adapt", 1, 3), ("adapt", 2, 3)
    ]  # fmt: skip
    assert lines[0]["pose_loss"] is None
    assert lines[0]["validation"] is None
    for line in lines[1:]:
        assert line["pose_loss"] > 0
        assert line["domain_loss"] > 0
        assert 0 <= line["domain_accuracy"] <= 1
        assert line["gradient_ratio"] > 0
        assert 0 <= line["validation"]["AP"] <= 1
    assert len((out / "timings.jsonl").read_text().splitlines()) == 3


def test_the_summary_says_how_the_weights_came_about(whole, inputs) -> None:
    out, _, result = whole
    summary = read_json(out / "best.json")
    assert summary["recipe"] == json.loads(json.dumps(RECIPE.to_json()))
    assert summary["figures"] == result.best
    assert summary["chosen"] == "the best AP on the validation set"
    assert summary["seed"] == RECIPE.seed
    assert summary["data"]["real"]["annotations_sha256"] == sha256_of(inputs.real.file)
    assert summary["weights_sha256"] == sha256_of(out / "best.safetensors")
    assert summary["versions"]["torch"]
    assert summary["machine"]["device"] == "cpu"
    assert str(inputs.real.file.parent) not in (out / "best.json").read_text()  # no paths of this machine
    net = load_pose_net(out / "best.safetensors")
    assert net.card.name == "tiny"
    assert net.card.training["figures"] == result.best


def test_the_watcher_is_told_everything(whole) -> None:
    _, events, result = whole
    loading = [event for event in events if isinstance(event, Loading)]
    assert [event.done for event in loading] == list(range(1, 49))  # 24 images, each read twice
    assert {event.total for event in loading} == {48}
    (plan,) = (event for event in events if isinstance(event, Plan))
    assert events.index(plan) == 48
    assert plan.total_steps == 8
    assert [(s.name, s.epochs, s.steps, s.real, s.synthetic) for s in plan.stages] == [
        ("pretrain", 1, 2, 4, 4), ("adapt", 2, 3, 4, 8)
    ]  # fmt: skip
    assert plan.learning == plan.parameters
    assert sum(isinstance(event, StepRecord) for event in events) == 8
    assert [event.line for event in events if isinstance(event, EpochEnd)] == list(result.history)


def test_the_same_run_twice_gives_the_same_bytes_and_leaves_the_callers_generator_alone(
    whole, inputs, tmp_path
) -> None:
    before = torch.get_rng_state()
    train(RECIPE, inputs, tmp_path / "run")
    assert same_results(whole[0], tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 4, 6, 8])
def test_an_interrupted_run_goes_on_to_the_same_bytes(whole, inputs, tmp_path, after) -> None:
    steps = []

    def stop(event):
        if isinstance(event, StepRecord):
            steps.append(event)
            if len(steps) == after:
                raise StoppedError

    out, recipe = tmp_path / "run", replace(RECIPE, save_every=2)
    with pytest.raises(StoppedError):
        train(recipe, inputs, out, watch=stop)
    again = []
    train(recipe, inputs, out, resume=True, watch=again.append)
    assert sum(isinstance(event, StepRecord) for event in again) <= 8 - after + 2
    for name in ("best.safetensors", "history.jsonl"):
        assert (out / name).read_bytes() == (whole[0] / name).read_bytes(), name


def test_ten_kills_change_nothing(folder, whole, tmp_path) -> None:
    train_and_kill(folder, tmp_path / "run", kills=10, moments=random.Random(0))
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*RESULTS, "checkpoint", "timings.jsonl"}
    for name in ("best.safetensors", "history.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (whole[0] / name).read_bytes(), name


def test_a_finished_run_is_not_run_again(whole, inputs, tmp_path) -> None:
    shutil.copytree(whole[0], tmp_path / "run")
    events = []
    result = train(RECIPE, inputs, tmp_path / "run", resume=True, watch=events.append)
    assert result.history == whole[2].history
    assert result.best == whole[2].best
    assert not any(isinstance(event, StepRecord) for event in events)


def test_a_finished_run_whose_weights_are_gone_says_so(whole, inputs, tmp_path) -> None:
    shutil.copytree(whole[0], tmp_path / "run")
    (tmp_path / "run" / "best.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"run/best\.safetensors: gone, .*; put it back, or train anew"):
        train(RECIPE, inputs, tmp_path / "run", resume=True)


@pytest.mark.parametrize("fact", ["identity", "journal", "machine"])
def test_a_checkpoint_that_lacks_a_fact_is_refused(whole, inputs, tmp_path, fact) -> None:
    shutil.copytree(whole[0], tmp_path / "run")
    file = tmp_path / "run" / "checkpoint"
    facts = json.dumps({name: value for name, value in read_facts(file).items() if name != fact})
    safetensors.torch.save_file(safetensors.torch.load_file(file), file, {KEY: facts})
    with pytest.raises(WeightsError, match=rf"checkpoint: written by another version .*{fact}.*; choose another --out"):
        train(RECIPE, inputs, tmp_path / "run", resume=True)


def test_going_on_with_other_threads_is_told(whole, inputs) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.warns(DataWarning, match=f"threads was {threads}, is {threads + 1}: the result may differ"):
            train(RECIPE, inputs, whole[0], resume=True)
    finally:
        torch.set_num_threads(threads)


def test_resuming_nothing_starts(inputs, tmp_path) -> None:
    recipe = replace(SUPERVISED, epochs=1)
    result = train(recipe, Inputs(real=inputs.real), tmp_path / "run", resume=True)
    assert len(result.history) == 1


def test_a_folder_with_something_in_it_is_refused(whole, inputs, tmp_path) -> None:
    with pytest.raises(StorageError, match="holds a run already; add --resume"):
        train(RECIPE, inputs, whole[0])
    (tmp_path / "thesis.tex").write_text("")
    for resume in (False, True):
        with pytest.raises(StorageError, match=r"thesis\.tex"):
            train(RECIPE, inputs, tmp_path, resume=resume)
        with pytest.raises(StorageError, match=r"thesis\.tex: a file, not a folder; choose another"):
            train(RECIPE, inputs, tmp_path / "thesis.tex", resume=resume)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.5}, "recipe.learning_rate was 0.001, is 0.5"),
        ({"network": replace(TINY, width=8)}, "recipe.network.width was 4, is 8"),
        ({"seed": 4}, "recipe.seed was 3, is 4"),
    ],
)
def test_a_checkpoint_of_another_recipe_or_network_is_refused(whole, inputs, change, message) -> None:
    with pytest.raises(WeightsError, match=f"checkpoint: belongs to another run: {message}"):
        train(replace(RECIPE, **change), inputs, whole[0], resume=True)


def test_a_checkpoint_of_other_data_is_refused(whole, inputs) -> None:
    with pytest.raises(WeightsError, match=r"belongs to another run: data\.real\.annotations_sha256 was"):
        train(RECIPE, replace(inputs, real=inputs.validation, validation=inputs.real), whole[0], resume=True)


def test_without_validation_the_last_epoch_is_kept(inputs, tmp_path) -> None:
    result = train(SUPERVISED, Inputs(real=inputs.real, synthetic=inputs.synthetic), tmp_path / "run")
    assert result.best == result.history[-1]
    assert read_json(tmp_path / "run" / "best.json")["chosen"] == "the last epoch"


def test_a_network_learns_drawn_figures_and_the_best_epoch_is_kept(inputs, tmp_path) -> None:
    recipe = replace(
        SUPERVISED,
        epochs=12,
        steps_per_epoch=6,
        learning_rate=5e-3,
        synthetic_share=0.5,
        augmentation=Augmentation.none(),
    )
    result = train(recipe, replace(inputs, adults=None), tmp_path / "run")
    losses = [line["pose_loss"] for line in result.history]
    assert losses[-1] < 0.6 * losses[0]
    best = max(line["validation"]["AP"] for line in result.history)
    assert result.best["validation"]["AP"] == best


def test_a_run_may_start_from_weights(whole, inputs, tmp_path) -> None:
    recipe = replace(SUPERVISED, network=None, backbone="resnet-18", input_size=(64, 32), sigma=1.5, epochs=1)
    result = train(recipe, Inputs(real=inputs.real, init=whole[2].weights), tmp_path / "run")
    card = load_pose_net(result.weights).card
    assert (card.input_size, card.heatmap_sigma, card.width) == ((64, 32), 1.5, 4)
    summary = read_json(tmp_path / "run" / "best.json")
    assert summary["init"] == {"name": "best.safetensors", "sha256": sha256_of(whole[2].weights)}
    with pytest.raises(RecipeError, match="has backbone resnet-18, recipe tiny expects resnet-50"):
        train(replace(recipe, backbone="resnet-50"), Inputs(real=inputs.real, init=whole[2].weights), tmp_path / "x")
    other = replace(SUPERVISED, network=replace(TINY, width=8))
    with pytest.raises(RecipeError, match="has width 4, recipe tiny expects 8"):
        train(other, Inputs(real=inputs.real, init=whole[2].weights), tmp_path / "y")


def test_an_embedded_network_that_changed_is_another_start(inputs, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(weights.resources, "files", lambda package: tmp_path / package)
    embedded = tmp_path / "fidip.networks" / "embedded"
    embedded.mkdir(parents=True)
    recipe = replace(SUPERVISED, network=None, backbone="resnet-18", epochs=1)
    first, second = (build_pose_net(TINY, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    save_pose_net(first, embedded / "tiny.safetensors")
    train(recipe, Inputs(real=inputs.real, init="tiny"), tmp_path / "run")
    save_pose_net(second, embedded / "tiny.safetensors")
    with pytest.raises(WeightsError, match=r"belongs to another run: init\.sha256 was '[0-9a-f]+"):
        train(recipe, Inputs(real=inputs.real, init="tiny"), tmp_path / "run", resume=True)
    with pytest.raises(WeightsError, match=r"tinier: no such weights"):
        train(recipe, Inputs(real=inputs.real, init="tinier"), tmp_path / "other")


def test_a_loss_that_is_not_finite_leaves_the_checkpoint(inputs, tmp_path) -> None:
    recipe, out = replace(SUPERVISED, learning_rate=1e30, save_every=1), tmp_path / "run"
    data, message = (
        Inputs(real=inputs.real),
        r"are not finite in stage adapt, epoch 2, step 1, somewhere in the batch of .*\.png",
    )
    with pytest.raises(TrainingError, match=message) as error:
        train(recipe, data, out)
    assert "\n" not in str(error.value)
    before = (out / "checkpoint").read_bytes()
    with pytest.raises(TrainingError, match=message):  # the checkpoint is whole: resuming comes to the same step
        train(recipe, data, out, resume=True)
    assert (out / "checkpoint").read_bytes() == before


def test_a_full_disk_at_any_write_leaves_a_run_that_can_go_on(whole, inputs, tmp_path, monkeypatch) -> None:
    replace_file, renames, problems = fidip.files._replace, [], []

    def sometimes_full(source, target):
        renames.append(target)
        if len(renames) == len(problems) + 1:  # the first time at the first file, then at the second, …
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace_file(source, target)

    monkeypatch.setattr(fidip.files, "_replace", sometimes_full)
    result = None
    while result is None:
        renames.clear()
        try:
            result = train(RECIPE, inputs, tmp_path / "run", resume=bool(problems))
        except StorageError as error:
            problems.append(str(error))
    assert len(problems) >= 4
    assert all("cannot be written: the disk is full" in problem for problem in problems)
    for name in ("best.safetensors", "history.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (whole[0] / name).read_bytes(), name


def edited(source: LabelledSet, target, change) -> LabelledSet:
    """A copy of a set whose annotation file is changed."""
    shutil.copytree(source.file.parent, target)
    document = read_json(target / "annotations.json")
    change(document)
    write_json(target / "annotations.json", document)
    return LabelledSet.read(target / "annotations.json")


def unlabel(document) -> None:
    for annotation in document["annotations"]:
        annotation["keypoints"], annotation["num_keypoints"] = [0] * 51, 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (unlabel, r"annotations\.json: annotations: nobody can be used: 4 with no labelled keypoint"),
        (lambda d: d.update(annotations=[]), r"annotations\.json: annotations: nobody in its 4 images"),
        (lambda d: d.update(images=[], annotations=[]), r"annotations\.json: annotations: nobody in its 0 images"),
        (
            lambda d: d.update(images=d["images"][:1], annotations=d["annotations"][:1]),
            "1 usable person; .* at least 2",
        ),
    ],
)
def test_data_from_which_nothing_can_be_learnt_is_refused(inputs, tmp_path, change, message) -> None:
    data = edited(inputs.real, tmp_path / "data", change)
    with pytest.raises(DataError, match=message) as error:
        train(SUPERVISED, Inputs(real=data), tmp_path / "run")
    assert "\n" not in str(error.value)
    assert list((tmp_path / "run").iterdir()) == []


def test_unlabelled_people_teach_the_domain_if_asked(inputs, tmp_path) -> None:
    real = edited(inputs.real, tmp_path / "data", unlabel)
    recipe, plans = replace(RECIPE, pretrain=None, unlabelled=True, epochs=1), []
    train(recipe, Inputs(real, inputs.synthetic), tmp_path / "run", watch=plans.append)
    (plan,) = (event for event in plans if isinstance(event, Plan))
    assert (plan.stages[0].real, plan.stages[0].synthetic) == (4, 8)
    nobody = edited(inputs.synthetic, tmp_path / "nobody", unlabel)
    with pytest.raises(DataError, match="nobody has a labelled keypoint"):
        train(recipe, Inputs(real, nobody), tmp_path / "other")


def test_who_is_left_out_is_said(inputs, tmp_path) -> None:
    data = edited(inputs.synthetic, tmp_path / "data", lambda d: d["annotations"][0].update(iscrowd=1))
    events = []
    train(replace(SUPERVISED, epochs=1), Inputs(synthetic=data), tmp_path / "run", watch=events.append)
    (plan,) = (event for event in events if isinstance(event, Plan))
    assert plan.skipped == {"--synthetic annotations.json": {"a crowd": 1}}


@pytest.mark.parametrize("device", ["cuda", "tpu", "nonsense"])
def test_a_device_that_is_not_there_is_refused(inputs, tmp_path, device) -> None:
    if device == "cuda" and torch.cuda.is_available():
        device = "cuda:99"
    with pytest.raises(RecipeError, match="device"):
        train(SUPERVISED, Inputs(real=inputs.real), tmp_path / "run", device)


def test_every_refusal_comes_before_anything_is_written(inputs, tmp_path) -> None:
    for recipe, data in (
        (replace(RECIPE, epochs=0), inputs),
        (RECIPE, replace(inputs, adults=None)),
        (RECIPE, replace(inputs, validation=inputs.real)),
    ):
        with pytest.raises(FidipError):
            train(recipe, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
