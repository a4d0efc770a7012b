"""The pose network: normalise -> backbone -> head."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fidip.errors import RecipeError
from fidip.geometry import Size
from fidip.networks.backbones import BACKBONES, Backbone
from fidip.networks.card import HEATMAP_STRIDE, NetworkCard
from fidip.networks.heads import HEADS, Head
from fidip.skeleton import SKELETONS


class PoseOutput(NamedTuple):
    """What a pose network says of a batch of crops."""

    heatmaps: Tensor  # (B, K, h, w)
    features: Tensor  # (B, C, H/s, W/s) what the domain classifier sees


class PoseNet(nn.Module):
    """Images in, heatmaps and features out; colour order and normalisation are the network's own affair.

    The backbone is made ready for the card's input size, and the card's count of parameters is filled in.
    ``freeze`` holds stages still, also through later calls of ``train()``.

    Raises:
        RecipeError: the parts do not suit each other or the card's input size.
    """

    pixel_mean: Tensor  # (1, 3, 1, 1)
    pixel_std: Tensor  # (1, 3, 1, 1)

    def __init__(self, backbone: Backbone, head: Head, card: NetworkCard) -> None:
        super().__init__()
        needed, multiple = backbone.stride // HEATMAP_STRIDE, backbone.multiple
        if head.upsampling != needed:
            raise RecipeError(f"a head that enlarges {head.upsampling} times; this backbone's features need {needed}")
        if any(side % multiple for side in card.input_size):
            width, height = card.input_size
            raise RecipeError(f"network card: input_size {width}x{height}: both sides must be multiples of {multiple}")
        backbone.adapt_to(card.input_size)
        self.backbone, self.head = backbone, head
        self.card = replace(card, parameters=sum(parameter.numel() for parameter in self.parameters()))
        self.register_buffer("pixel_mean", torch.tensor(card.mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(card.std).reshape(1, 3, 1, 1), persistent=False)
        self._frozen: tuple[str, ...] = ()
        self._in_eval: tuple[str, ...] = ()
        self._keeps_statistics = False

    @property
    def feature_size(self) -> Size:
        """W/s, H/s: width and height of the features for an input of the card's size."""
        return self.card.input_size[0] // self.backbone.stride, self.card.input_size[1] // self.backbone.stride

    @property
    def frozen(self) -> tuple[str, ...]:
        """The stages that stand still."""
        return self._frozen

    def forward(self, images: Tensor) -> PoseOutput:
        """Images (B, 3, H, W), RGB float in [0, 1]; for a ViT of the card's size, else H and W multiples of 32.

        Raises:
            ValueError: the images have another shape or type.
        """
        features = self.features_of(images)
        return PoseOutput(self.head(features), features)

    def features_of(self, images: Tensor) -> Tensor:  # (B, 3, H, W) -> (B, C, H/s, W/s)
        """The features alone, what ``head`` makes heatmaps of. Raises ``ValueError`` as ``forward`` does."""
        multiple = self.backbone.multiple
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % multiple or images.shape[3] % multiple:
            found = tuple(images.shape)
            raise ValueError(f"images: expected (B, 3, H, W), H and W multiples of {multiple}, found {found}")
        if not images.is_floating_point():
            raise ValueError(f"images: expected float in [0, 1], found {images.dtype}; divide uint8 by 255")
        if self.card.colour_order == "BGR":
            images = images.flip(1)
        features: Tensor = self.backbone((images - self.pixel_mean) / self.pixel_std)
        return features

    def train(self, mode: bool = True) -> PoseNet:
        """Training or evaluation mode for all that is not frozen; frozen stages stay in evaluation mode."""
        super().train(mode)
        for stage in self._in_eval:
            for module in self.backbone.stage_modules(stage):
                module.eval()
        for module in self.modules() if self._keeps_statistics else ():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def freeze(self, stages: tuple[str, ...], drifting_statistics: bool = False, keep_statistics: bool = False) -> None:
        """Hold exactly these stages still and let all others learn; ``()`` frees everything.

        A frozen stage takes no gradient and stays in evaluation mode, so that its batch-norm statistics are used and
        kept. ``drifting_statistics=True`` only stops the gradient, as the published FiDIP code does: in training mode
        frozen layers then use each batch's statistics and go on recording them. ``keep_statistics=True`` has all batch
        norm, frozen or not, use the statistics that it has and keep them; its scales and shifts may learn.

        Raises:
            RecipeError: there is no stage of that name; nothing changes.
        """
        frozen = [parameter for stage in stages for parameter in self.backbone.stage_parameters(stage)]
        self.requires_grad_(True)
        for parameter in frozen:
            parameter.requires_grad_(False)
        self._frozen, self._in_eval = tuple(stages), () if drifting_statistics else tuple(stages)
        self._keeps_statistics = keep_statistics
        self.train(self.training)


def build_pose_net(card: NetworkCard, generator: torch.Generator | None = None) -> PoseNet:
    """The network that a card describes, newly initialised.

    Weights are drawn as each backbone and each head was published with (their ``initialise``), batch norm starts at the
    identity; from ``generator`` or else from torch's global one.

    Raises:
        RecipeError: the card contradicts itself.
    """
    backbone = BACKBONES[card.backbone](card.width)
    upsampling = backbone.stride // HEATMAP_STRIDE
    head = HEADS[card.head](backbone.channels, len(SKELETONS[card.skeleton]), card.head_width, upsampling)
    net = PoseNet(backbone, head, card)
    if card.parameters not in (None, net.card.parameters):
        raise RecipeError(f"network card: parameters: says {card.parameters}, this network has {net.card.parameters}")
    backbone.initialise(generator)
    head.initialise(generator)
    return net
