"""How the published weights files name their tensors, and the way to our names and back.

Our names are those of Pose-ResNet, DarkPose's HRNet, torchvision's MobileNetV2 and the original ViTPose without its
``backbone.`` and ``keypoint_head.``; most layouts therefore change little. Each direction is a pure function of a state
dict, and one is the inverse of the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from fidip.networks.foreign import PREFIX, State

Rename = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to write a network down.

    ``marks`` are the names by which a file of this layout is known, all of them. ``cards`` begin the names in
    ``PUBLISHED`` of the networks that were published so. ``left_out`` matches tensors that such files may hold and no
    pose network needs. ``backbone_only`` files leave the head to be drawn anew.
    """

    origin: str
    marks: tuple[str, ...]
    to_ours: Callable[[State], State]
    to_theirs: Callable[[State], State]
    cards: tuple[str, ...] = ()
    left_out: str = r"(?!)"  # nothing
    backbone_only: bool = False
    licence: str = ""  # of a backbone; that of a whole network stands on its card

    def unused(self, state: State) -> list[str]:
        """The names of what is left out."""
        return [name for name in state if re.match(self.left_out, name)]

    def summary(self, unused: Iterable[str]) -> list[str]:
        """Of what modules these are."""
        return sorted({found[0].rstrip(".") for name in unused if (found := re.match(self.left_out, name))})


def _renaming(rename: Rename) -> Callable[[State], State]:
    return lambda state: {rename(name): tensor for name, tensor in state.items()}


def _same(name: str) -> str:
    return name


def _with_module(name: str) -> str:
    return PREFIX + name


# Pose-MobileNet: the same blocks as torchvision's, without their inner Sequentials.

FIRST_BLOCK = MappingProxyType({"0": "0.0", "1": "0.1", "3": "1", "4": "2"})
BLOCK = MappingProxyType({"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"})
"""From an index in their flat ``conv`` to the place in ours: convolution, batch norm, (activation), …"""


def _in_blocks(tables: tuple[Mapping[str, str], Mapping[str, str]]) -> Callable[[State], State]:
    """Rename the parts of inverted residuals by a table for the first block and one for the others."""

    def rename(name: str) -> str:
        if not (found := re.fullmatch(r"(features\.(\d+)\.conv)\.([\d.]+)\.(\w+)", name)):
            return name
        block, index, place, leaf = found.groups()
        return f"{block}.{tables[index != '1'].get(place, place)}.{leaf}"

    return _renaming(rename)


def _inverse(table: Mapping[str, str]) -> Mapping[str, str]:
    return {ours: theirs for theirs, ours in table.items()}


# ViTPose as its authors wrote it, in MMPose.


def _from_mmpose(name: str) -> str:
    return name.removeprefix("backbone.").removeprefix("keypoint_head.")


def _to_mmpose(name: str) -> str:
    return ("keypoint_head." if name.startswith(("deconv_layers.", "final_layer.")) else "backbone.") + name


# ViTPose as transformers has it: other names, and queries, keys and values in matrices of their own.

