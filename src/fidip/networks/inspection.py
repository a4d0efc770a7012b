"""What a weights file holds, told without using it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from fidip.errors import WeightsError
from fidip.networks.complexity import complexity
from fidip.networks.foreign import State, read_foreign
from fidip.networks.layouts import layouts_of
from fidip.networks.weights import holds_card, load_pose_net, to_published_names, weights_sha256


def inspect_weights(source: Path | str) -> dict[str, Any]:
    """The facts of a file of ours, an embedded network or a published file.

    Of ours: ``card``, ``parameters``, ``multiply_adds`` for one image of the card's size. Of a published file:
    ``layouts`` that it may be of. Of both: ``sha256`` of the file, and ``tensors``, ``numbers``, ``bytes`` and
    ``tensors_sha256`` of what it holds.

    Raises:
        WeightsError: unreadable, refused, damaged, or not the network that its card describes.
    """
    report: dict[str, Any] = {"file": str(source), "sha256": weights_sha256(source)}
    if holds_card(source):
        net = load_pose_net(source)
        state = to_published_names(net.state_dict())
        report |= {"card": asdict(net.card), **asdict(complexity(net))}
    else:
        state = read_foreign(source)
        report["layouts"] = layouts_of(state)
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise WeightsError(f"{source}: {broken[0]} not finite: the file is damaged; use another")
    return report | {
        "tensors": len(state),
        "numbers": sum(tensor.numel() for tensor in state.values()),
        "bytes": sum(tensor.numel() * tensor.element_size() for tensor in state.values()),
        "tensors_sha256": tensors_sha256(state),
    }


def tensors_sha256(state: State) -> str:
    """A hash of names, types, shapes and numbers, whatever their order in the file and whatever else is in it."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
