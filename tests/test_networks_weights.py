from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open

import fidip.networks.weights as weights
from fidip.errors import StorageError, WeightsError
from fidip.networks.card import NetworkCard
from fidip.networks.pose import PoseNet, build_pose_net
from fidip.networks.weights import (
    from_published_names,
    load_pose_net,
    save_pose_net,
    to_published_names,
    weights_sha256,
)
from network_states import changed, randomised, snapshot

CARD = NetworkCard(
    "resnet-18",
    8,
    (64, 96),
    16,
    colour_order="BGR",
    mean=(0.1, 0.2, 0.3),
    name="très petit",
    training={"seeds": [1, 2]},
)


@pytest.fixture(scope="module")
def net() -> PoseNet:
    return randomised(build_pose_net(CARD)).eval()


@pytest.fixture
def file(net: PoseNet, tmp_path: Path) -> Path:
    save_pose_net(net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def test_save_and_load_gives_the_same_bits(net: PoseNet, file: Path) -> None:
    before = torch.random.get_rng_state()
    loaded = load_pose_net(str(file))
    assert torch.equal(before, torch.random.get_rng_state())
    assert not changed(snapshot(net), snapshot(loaded))
    assert loaded.card == net.card
    assert not loaded.training
    images = torch.rand(2, 3, 96, 64)
    with torch.no_grad():
        assert torch.equal(net(images).heatmaps, loaded(images).heatmaps)


def test_the_same_network_gives_the_same_bytes(net: PoseNet, file: Path) -> None:
    again = file.with_name("again.safetensors")
    save_pose_net(load_pose_net(file), again)
    assert again.read_bytes() == file.read_bytes()
    save_pose_net(load_pose_net(file).to(memory_format=torch.channels_last), again)
    assert again.read_bytes() == file.read_bytes()


def test_tensors_carry_the_published_names(net: PoseNet, file: Path) -> None:
    with safe_open(file, framework="pt") as stored:
        names = set(stored.keys())
        assert stored.metadata().keys() == {"fidip_card"}
    assert names >= {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer2.0.downsample.1.bias"}
    assert names >= {"deconv_layers.0.weight", "deconv_layers.7.running_mean", "final_layer.weight", "final_layer.bias"}
    assert from_published_names(to_published_names(net.state_dict())).keys() == net.state_dict().keys()


def test_half_precision_halves_the_file_and_loads_as_float32(net: PoseNet, file: Path) -> None:
    halved = file.with_name("half.safetensors")
    save_pose_net(net, halved, half=True)
    assert halved.stat().st_size < 0.6 * file.stat().st_size
    loaded = load_pose_net(halved)
    for name, tensor in loaded.state_dict().items():
        original = net.state_dict()[name]
        assert tensor.dtype == original.dtype
        assert torch.equal(tensor, original.half().float() if original.ndim > 1 else original)


def test_weights_that_are_not_finite_are_neither_written_nor_read(file: Path) -> None:
    broken, target = load_pose_net(file), file.with_name("broken.safetensors")
    with torch.no_grad():
        broken.head.final_layer.bias[3] = float("nan")
    with pytest.raises(WeightsError, match=r"broken.safetensors: final_layer.bias not finite"):
        save_pose_net(broken, target)
    with torch.no_grad():
        broken.head.final_layer.bias[3] = 0
        broken.head.final_layer.weight[0, 0] = 1e6
    with pytest.raises(WeightsError, match=r"final_layer.weight not finite.*half=False"):
        save_pose_net(broken, target, half=True)
    assert not target.exists()
    state, metadata = stored(file)
    state["bn1.weight"][0] = float("inf")
    safetensors.torch.save_file(state, target, metadata)
    with pytest.raises(WeightsError, match=r"bn1.weight not finite"):
        load_pose_net(target)


def test_a_failed_write_leaves_the_old_file(net: PoseNet, file: Path) -> None:
    old = file.read_bytes()
    with pytest.raises(StorageError):
        save_pose_net(net, file.parent / "nowhere" / "net.safetensors")
    boastful = PoseNet(net.backbone, net.head, replace(net.card, training={"log": "x" * (1 << 22)}))
    with pytest.raises(WeightsError, match=r"card is too long"):
        save_pose_net(boastful, file)
    assert file.read_bytes() == old
    assert [entry.name for entry in file.parent.iterdir()] == ["net.safetensors"]


def stored(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(file, framework="pt") as opened:
        return safetensors.torch.load_file(file), dict(opened.metadata())


def test_what_differs_from_the_network_of_the_card_is_named(file: Path) -> None:
    state, metadata = stored(file)
    del state["conv1.weight"]
    state["fc.weight"] = torch.zeros(3)
    state["final_layer.bias"] = torch.zeros(18)
    state["bn1.bias"] = state["bn1.bias"].long()
    safetensors.torch.save_file(state, file, metadata)
    with pytest.raises(WeightsError) as caught:
        load_pose_net(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: not the weights of a resnet-18 of width 8, head width 16: conv1.weight missing")
    for problem in ("fc.weight unknown", "final_layer.bias of another shape", "bn1.bias of another type"):
        assert problem in message


def test_a_card_that_asks_for_a_huge_network_allocates_nothing(file: Path) -> None:
    state, metadata = stored(file)
    card = json.loads(metadata["fidip_card"]) | {"backbone": "resnet-152", "width": 1024, "parameters": None}
    safetensors.torch.save_file(state, file, {"fidip_card": json.dumps(card)})
    with pytest.raises(WeightsError, match=r"resnet-152 of width 1024.*missing"):
        load_pose_net(file)


def test_a_wrong_or_absent_card_names_the_file(file: Path) -> None:
    state, metadata = stored(file)
    safetensors.torch.save_file(state, file, {"fidip_card": metadata["fidip_card"].replace("BGR", "GBR")})
    with pytest.raises(WeightsError, match=r"net.safetensors: network card: colour_order: expected one of RGB, BGR"):
        load_pose_net(file)
    safetensors.torch.save_file(state, file)
    with pytest.raises(WeightsError, match=r"holds no card.*fidip weights import"):
        load_pose_net(file)


def test_every_truncation_is_an_error_that_names_the_file(file: Path) -> None:
    data = file.read_bytes()
    for length in (0, 3, 8, 9, 500, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:length])
        with pytest.raises(WeightsError, match=r"net.safetensors: .*(damaged|not the weights)"):
            load_pose_net(file)


def test_flipped_bytes_of_the_header_never_escape_as_another_error(file: Path) -> None:
    data = file.read_bytes()
    rng = np.random.default_rng(0)
    messages = []
    for position in (*range(8), *rng.integers(8, struct.unpack("<Q", data[:8])[0] + 8, size=100)):
        file.write_bytes(data[:position] + bytes([data[position] ^ int(rng.integers(1, 256))]) + data[position + 1 :])
        try:
            load_pose_net(file)
        except WeightsError as error:
            messages.append(str(error))
    assert len(messages) > 90  # a few hit free text of the card
    assert all(message.startswith(f"{file}: ") and "\n" not in message for message in messages)


@pytest.mark.parametrize(
    "header",
    [
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}',
        '{"a":3}',
        "[1]",
        "[" * 100_000,
    ],
)
def test_odd_headers_are_refused(header: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(4))
    with pytest.raises(WeightsError, match=r"damaged, or no safetensors file"):
        load_pose_net(file)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none.safetensors: cannot be read: No such file"):
        load_pose_net(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match=r"check the path"):
        load_pose_net(tmp_path)


def test_names_are_those_of_the_files_in_the_package(
    net: PoseNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights.resources, "files", lambda package: tmp_path / package)
    with pytest.raises(WeightsError, match=r"tiny: no such weights: this package comes with none"):
        load_pose_net("tiny")
    folder = tmp_path / "fidip.networks" / "embedded"
    folder.mkdir(parents=True)
    (folder / "readme.txt").write_text("not a network")
    save_pose_net(net, folder / "tiny.safetensors", half=True)
    assert weights.embedded_names() == ("tiny",)
    assert load_pose_net("tiny").card == net.card
    assert weights_sha256("tiny") == hashlib.sha256((folder / "tiny.safetensors").read_bytes()).hexdigest()
    assert weights_sha256(folder / "tiny.safetensors") == weights_sha256("tiny")
    with pytest.raises(WeightsError, match=r"gone\.safetensors: no such file"):
        weights_sha256("gone.safetensors")
    with pytest.raises(WeightsError, match=r"large: no such weights: names that come with this package: tiny"):
        load_pose_net("large")
