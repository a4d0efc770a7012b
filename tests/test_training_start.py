"""The networks and the memory with which a run starts."""

from dataclasses import replace

import pytest
import torch

from fidip.errors import RecipeError
from fidip.networks.domain import DomainClassifier, FlatDomainClassifier
from fidip.networks.weights import save_pose_net
from fidip.training.start import start_learners, start_network
from figures import RECIPE, SUPERVISED, TINY

CPU = torch.device("cpu")


def weights_of(net) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


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


@pytest.mark.parametrize(("width", "head", "fast"), [(8, 8, True), (4, 8, False), (8, 4, False)])
def test_only_networks_that_are_wide_enough_are_laid_out_channels_last(width, head, fast) -> None:
    recipe = replace(SUPERVISED, network=replace(TINY, width=width, head_width=head))
    net = start_learners(recipe, start_network(recipe, None), CPU).pose_net
    kernel = net.backbone.get_submodule("conv1").weight
    assert kernel.is_contiguous(memory_format=torch.channels_last) == fast
