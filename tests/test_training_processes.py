"""Two processes under torchrun are one: the same losses, the same weights, one who writes, and an end for all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from fidip.annotations import Domain
from fidip.errors import RecipeError, TrainingError
from fidip.files import TEMPORARY, read_json
from fidip.networks.weights import load_pose_net, save_pose_net
from fidip.training import run as run_module
from fidip.training.computing import Group
from fidip.training.inputs import Inputs, LabelledSet
from fidip.training.parts import deal
from fidip.training.run import train
from figures import SUPERVISED, figure_set
from process_worker import ONE_STEP, RECIPES, STEPS, records_of

TESTS = Path(__file__).parent


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Two processes of this machine."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TESTS.parent / 'src'}{os.pathsep}{TESTS}"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)


def worker(task: str, folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return torchrun(str(TESTS / "process_worker.py"), task, str(folder), str(out))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Figures, and a network that has seen some: new statistics let nothing through, and Adam magnifies nothing."""
    folder = tmp_path_factory.mktemp("figures")
    sets = {
        "r": (4, Domain.REAL, 0),
        "s": (8, Domain.SYNTHETIC, 0),
        "v": (3, Domain.REAL, 1),
        "film": (4, Domain.REAL, 5),
    }
    sets |= {"ar": (4, Domain.REAL, 2), "as": (4, Domain.SYNTHETIC, 2)}
    for name, one in sets.items():
        figure_set(folder / name, *one)
    real = LabelledSet.read(folder / "ar" / "annotations.json")
    start = train(SUPERVISED, Inputs(real), folder / "start")
    net = load_pose_net(start.weights)
    with torch.no_grad():
        net.head.final_layer.weight.mul_(100)  # the published initial weights give almost no gradient at the features
    save_pose_net(net, folder / "start.safetensors")
    return folder


@pytest.fixture(scope="module")
def together(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("together")
    done = worker("methods", folder, out)
    assert done.returncode == 0, done.stderr
    return out, json.loads((out / "records.json").read_text())


@pytest.mark.parametrize("name", [*RECIPES, "fidip in parts"])
def test_two_processes_learn_as_one(folder, together, tmp_path, name) -> None:
    """Of the same batches, with kept statistics: losses to 1e-5 over twenty steps, and the weights that are left."""
    out, told = together
    recipe = RECIPES[name.removesuffix(" in parts")]
    alone = records_of(recipe, folder, tmp_path / "alone")
    assert len([record for record in alone if record.stage == "adapt"]) == STEPS
    assert len(told[name]) == len(alone)
    for ours, theirs in zip(told[name], alone, strict=True):
        assert (ours["stage"], ours["epoch"], ours["step"]) == (theirs.stage, theirs.epoch, theirs.step)
        for loss in ("pose_loss", "domain_loss"):
            one, other = ours[loss], getattr(theirs, loss)
            assert (one is None) == (other is None)
            assert one is None or one == pytest.approx(other, abs=1e-5)
        assert (ours["domain_accuracy"], ours["believed"]) == (theirs.domain_accuracy, theirs.believed)
    at = out / ("parts" if "parts" in name else name)
    before, after = (load_pose_net(run / "best.safetensors").state_dict() for run in (tmp_path / "alone", at))
    assert all(torch.allclose(before[key], after[key], atol=2e-3) for key in before)  # Adam magnifies last bits
    assert read_json(at / "best.json")["machine"]["processes"] == 2


def test_statistics_of_the_shares_are_averaged(folder, together, tmp_path) -> None:
    """The first layer takes the pictures themselves: the mean of two equal shares is the mean of the batch."""
    out, _ = together
    records_of(ONE_STEP, folder, tmp_path / "alone")
    runs = (tmp_path / "alone", out / "one-step")
    files = (folder / "start.safetensors", *(run / "best.safetensors" for run in runs))
    start, alone, shared = (load_pose_net(file).state_dict()["backbone.bn1.running_mean"] for file in files)
    assert torch.allclose(alone, shared, atol=1e-6)
    assert not torch.allclose(alone, start, atol=1e-4)


def test_a_process_that_dies_ends_all_and_leaves_nothing_half_written(folder, together, tmp_path) -> None:
    """Then both go on, to the bytes of those whom nobody disturbed. Batch norm learns."""
    left = tmp_path / "left"
    done = worker("left", folder, left)
    assert done.returncode != 0
    assert "SIGKILL" in done.stderr  # torchrun says who, and ends the other, unless that one notices first
    assert not [path for path in left.iterdir() if TEMPORARY.fullmatch(path.name)]
    kept = safetensors.torch.load_file(left / "checkpoint")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in kept.values() if tensor.is_floating_point())
    done = worker("resume", folder, left)
    assert done.returncode == 0, done.stderr
    for file in ("best.safetensors", "best.json", "history.jsonl"):
        assert (left / file).read_bytes() == (together[0] / "learning" / file).read_bytes(), file


