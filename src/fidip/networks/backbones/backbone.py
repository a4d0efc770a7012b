"""What a pose network asks of its feature extractor."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from fidip.errors import RecipeError
from fidip.geometry import Size


class Backbone(nn.Module):
    """A feature extractor: images (B, 3, H, W) -> features (B, C, H/s, W/s).

    Its stages carry the paper's names: ``res1`` is the stem, ``res5`` what makes the features. A stage may be frozen.
    """

    channels: int
    """C of the features."""

    stride: int
    """Pixels of the image per pixel of the features, s."""

    multiple: int
    """What both sides of an image must be multiples of."""

    stages: Mapping[str, tuple[str, ...]]
    """From a stage's name to the names of its modules and parameters, from image to features; together they are all."""

    def stage_modules(self, name: str) -> tuple[nn.Module, ...]:
        """The modules of a stage.

        Raises:
            RecipeError: there is no such stage; the message lists the names.
        """
        modules = dict(self.named_modules())
        return tuple(modules[member] for member in self._members(name) if member in modules)

    def stage_parameters(self, name: str) -> tuple[nn.Parameter, ...]:
        """The parameters of a stage, with those that belong to none of its modules.

        Raises:
            RecipeError: there is no such stage; the message lists the names.
        """
        members = self._members(name)
        return tuple(p for n, p in self.named_parameters() if any(n == m or n.startswith(f"{m}.") for m in members))

    def _members(self, name: str) -> tuple[str, ...]:
        if name not in self.stages:
            raise RecipeError(f"no stage {name!r} in this network: choose from {', '.join(self.stages)}")
        return self.stages[name]

    def adapt_to(self, input_size: Size) -> None:
        """Make ready for images of W x H pixels. Convolutions take any size, so that there is nothing to do."""

    def initialise(self, generator: torch.Generator | None) -> None:
        """Draw new weights; here the convolutions as He et al. (2015) do: normal, by fan-out."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
