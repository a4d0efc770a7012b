"""The plain vision transformer of ViTPose (Xu et al. 2022), on patches of 16 pixels.

Modules carry the names of the original ViTPose files below their ``backbone.``: ``pos_embed``,
``patch_embed.proj.weight``, ``blocks.0.attn.qkv.weight``, …, ``last_norm.bias``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fidip.errors import RecipeError
from fidip.geometry import Size
from fidip.networks.backbones.backbone import Backbone

PATCH = 16
PATCH_PADDING = 2
"""ViTPose pads the image, so that each patch begins two pixels earlier than the plain division would have it."""

NORM_EPS = 1e-6
MLP_RATIO = 4
WEIGHT_STD = 0.02
"""Matrices and positions are drawn from a normal distribution of this width, cut at ±2."""

PUBLISHED_SIZE: Size = (192, 256)
HEADS = {12: 12, 24: 16, 32: 16}
"""From the number of blocks to that of attention heads: S and B (which differ in width), L, H."""


class Attention(nn.Module):
    """Multi-head self-attention; one matrix makes queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, C) -> (B, N, C)."""
        batch, count, width = x.shape
        qkv = self.qkv(x).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, C/heads)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(batch, count, width))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each on normalised tokens and added to what was there."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = nn.Sequential()
        self.mlp.add_module("fc1", nn.Linear(width, MLP_RATIO * width))
        self.mlp.add_module("act", nn.GELU())
        self.mlp.add_module("fc2", nn.Linear(MLP_RATIO * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, C) -> (B, N, C)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class ViT(Backbone):
    """A vision transformer of a published depth; ``width`` is the channels of a token: 384 in ViTPose-S, 768 in -B.

    Positions are learnt for one size of image, W x H; ``adapt_to`` stretches them to another. The first position is
    that of the class token, which ViTPose has no more: it is added to every token, as there. ViTPose trains with
    stochastic depth, which is left out here.

    Raises:
        RecipeError: the width cannot be shared out among the heads.
    """

    stride = multiple = PATCH

    def __init__(self, depth: int, width: float = 384) -> None:
        super().__init__()
        heads = HEADS[depth]
        if width != int(width) or width < 1 or width % heads:
            raise RecipeError(f"width {width} of a ViT of {depth} blocks: expected a multiple of its {heads} heads")
        self.channels = int(width)
        self.image_size = PUBLISHED_SIZE
        self.patch_embed = nn.Sequential()
        self.patch_embed.add_module("proj", nn.Conv2d(3, self.channels, PATCH, stride=PATCH, padding=PATCH_PADDING))
        count = (PUBLISHED_SIZE[0] // PATCH) * (PUBLISHED_SIZE[1] // PATCH)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + count, self.channels))
        self.blocks = nn.ModuleList(Block(self.channels, heads) for _ in range(depth))
        self.last_norm = nn.LayerNorm(self.channels, eps=NORM_EPS)
        self.stages = _stages(depth)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, width, H/16, W/16).

        Raises:
            ValueError: images of another size than the positions were learnt for.
        """
        width, height = self.image_size
        if x.shape[2:] != (height, width):
            found = f"{x.shape[3]}x{x.shape[2]}"
            raise ValueError(
                f"images: expected {width}x{height} (W x H), for which positions were learnt, found {found}"
            )
        x = self.patch_embed(x)
        shape = x.shape
        x = x.flatten(2).transpose(1, 2)  # (B, N, C)
        x = x + self.pos_embed[:, 1:] + self.pos_embed[:, :1]
        for block in self.blocks:
            x = block(x)
        return self.last_norm(x).transpose(1, 2).reshape(shape)  # type: ignore[no-any-return]

    def adapt_to(self, input_size: Size) -> None:
        """Stretch the positions to images of W x H pixels, by bicubic interpolation; nothing changes at the same size.

        Raises:
            RecipeError: a side is not a multiple of 16.
        """
        if input_size == self.image_size:
            return
        if any(side % PATCH for side in input_size):
            raise RecipeError(f"input_size {input_size}: both sides must be multiples of {PATCH}")
        (width, height), (new_width, new_height) = self.image_size, input_size
        with torch.no_grad():
            grid = self.pos_embed[:, 1:].transpose(1, 2)
            grid = grid.reshape(1, self.channels, height // PATCH, width // PATCH)
            grid = F.interpolate(grid, (new_height // PATCH, new_width // PATCH), mode="bicubic", align_corners=False)
            positions = torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
        self.pos_embed = nn.Parameter(positions, requires_grad=self.pos_embed.requires_grad)
        self.image_size = input_size

    def initialise(self, generator: torch.Generator | None) -> None:
        """Draw matrices and positions as ViTPose does, with biases of 0, and the patches' convolution as torch does."""
        nn.init.trunc_normal_(self.pos_embed, std=WEIGHT_STD, generator=generator)
        patches = self.get_submodule("patch_embed.proj")
        limit = (3 * PATCH**2) ** -0.5
        for parameter in patches.parameters():
            nn.init.uniform_(parameter, -limit, limit, generator=generator)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=WEIGHT_STD, generator=generator)
                nn.init.zeros_(module.bias)


def _stages(depth: int) -> dict[str, tuple[str, ...]]:
    """Patches and positions, then the blocks in four parts."""
    part = depth // 4
    stages = {f"res{2 + n}": tuple(f"blocks.{index}" for index in range(n * part, (n + 1) * part)) for n in range(4)}
    return {"res1": ("patch_embed", "pos_embed"), **stages, "res5": (*stages["res5"], "last_norm")}
