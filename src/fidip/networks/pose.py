"""The pose network: normalise -> backbone -> deconvolution head (SimpleBaseline, Xiao et al. 2018)."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fidip.errors import RecipeError
from fidip.geometry import Size
from fidip.networks.backbones import BACKBONES, Backbone
from fidip.networks.card import HEATMAP_STRIDE, NetworkCard
from fidip.skeleton import SKELETONS

HEAD_STD = 0.001
"""SimpleBaseline draws the head's weights from N(0, 0.001²)."""


class PoseOutput(NamedTuple):
    """What a pose network says of a batch of crops."""

    heatmaps: Tensor  # (B, K, h, w)
    features: Tensor  # (B, C, H/s, W/s) what the domain classifier sees


class DeconvolutionHead(nn.Module):
    """Three transposed convolutions, each doubling the size, then one map a keypoint: the paper's pose predictor.

    Modules carry the names of the public Pose-ResNet files.
    """

    upsampling = 8

    def __init__(self, channels: int, keypoints: int, width: int = 256) -> None:
        super().__init__()
        self.deconv_layers = nn.Sequential()
        for inputs in (channels, width, width):
            self.deconv_layers.append(nn.ConvTranspose2d(inputs, width, 4, stride=2, padding=1, bias=False))
            self.deconv_layers.append(nn.BatchNorm2d(width))
            self.deconv_layers.append(nn.ReLU(inplace=True))
        self.final_layer = nn.Conv2d(width, keypoints, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, h/8, w/8) -> (B, keypoints, h, w)."""
        return self.final_layer(self.deconv_layers(features))  # type: ignore[no-any-return]


class PoseNet(nn.Module):
    """Images in, heatmaps and features out; colour order and normalisation are the network's own affair.

    ``freeze`` holds stages still, also through later calls of ``train()``.

    Raises:
        RecipeError: the card's input size does not suit the parts.
    """

    pixel_mean: Tensor  # (1, 3, 1, 1)
    pixel_std: Tensor  # (1, 3, 1, 1)

    def __init__(self, backbone: Backbone, head: DeconvolutionHead, card: NetworkCard) -> None:
        super().__init__()
        stride = backbone.stride
        if stride != head.upsampling * HEATMAP_STRIDE or any(side % stride for side in card.input_size):
            width, height = card.input_size
            raise RecipeError(f"network card: input_size {width}x{height}: both sides must be multiples of {stride}")
        self.backbone, self.head, self.card = backbone, head, card
        self.register_buffer("pixel_mean", torch.tensor(card.mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(card.std).reshape(1, 3, 1, 1), persistent=False)
        self._frozen: tuple[str, ...] = ()
        self._in_eval: tuple[str, ...] = ()

    @property
    def feature_size(self) -> Size:
        """W/s, H/s: width and height of the features for an input of the card's size."""
        return self.card.input_size[0] // self.backbone.stride, self.card.input_size[1] // self.backbone.stride

    @property
    def frozen(self) -> tuple[str, ...]:
        """The stages that stand still."""
        return self._frozen

    def forward(self, images: Tensor) -> PoseOutput:
        """Images (B, 3, H, W), RGB float in [0, 1], H and W multiples of the backbone's stride.

        Raises:
            ValueError: the images have another shape or type.
        """
        stride = self.backbone.stride
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % stride or images.shape[3] % stride:
            found = tuple(images.shape)
            raise ValueError(f"images: expected (B, 3, H, W), H and W multiples of {stride}, found {found}")
        if not images.is_floating_point():
            raise ValueError(f"images: expected float in [0, 1], found {images.dtype}; divide uint8 by 255")
        if self.card.colour_order == "BGR":
            images = images.flip(1)
        features = self.backbone((images - self.pixel_mean) / self.pixel_std)
        return PoseOutput(self.head(features), features)

    def train(self, mode: bool = True) -> PoseNet:
        """Training or evaluation mode for all that is not frozen; frozen stages stay in evaluation mode."""
        super().train(mode)
        for stage in self._in_eval:
            for module in self.backbone.stage_modules(stage):
                module.eval()
        return self

    def freeze(self, stages: tuple[str, ...], drifting_statistics: bool = False) -> None:
        """Hold exactly these stages still and let all others learn; ``()`` frees everything.

        A frozen stage takes no gradient and stays in evaluation mode, so that its batch-norm statistics are used and
        kept. ``drifting_statistics=True`` only stops the gradient, as the published FiDIP code does: in training mode
        frozen layers then use each batch's statistics and go on recording them.

        Raises:
            RecipeError: there is no stage of that name; nothing changes.
        """
        frozen = [module for stage in stages for module in self.backbone.stage_modules(stage)]
        self.requires_grad_(True)
        for module in frozen:
            module.requires_grad_(False)
        self._frozen, self._in_eval = tuple(stages), () if drifting_statistics else tuple(stages)
        self.train(self.training)


def build_pose_net(card: NetworkCard, generator: torch.Generator | None = None) -> PoseNet:
    """The network that a card describes, newly initialised; ``card.parameters`` is filled in.

    Convolutions of the backbone are drawn as He et al. (2015) do (normal, by fan-out), the head's from N(0, 0.001²)
    with zero bias, batch norm starts at the identity; from ``generator`` or else from torch's global one.

    Raises:
        RecipeError: the card contradicts itself.
    """
    backbone = BACKBONES[card.backbone](card.width)
    head = DeconvolutionHead(backbone.channels, len(SKELETONS[card.skeleton]), card.head_width)
    count = sum(parameter.numel() for part in (backbone, head) for parameter in part.parameters())
    if card.parameters not in (None, count):
        raise RecipeError(f"network card: parameters: says {card.parameters}, this network has {count}")
    net = PoseNet(backbone, head, replace(card, parameters=count))
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    for module in head.modules():
        if isinstance(module, (nn.ConvTranspose2d, nn.Conv2d)):
            nn.init.normal_(module.weight, std=HEAD_STD, generator=generator)
    nn.init.zeros_(head.final_layer.bias)  # type: ignore[arg-type]
    return net
