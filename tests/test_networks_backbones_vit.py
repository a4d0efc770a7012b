"""The vision transformer against an implementation written from its description, without torch's layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fidip.errors import RecipeError
from fidip.geometry import Size
from fidip.networks.backbones.vit import ViT
from network_states import randomised

State = dict[str, Tensor]


def layer_norm(state: State, name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return (
        centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * state[f"{name}.weight"]
        + (state[f"{name}.bias"])
    )


def linear(state: State, name: str, x: Tensor) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def attention(state: State, name: str, x: Tensor, heads: int) -> Tensor:
    width = x.shape[2]
    part = width // heads
    qkv = linear(state, f"{name}.qkv", x)
    mixed = []
    for head in range(heads):
        query, key, value = (
            qkv[:, :, n * width + head * part : n * width + (head + 1) * part] for n in range(3)
        )  # fmt: skip
        weights = torch.einsum("bic,bjc->bij", query, key) / part**0.5
        weights = weights.exp() / weights.exp().sum(2, keepdim=True)
        mixed.append(torch.einsum("bij,bjc->bic", weights, value))
    return linear(state, f"{name}.proj", torch.cat(mixed, dim=2))


def reference_vit(state: State, x: Tensor, heads: int) -> Tensor:
    """ViTPose (Xu et al. 2022): patches of 16 with a padding of 2, positions and the class token's added, pre-norm."""
    batch, _, height, width = x.shape
    padded = torch.zeros(batch, 3, height + 4, width + 4, dtype=x.dtype)
    padded[:, :, 2:-2, 2:-2] = x
    kernel = state["patch_embed.proj.weight"].flatten(1)
    tokens = torch.stack(
        [
            padded[:, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16].flatten(1) @ kernel.T
            for row in range(height // 16)
            for column in range(width // 16)
        ],
        dim=1,
    )
    x = tokens + state["patch_embed.proj.bias"] + state["pos_embed"][:, 1:] + state["pos_embed"][:, 0]
    depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    for n in range(depth):
        x = x + attention(state, f"blocks.{n}.attn", layer_norm(state, f"blocks.{n}.norm1", x), heads)
        y = linear(state, f"blocks.{n}.mlp.fc1", layer_norm(state, f"blocks.{n}.norm2", x))
        x = x + linear(state, f"blocks.{n}.mlp.fc2", y * (1 + torch.erf(y / 2**0.5)) / 2)
    x = layer_norm(state, "last_norm", x)
    return x.mT.reshape(batch, x.shape[2], height // 16, width // 16)


def random_vit(depth: int, width: int, size: Size) -> ViT:
    net = ViT(depth, width)
    net.adapt_to(size)
    net = randomised(net)
    with torch.no_grad():
        net.pos_embed.normal_(0, 1, generator=torch.Generator().manual_seed(3))
    return net.double().eval()


@pytest.mark.parametrize(
    ("depth", "width", "heads", "size"),
    [(12, 36, 12, (96, 64)), (12, 384, 12, (64, 64)), (24, 32, 16, (48, 32)), (32, 32, 16, (32, 48))],
)
def test_agrees_with_the_published_description(depth: int, width: int, heads: int, size: Size) -> None:
    net = random_vit(depth, width, size)
    images = torch.randn(2, 3, size[1], size[0], generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        features = net(images)
        expected = reference_vit(net.state_dict(), images, heads)
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-9)
    assert features.shape == (2, width, size[1] // 16, size[0] // 16)


def published_shapes(depth: int, width: int) -> dict[str, tuple[int, ...]]:
    """Every tensor of the backbone in an original ViTPose file for 256x192, in the file's order, with its shape."""
    shapes: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, 16 * 12 + 1, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
    }
    for n in range(depth):
        for name, (outputs, inputs) in {
            "norm1": (width, None), "attn.qkv": (3 * width, width), "attn.proj": (width, width),
            "norm2": (width, None), "mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width),
        }.items():  # fmt: skip
            shapes[f"blocks.{n}.{name}.weight"] = (outputs,) if inputs is None else (outputs, inputs)
            shapes[f"blocks.{n}.{name}.bias"] = (outputs,)
    return shapes | {"last_norm.weight": (width,), "last_norm.bias": (width,)}


@pytest.mark.parametrize(("depth", "width"), [(12, 384), (12, 768), (24, 1024), (32, 1280)])
def test_names_and_shapes_are_those_of_the_published_files(depth: int, width: int) -> None:
    with torch.device("meta"):
        net = ViT(depth, width)
    found = [(name, tuple(tensor.shape)) for name, tensor in net.state_dict().items()]
    assert found == list(published_shapes(depth, width).items())


def test_positions_are_stretched_along_their_own_axes_and_the_class_token_keeps_its_own() -> None:
    net = random_vit(12, 24, (64, 96))  # 4 x 6 patches
    across, down = torch.arange(4.0).double(), torch.arange(6.0).double()
    with torch.no_grad():
        grid = torch.stack([across.expand(6, 4), down[:, None].expand(6, 4), torch.full((6, 4), 2.5).double()])
        net.pos_embed[:, 1:, :3] = grid.flatten(1).T
    before = net.pos_embed.detach().clone()
    net.adapt_to((128, 96))  # 8 x 6: twice as wide
    grid = net.pos_embed[0, 1:, :3].detach().T.reshape(3, 6, 8)
    assert torch.equal(net.pos_embed[:, 0], before[:, 0])
    torch.testing.assert_close(grid[0], grid[0, 0].expand(6, 8))
    expected = torch.tensor([1.25, 1.75]).double()  # halfway between the centres of patches 1 and 2, and on
    torch.testing.assert_close(grid[0, 0, 3:5], expected, atol=0.05, rtol=0)
    torch.testing.assert_close(grid[0, 0] + grid[0, 0].flip(0), torch.full((8,), 3.0).double())
    assert bool((grid[0, 0].diff() > 0).all())
    torch.testing.assert_close(grid[1], down[:, None].expand(6, 8))
    torch.testing.assert_close(grid[2], torch.full((6, 8), 2.5).double())
    assert net(torch.zeros(1, 3, 96, 128).double()).shape == (1, 24, 6, 8)


def test_the_same_size_changes_nothing() -> None:
    net = ViT(12, 24)
    before = net.pos_embed
    net.adapt_to((192, 256))
    assert net.pos_embed is before


def test_frozen_positions_stay_frozen_when_stretched() -> None:
    net = ViT(12, 24)
    net.pos_embed.requires_grad_(False)
    net.adapt_to((64, 64))
    assert not net.pos_embed.requires_grad


def test_stages_hold_every_parameter_once() -> None:
    for depth, width in ((12, 24), (24, 32), (32, 32)):
        with torch.device("meta"):
            net = ViT(depth, width)
        staged = [id(p) for stage in net.stages for p in net.stage_parameters(stage)]
        assert len(staged) == len(set(staged))
        assert set(staged) == {id(p) for p in net.parameters()}
        assert id(net.pos_embed) in {id(p) for p in net.stage_parameters("res1")}
        assert list(net.stages) == ["res1", "res2", "res3", "res4", "res5"]
        assert net.stage_modules("res2")[-1] is net.blocks[depth // 4 - 1]


def test_a_new_network_is_drawn_as_published() -> None:
    net = ViT(12, 384)
    net.initialise(torch.Generator().manual_seed(0))
    for tensor in (net.pos_embed, net.blocks[3].attn.qkv.weight, net.blocks[11].mlp.fc2.weight):
        assert abs(tensor.std().item() / 0.02 - 1) < 0.02
    assert not net.blocks[3].attn.qkv.bias.any()
    patches = net.patch_embed.proj.weight
    assert patches.abs().max() <= 768**-0.5
    assert abs(patches.std().item() / (768**-0.5 / 3**0.5) - 1) < 0.02


@pytest.mark.parametrize("width", [0, 100, 24.5])
def test_a_width_that_the_heads_cannot_share_is_refused(width: float) -> None:
    with pytest.raises(RecipeError, match="multiple of its 12 heads"):
        ViT(12, width)


def test_other_sizes_are_refused() -> None:
    net = ViT(12, 24)
    with pytest.raises(ValueError, match=r"expected 192x256 \(W x H\).* found 256x192"):
        net(torch.zeros(1, 3, 192, 256))
    with pytest.raises(RecipeError, match="multiples of 16"):
        net.adapt_to((100, 64))
