"""Heads: from features to one heatmap a keypoint. A new one is a class here and a line in ``HEADS``."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fidip.errors import RecipeError

HEAD_STD = 0.001
"""SimpleBaseline draws the head's weights from N(0, 0.001²), and HRNet and ViTPose follow."""

HEAD_MODULES = ("deconv_layers.", "final_layer.", "conv_compress.", "duc1.", "duc2.", "duc3.", "hm_conv.")
"""How the names of the heads' tensors begin, in published files too; no backbone has such names."""


class Head(nn.Module):
    """Features (B, C, h/u, w/u) -> heatmaps (B, K, h, w)."""

    upsampling: int
    """How many times the heatmaps are larger than the features, u: a power of 2."""

    def initialise(self, generator: torch.Generator | None) -> None:
        """Draw new weights; here all of them from N(0, 0.001²), with biases of 0."""
        for module in self.modules():
            if isinstance(module, nn.ConvTranspose2d | nn.Conv2d):
                nn.init.normal_(module.weight, std=HEAD_STD, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class DeconvolutionHead(Head):
    """Transposed convolutions, each doubling the size, then one map a keypoint: the paper's pose predictor.

    There are as many of them as the features need: three after a ResNet (SimpleBaseline, Xiao et al. 2018), two after a
    ViT (the classic decoder of ViTPose), none after HRNet, whose published head is the last convolution alone. Modules
    carry the names of the public files.
    """

    def __init__(self, channels: int, keypoints: int, width: int = 256, upsampling: int = 8) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.deconv_layers = nn.Sequential()
        for _ in range(_doublings(upsampling)):
            self.deconv_layers.append(nn.ConvTranspose2d(channels, width, 4, stride=2, padding=1, bias=False))
            self.deconv_layers.append(nn.BatchNorm2d(width))
            self.deconv_layers.append(nn.ReLU(inplace=True))
            channels = width
        self.final_layer = nn.Conv2d(channels, keypoints, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, h/u, w/u) -> (B, keypoints, h, w)."""
        return self.final_layer(self.deconv_layers(features))  # type: ignore[no-any-return]


class PixelShuffle(nn.Module):
    """A 3x3 convolution whose channels are dealt out to 2x2 pixels: ``outputs`` a quarter of what it computes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 4 * outputs, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, 2h, 2w)."""
        return F.pixel_shuffle(F.relu(self.bn(self.conv(x))), 2)


class PixelShuffleHead(Head):
    """The head of FiDIP's Pose-MobileNet: compress, shuffle pixels, one map a keypoint, and a softmax over each map.

    So every heatmap sums to 1, its peak is far below the Gaussians' 1, and confidences are low by construction.
    Modules carry the names of the published file.

    Raises:
        RecipeError: the width cannot be halved as often as it must.
    """

    def __init__(self, channels: int, keypoints: int, width: int = 256, upsampling: int = 8) -> None:
        super().__init__()
        if width % upsampling:
            raise RecipeError(
                f"network card: head_width {width}: a pixel-shuffle head needs a multiple of {upsampling}"
            )
        self.upsampling, self.doublings = upsampling, _doublings(upsampling)
        self.conv_compress = nn.Conv2d(channels, width, 1, bias=False)
        for number in range(self.doublings):
            self.add_module(f"duc{number + 1}", PixelShuffle(width, width // 2))
            width //= 2
        self.hm_conv = nn.Conv2d(width, keypoints, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, h/u, w/u) -> (B, keypoints, h, w), each map summing to 1."""
        x = self.conv_compress(features)
        for number in range(self.doublings):
            x = self.get_submodule(f"duc{number + 1}")(x)
        x = self.hm_conv(x)
        return x.flatten(2).softmax(dim=2).reshape(x.shape)  # type: ignore[no-any-return]

    def initialise(self, generator: torch.Generator | None) -> None:
        """Draw the convolutions as He et al. (2015) do, as published: normal, by fan-out."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)


class InterpolationHead(Head):
    """The simple decoder of ViTPose: rectify, enlarge bilinearly, then one 3x3 convolution makes the maps.

    It has no width of its own: there is nothing between features and maps.
    """

    def __init__(self, channels: int, keypoints: int, _width: int = 256, upsampling: int = 4) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.final_layer = nn.Conv2d(channels, keypoints, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, h/u, w/u) -> (B, keypoints, h, w)."""
        x = F.interpolate(F.relu(features), scale_factor=self.upsampling, mode="bilinear", align_corners=False)
        return self.final_layer(x)  # type: ignore[no-any-return]


def _doublings(upsampling: int) -> int:
    return upsampling.bit_length() - 1


HEADS: dict[str, Callable[[int, int, int, int], Head]] = {
    "deconvolution": DeconvolutionHead,
    "pixel-shuffle": PixelShuffleHead,
    "interpolation": InterpolationHead,
}
"""From a name, channels of the features, keypoints, width and upsampling to a head."""
