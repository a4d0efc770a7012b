from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fidip.errors import RecipeError
from fidip.networks.backbones import BACKBONES
from fidip.networks.card import NetworkCard, published_pose_resnet
from fidip.networks.heads import DeconvolutionHead
from fidip.networks.pose import PoseNet, build_pose_net
from fidip.networks.weights import to_published_names
from network_states import changed, randomised, snapshot
from test_networks_backbones_resnet import norm, reference_resnet

SMALL = NetworkCard("resnet-18", 8, (64, 96), head_width=16)

EVERY_KIND = [
    NetworkCard("resnet-50", 8, (64, 64), 16),
    NetworkCard("hrnet", 8, (64, 64)),
    NetworkCard("mobilenet-v2", 0.35, (64, 64), 16, head="pixel-shuffle"),
    NetworkCard("vit-12", 24, (64, 64), 16),
    NetworkCard("vit-12", 24, (64, 64), head="interpolation"),
]

FIRST_THREE_STAGES = {
    "resnet-50": ("conv1.", "bn1.", "layer1.", "layer2."),
    "hrnet": ("conv1.", "bn1.", "conv2.", "bn2.", "layer1.", "transition1.", "stage2.", "transition2."),
    "mobilenet-v2": tuple(f"features.{index}." for index in range(7)),
    "vit-12": ("patch_embed.", "pos_embed", *(f"blocks.{index}." for index in range(6))),
}


