"""What a pose network asks of its feature extractor."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from fidip.errors import RecipeError


class Backbone(nn.Module):
    """A feature extractor: images (B, 3, H, W) -> features (B, C, H/s, W/s).

    Its stages carry the paper's names: ``res1`` is the stem, ``res5`` what makes the features. A stage may be frozen.
    """

    channels: int
    """C of the features."""

    stride: int
    """Pixels of the image per pixel of the features, s."""

    stages: Mapping[str, tuple[str, ...]]
    """From a stage's name to the names of its modules, from image to features; together they hold all."""

    def stage_modules(self, name: str) -> tuple[nn.Module, ...]:
        """The modules of a stage.

        Raises:
            RecipeError: there is no such stage; the message lists the names.
        """
        if name not in self.stages:
            raise RecipeError(f"no stage {name!r} in this network: choose from {', '.join(self.stages)}")
        return tuple(self.get_submodule(module) for module in self.stages[name])
