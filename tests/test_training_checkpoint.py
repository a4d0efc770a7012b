"""A checkpoint gives back every bit, refuses what is not its own, and never harms the one before it."""

import errno
import os
from dataclasses import replace

import pytest
import safetensors.torch
import torch

import fidip.files
from fidip.errors import StorageError, TrainingError, WeightsError
from fidip.networks.pose import build_pose_net
from fidip.training.checkpoint import KEY, difference, read_facts, restore, write_checkpoint
from fidip.training.loop import take_steps
from fidip.training.stages import Learners, adapt
from figures import TINY
from learners import bits, changed, learners, turns

FACTS = {"identity": {"a": 1.1}, "journal": {"history": [{"loss": 0.1 + 0.2}]}}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_restored_run_goes_on_to_the_bit(tmp_path, layout) -> None:
    straight, stopped, resumed = (learners(card=replace(TINY, width=8)) for _ in range(3))
    for each in (straight, stopped, resumed):
        each.pose_net.to(memory_format=layout)
    list(take_steps(adapt, straight, turns(4)))
    list(take_steps(adapt, stopped, turns(2)))
    write_checkpoint(tmp_path / "checkpoint", stopped, FACTS)
    list(take_steps(adapt, resumed, turns(1, weight=5.0)))  # leaves other weights and other moments behind
    restore(tmp_path / "checkpoint", resumed)
    assert changed(resumed.pose_net, bits(stopped.pose_net)) == set()
    list(take_steps(adapt, resumed, [*turns(4)][2:]))
    assert changed(resumed.pose_net, bits(straight.pose_net)) == set()
    assert changed(resumed.classifier, bits(straight.classifier)) == set()


def test_adam_in_one_kernel_goes_on_to_the_bit(tmp_path) -> None:
    """As on a GPU, where its count of steps is a tensor of the device too."""

    def fused():
        ours = learners(card=replace(TINY, width=8))
        ours.pose_net.to(memory_format=torch.channels_last)
        return replace(ours, pose_optimizer=torch.optim.Adam(ours.pose_net.parameters(), fused=True))

    straight, stopped, resumed = fused(), fused(), fused()
    list(take_steps(adapt, straight, turns(4)))
    list(take_steps(adapt, stopped, turns(2)))
    write_checkpoint(tmp_path / "checkpoint", stopped, FACTS)
    restore(tmp_path / "checkpoint", resumed)
    list(take_steps(adapt, resumed, [*turns(4)][2:]))
    assert changed(resumed.pose_net, bits(straight.pose_net)) == set()


def test_torchs_generator_is_restored(tmp_path) -> None:
    ours = learners()
    torch.manual_seed(5)
    write_checkpoint(tmp_path / "checkpoint", ours, FACTS)
    drawn = torch.rand(3)
    torch.rand(7)
    restore(tmp_path / "checkpoint", ours)
    assert torch.equal(torch.rand(3), drawn)


def test_facts_come_back_exactly_and_the_bytes_are_the_same(tmp_path) -> None:
    ours = learners()
    torch.manual_seed(5)
    for name in ("a", "b"):
        write_checkpoint(tmp_path / name, ours, FACTS)
    assert read_facts(tmp_path / "a") == FACTS
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_supervised_runs_have_checkpoints_too(tmp_path) -> None:
    ours = learners(classifier=False)
    list(take_steps(adapt, ours, turns(1)))
    write_checkpoint(tmp_path / "checkpoint", ours, FACTS)
    fresh = learners(classifier=False)
    restore(tmp_path / "checkpoint", fresh)
    assert changed(fresh.pose_net, bits(ours.pose_net)) == set()


@pytest.mark.parametrize("call", ["_write", "_fsync", "_replace"])
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch, call) -> None:
    ours = learners()
    write_checkpoint(tmp_path / "checkpoint", ours, FACTS)
    before = (tmp_path / "checkpoint").read_bytes()
    list(take_steps(adapt, ours, turns(1)))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fidip.files, call, full)
    with pytest.raises(StorageError, match="checkpoint: cannot be written: the disk is full"):
        write_checkpoint(tmp_path / "checkpoint", ours, {})
    assert (tmp_path / "checkpoint").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_weights_that_are_not_finite_are_never_written(tmp_path) -> None:
    ours = learners()
    write_checkpoint(tmp_path / "checkpoint", ours, FACTS)
    before = (tmp_path / "checkpoint").read_bytes()
    with torch.no_grad():
        ours.pose_net.head.final_layer.bias[3] = float("inf")
    with pytest.raises(TrainingError, match=r"pose_net/head\.final_layer\.bias is not finite"):
        write_checkpoint(tmp_path / "checkpoint", ours, FACTS)
    assert (tmp_path / "checkpoint").read_bytes() == before


def test_a_checkpoint_of_another_network_is_refused(tmp_path) -> None:
    write_checkpoint(tmp_path / "checkpoint", learners(), FACTS)
    net = build_pose_net(replace(TINY, head_width=4))
    other = Learners(net, torch.optim.Adam(net.parameters()))
    with pytest.raises(WeightsError, match=r"checkpoint: of another network: .*size mismatch"):
        restore(tmp_path / "checkpoint", other)


def test_damaged_and_foreign_files_are_named(tmp_path) -> None:
    file = tmp_path / "checkpoint"
    with pytest.raises(WeightsError, match="cannot be read"):
        read_facts(file)
    write_checkpoint(file, learners(), FACTS)
    file.write_bytes(file.read_bytes()[:-50])
    for read in (read_facts, lambda path: restore(path, learners())):
        with pytest.raises(WeightsError, match="checkpoint: damaged"):
            read(file)
    write_checkpoint(file, learners(), FACTS)
    state = {name: tensor for name, tensor in safetensors.torch.load_file(file).items() if name != "generator/cpu"}
    for facts in ("[1]", "null", "{}"):
        safetensors.torch.save_file(state, file, {KEY: facts})
        with pytest.raises(WeightsError, match="checkpoint: damaged"):
            restore(file, learners())
        if facts != "{}":
            with pytest.raises(WeightsError, match="no checkpoint of this program"):
                read_facts(file)
    safetensors.torch.save_file({"x": torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match="no checkpoint of this program"):
        read_facts(file)


def test_the_first_difference_is_named() -> None:
    old = {"recipe": {"seed": 1, "steps": [1, 2]}, "data": None}
    assert difference(old, {"recipe": {"seed": 1, "steps": [1, 2]}, "data": None}) is None
    assert difference(old, {"recipe": {"seed": 2, "steps": [1, 2]}, "data": None}) == "recipe.seed was 1, is 2"
    assert (
        difference(old, {"recipe": {"seed": 1, "steps": [1, 3]}, "data": None}) == "recipe.steps was [1, 2], is [1, 3]"
    )
    assert difference(old, {**old, "new": 4}) == "new was None, is 4"
