"""Low-rank adapters (Hu et al. 2021): attention learns a few numbers more and forgets nothing of what it knew."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fidip.errors import RecipeError
from fidip.networks.pose import PoseNet

ADAPTED = ("qkv", "proj")
"""The matrices of attention, by the last part of their names: queries, keys and values in one, and the projection."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """The size of the adapters."""

    rank: int = 8
    alpha: float = 16.0  # what they add is multiplied by alpha / rank, so that the rank changes no learning rate


class AdaptedLinear(nn.Module):
    """A linear layer that stands still, and beside it a product of two thin matrices that learns.

        y = W x + b + (alpha / rank) · U D x,    D (rank, in) drawn uniformly within ±1/√in, U (out, rank) from 0

    so that it begins as the layer alone.

    Raises:
        RecipeError: the rank is larger than the layer.
    """

    def __init__(self, base: nn.Linear, size: LowRank, generator: torch.Generator) -> None:
        super().__init__()
        if size.rank > min(base.in_features, base.out_features):
            found = f"{base.out_features}x{base.in_features}"
            raise RecipeError(f"adapters of rank {size.rank} on a matrix of {found}: choose a smaller rank")
        self.base, self.scale = base.requires_grad_(False), size.alpha / size.rank
        limit = base.in_features**-0.5
        down = torch.empty(size.rank, base.in_features).uniform_(-limit, limit, generator=generator)
        self.down = nn.Parameter(down.to(base.weight))
        self.up = nn.Parameter(base.weight.new_zeros(base.out_features, size.rank))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        return self.base(x) + self.scale * F.linear(F.linear(x, self.down), self.up)  # type: ignore[no-any-return]

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """One plain layer that does the same; the adapted one is left alone."""
        plain = deepcopy(self.base)
        plain.weight += self.scale * self.up @ self.down
        return plain.requires_grad_(True)


def add_adapters(net: PoseNet, size: LowRank, generator: torch.Generator) -> None:
    """Put adapters beside every matrix of attention; of the network they and the head alone learn from now on.

    Raises:
        RecipeError: the backbone has no attention, or the rank is too large.
    """
    places = [(name, m) for name, m in net.backbone.named_modules() if isinstance(m, nn.Linear) and _adapted(name)]
    if not places:
        raise RecipeError(f"adapters are for the attention of a ViT; {net.card.backbone} has none: leave out lora")
    net.backbone.requires_grad_(False)
    for name, layer in places:
        _put(net.backbone, name, AdaptedLinear(layer, size, generator))


def merged(net: PoseNet) -> PoseNet:
    """A copy without adapters that does the same: an ordinary network, with all of its parameters free."""
    copy = deepcopy(net)
    for name, layer in list(copy.backbone.named_modules()):
        if isinstance(layer, AdaptedLinear):
            _put(copy.backbone, name, layer.merged())
    copy.requires_grad_(True)
    return copy


def _adapted(name: str) -> bool:
    return name.rpartition(".")[2] in ADAPTED


def _put(root: nn.Module, name: str, layer: nn.Module) -> None:
    place, _, last = name.rpartition(".")
    setattr(root.get_submodule(place), last, layer)
