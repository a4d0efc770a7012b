"""``fidip train`` from the command line: what it prints, what it leaves, how it refuses."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from fidip import recipes
from fidip.annotations import Domain
from fidip.cli import main
from fidip.cli.train import SHOWN, MethodName
from fidip.training.adaptation import Method
from fidip.training.published import Published
from figures import RECIPE, SUPERVISED, figure_set

TINY_RECIPES = {
    "tiny": RECIPE,
    "plain": replace(SUPERVISED, name="plain"),
    "taught": replace(SUPERVISED, name="taught", method="mean-teacher", domain_weight=1.0),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    sets = {
        "real": figure_set(folder / "r", 4, Domain.REAL),
        "synthetic": figure_set(folder / "s", 4, Domain.SYNTHETIC),
        "validation": figure_set(folder / "v", 3, Domain.REAL, seed=1),
        "adults-real": figure_set(folder / "ar", 4, Domain.REAL, seed=2),
        "adults-synthetic": figure_set(folder / "as", 4, Domain.SYNTHETIC, seed=2),
    }
    return {name: str(labelled.file) for name, labelled in sets.items()}


@pytest.fixture(autouse=True)
def _tiny_recipes(monkeypatch) -> None:
    monkeypatch.setattr(recipes, "RECIPES", TINY_RECIPES)


def every_option(files):
    adults = ["--adults", files["adults-real"], files["adults-synthetic"]]
    return ["--real", files["real"], "--synthetic", files["synthetic"], "--validation", files["validation"], *adults]


def test_a_run_with_every_file(files, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert main(["train", "tiny", *every_option(files), "--epochs", "1", "--seed", "5", "--out", str(out)]) == 0
    printed, complaints = capsys.readouterr()
    assert "tiny (seed 5) on cpu" in printed
    assert "domain classifier, pooled" in printed
    assert "resnet-18, images 32x32, heatmaps 8x8" in printed
    assert "pretrain: 1 epoch of 2 steps of 4, 4 real and 4 synthetic people" in printed
    assert "a step has 2.0 real and 2.0 synthetic on average, learning rate 0.001, λ 0.01" in printed
    assert "memory: networks, gradients, Adam " in printed
    assert "adapt: 1 epoch of 2 steps of 4, 4 real and 4 synthetic people" in printed
    assert printed.index("adapt: 1 epoch") < printed.index("pretrain epoch 1, domain loss")  # the schedule comes first
    assert f"{out}/best.safetensors: adapt epoch 1" in printed
    assert "AP " in printed
    assert complaints == ""
    assert json.loads((out / "best.json").read_text())["seed"] == 5


def test_numbers_may_be_set(files, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    settings = ("alternation=epoch", "epochs=1", "frozen=res1,res2", "pretrain.epochs=2", "stop_at_accuracy=0.01")
    options = [part for setting in reversed(settings) for part in ("--set", setting)]
    assert main(["train", "tiny", *every_option(files), *options, "--set=domain_weight=0.5", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"tests; changed: {settings[0]}, domain_weight=0.5, {', '.join(settings[1:])}" in printed
    assert "parameters learn; res1, res2 frozen" in printed
    assert "pretrain: 2 epochs of 2 steps of 4, 4 real" in printed
    assert "adapt: 1 epoch of 4 steps of 4, half of them stage I, then half stage II, 4 real" in printed
    assert "learning rate 0.001, λ 0.5" in printed
    assert "ends early after an epoch in which the classifier's mean accuracy is not above 1.0%" in printed
    recipe = json.loads((out / "best.json").read_text())["recipe"]
    assert (recipe["epochs"], recipe["pretrain"]["epochs"], recipe["domain_weight"]) == (1, 2, 0.5)


def test_a_run_that_ends_early_says_so(files, tmp_path, capsys) -> None:
    arguments = ["train", "tiny", *every_option(files), "--set", "stop_at_accuracy=0.999", "--epochs", "9"]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    assert "\nended after epoch " in capsys.readouterr().out


def test_a_published_row_is_named_and_a_changed_one_is_not(files, tmp_path, monkeypatch, capsys) -> None:
    row = Published("Table 9", "z", 50.0, real=3, synthetic=None)
    monkeypatch.setattr(
        recipes, "RECIPES", {"row": replace(RECIPE, name="row", published=row, real_images="unlabelled")}
    )
    for number, settings in enumerate(([], ["--set", "epochs=1"])):
        out = str(tmp_path / str(number))
        assert main(["train", "row", *every_option(files), *settings, "--out", out]) == 0
        printed = capsys.readouterr().out
        told = "published: AP 50.0 with 3 real and an unknown number of synthetic images (Table 9 z)"
        assert (told in printed) == (not settings)
        assert "real people teach the domain only; their keypoints are not looked at" in printed


def test_photos_without_labels_are_learnt_from(files, tmp_path, capsys) -> None:
    figure_set(tmp_path / "film", 3, Domain.REAL, seed=9)
    photos, boxes = str(tmp_path / "film" / "images"), str(tmp_path / "film" / "annotations.json")
    arguments = ["train", "taught", "--synthetic", files["synthetic"], "--out", str(tmp_path / "run")]
    assert main([*arguments, "--unlabelled-boxes", boxes]) == 2
    assert "name the folder of the photos or films too" in capsys.readouterr().err
    assert main([*arguments, "--unlabelled", photos, "--unlabelled-boxes", boxes]) == 0
    printed = capsys.readouterr().out
    assert "method mean-teacher, weight 1" in printed
    assert "2 steps of 4, 3 real and 4 synthetic people" in printed
    assert "believed" in printed
    summary = json.loads((tmp_path / "run" / "best.json").read_text())
    assert summary["data"]["unlabelled"]["images"] == 3


def test_a_share_replaces_the_weight(files, tmp_path, capsys) -> None:
    data = ["--real", files["real"], "--synthetic", files["synthetic"]]
    adults = ["--adults", files["adults-real"], files["adults-synthetic"]]
    out = str(tmp_path / "run")
    assert main(["train", "tiny", *data, *adults, "--domain-share", "0.2", "--epochs", "1", "--out", out]) == 0
    assert "method fidip, 0.2 of the pose gradient" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "best.json").read_text())["recipe"]["domain_share"] == 0.2
    assert main(["train", "plain", *data, "--domain-share", "0.2", "--out", str(tmp_path / "other")]) == 2
    assert "domain_share with a method that has no weight" in capsys.readouterr().err


def test_a_method_may_be_chosen(files, tmp_path, capsys) -> None:
    assert get_args(MethodName) == get_args(Method)
    data = ["--real", files["real"], "--synthetic", files["synthetic"]]
    arguments = ["train", "plain", *data, "--out", str(tmp_path / "r")]
    assert main([*arguments, "--method", "mmd"]) == 2
    assert "--method mmd: recipe plain gives it no weight: add --domain-share 0.1, or" in capsys.readouterr().err
    assert main([*arguments, "--method", "mmd", "--set", "method=dann"]) == 2
    assert "method is set twice" in capsys.readouterr().err
    assert main([*arguments, "--method", "dann", "--domain-share", "0.2"]) == 2
    assert "method dann without a classifier" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
    assert main([*arguments, "--method", "mmd", "--domain-share", "0.2", "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "method mmd, 0.2 of the pose gradient" in printed
    assert "tests; changed: domain_share=0.2, epochs=1, method=mmd" in printed
    assert main([*arguments[:-1], str(tmp_path / "control"), "--method", "mmd", "--domain-share", "0"]) == 0
    assert json.loads((tmp_path / "control" / "best.json").read_text())["recipe"]["method"] == "mmd"


def test_how_it_is_computed_is_shown(files, tmp_path, capsys) -> None:
    arguments = ["train", "plain", "--real", files["real"], "--precision", "bf16", "--out", str(tmp_path / "run")]
    arguments += ["--accumulate", "2", "--set", "keep_statistics=true"]
    assert main(arguments) == 0
    printed, complaint = capsys.readouterr()
    assert "  the pose network: arithmetic in bf16, batches in 2 parts\n" in printed
    assert complaint == ""
    assert main([*arguments, "--precision", "fp8"]) == 2


def test_resume_goes_on(files, tmp_path, capsys) -> None:
    arguments = ["train", "plain", "--real", files["real"], "--out", str(tmp_path / "run")]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "add --resume" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0


def test_images_may_lie_elsewhere(files, tmp_path, capsys) -> None:
    shutil.copy(files["real"], tmp_path / "truth.json")
    arguments = ["train", "plain", "--real", str(tmp_path / "truth.json"), "--out", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "name the folder with --images" in capsys.readouterr().err
    folder = files["real"].replace("annotations.json", "images")
    assert main([*arguments, "--images", folder, "--epochs", "1"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tony"], "no recipe 'tony'; did you mean tiny?"),
        (["zebra"], "no recipe 'zebra'; see: fidip recipes"),
        (["tiny"], "recipe tiny needs --adults"),
        (["plain", "--real", "nowhere.json"], "nowhere.json: no such file"),
        (["plain", "--epochs", "0"], "epochs: at least 1"),
        (["plain", "--set", "epoch=3"], "--set epoch=3: no setting 'epoch'; did you mean epochs"),
        (["plain", "--set", "epochs=x"], "--set epochs=x: expected a whole number, found 'x'"),
        (["plain", "--epochs", "3", "--set", "epochs=4"], "epochs is set twice"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(files, tmp_path, capsys, arguments, message) -> None:
    options = [] if "--real" in arguments else ["--real", files["real"], "--synthetic", files["synthetic"]]
    assert main(["train", *arguments, *options, "--out", str(tmp_path / "run")]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("fidip: ")
    assert message in complaint
    assert complaint.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_skipped_steps_are_shown(files, tmp_path, monkeypatch, capsys) -> None:
    """Each with its picture, and their number in the line of the epoch; by the remedy that the program names."""
    from fidip.training import run

    original = run.turns

    def spoilt(*arguments):
        for turn in original(*arguments):
            images = turn.batch.images.clone()
            images[2, 0, 0, 0] = float("nan")
            yield replace(turn, batch=replace(turn.batch, images=images)) if turn.step == 1 else turn

    monkeypatch.setattr(run, "turns", spoilt)
    data = ["--real", files["real"], "--synthetic", files["synthetic"], "--epochs", "1", "--out", str(tmp_path / "run")]
    data += ["--set", "save_every=1", "--set", "learning_rate=0.002", "--seed", "3"]
    assert main(["train", "plain", *data]) == 2
    complaint = capsys.readouterr().err
    assert "fidip: the images are not finite in stage adapt, epoch 1, step 2, on " in complaint
    assert "go on with --resume --set not_finite=skip" in complaint
    assert (tmp_path / "run" / "checkpoint").is_file()
    assert main(["train", "plain", *data, "--resume", "--set", "not_finite=skip"]) == 0
    printed, complaint = capsys.readouterr()
    assert "adapt epoch 1, pose loss" in printed
    assert "1 of 2 steps skipped" in printed
    assert "fidip: warning: the images are not finite in stage adapt, epoch 1, step 2, on " in complaint


@pytest.mark.parametrize("number", [0, 1])
def test_of_several_processes_the_first_draws_bars(files, tmp_path, monkeypatch, capsys, number) -> None:
    from fidip.training import run, unlabelled
    from fidip.training.events import Loading
    from fidip.training.inputs import LabelledSet

    def looked(*_, tick, **__):
        tick()
        return LabelledSet.read(files["real"])

    def trained(recipe, inputs, out, device, resume, watch, computing):
        watch(Loading(1, 2))
        line = dict.fromkeys(SHOWN) | {"stage": "adapt", "epoch": 1, "skipped": 0, "validation": None}
        return run.RunResult(Path(out) / "best.safetensors", line, ())

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    monkeypatch.setenv("RANK", str(number))
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setattr(unlabelled, "read_unlabelled", looked)
    monkeypatch.setattr(run, "train", trained)
    data = ["--synthetic", files["synthetic"], "--unlabelled", files["real"], "--out", str(tmp_path / "run")]
    assert main(["train", "taught", *data]) == 0
    printed, drawn = capsys.readouterr()
    for told in ("looking through films", "reading"):
        assert (told in drawn) == (number == 0)
    assert ("best.safetensors" in printed) == (number == 0)