TRANSFORMERS_NAMES = (
    ("backbone.embeddings.position_embeddings", "pos_embed"),
    ("backbone.embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("backbone.encoder.layer.", "blocks."),
    (".layernorm_before.", ".norm1."),
    (".layernorm_after.", ".norm2."),
    (".attention.output.dense.", ".attn.proj."),
    ("backbone.layernorm.", "last_norm."),
    ("head.deconv1.", "deconv_layers.0."),
    ("head.batchnorm1.", "deconv_layers.1."),
    ("head.deconv2.", "deconv_layers.3."),
    ("head.batchnorm2.", "deconv_layers.4."),
    ("head.conv.", "final_layer."),
)
PARTS = ("query", "key", "value")
SPLIT = re.compile(r"blocks\.(\d+)\.attention\.attention\.query\.(weight|bias)")
FUSED = re.compile(r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)")


def _exchange(pairs: Iterable[tuple[str, str]]) -> Rename:
    """The first of each pair becomes the second: anywhere in a name if it begins with a dot, else at its start."""

    def rename(name: str) -> str:
        for old, new in pairs:
            if old.startswith("."):
                name = name.replace(old, new)
            elif name.startswith(old):
                name = new + name.removeprefix(old)
        return name

    return rename


def _from_transformers(state: State) -> State:
    renamed = _renaming(_exchange(TRANSFORMERS_NAMES))(state)
    for name in list(renamed):
        if found := SPLIT.fullmatch(name):
            names = [name.replace("query", part) for part in PARTS]
            if all(each in renamed for each in names):
                parts = [renamed.pop(each) for each in names]
                renamed[f"blocks.{found[1]}.attn.qkv.{found[2]}"] = torch.cat(parts)
    return renamed


def _to_transformers(state: State) -> State:
    split: State = {}
    for name, tensor in state.items():
        if found := FUSED.fullmatch(name):
            for part, piece in zip(PARTS, tensor.chunk(3), strict=True):
                split[f"blocks.{found[1]}.attention.attention.{part}.{found[2]}"] = piece.clone()
        else:
            split[name] = tensor
    return _renaming(_exchange([(ours, theirs) for theirs, ours in TRANSFORMERS_NAMES]))(split)


_keep = _renaming(_same)

LAYOUTS: dict[str, Layout] = {
    "microsoft-pose-resnet": Layout(
        "SimpleBaseline's Pose-ResNet, and what was trained with its code",
        ("layer1.0.conv1.weight", "deconv_layers.0.weight"),
        _keep,
        _keep,
        cards=("pose-resnet-",),
    ),
    "fidip": Layout(
        "the authors' FiDIP on Pose-ResNet or HRNet",
        ("layer1.0.conv1.weight", "final_layer.weight"),
        _keep,
        _renaming(_with_module),
        cards=("fidip-resnet-", "fidip-hrnet-"),
    ),
    "fidip-mobilenet": Layout(
        "Pose-MobileNet of the FiDIP code",
        ("features.0.0.weight", "features.1.conv.3.weight", "conv_compress.weight"),
        _in_blocks((FIRST_BLOCK, BLOCK)),
        _in_blocks((_inverse(FIRST_BLOCK), _inverse(BLOCK))),
        cards=("fidip-mobilenet-",),
    ),
    "dark-hrnet": Layout(
        "HRNet for poses: DarkPose's files, and HRNet's own",
        ("stage4.0.branches.0.0.conv1.weight", "final_layer.weight"),
        _keep,
        _keep,
        cards=("dark-hrnet-",),
    ),
    "vitpose": Layout(
        "ViTPose as its authors wrote it",
        ("backbone.pos_embed", "keypoint_head.final_layer.weight"),
        _renaming(_from_mmpose),
        _renaming(_to_mmpose),
        cards=("vitpose-",),
        left_out=r"backbone\.cls_token|associate_keypoint_heads\.",
    ),
    "vitpose-transformers": Layout(
        "ViTPose in the form of the transformers library",
        ("backbone.embeddings.position_embeddings", "head.conv.weight"),
        _from_transformers,
        _to_transformers,
        cards=("vitpose-",),
    ),
    "torchvision-resnet": Layout(
        "ResNet for ImageNet, in torchvision's names",
        ("layer1.0.conv1.weight", "fc.weight"),
        _keep,
        _keep,
        left_out=r"fc\.",
        backbone_only=True,
        licence="BSD-3-Clause, torchvision's; learnt from ImageNet, whose pictures have terms of their own",
    ),
    "hrnet-imagenet": Layout(
        "HRNet for ImageNet, by its authors",
        ("stage4.0.branches.0.0.conv1.weight",),
        _keep,
        _keep,
        left_out=r"(incre_modules|downsamp_modules|final_layer|classifier)\.|stage4\.2\.fuse_layers\.[1-3]\.",
        backbone_only=True,
        licence="MIT, HRNet's; learnt from ImageNet, whose pictures have terms of their own",
    ),
}
"""From the name of a layout to the layout; a new one is a line here."""


def layouts_of(state: State) -> list[str]:
    """The layouts that a file with these tensors may be of."""
    return [name for name, layout in LAYOUTS.items() if all(mark in state for mark in layout.marks)]
