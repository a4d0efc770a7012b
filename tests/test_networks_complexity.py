"""Parameters and multiply-adds against published numbers, closed forms and torch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fidip.networks.card import NetworkCard
from fidip.networks.complexity import Complexity, complexity
from fidip.networks.pose import build_pose_net
from fidip.networks.published import PUBLISHED
from network_states import changed, randomised, snapshot

UNIT = 2**30
"""The published tables divide by it and call the result GFLOPs."""


def of(name: str) -> Complexity:
    with torch.device("meta"):
        return complexity(build_pose_net(PUBLISHED[name]))


@pytest.mark.parametrize(
    ("name", "gigaflops"),
    [
        ("hrnet-w32-256x192", 7.1), ("hrnet-w32-384x288", 16.0), ("hrnet-w48-256x192", 14.6),
        ("hrnet-w48-384x288", 32.9), ("dark-hrnet-w32-256x192", 7.1), ("dark-hrnet-w48-384x288", 32.9),
    ],
)  # fmt: skip
def test_hrnets_compute_as_much_as_their_tables_say(name: str, gigaflops: float) -> None:
    assert round(of(name).multiply_adds / UNIT, 1) == gigaflops


@pytest.mark.parametrize(
    ("name", "pixels", "gigaflops"),
    [
        ("pose-resnet-50-256x192", 8 * 6, 8.9), ("pose-resnet-101-256x192", 8 * 6, 12.4),
        ("pose-resnet-152-256x192", 8 * 6, 15.7), ("pose-resnet-50-384x288", 12 * 9, 20.0),
        ("pose-resnet-101-384x288", 12 * 9, 27.9), ("pose-resnet-152-384x288", 12 * 9, 35.3),
    ],
)  # fmt: skip
def test_pose_resnets_compute_as_much_as_their_tables_say_once_deconvolutions_are_counted_their_way(
    name: str, pixels: int, gigaflops: float
) -> None:
    deconvolutions = 16 * pixels * (2048 * 256 + 4 * 256 * 256 + 16 * 256 * 256)
    published = (of(name).multiply_adds + 3 * deconvolutions) / UNIT  # by the pixels that leave: four times as many
    assert published == pytest.approx(gigaflops, rel=0.012)  # the tables' own steps from depth to depth differ so much


def test_pose_resnet_50_has_the_operations_that_benchmarks_of_processors_count() -> None:
    assert 2 * of("pose-resnet-50-256x192").multiply_adds == pytest.approx(10.85e9, rel=1e-3)


def test_mobilenet_is_the_300_million_of_its_paper_and_its_head() -> None:
    head = 49 * 1280 * 256 + 9 * (49 * 256 * 512 + 196 * 128 * 256 + 784 * 64 * 128) + 3136 * 32 * 17
    classifier = 1280 * 1000  # of ImageNet, in the paper's number
    assert of("fidip-mobilenet-v2-224x224").multiply_adds - head + classifier == pytest.approx(300e6, rel=5e-3)


@pytest.mark.parametrize(("name", "width"), [("vitpose-s-256x192", 384), ("vitpose-b-256x192", 768)])
def test_vits_compute_what_their_layers_multiply(name: str, width: int) -> None:
    tokens = 16 * 12
    block = tokens * 12 * width**2 + 2 * tokens**2 * width
    head = 16 * tokens * (256 * width + 4 * 256 * 256) + 64 * 48 * 256 * 17
    assert of(name).multiply_adds == 12 * block + tokens * 768 * width + head


@pytest.mark.parametrize(
    "card",
    [
        NetworkCard("resnet-50", 8, (64, 96), 16),
        NetworkCard("hrnet", 8, (64, 96)),
        NetworkCard("mobilenet-v2", 0.35, (64, 96), 16, head="pixel-shuffle"),
        NetworkCard("vit-12", 24, (64, 96), 16),
        NetworkCard("vit-24", 32, (64, 96), head="interpolation"),
    ],
    ids=lambda card: card.backbone,
)
def test_torch_counts_two_operations_a_multiply_add_and_nothing_is_changed(card: NetworkCard) -> None:
    net = randomised(build_pose_net(card)).train()
    net.freeze(("res1",))
    before = snapshot(net)
    found = complexity(net)
    assert not changed(before, snapshot(net))
    assert net.training
    assert not net.backbone.stage_modules("res1")[0].training
    assert not any(module._forward_hooks for module in net.modules())
    assert found.parameters == sum(parameter.numel() for parameter in net.parameters())
    net.eval()
    plainly = sdpa_kernel(SDPBackend.MATH)  # attention in two products, which the counter knows on the CPU
    with torch.no_grad(), plainly, FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, 96, 64))
    assert 2 * found.multiply_adds == counter.get_total_flops()
