"""What lives and when, against counting by hand and against the tensors that autograd keeps on the CPU."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from fidip.networks.card import NetworkCard
from fidip.networks.outline import Kernels, Tally, outline
from fidip.networks.pose import build_pose_net
from network_states import changed, snapshot

FLOAT = 4
CARDS = [
    NetworkCard("resnet-18", 8, (64, 96), 16),
    NetworkCard("resnet-50", 8, (64, 96), 16),
    NetworkCard("hrnet", 8, (64, 96)),
    NetworkCard("mobilenet-v2", 0.35, (64, 96), 16, head="pixel-shuffle"),
    NetworkCard("vit-12", 24, (64, 96), 16),
    NetworkCard("vit-24", 32, (64, 96), head="interpolation"),
]


def small() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(True), nn.Conv2d(4, 2, 1)
    )


def left_by(module: nn.Module, shape, bf16=False) -> int:
    """Bytes that are there after a forward pass, of parameters and of what flowed in nothing."""
    with Tally() as tally:
        copy, images = outline(module), torch.empty(shape, device="meta")
        before = tally.live
        with Kernels(bf16).once():
            result = copy(images)
        found = tally.live - before
        del result
    return found


def test_a_layer_keeps_what_its_gradient_needs() -> None:
    """Conv, norm, ReLU, conv: both results of four channels, two numbers a channel of the norm, and the outcome."""
    pixels = 2 * 8 * 8
    assert left_by(small(), (2, 3, 8, 8)) == FLOAT * (4 * pixels + 4 * pixels + 2 * 4 + 2 * pixels)


def test_frozen_layers_keep_nothing_but_what_the_next_learns_from() -> None:
    net = small()
    for layer in net[:2]:
        layer.eval().requires_grad_(False)
    pixels = 2 * 8 * 8
    assert left_by(net, (2, 3, 8, 8)) == FLOAT * (4 * pixels + 2 * pixels)
    net.requires_grad_(False)
    assert left_by(net, (2, 3, 8, 8)) == FLOAT * 2 * pixels


def test_bf16_halves_results_and_keeps_copies_of_weights_and_of_the_images() -> None:
    pixels = 2 * 8 * 8
    halved = 3 * pixels + 4 * 3 * 9 + 4 * pixels + 4 * pixels + 4 * 2 + 2 * pixels
    assert left_by(small(), (2, 3, 8, 8), bf16=True) == FLOAT // 2 * halved + FLOAT * 2 * 4


def test_tensors_are_counted_while_they_live() -> None:
    with Tally() as tally:
        first = torch.empty(100, device="meta")
        view = first.view(10, 10)[2:]
        assert (tally.live, tally.peak) == (400, 400)
        second = view + 1
        assert (tally.live, tally.peak) == (400 + 320, 400 + 320)
        del first
        assert tally.live == 400 + 320  # the view holds it
        del view
        assert tally.live == 320
        second.add_(1)
        assert (tally.live, tally.peak) == (320, 720)


def test_an_outline_has_shapes_modes_and_no_numbers_and_leaves_the_network_alone() -> None:
    net = build_pose_net(CARDS[0]).train()
    net.freeze(("res1",))
    before = snapshot(net)
    copy = outline(net)
    assert not changed(before, snapshot(net))
    assert all(tensor.is_meta for tensor in (*copy.parameters(), *copy.buffers()))
    assert [p.requires_grad for p in copy.parameters()] == [p.requires_grad for p in net.parameters()]
    assert [m.training for m in copy.modules()] == [m.training for m in net.modules()]
    assert copy.card == net.card
    assert {n: t.shape for n, t in copy.state_dict().items()} == {n: t.shape for n, t in net.state_dict().items()}


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("frozen", [(), ("res1", "res2", "res3")], ids=["all", "frozen"])
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.backbone)
def test_autograd_on_the_cpu_keeps_as_much(card, frozen, bf16) -> None:
    """Storages that the backward pass would read, with the outcome, of real tensors and the real autocast."""
    net = build_pose_net(card).train()
    net.freeze(frozen)
    images, kept = torch.rand(2, 3, 96, 64), {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    autocast = torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast:
        output = net(images)
    for tensor in output:
        keep(tensor)
    for tensor in (*net.parameters(), *net.buffers(), images):
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    expected = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    assert left_by(net, images.shape, bf16) == pytest.approx(expected, rel=0.02)
