"""Which network a state dict is of, told from the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fidip.errors import WeightsError
from fidip.networks.backbones.mobilenet import STEM_CHANNELS
from fidip.networks.backbones.resnet import BLOCKS, BasicBlock
from fidip.networks.foreign import State, few


def architecture_of(state: State, path: Path | str) -> dict[str, Any]:
    """What a card must say of the network that has these tensors, under our names: backbone, width, head, head width.

    Raises:
        WeightsError: of no network that is known here.
    """
    recognise = next((RECOGNISED[name] for name in RECOGNISED if name in state), _resnet)
    try:
        backbone, width = recognise(state)
        return {"backbone": backbone, "width": width, **_head(state, backbone)}
    except (KeyError, IndexError, TypeError):
        raise WeightsError(f"{path}: no network that is known here holds {few(list(state))}") from None


def _head(state: State, backbone: str) -> dict[str, Any]:
    found: dict[str, Any] = {"head": "deconvolution"}
    if "conv_compress.weight" in state:
        found |= {"head": "pixel-shuffle", "head_width": len(state["conv_compress.weight"])}
    elif "deconv_layers.0.weight" in state:
        found["head_width"] = state["deconv_layers.0.weight"].shape[1]
    elif backbone.startswith("vit"):
        found["head"] = "interpolation"
    return found


def _resnet(state: State) -> tuple[str, float]:
    counts = tuple(_count(rf"layer{layer}\.(\d+)\.conv1\.weight", state) for layer in range(1, 5))
    basic = "layer1.0.conv3.weight" not in state
    depths = [depth for depth, (block, each) in BLOCKS.items() if (block is BasicBlock) == basic and each == counts]
    return f"resnet-{depths[0]}", float(len(state["conv1.weight"]))


def _hrnet(state: State) -> tuple[str, float]:
    return "hrnet", float(len(state["stage4.0.branches.0.0.conv1.weight"]))


def _mobilenet(state: State) -> tuple[str, float]:
    return "mobilenet-v2", len(state["features.0.0.weight"]) / STEM_CHANNELS


def _vit(state: State) -> tuple[str, float]:
    depth = _count(r"blocks\.(\d+)\.norm1\.weight", state)
    return f"vit-{depth}", float(state["pos_embed"].shape[-1])


def _count(pattern: str, state: State) -> int:
    return len({found[1] for name in state if (found := re.fullmatch(pattern, name))})


RECOGNISED: Mapping[str, Callable[[State], tuple[str, float]]] = MappingProxyType(
    {"pos_embed": _vit, "features.0.0.weight": _mobilenet, "stage4.0.branches.0.0.conv1.weight": _hrnet}
)
"""From a name that only one family has to how backbone and width are read off; all others are taken for ResNets."""