def test_the_command_line_has_one_voice(folder, tmp_path) -> None:
    start, out = str(folder / "start.safetensors"), tmp_path / "run"
    data = ["--real", str(folder / "r" / "annotations.json"), "--synthetic", str(folder / "s" / "annotations.json")]
    settings = ["network=none", "starts_from=none", "backbone=none", "frozen=", "batch_size=6", "pretrain=none"]
    settings += ["input_size=32x32", "epochs=1", "milestones=", "classifier=pooled"]
    options = [part for setting in settings for part in ("--set", setting)]
    arguments = ["-m", "fidip", "train", "fidip", *data, "--init", start, *options, "--out", str(out)]
    done = torchrun(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best.safetensors: adapt epoch 1") == 1
    assert done.stdout.count("(seed ") == 1
    assert "2 processes" in done.stdout


@pytest.mark.parametrize("number", [0, 1])
def test_a_failure_that_the_first_process_shares_is_told_once(monkeypatch, number) -> None:
    """Whoever is not the first waits for torchrun to end it, and is heard if nobody does."""
    from fidip.cli import train as command

    waited = []
    monkeypatch.setattr("fidip.training.computing.process_number", lambda: number)
    monkeypatch.setattr(command.time, "sleep", waited.append)
    with pytest.raises(RecipeError, match="no"), command._one_voice():
        raise RecipeError("no")
    assert waited == ([command.PAUSE] if number else [])


@pytest.mark.parametrize("call", ["add_up", "wait", "told"])
def test_a_process_that_loses_the_others_says_so_in_one_line(call) -> None:
    class Gone:
        def __getattr__(self, _name):
            def lost(*_, **__):
                raise RuntimeError("[gloo/transport/tcp/pair.cc:547]\nConnection closed by peer")

            return lost

    group = Group(torch.device("cpu"), Gone(), size=2, number=1)
    arguments = {"add_up": ([torch.zeros(2)],), "told": ("news",)}.get(call, ())
    with pytest.raises(TrainingError, match=r"^process 2 of 2 lost the others .* go on with --resume$"):
        getattr(group, call)(*arguments)


@pytest.mark.parametrize("size", [2, 3, 5, 8, 9, 85])
@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("parts", [1, 3])
def test_every_process_has_its_share_of_both_domains(size, processes, parts) -> None:
    synthetic = (torch.rand(size, generator=torch.Generator().manual_seed(size)) < 0.4).float()
    shares = deal(synthetic, processes, parts)
    assert len(shares) == (processes if size >= 2 * processes else 1)
    rows = [torch.cat(share) for share in shares]
    assert sorted(torch.cat(rows).tolist()) == list(range(size))
    assert len({len(share) for share in shares}) == 1  # as many parts each, since layers may wait for each other
    assert min(len(part) for share in shares for part in share) >= 2
    for counts in ([len(some) for some in rows], [int(synthetic[some].sum()) for some in rows]):
        assert max(counts) - min(counts) <= len(shares[0])


def test_batches_too_small_for_the_processes_are_refused(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(run_module.Group, "start", lambda *_: Group(torch.device("cpu"), size=3))
    with pytest.raises(RecipeError, match=r"batches of 4 for 3 processes, each of which needs at least 2; start fewer"):
        train(SUPERVISED, Inputs(LabelledSet.read(folder / "r" / "annotations.json")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_more_processes_than_gpus_are_refused(monkeypatch) -> None:
    from fidip.training import computing

    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "a")
    monkeypatch.setattr(computing, "find_device", torch.device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RecipeError, match="2 processes on this machine, which has 1 GPUs: start as many as there are"):
        Group.start(computing.PLAIN, "cuda")
    with pytest.raises(RecipeError, match="which has one device mps"):
        Group.start(computing.PLAIN, "mps")
