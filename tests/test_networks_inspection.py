from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from fidip.errors import WeightsError
from fidip.networks.inspection import inspect_weights, tensors_sha256
from fidip.networks.weights import load_pose_net, save_pose_net, to_published_names
from published_files import pose_hrnet, random_state


def test_the_facts_of_an_embedded_network() -> None:
    report = inspect_weights("infant-small")
    net = load_pose_net("infant-small")
    state = to_published_names(net.state_dict())
    assert report["parameters"] == sum(parameter.numel() for parameter in net.parameters())
    assert report["card"]["name"] == "infant-small"
    assert report["tensors"] == len(state)
    assert report["numbers"] == sum(np.prod(tensor.shape, dtype=int) for tensor in state.values())
    assert report["bytes"] > 4 * report["parameters"]
    # by hand, of ResNet-18's first convolution alone: 7 * 7 * 3 * 24 for each of 64 * 64 pixels
    assert report["multiply_adds"] > 7 * 7 * 3 * 24 * 64 * 64


def test_the_facts_of_a_published_file(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    state = random_state(pose_hrnet(4))
    safetensors.torch.save_file({f"module.{name}": tensor for name, tensor in state.items()}, file)
    report = inspect_weights(file)
    assert report["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert set(report["layouts"]) == {"dark-hrnet", "fidip", "hrnet-imagenet"}
    assert "card" not in report
    assert report["tensors"] == len(state)
    assert report["tensors_sha256"] == tensors_sha256(state)


def test_the_hash_of_tensors_sees_every_bit_and_nothing_else(tmp_path: Path) -> None:
    state = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor(3), "h": torch.ones(2, dtype=torch.bfloat16)}
    digest = tensors_sha256(state)
    expected = hashlib.sha256()
    expected.update(b"a torch.int64 ()\n" + np.int64(3).tobytes())
    expected.update(b"b torch.float32 (2, 3)\n" + np.arange(6, dtype=np.float32).tobytes())
    expected.update(b"h torch.bfloat16 (2,)\n" + b"\x80\x3f" * 2)
    assert digest == expected.hexdigest()
    assert tensors_sha256(dict(reversed(state.items()))) == digest
    assert tensors_sha256(state | {"b": state["b"].T.contiguous().T}) == digest
    for other in ({"a": torch.tensor(4)}, {"b": state["b"].reshape(3, 2)}, {"c": torch.zeros(0)}):
        assert tensors_sha256(state | other) != digest
    net = load_pose_net("infant-small")
    save_pose_net(net, tmp_path / "copy.safetensors")
    copy, original = inspect_weights(tmp_path / "copy.safetensors"), inspect_weights("infant-small")
    assert copy["tensors_sha256"] == original["tensors_sha256"]
    assert copy["sha256"] != original["sha256"]  # the package's file is stored in half precision


def test_what_cannot_be_inspected_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth: no such file"):
        inspect_weights(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="nobody: no such weights"):
        inspect_weights("nobody")
    file = tmp_path / "x.safetensors"
    file.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"x\.safetensors: damaged"):
        inspect_weights(file)
    safetensors.torch.save_file({"w": torch.tensor([1.0, float("inf")])}, file)
    with pytest.raises(WeightsError, match=r"x\.safetensors: w not finite"):
        inspect_weights(file)
