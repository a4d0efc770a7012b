"""The networks and optimisers with which a run starts."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from fidip.data.samples import ResidentSamples
from fidip.errors import RecipeError
from fidip.networks.card import NetworkCard
from fidip.networks.devices import lay_out
from fidip.networks.domain import build_domain_classifier
from fidip.networks.lora import add_adapters
from fidip.networks.pose import PoseNet, build_pose_net
from fidip.networks.published import PUBLISHED
from fidip.networks.weights import load_pose_net
from fidip.skeleton import SKELETONS
from fidip.training.adaptation import Method
from fidip.training.balance import Balance
from fidip.training.recipe import Recipe
from fidip.training.stages import Learners
from fidip.training.teacher import LimbPrior, Teacher

ARCHITECTURE = ("backbone", "width", "head", "head_width", "skeleton")
"""What of a card decides which weights are its network's."""

SURE: frozenset[Method] = frozenset({"mean-teacher", "regda"})
"""Whose terms look at the peaks of heatmaps."""


def start_network(recipe: Recipe, init: Path | str | None) -> PoseNet:
    """The pose network of a recipe: from given weights, else newly initialised from the recipe's card and seed.

    Raises:
        RecipeError: the weights are of another network than the recipe expects.
        WeightsError: they cannot be read.
    """
    if init is None:
        assert recipe.network is not None
        net = build_pose_net(recipe.network, torch.Generator().manual_seed(recipe.seed))
    else:
        net = load_pose_net(init)
        _check_architecture(recipe, net.card, init)
    card = replace(
        net.card,
        input_size=recipe.input_size or net.card.input_size,
        heatmap_sigma=recipe.sigma or net.card.heatmap_sigma,
    )
    return PoseNet(net.backbone, net.head, card)


def start_learners(
    recipe: Recipe, net: PoseNet, device: torch.device, infants: ResidentSamples | None = None
) -> Learners:
    """Freeze what the recipe freezes, build the classifier, and give each network its Adam, as the published code does.

    A teacher learns from the labelled ``infants`` how long limbs are. On the meta device, on which ``net`` then is
    already, all of it is an outline without numbers.

    Raises:
        RecipeError: a frozen stage does not exist in this network, nothing is left to learn, or there is no attention
            for the recipe's adapters.
    """
    net.to(device).freeze(recipe.frozen, recipe.frozen_batchnorm_drifts, recipe.keep_statistics)
    if recipe.lora is not None:
        add_adapters(net, recipe.lora, torch.Generator().manual_seed(recipe.seed + 2))
    lay_out(net, device)  # a fifth to a third less time on a CPU
    pose_optimizer = _adam(recipe, net, device)
    balance = None if recipe.domain_share is None else Balance()
    if recipe.learning in SURE:
        _refuse_unsure(recipe, net)
    if recipe.learning == "mean-teacher":
        return Learners(net, pose_optimizer, balance=balance, teacher=_teacher(recipe, net, infants))
    classifier = _adversary(recipe, net)
    if classifier is None:
        return Learners(net, pose_optimizer, balance=balance)
    classifier = classifier.to(device)
    domain_optimizer = _adam(recipe, classifier, device)
    return Learners(net, pose_optimizer, classifier, domain_optimizer, balance)


def _adam(recipe: Recipe, learner: nn.Module, device: torch.device) -> torch.optim.Adam:
    """Adam for what is not frozen; on CUDA one kernel moves it all."""
    learning = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    return torch.optim.Adam(learning, lr=recipe.learning_rate, fused=True if device.type == "cuda" else None)


def _adversary(recipe: Recipe, net: PoseNet) -> nn.Module | None:
    """The domain classifier, or the second head of RegDA, as the first but drawn anew."""
    generator = torch.Generator().manual_seed(recipe.seed + 1)
    if recipe.learning == "regda":
        head = deepcopy(net.head)
        if not net.pixel_mean.is_meta:  # an outline has no numbers
            head.cpu()
        for module in head.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        head.initialise(generator)
        return head
    if recipe.classifier is None:
        return None
    return build_domain_classifier(recipe.classifier, net.backbone.channels, net.feature_size, generator)


def _refuse_unsure(recipe: Recipe, net: PoseNet) -> None:
    if net.card.head == "pixel-shuffle":
        raise RecipeError(
            f"recipe {recipe.name}: method {recipe.learning} with a pixel-shuffle head, whose heatmaps sum to 1: "
            "choose another head or method"
        )


def _teacher(recipe: Recipe, net: PoseNet, infants: ResidentSamples | None) -> Teacher:
    prior = None if infants is None else LimbPrior.of(infants, SKELETONS[net.card.skeleton])
    return Teacher(net, recipe.teacher, prior)


def _check_architecture(recipe: Recipe, card: NetworkCard, init: Path | str) -> None:
    expected = {} if recipe.backbone is None else {"backbone": recipe.backbone}
    named = recipe.network or PUBLISHED.get(recipe.starts_from or "")
    if named is not None:
        expected |= {name: getattr(named, name) for name in ARCHITECTURE}
    for name, value in expected.items():
        if getattr(card, name) != value:
            found = f"{init} has {name.replace('_', ' ')} {getattr(card, name)}"
            raise RecipeError(
                f"{found}, recipe {recipe.name} expects {value}: give other weights or choose another recipe"
            )
