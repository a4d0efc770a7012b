"""The networks and the memory with which a run starts."""

from dataclasses import replace
from math import isfinite

import pytest
import torch

from fidip.data.augment import Batch
from fidip.errors import RecipeError
from fidip.networks.card import NetworkCard
from fidip.networks.domain import DomainClassifier, FlatDomainClassifier
from fidip.networks.pose import build_pose_net
from fidip.networks.weights import load_pose_net, save_pose_net
from fidip.training.loop import take_steps
from fidip.training.stages import Turn, adapt
from fidip.training.start import start_learners, start_network
from figures import RECIPE, SUPERVISED, TINY

CPU = torch.device("cpu")


def weights_of(net) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_weights_of_another_width_than_the_published_ones_are_refused(tmp_path) -> None:
    recipe = replace(SUPERVISED, network=None, starts_from="pose-resnet-50-256x192")
    save_pose_net(build_pose_net(replace(TINY, backbone="resnet-50")), tmp_path / "narrow.safetensors")
    with pytest.raises(RecipeError, match=r"narrow\.safetensors has width 4(\.0)?, recipe tiny expects 64"):
        start_network(recipe, tmp_path / "narrow.safetensors")
    wide = replace(recipe, starts_from="hrnet-w32-256x192")
    with pytest.raises(RecipeError, match="has backbone resnet-50, recipe tiny expects hrnet"):
        start_network(wide, tmp_path / "narrow.safetensors")


def test_the_seed_decides_the_first_weights_and_torchs_generator_does_not() -> None:
    def start(seed, disturbance):
        torch.manual_seed(disturbance)
        recipe = replace(RECIPE, seed=seed)
        learners = start_learners(recipe, start_network(recipe, None), CPU)
        return torch.cat([weights_of(learners.pose_net), weights_of(learners.classifier)])

    assert torch.equal(start(1, 0), start(1, 9))
    assert not torch.equal(start(1, 0), start(2, 0))


def test_given_weights_are_taken_as_they_are(tmp_path) -> None:
    net = start_network(replace(RECIPE, seed=8), None)
    save_pose_net(net, tmp_path / "w.safetensors")
    assert torch.equal(weights_of(start_network(RECIPE, tmp_path / "w.safetensors")), weights_of(net))


@pytest.mark.parametrize(("kind", "expected"), [("pooled", DomainClassifier), ("flat", FlatDomainClassifier)])
def test_the_classifier_suits_the_network(kind, expected) -> None:
    recipe = replace(RECIPE, classifier=kind, input_size=(64, 96))
    learners = start_learners(recipe, start_network(recipe, None), CPU)
    assert isinstance(learners.classifier, expected)
    features = learners.pose_net(torch.rand(2, 3, 96, 64)).features
    assert learners.classifier(features).shape == (2,)


def test_supervised_learning_has_no_classifier() -> None:
    learners = start_learners(SUPERVISED, start_network(SUPERVISED, None), CPU)
    assert learners.classifier is None
    assert learners.domain_optimizer is None


def test_frozen_parameters_have_no_optimiser() -> None:
    recipe = replace(RECIPE, frozen=("res1", "res2"))
    learners = start_learners(recipe, start_network(recipe, None), CPU)
    learning = {id(p) for group in learners.pose_optimizer.param_groups for p in group["params"]}
    assert learning == {id(p) for p in learners.pose_net.parameters() if p.requires_grad}
    assert len(learning) < len(list(learners.pose_net.parameters()))
    with pytest.raises(RecipeError, match="no stage 'res9'"):
        start_learners(replace(RECIPE, frozen=("res9",)), start_network(RECIPE, None), CPU)


def test_weights_with_another_head_than_the_recipes_are_named(tmp_path) -> None:
    save_pose_net(build_pose_net(replace(TINY, head="interpolation")), tmp_path / "w.safetensors")
    with pytest.raises(RecipeError, match=r"w\.safetensors has head interpolation, recipe .* expects deconvolution"):
        start_network(SUPERVISED, tmp_path / "w.safetensors")


