"""What is said of those whom the initial weights knew: right, the same after a kill, and without any influence."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fidip.annotations import Domain
from fidip.data.augment import Augmentation
from fidip.errors import DataError, DataWarning, StorageError, WeightsError
from fidip.evaluation.statistics import paired_difference
from fidip.files import read_json, sha256_of, write_json
from fidip.networks.weights import load_pose_net, save_pose_net
from fidip.training import retention
from fidip.training.events import Loading, Retaining
from fidip.training.inputs import Inputs, LabelledSet
from fidip.training.run import train
from fidip.training.stages import StepRecord
from fidip.training.validation import judge, load_validation
from figures import SUPERVISED, TINY, figure_set

FIRST = replace(
    SUPERVISED,
    name="first",
    network=replace(TINY, width=8, head_width=16),
    epochs=7,
    steps_per_epoch=12,
    batch_size=8,
    learning_rate=5e-3,
    augmentation=Augmentation.none(),
)
NEXT = replace(SUPERVISED, name="next", network=None, backbone="resnet-18", save_every=1)
FILES = ("best.safetensors", "best.json", "history.jsonl")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return {
        "adults": figure_set(folder / "adults", 24, Domain.SYNTHETIC, seed=20),
        "judges": figure_set(folder / "judges", 12, Domain.SYNTHETIC, seed=21),
        "infants": figure_set(folder / "infants", 6, Domain.REAL, seed=22, size=(96, 64)),
        "validation": figure_set(folder / "validation", 4, Domain.REAL, seed=23, size=(96, 64)),
    }


@pytest.fixture(scope="module")
def source(sets, tmp_path_factory):
    """Weights that know adults, chosen by those who are to be retained."""
    return train(
        FIRST, Inputs(synthetic=sets["adults"], validation=sets["judges"]), tmp_path_factory.mktemp("source") / "run"
    )


def inputs_of(sets, source, **changes) -> Inputs:
    return Inputs(**{"real": sets["infants"], "init": source.weights, "retain": sets["judges"], **changes})


@pytest.fixture(scope="module")
def whole(sets, source, tmp_path_factory):
    events = []
    result = train(NEXT, inputs_of(sets, source), tmp_path_factory.mktemp("whole") / "run", watch=events.append)
    return result, events


def test_before_is_what_the_source_was_validated_by_and_after_what_the_kept_weights_do(sets, source, whole) -> None:
    figures = whole[0].retained
    assert figures["before"]["AP"] == source.best["validation"]["AP"]
    assert figures["before"]["AR"] == source.best["validation"]["AR"]
    assert figures["before"]["AP"] > 0.1  # there is something to lose
    kept, first = load_pose_net(whole[0].weights), load_pose_net(source.weights)
    results = [
        judge(net, load_validation(sets["judges"], net.card, lambda _: None), CPU, 1000) for net in (kept, first)
    ]
    assert figures["after"]["AP"] == results[0].AP
    expected = paired_difference(*results, np.random.default_rng(0))
    assert figures["difference"]["observed"] == results[0].AP - results[1].AP
    assert (figures["difference"]["low"], figures["difference"]["high"]) == (expected.low, expected.high)
    assert figures["difference"]["low"] <= figures["difference"]["mean"] <= figures["difference"]["high"]
    assert (figures["people"], figures["images"], figures["area"]) == (12, 12, source.best["validation"]["area"])


def test_the_figures_stand_in_summary_and_card(whole) -> None:
    result, _ = whole
    summary, card = read_json(result.weights.with_name("best.json")), load_pose_net(result.weights).card
    plain = json.loads(json.dumps(result.retained))
    assert summary["retained"] == card.training["retained"] == plain
    assert summary["network"] == json.loads(card.to_json())
    assert summary["weights_sha256"] == sha256_of(result.weights)
    assert summary["data"]["retain"]["images"] == 12
    assert str(result.weights.parent.parent) not in result.weights.with_name("best.json").read_text()


def test_nothing_is_learnt_or_chosen_by_them(sets, source, tmp_path) -> None:
    """Weights and history are those of the run without, whoever is retained; with validation too."""
    recipe, data = replace(NEXT, epochs=3), inputs_of(sets, source, validation=sets["validation"])
    with_them = train(recipe, data, tmp_path / "with")
    without = train(recipe, replace(data, retain=None), tmp_path / "without")
    assert without.retained is None
    assert (tmp_path / "with" / "history.jsonl").read_bytes() == (tmp_path / "without" / "history.jsonl").read_bytes()
    one, other = load_file(with_them.weights), load_file(without.weights)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert with_them.best == without.best


def test_they_are_looked_at_when_the_run_is_over(whole) -> None:
    _, events = whole
    loading = [event for event in events if isinstance(event, Loading)]
    assert loading[-1].done == loading[-1].total == 6 + 6 + 12  # those retained are read for their fingerprint only
    looked = [event for event in events if isinstance(event, Retaining)]
    assert [event.done for event in looked] == list(range(1, 25))
    assert {event.total for event in looked} == {24}
    last_step = max(i for i, event in enumerate(events) if isinstance(event, StepRecord))
    assert events.index(looked[0]) > last_step


def test_a_run_stopped_at_any_moment_leaves_the_same_bytes(sets, source, whole, tmp_path, monkeypatch) -> None:
    data, out = inputs_of(sets, source), tmp_path / "run"

    class StoppedError(Exception):
        pass

    def stop(event):
        if isinstance(event, (StepRecord, Retaining)):
            raise StoppedError

    for _ in range(2):
        with pytest.raises(StoppedError):
            train(NEXT, data, out, resume=True, watch=stop)

    def full(*_, **__):
        raise StorageError("full")

    with monkeypatch.context() as patch:
        patch.setattr(retention, "write_json", full)  # weights are rewritten, the summary is not
        with pytest.raises(StorageError):
            train(NEXT, data, out, resume=True)
    assert "retained" not in read_json(out / "best.json")
    result = train(NEXT, data, out, resume=True)
    for name in FILES:
        assert (out / name).read_bytes() == whole[0].weights.with_name(name).read_bytes(), name
    events = []
    again = train(NEXT, data, out, resume=True, watch=events.append)
    assert again.retained == result.retained
    assert not any(isinstance(event, Retaining) for event in events)  # it stands there already


def test_they_are_part_of_what_run_this_is(sets, source, whole, tmp_path) -> None:
    shutil.copytree(whole[0].weights.parent, tmp_path / "run")
    for other in (None, sets["validation"]):
        with pytest.raises(WeightsError, match=r"belongs to another run: data\.retain"):
            train(NEXT, inputs_of(sets, source, retain=other), tmp_path / "run", resume=True)


def test_without_initial_weights_the_figures_stand_alone(sets, tmp_path) -> None:
    result = train(replace(SUPERVISED, epochs=1), Inputs(sets["infants"], retain=sets["judges"]), tmp_path / "run")
    assert result.retained["before"] is None
    assert result.retained["difference"] is None
    assert 0 <= result.retained["after"]["AP"] <= 1


def test_each_network_looks_at_the_size_of_its_card(sets, source, tmp_path, monkeypatch) -> None:
    sizes = []

    def load(labelled, card, progress):
        sizes.append(card.input_size)
        return load_validation(labelled, card, progress)

    monkeypatch.setattr(retention, "load_validation", load)
    train(replace(NEXT, epochs=1, input_size=(64, 32)), inputs_of(sets, source), tmp_path / "run")
    assert sizes == [(64, 32), (32, 32)]


@pytest.mark.filterwarnings("ignore:.*have no area")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(keypoints=[0] * 51, num_keypoints=0), "nobody has a labelled keypoint; no retention"),
        (lambda a: (a.pop("area"), a.pop("bbox")), "image 1: person 1 of 1 has no box"),
    ],
)
def test_those_who_cannot_be_measured_are_refused_before_the_run(sets, source, tmp_path, change, message) -> None:
    shutil.copytree(sets["judges"].file.parent, tmp_path / "judges")
    document = read_json(tmp_path / "judges" / "annotations.json")
    for annotation in document["annotations"]:
        change(annotation)
    write_json(tmp_path / "judges" / "annotations.json", document)
    judges = LabelledSet.read(tmp_path / "judges" / "annotations.json")
    with pytest.raises(DataError, match=message):
        train(NEXT, inputs_of(sets, source, retain=judges), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_initial_weights_that_learnt_from_their_judges_are_told(sets, source, tmp_path) -> None:
    with pytest.warns(
        DataWarning, match=r"--retain .*: the initial weights learnt from this very set, as synthetic: .* too good"
    ):
        train(replace(NEXT, epochs=1), inputs_of(sets, source, retain=sets["adults"]), tmp_path / "run")
    net = load_pose_net(source.weights)
    net.card = replace(net.card, training={"data": "in words"})
    save_pose_net(net, tmp_path / "odd.safetensors")
    train(replace(NEXT, epochs=1), inputs_of(sets, source, init=tmp_path / "odd.safetensors"), tmp_path / "odd")


def test_from_the_command_line(sets, source, tmp_path, capsys, monkeypatch) -> None:
    from fidip import recipes
    from fidip.cli import main

    monkeypatch.setattr(recipes, "RECIPES", {"next": replace(NEXT, epochs=1)})
    labels = tmp_path / "judges.json"
    shutil.copy(sets["judges"].file, labels)
    arguments = ["train", "next", "--real", str(sets["infants"].file), "--init", str(source.weights)]
    arguments += ["--out", str(tmp_path / "run")]
    assert main([*arguments, "--retain-images", str(tmp_path)]) == 2
    assert "--retain-images without --retain" in capsys.readouterr().err
    arguments += ["--retain", str(labels), "--retain-images", str(sets["judges"].paths[0].parent)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()[-1]
    figures = read_json(tmp_path / "run" / "best.json")["retained"]
    before, after = (100 * figures[name]["AP"] for name in ("before", "after"))
    assert printed.startswith(f"retention: AP {before:.1f} before, {after:.1f} after, ")
    assert printed.endswith("; 12 people in 12 images of judges.json, area file")
    assert main([*arguments, "--resume"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == printed
    assert TINY.input_size == (32, 32)
