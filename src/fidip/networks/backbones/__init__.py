"""Feature extractors; a new one is a file here and a line in ``BACKBONES``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fidip.networks.backbones.backbone import Backbone
from fidip.networks.backbones.hrnet import HRNet
from fidip.networks.backbones.mobilenet import MobileNetV2
from fidip.networks.backbones.resnet import ResNet
from fidip.networks.backbones.vit import ViT

__all__ = ["BACKBONES", "Backbone"]

BACKBONES: dict[str, Callable[[float], Backbone]] = {
    "resnet-18": partial(ResNet, 18),
    "resnet-34": partial(ResNet, 34),
    "resnet-50": partial(ResNet, 50),
    "resnet-101": partial(ResNet, 101),
    "resnet-152": partial(ResNet, 152),
    "hrnet": HRNet,
    "mobilenet-v2": MobileNetV2,
    "vit-12": partial(ViT, 12),
    "vit-24": partial(ViT, 24),
    "vit-32": partial(ViT, 32),
}
"""From a name and a width to a feature extractor: ``BACKBONES["resnet-50"](64)``, ``BACKBONES["hrnet"](48)``."""
