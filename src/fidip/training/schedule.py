"""Which batch comes when: the stages of a recipe laid out as epochs and steps, from any point of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fidip.data.augment import TargetFormat, make_batch
from fidip.data.samples import ResidentSamples
from fidip.data.sampling import UNLABELLED, Indices, Order, epoch_batches, generator
from fidip.data.views import plain_view
from fidip.networks.card import NetworkCard
from fidip.skeleton import SKELETONS
from fidip.training.adaptation import METHODS
from fidip.training.recipe import Recipe
from fidip.training.stages import Learn, Turn, adapt_by_epoch, pretrain_classifier

PRETRAIN, ADAPT = "pretrain", "adapt"


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One stage of a run: its samples, how long it lasts and the function that learns."""

    name: str
    number: int  # part of the seed of its randomness
    epochs: int
    batches: int  # of an epoch
    samples: ResidentSamples
    order: Order
    learn: Learn
    passes: int = 1  # over the batches of an epoch

    @property
    def steps(self) -> int:
        """How many batches an epoch shows, counting each pass."""
        return self.passes * self.batches


def lay_out(recipe: Recipe, infants: ResidentSamples, adults: ResidentSamples | None) -> tuple[Stage, ...]:
    """The stages of a recipe in their order.

    Raises:
        DataError: there are too few samples, or balanced batches lack a domain.
    """
    stages = []
    if recipe.pretrain is not None and adults is not None:
        order, epochs = recipe.pretrain_order(), recipe.pretrain.epochs
        stages.append(Stage(PRETRAIN, 0, epochs, _batches(adults, order), adults, order, pretrain_classifier))
    order, by_epoch = recipe.order(), recipe.alternation == "epoch"
    learn, passes = (adapt_by_epoch, 2) if by_epoch else (METHODS[recipe.learning], 1)
    stages.append(Stage(ADAPT, 1, recipe.epochs, _batches(infants, order), infants, order, learn, passes))
    return tuple(stages)


def turns(
    stage: Stage, recipe: Recipe, card: NetworkCard, device: torch.device, start: tuple[int, int]
) -> Iterator[Turn]:
    """The batches of a stage from ``start`` = (epoch, step) on.

    The n-th batch of an epoch depends on seed, stage, epoch and n only, so a run may stop anywhere and go on. A second
    pass over an epoch shows the same batches again.
    """
    format = target_format(card)
    for epoch in range(start[0], stage.epochs):
        batches = epoch_batches(
            groups(stage.samples, stage.order), stage.order, generator(recipe.seed, stage.number, epoch)
        )
        for done in range(start[1] if epoch == start[0] else 0, stage.steps):
            number, step = divmod(done, stage.batches)
            rng = generator(recipe.seed, stage.number, epoch, step)
            batch = make_batch(stage.samples, batches[step], format, recipe.augmentation, rng, device)
            if stage.name == PRETRAIN:  # before the schedule of stages I and II begins
                yield Turn(stage.name, epoch, step, batch, recipe.learning_rate, 0.0)
            else:
                rate = recipe.learning_rate_at(epoch, step, stage.batches)
                weight = recipe.domain_weight_at(epoch, step, stage.batches)
                taught = recipe.learning == "mean-teacher"
                view = plain_view(stage.samples, batches[step], batch, format, device) if taught else None
                first = number < stage.passes - 1
                yield Turn(stage.name, epoch, step, batch, rate, weight, first_pass=first, view=view)


def target_format(card: NetworkCard) -> TargetFormat:
    """What a network's card asks of a batch."""
    return TargetFormat(
        card.input_size, card.heatmap_size, card.heatmap_sigma, card.affine, card.encoding, SKELETONS[card.skeleton]
    )


def groups(samples: ResidentSamples, order: Order) -> Indices:  # (N,)
    """What batches are balanced by: the domains, and where an order has a share of them, people without labels."""
    if order.unlabelled_share is None:
        return samples.domains
    return np.where(samples.labelled, samples.domains, UNLABELLED)


def _batches(samples: ResidentSamples, order: Order) -> int:
    return len(epoch_batches(groups(samples, order), order, generator(0, 0, 0)))