def test_the_positions_of_a_vit_are_stretched_to_the_recipes_size(tmp_path) -> None:
    card = NetworkCard("vit-12", 24, (64, 96), 16)
    save_pose_net(build_pose_net(card), tmp_path / "w.safetensors")
    recipe = replace(RECIPE, network=card, input_size=(96, 128))
    net = start_network(recipe, tmp_path / "w.safetensors")
    assert net(torch.rand(1, 3, 128, 96)).heatmaps.shape == (1, 17, 32, 24)
    save_pose_net(net, tmp_path / "larger.safetensors")
    again = load_pose_net(tmp_path / "larger.safetensors")
    assert again.card.input_size == (96, 128)
    assert torch.equal(weights_of(again), weights_of(net))


@pytest.mark.parametrize(
    ("card", "classifier"),
    [
        (NetworkCard("hrnet", 8, (64, 64)), "hrnet"),
        (NetworkCard("mobilenet-v2", 0.35, (64, 64), 16, head="pixel-shuffle"), "mobilenet"),
        (NetworkCard("vit-12", 24, (64, 64), 16), "pooled"),
        (NetworkCard("vit-12", 24, (64, 64), head="interpolation"), "flat"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.backbone,
)
def test_every_kind_of_network_goes_through_both_stages(card, classifier) -> None:
    recipe = replace(RECIPE, network=card, classifier=classifier, input_size=None, sigma=None, frozen=("res1",))
    learners = start_learners(recipe, start_network(recipe, None), CPU)
    with torch.no_grad():
        for parameter in learners.pose_net.head.parameters():
            parameter.normal_(0, 0.1)  # the published initial weights give almost no gradient at the features
    generator = torch.Generator().manual_seed(0)
    images, heatmaps = (torch.rand(4, n, s, s, generator=generator) for n, s in ((3, 64), (17, 16)))
    one = Batch(images, heatmaps, torch.ones(4, 17), torch.tensor([0.0, 1, 0, 1]), tuple("abcd"))
    before = weights_of(learners.pose_net), weights_of(learners.classifier)
    (step,) = take_steps(adapt, learners, [Turn("adapt", 0, 0, one, 1e-3, 0.02)])
    assert isfinite(step.pose_loss)
    assert isfinite(step.domain_loss)
    assert not torch.equal(weights_of(learners.pose_net), before[0])
    assert not torch.equal(weights_of(learners.classifier), before[1])


@pytest.mark.parametrize(("width", "head", "fast"), [(8, 8, True), (4, 8, False), (8, 4, False)])
def test_only_networks_that_are_wide_enough_are_laid_out_channels_last(width, head, fast) -> None:
    recipe = replace(SUPERVISED, network=replace(TINY, width=width, head_width=head))
    net = start_learners(recipe, start_network(recipe, None), CPU).pose_net
    kernel = net.backbone.get_submodule("conv1").weight
    assert kernel.is_contiguous(memory_format=torch.channels_last) == fast


@pytest.mark.parametrize("method", ["regda", "mean-teacher"])
def test_methods_that_look_at_peaks_refuse_heatmaps_without(method) -> None:
    card = NetworkCard("mobilenet-v2", 0.35, (64, 64), 16, head="pixel-shuffle")
    recipe = replace(SUPERVISED, network=card, method=method, domain_weight=0.1, input_size=None, sigma=None)
    with pytest.raises(RecipeError, match=f"recipe tiny: method {method} with a pixel-shuffle head"):
        start_learners(recipe, start_network(recipe, None), CPU)


def test_the_second_head_of_regda_is_like_the_first_and_drawn_by_the_seed() -> None:
    recipe = replace(SUPERVISED, method="regda", domain_weight=0.1)

    def start():
        net = start_network(recipe, None)
        for name, tensor in net.head.state_dict().items():  # as if it had learnt before
            tensor.fill_(0.7 if "running" in name or name.endswith("1.weight") else 0)
        return start_learners(recipe, net, CPU)

    first, again = start(), start()
    head = first.pose_net.head.state_dict()
    assert {n: t.shape for n, t in first.classifier.state_dict().items()} == {n: t.shape for n, t in head.items()}
    assert not torch.equal(weights_of(first.classifier), weights_of(first.pose_net.head))
    assert torch.equal(weights_of(first.classifier), weights_of(again.classifier))
    assert set(first.classifier.deconv_layers[1].running_var.tolist()) == {1.0}
    assert set(first.classifier.deconv_layers[1].weight.tolist()) == {1.0}
