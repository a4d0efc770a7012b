"""Adapters: nothing at first, the formula after, and merged the same network."""

import pytest
import torch

from fidip.errors import RecipeError
from fidip.networks.card import NetworkCard
from fidip.networks.lora import AdaptedLinear, LowRank, add_adapters, merged
from fidip.networks.pose import build_pose_net
from fidip.networks.weights import load_pose_net, save_pose_net
from figures import TINY

CARD = NetworkCard("vit-12", 24, (32, 64), 8)


def adapted(disturbed=True):
    net = build_pose_net(CARD, torch.Generator().manual_seed(0)).eval()
    add_adapters(net, LowRank(3, 6.0), torch.Generator().manual_seed(1))
    if disturbed:
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, AdaptedLinear):
                    module.up.normal_(0, 0.1, generator=generator)
            for parameter in net.head.parameters():
                if parameter.ndim == 4:
                    parameter.normal_(0, 0.1, generator=generator)
    return net


def test_at_first_nothing_has_changed() -> None:
    images = torch.rand(2, 3, 64, 32)
    plain = build_pose_net(CARD, torch.Generator().manual_seed(0)).eval()
    assert torch.equal(adapted(disturbed=False)(images).heatmaps, plain(images).heatmaps)


def test_an_adapted_layer_is_its_formula() -> None:
    base = torch.nn.Linear(5, 7).double()
    layer = AdaptedLinear(base, LowRank(2, 3.0), torch.Generator().manual_seed(0))
    with torch.no_grad():
        layer.up.normal_(generator=torch.Generator().manual_seed(3))
    x = torch.randn(4, 5, dtype=torch.float64)
    expected = torch.stack([base.weight @ v + base.bias + 1.5 * layer.up @ (layer.down @ v) for v in x])
    assert torch.allclose(layer(x), expected, rtol=1e-12)
    assert torch.allclose(layer.merged()(x), expected, rtol=1e-12)
    assert float(layer.down.detach().abs().max()) <= 5**-0.5


def test_merged_is_the_same_network_without_adapters(tmp_path) -> None:
    net, images = adapted(), torch.rand(2, 3, 64, 32)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    plain = merged(net)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not any(isinstance(module, AdaptedLinear) for module in plain.modules())
    ours, theirs = net(images), plain(images)
    assert float(ours.heatmaps.detach().abs().max()) > 0.1
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-6 * float(a.detach().abs().max()))
    exact = zip(net.double()(images.double()), merged(net)(images.double()), strict=True)
    assert all(torch.allclose(a, b, rtol=1e-12, atol=1e-12 * float(a.detach().abs().max())) for a, b in exact)
    save_pose_net(plain, tmp_path / "w.safetensors")
    assert torch.equal(load_pose_net(tmp_path / "w.safetensors")(images).heatmaps, theirs.heatmaps)


def test_adapters_and_the_head_alone_learn() -> None:
    net = adapted()
    learning = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    expected = {f"backbone.blocks.{n}.attn.{m}.{p}" for n in range(12) for m in ("qkv", "proj") for p in ("down", "up")}
    assert learning == expected | {f"head.{name}" for name, _ in net.head.named_parameters()}
    net.train()
    net(torch.rand(2, 3, 64, 32)).heatmaps.square().sum().backward()
    assert all((parameter.grad is not None) == (name in learning) for name, parameter in net.named_parameters())


def test_without_attention_or_with_too_large_a_rank_it_is_refused() -> None:
    with pytest.raises(RecipeError, match="the attention of a ViT; resnet-18 has none"):
        add_adapters(build_pose_net(TINY), LowRank(), torch.Generator())
    with pytest.raises(RecipeError, match="rank 25 on a matrix of 72x24: choose a smaller rank"):
        add_adapters(build_pose_net(CARD), LowRank(25), torch.Generator())
