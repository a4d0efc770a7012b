"""MobileNetV2 (Sandler et al. 2018): inverted residuals with linear bottlenecks.

Modules carry the names of the widely shared ImageNet checkpoints: ``features.0.0.weight``,
``features.1.conv.0.0.weight``, …
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn

from fidip.errors import RecipeError
from fidip.networks.backbones.backbone import Backbone

INVERTED_RESIDUALS = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
"""Rows of the paper's Table 2: expansion t, channels c, repeats n, stride s of the first repeat."""

STEM_CHANNELS, LAST_CHANNELS = 32, 1280


def scaled_channels(channels: int, width: float) -> int:
    """Channels at a width, as the authors round them: to a multiple of 8, never losing more than a tenth."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8


def _conv_bn_relu6(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    padding = (kernel - 1) // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel by 3x3, project by 1x1 without activation; a shortcut where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [_conv_bn_relu6(inputs, hidden, 1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            _conv_bn_relu6(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/stride, W/stride)."""
        y: Tensor = self.conv(x)
        return x + y if self.shortcut else y


class MobileNetV2(Backbone):
    """MobileNetV2 without its classifier; ``width`` multiplies the channels, 1.0 in the published network.

    As published, the last convolution keeps its 1280 channels when the width is below 1. A stage begins where the
    stride doubles; ``res1`` also holds the first bottleneck, which keeps the stem's stride.

    Raises:
        RecipeError: the width is not positive.
    """

    stride = multiple = 32
    stages: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {
            name: tuple(f"features.{index}" for index in range(first, after))
            for name, first, after in (
                ("res1", 0, 2),
                ("res2", 2, 4),
                ("res3", 4, 7),
                ("res4", 7, 14),
                ("res5", 14, 19),
            )
        }
    )

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        if width <= 0:
            raise RecipeError(
                f"width {width} of a MobileNetV2: a positive multiple of its channels is needed, 1.0 as published"
            )
        inputs = scaled_channels(STEM_CHANNELS, width)
        self.features = nn.Sequential(_conv_bn_relu6(3, inputs, 3, stride=2))
        for expansion, channels, repeats, first_stride in INVERTED_RESIDUALS:
            outputs = scaled_channels(channels, width)
            for position in range(repeats):
                stride = first_stride if position == 0 else 1
                self.features.append(InvertedResidual(inputs, outputs, stride, expansion))
                inputs = outputs
        self.channels = scaled_channels(LAST_CHANNELS, max(1.0, width))
        self.features.append(_conv_bn_relu6(inputs, self.channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, channels, H/32, W/32)."""
        return self.features(x)  # type: ignore[no-any-return]
