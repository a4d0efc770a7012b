"""HRNet (Sun et al. 2019) for poses: branches of four resolutions side by side, which exchange what they found.

Modules carry the names of the published pose checkpoints, which DarkPose and FiDIP kept: ``conv1.weight``,
``layer1.0.conv1.weight``, ``transition1.1.0.0.weight``, ``stage2.0.branches.0.0.conv1.weight``,
``stage2.0.fuse_layers.1.0.0.0.weight``, …
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add
from types import MappingProxyType

import torch
from torch import Tensor, nn

from fidip.errors import RecipeError
from fidip.networks.backbones.backbone import Backbone
from fidip.networks.backbones.resnet import BasicBlock, Bottleneck

STEM_CHANNELS = 64
FIRST_BLOCKS = 4
"""Bottlenecks of the only stage that has one resolution."""

MODULES = {2: 1, 3: 4, 4: 3}
"""From a stage, which has as many branches, to how many modules it is a chain of."""

BRANCH_BLOCKS = 4
CONVOLUTION_STD = 0.001
"""The published code draws every convolution from N(0, 0.001²); batch norm makes up for the scale."""


def _conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


def _resampled(channels: tuple[int, ...], source: int, target: int) -> nn.Module:
    """From a branch's resolution and channels to another's: halved step by step, or enlarged at once."""
    inputs, outputs = channels[source], channels[target]
    if source == target:
        return nn.Identity()
    if source > target:
        enlarged = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(*_conv_bn(inputs, outputs, kernel=1), enlarged)
    halvings = nn.Sequential()
    for _ in range(target - source - 1):
        halvings.append(nn.Sequential(*_conv_bn(inputs, inputs, stride=2), nn.ReLU(inplace=True)))
    return halvings.append(nn.Sequential(*_conv_bn(inputs, outputs, stride=2)))


class HighResolutionModule(nn.Module):
    """Four basic blocks on each branch, then each output is the sum of all branches at its resolution."""

    def __init__(self, channels: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(planes, planes, 1) for _ in range(BRANCH_BLOCKS))) for planes in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resampled(channels, source, target) for source in range(len(channels)))
            for target in range(outputs)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        """Branches, the finest first, each (B, 2C, h/2, w/2) after (B, C, h, w) -> as many of them as are wanted."""
        found = [branch(x) for branch, x in zip(self.branches, inputs, strict=True)]
        return [
            self.relu(reduce(add, (layer(x) for layer, x in zip(row, found, strict=True))))  # type: ignore[call-overload]
            for row in self.fuse_layers
        ]


class HRNet(Backbone):
    """HRNet whose features are its finest branch; ``width`` is the channels of that one, 32 or 48 as published.

    Its stages end as the authors' own freezing boundaries mean to: each with the transition that follows it.

    Raises:
        RecipeError: the width is not a whole number of channels.
    """

    stride = 4
    multiple = 32
    stages: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {
            "res1": ("conv1", "bn1", "conv2", "bn2"),
            "res2": ("layer1", "transition1"),
            "res3": ("stage2", "transition2"),
            "res4": ("stage3", "transition3"),
            "res5": ("stage4",),
        }
    )

    def __init__(self, width: float = 32) -> None:
        super().__init__()
        if width != int(width) or width < 1:
            raise RecipeError(f"width {width} of an HRNet: expected a whole number of channels (32 or 48 as published)")
        self.channels = int(width)
        self.conv1, self.bn1 = _conv_bn(3, STEM_CHANNELS, stride=2)
        self.conv2, self.bn2 = _conv_bn(STEM_CHANNELS, STEM_CHANNELS, stride=2)
        self.relu = nn.ReLU(inplace=True)
        outputs = STEM_CHANNELS * Bottleneck.expansion
        self.layer1 = nn.Sequential(
            *(Bottleneck(outputs if n else STEM_CHANNELS, STEM_CHANNELS, 1) for n in range(FIRST_BLOCKS))
        )
        before: tuple[int, ...] = (outputs,)
        for stage, count in MODULES.items():
            channels = tuple(self.channels * 2**branch for branch in range(stage))
            self.add_module(f"transition{stage - 1}", _transition(before, channels))
            kept = [len(channels)] * count
            if stage == max(MODULES):
                kept[-1] = 1  # only the finest branch leaves the network
            self.add_module(f"stage{stage}", nn.Sequential(*(HighResolutionModule(channels, n) for n in kept)))
            before = channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, width, H/4, W/4)."""
        x = self.relu(self.bn1(self.conv1(x)))
        branches = [self.layer1(self.relu(self.bn2(self.conv2(x))))]
        for stage in MODULES:
            transition = self.get_submodule(f"transition{stage - 1}")
            sources = branches + [branches[-1]] * (stage - len(branches))  # a new branch grows out of the coarsest
            branches = [layer(x) for layer, x in zip(transition, sources, strict=True)]  # type: ignore[call-overload]
            branches = self.get_submodule(f"stage{stage}")(branches)
        finest: Tensor = branches[0]
        return finest

    def initialise(self, generator: torch.Generator | None) -> None:
        """Draw every convolution from N(0, 0.001²), as published."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=CONVOLUTION_STD, generator=generator)


def _transition(before: tuple[int, ...], after: tuple[int, ...]) -> nn.ModuleList:
    """Give each branch its channels, and make the new one, half as large, from the coarsest."""
    layers = nn.ModuleList()
    for branch, outputs in enumerate(after):
        if branch >= len(before):
            halving = nn.Sequential(*_conv_bn(before[-1], outputs, stride=2), nn.ReLU(inplace=True))
            layers.append(nn.Sequential(halving))
        elif before[branch] == outputs:
            layers.append(nn.Identity())
        else:
            layers.append(nn.Sequential(*_conv_bn(before[branch], outputs), nn.ReLU(inplace=True)))
    return layers
