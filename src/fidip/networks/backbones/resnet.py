"""ResNet (He et al. 2016) with the stride on the 3x3 convolution, as the public Pose-ResNet checkpoints have it.

Modules carry the published names, so that the state dict's keys are those of the public files.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn

from fidip.errors import RecipeError
from fidip.networks.backbones.backbone import Backbone

PUBLISHED_WIDTH = 64


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _downsample(inputs, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, planes, H/stride, W/stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y = y + (x if self.downsample is None else self.downsample(x))
        return self.relu(y)  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolutions and a shortcut; four times as many planes leave it."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        outputs = planes * self.expansion
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _downsample(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, 4 planes, H/stride, W/stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y = y + (x if self.downsample is None else self.downsample(x))
        return self.relu(y)  # type: ignore[no-any-return]


def _downsample(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


BLOCKS: dict[int, tuple[type[BasicBlock | Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
"""From the depth to the kind of block and how many of them each of the four layers has."""


class ResNet(Backbone):
    """ResNet of a published depth; ``width`` is the number of planes of the stem, 64 in the published networks.

    Raises:
        RecipeError: the width is not a whole number of planes.
    """

    stride = multiple = 32
    stages: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {"res1": ("conv1", "bn1"), "res2": ("layer1",), "res3": ("layer2",), "res4": ("layer3",), "res5": ("layer4",)}
    )

    def __init__(self, depth: int, width: float = PUBLISHED_WIDTH) -> None:
        super().__init__()
        if width != int(width) or width < 1:
            raise RecipeError(
                f"width {width} of a ResNet: expected a whole number of stem planes ({PUBLISHED_WIDTH} as published)"
            )
        block, counts = BLOCKS[depth]
        planes = int(width)
        self.conv1 = nn.Conv2d(3, planes, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = planes
        for index, count in enumerate(counts):
            layer = nn.Sequential()
            for position in range(count):
                stride = 2 if index > 0 and position == 0 else 1
                layer.append(block(inputs, planes, stride))
                inputs = planes * block.expansion
            self.add_module(f"layer{index + 1}", layer)
            planes *= 2
        self.channels = inputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, channels, H/32, W/32)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in ("res2", "res3", "res4", "res5"):
            for layer in self.stage_modules(stage):
                x = layer(x)
        return x