@pytest.mark.parametrize("depth", [18, 50])
def test_pose_resnet_agrees_with_the_published_description(depth: int) -> None:
    net = randomised(build_pose_net(published_pose_resnet(depth, (192, 256)))).double().eval()
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)).double()
    state = to_published_names(net.state_dict())
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).double()
    blue_first = images[:, [2, 1, 0]]
    features = reference_resnet(state, depth, (blue_first - mean[:, None, None]) / std[:, None, None])
    x = features
    for index in (0, 3, 6):
        x = F.conv_transpose2d(x, state[f"deconv_layers.{index}.weight"], stride=2, padding=1)
        x = F.relu(norm(state, f"deconv_layers.{index + 1}", x))
    x = F.conv2d(x, state["final_layer.weight"], state["final_layer.bias"])
    with torch.no_grad():
        output = net(images)
    torch.testing.assert_close(output.features, features, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(output.heatmaps, x, rtol=1e-9, atol=1e-9)
    assert output.heatmaps.shape == (2, 17, 16, 24)


@pytest.mark.parametrize(
    ("depth", "parameters"), [(18, 15_376_721), (50, 33_999_697), (101, 52_991_825), (152, 68_635_473)]
)
def test_pose_resnets_have_the_published_number_of_parameters(depth: int, parameters: int) -> None:
    with torch.device("meta"):
        net = build_pose_net(published_pose_resnet(depth, (288, 384)))
        output = net(torch.empty(1, 3, 384, 288))
    assert net.card.parameters == sum(parameter.numel() for parameter in net.parameters()) == parameters
    assert output.heatmaps.shape == (1, 17, 96, 72)
    assert output.features.shape == (1, net.backbone.channels, 12, 9)
    assert net.feature_size == (9, 12)


def test_normalisation_and_colour_order_are_the_networks_own() -> None:
    card = NetworkCard(
        "mobilenet-v2", 0.35, (64, 96), 16, colour_order="BGR", mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0)
    )
    net = randomised(build_pose_net(card)).eval()
    images = torch.rand(2, 3, 96, 64)
    prepared = torch.stack([(images[:, 2] - 0.1) / 1, (images[:, 1] - 0.2) / 2, (images[:, 0] - 0.3) / 3], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(net(images).features, net.backbone(prepared))
    assert not [name for name in net.state_dict() if "pixel" in name]  # they come from the card


def test_a_new_network_is_drawn_from_the_generator_as_published() -> None:
    card = NetworkCard("resnet-18", 16, (64, 64))
    first, second, other = (build_pose_net(card, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert not changed(snapshot(first), snapshot(second))
    assert "backbone.conv1.weight" in changed(snapshot(first), snapshot(other))
    deconvolution = first.head.deconv_layers[3].weight
    assert abs(deconvolution.std().item() / 0.001 - 1) < 0.01
    assert abs(first.head.final_layer.weight.std().item() / 0.001 - 1) < 0.1
    assert not first.head.final_layer.bias.any()
    kernel = first.backbone.layer4[0].conv2.weight
    assert abs(kernel.std().item() / (2 / (128 * 9)) ** 0.5 - 1) < 0.02
    assert all(module.momentum == 0.1 for module in first.modules() if isinstance(module, nn.BatchNorm2d))


def training_step(net: PoseNet) -> None:
    generator = torch.Generator().manual_seed(2)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.1)
    heatmaps = net(torch.rand(4, 3, 64, 64, generator=generator)).heatmaps
    (heatmaps - 1).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("card", EVERY_KIND, ids=lambda card: f"{card.backbone} {card.head}")
def test_frozen_stages_keep_every_parameter_and_buffer(card: NetworkCard) -> None:
    net = randomised(build_pose_net(card))
    net.freeze(("res1", "res2", "res3"))
    net.train()
    before = snapshot(net)
    training_step(net)
    moved = changed(before, snapshot(net))
    still = ("pixel", *(f"backbone.{name}" for name in FIRST_THREE_STAGES[card.backbone]))
    assert moved == {name for name in before if not name.startswith(still)}
    assert net.frozen == ("res1", "res2", "res3")


@pytest.mark.parametrize("card", EVERY_KIND, ids=lambda card: f"{card.backbone} {card.head}")
def test_every_parameter_gets_a_gradient(card: NetworkCard) -> None:
    net = randomised(build_pose_net(card)).train()
    images, target = torch.rand(4, 3, 64, 64), torch.rand(4, 17, 16, 16)
    heatmaps, features = net(images)
    ((heatmaps - target).square().mean() + features.square().mean()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("card", EVERY_KIND, ids=lambda card: f"{card.backbone} {card.head}")
def test_a_copy_is_the_same_network_and_another_one(card: NetworkCard) -> None:
    net = randomised(build_pose_net(card)).eval()
    copied = deepcopy(net)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(copied(images).heatmaps, net(images).heatmaps)
        before = snapshot(net)
        for parameter in copied.parameters():
            parameter.zero_()
    assert not changed(before, snapshot(net))
    copied.freeze(("res1",))
    assert not net.frozen


@pytest.mark.parametrize("card", EVERY_KIND, ids=lambda card: f"{card.backbone} {card.head}")
def test_sides_that_the_network_cannot_halve_are_refused(card: NetworkCard) -> None:
    multiple = 16 if card.backbone == "vit-12" else 32
    with pytest.raises(RecipeError, match=f"input_size 72x128: both sides must be multiples of {multiple}"):
        build_pose_net(replace(card, input_size=(72, 128)))
    net = build_pose_net(card).eval()
    with pytest.raises(ValueError, match=f"multiples of {multiple}, found \\(1, 3, 64, 72\\)"):
        net(torch.zeros(1, 3, 64, 72))


def test_a_vit_is_made_ready_for_the_size_of_its_card() -> None:
    net = build_pose_net(NetworkCard("vit-12", 24, (64, 96), 16)).eval()
    larger = PoseNet(net.backbone, net.head, replace(net.card, input_size=(128, 96))).eval()
    assert larger.feature_size == (8, 6)
    heatmaps, features = larger(torch.zeros(1, 3, 96, 128))
    assert heatmaps.shape == (1, 17, 24, 32)
    assert features.shape == (1, 24, 6, 8)
    with pytest.raises(ValueError, match="expected 128x96"):
        larger(torch.zeros(1, 3, 96, 64))


def test_drifting_statistics_are_those_of_the_published_code() -> None:
    net = randomised(build_pose_net(SMALL)).train()
    net.freeze(("res1",), drifting_statistics=True)
    before = snapshot(net)
    training_step(net)
    moved = changed(before, snapshot(net))
    assert {name for name in moved if name.startswith(("backbone.conv1", "backbone.bn1"))} == {
        "backbone.bn1.running_mean", "backbone.bn1.running_var", "backbone.bn1.num_batches_tracked",
    }  # fmt: skip


@pytest.mark.parametrize("card", EVERY_KIND)
def test_statistics_may_be_kept_while_everything_else_learns(card: NetworkCard) -> None:
    """Then a batch is as if each of its images were alone."""
    net = randomised(build_pose_net(card)).train()
    net.freeze((), keep_statistics=True)
    before = snapshot(net)
    training_step(net)
    assert changed(before, snapshot(net)) == {name for name, _ in net.named_parameters()}
    width, height = card.input_size
    images = torch.rand(3, 3, height, width)
    together, alone = net.train()(images).heatmaps, net(images[:1]).heatmaps
    assert torch.allclose(together[:1], alone, atol=1e-5 * float(alone.detach().abs().max()))
    net.freeze(())
    assert all(module.training for module in net.modules())


def test_freezing_nothing_frees_everything() -> None:
    net = build_pose_net(SMALL).train()
    net.freeze(("res1", "res5"))
    net.freeze(())
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert all(module.training for module in net.modules())
    net.eval()
    net.freeze(("res2",))
    assert not any(module.training for module in net.modules())


def test_an_unknown_stage_freezes_nothing() -> None:
    net = build_pose_net(SMALL)
    with pytest.raises(RecipeError, match=r"'layer1'.*res1, res2"):
        net.freeze(("res1", "layer1"))
    assert all(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 64, 64), "expected \\(B, 3, H, W\\)"),
        (torch.zeros(1, 64, 64, 3), "found \\(1, 64, 64, 3\\)"),
        (torch.zeros(1, 3, 64, 72), "multiples of 32"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "divide uint8 by 255"),
    ],
)
def test_images_are_checked_at_the_door(images: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_pose_net(SMALL)(images)


def test_parts_and_card_must_suit_each_other() -> None:
    with pytest.raises(RecipeError, match="input_size 100x128: both sides must be multiples of 32"):
        build_pose_net(NetworkCard("resnet-18", 8, (100, 128)))
    with pytest.raises(RecipeError, match="says 17, this network has"):
        build_pose_net(NetworkCard("resnet-18", 8, (64, 64), parameters=17))


def test_a_head_must_enlarge_as_much_as_the_backbone_made_small() -> None:
    backbone = BACKBONES["hrnet"](8)
    with pytest.raises(RecipeError, match="enlarges 8 times; this backbone's features need 1"):
        PoseNet(backbone, DeconvolutionHead(8, 17, 16), NetworkCard("hrnet", 8, (64, 64)))


def test_the_parts_are_passed_in() -> None:
    backbone = BACKBONES["mobilenet-v2"](0.35)
    net = PoseNet(
        backbone, DeconvolutionHead(backbone.channels, 17, 16), NetworkCard("mobilenet-v2", 0.35, (64, 64), 16)
    )
    heatmaps, features = net(torch.zeros(2, 3, 64, 64))
    assert heatmaps.shape == (2, 17, 16, 16)
    assert features.shape == (2, 1280, 2, 2)
