"""The stages of FiDIP (paper §3), one function each, read from top to bottom.

The pre-stage teaches the domain classifier on adults. Then, in turns on infants, stage I teaches the classifier to tell
synthetic from real, and stage II teaches the pose network keypoints while it unlearns the domain: batch by batch in
``adapt``, as the published code does, or epoch by epoch in ``adapt_by_epoch``, as the paper's text may be read. Each
stage changes one network and leaves every tensor and buffer of the other as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fidip.data.augment import Batch
from fidip.data.views import View
from fidip.networks.domain import batch_statistics_unrecorded, reverse_gradient
from fidip.networks.pose import PoseNet, PoseOutput
from fidip.training.balance import Balance
from fidip.training.finite import checked, require_finite, require_usable
from fidip.training.losses import domain_accuracy, domain_loss, heatmap_loss
from fidip.training.teacher import Teacher

Forward = Callable[[PoseNet, Batch], PoseOutput]
"""How a batch goes through the pose network."""


def at_once(net: PoseNet, batch: Batch) -> PoseOutput:
    """The whole batch in one pass."""
    seen: PoseOutput = net(batch.images)
    return seen


@dataclass(frozen=True, slots=True, eq=False)
class Learners:
    """The two networks and the optimiser of each. Supervised training has no classifier.

    ``balance`` makes a share of the pose gradient into λ, where the recipe gives it as one; ``teacher`` is the mean
    teacher's. RegDA's second head stands in the place of the classifier. ``forward`` takes batches through the network.
    """

    pose_net: PoseNet
    pose_optimizer: Optimizer
    classifier: nn.Module | None = None
    domain_optimizer: Optimizer | None = None
    balance: Balance | None = None
    teacher: Teacher | None = None
    forward: Forward = at_once

    @property
    def companions(self) -> dict[str, nn.Module]:
        """What else is carried from step to step, by the name that it has in a checkpoint."""
        return {name: part for name, part in (("balance", self.balance), ("teacher", self.teacher)) if part is not None}


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One batch and the numbers of the schedule that go with it."""

    stage: str
    epoch: int
    step: int
    batch: Batch
    learning_rate: float
    domain_weight: float  # λ; with a balance the share of the pose gradient from which λ follows
    first_pass: bool = False  # stage I alone, before stage II has the epoch's batches
    view: View | None = None  # for a teacher, of the people without labels


@dataclass(frozen=True, slots=True)
class Found:
    """What one step of a stage or method found. ``None`` where it has no such number.

    ``gradient_ratio`` is ‖λ ∂L_domain/∂f‖ / ‖∂L_pose/∂f‖ at the features f, at the first step of every epoch (at every
    step where λ follows from a share) and with that step's λ, ``domain_weight``: λ itself means nothing without it.
    """

    pose_loss: float | None = None
    domain_loss: float | None = None
    domain_accuracy: float | None = None
    gradient_ratio: float | None = None
    domain_weight: float | None = None
    believed: float | None = None  # share of the teacher's keypoints that are taught


Learn = Callable[[Learners, Turn], Found]
"""A stage or method: one step of learning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord(Found):
    """What one step found, which step it was, and how long it took with the making of its batch."""

    stage: str
    epoch: int
    step: int
    learning_rate: float
    seconds: float
    skipped: str | None = None  # what was not finite, if nothing was learnt


def pretrain_classifier(learners: Learners, turn: Turn) -> Found:
    """Pre-stage: the classifier learns to tell synthetic from real adults; the pose network stands still.

    The pose network is in evaluation mode and takes no gradient: its batch statistics stay those of its own training.
    """
    learners.pose_net.eval()
    with torch.no_grad():
        features = see(learners, turn).features
    loss, accuracy = learn_domain(learners, features, turn)
    return Found(domain_loss=loss, domain_accuracy=accuracy)


def adapt(learners: Learners, turn: Turn) -> Found:
    """Stages I and II, taking turns on every batch. Without a classifier this is supervised training."""
    learners.pose_net.train()
    heatmaps, features = see(learners, turn)  # the only forward pass; it belongs to stage II
    # Stage I: the classifier learns to tell synthetic from real; the pose network stands still.
    told, accuracy = learn_domain(learners, features.detach(), turn) if learners.classifier else (None, None)
    # Stage II: the pose network learns keypoints and unlearns the domain; the classifier stands still.
    posed, weight, ratio = learn_pose(learners, heatmaps, features, turn)
    return Found(posed, told, accuracy, ratio, weight)


def adapt_by_epoch(learners: Learners, turn: Turn) -> Found:
    """Stages I and II in turns of an epoch: every batch goes through stage I, then every batch through stage II.

    In stage I the features are made from each batch's own statistics, as stage II makes them, and none is recorded.
    """
    learners.pose_net.train()
    if turn.first_pass:
        # Stage I: the classifier learns to tell synthetic from real; the pose network stands still.
        with torch.no_grad(), batch_statistics_unrecorded(learners.pose_net):
            features = see(learners, turn).features
        told, accuracy = learn_domain(learners, features, turn)
        return Found(domain_loss=told, domain_accuracy=accuracy)
    # Stage II: the pose network learns keypoints and unlearns the domain; the classifier stands still.
    heatmaps, features = see(learners, turn)
    posed, weight, ratio = learn_pose(learners, heatmaps, features, turn)
    return Found(posed, gradient_ratio=ratio, domain_weight=weight)


def see(learners: Learners, turn: Turn) -> PoseOutput:
    """What the pose network, in the mode that it is in, says of the batch.

    Raises:
        NotFiniteError: an image, a feature, a heatmap or a statistic of batch normalisation is not finite.
    """
    seen = learners.forward(learners.pose_net, turn.batch)
    named = {
        "the images are": [turn.batch.images, *([turn.view.images] if turn.view else [])],
        "the features are": [seen.features],
        "the heatmaps are": [seen.heatmaps],
        "the statistics of batch normalisation are": [
            buffer for buffer in learners.pose_net.buffers() if buffer.is_floating_point()
        ],
    }
    require_finite(named)
    return seen


def learn_domain(learners: Learners, features: Tensor, turn: Turn) -> tuple[float, float]:
    """Stage I on detached features: one step of the classifier. Returns its loss and accuracy before the step."""
    assert learners.classifier is not None
    assert learners.domain_optimizer is not None
    logits = learners.classifier.train()(features)
    loss = domain_loss(logits, turn.batch.synthetic)
    value = checked(loss, "the domain loss")
    step(learners.domain_optimizer, loss, turn.learning_rate)
    return value, float(domain_accuracy(logits, turn.batch.synthetic))


def learn_pose(
    learners: Learners, heatmaps: Tensor, features: Tensor, turn: Turn
) -> tuple[float, float | None, float | None]:
    """Stage II: one step of the pose network. Returns the pose loss, λ and, if taken, the gradients' ratio."""
    pose = heatmap_loss(heatmaps, turn.batch.heatmaps, turn.batch.weights)
    value = checked(pose, "the pose loss")
    if learners.classifier is None:
        step(learners.pose_optimizer, pose, turn.learning_rate)
        return value, None, None
    with batch_statistics_unrecorded(learners.classifier):
        logits = learners.classifier.train()(reverse_gradient(features, 1.0))
    confusion = domain_loss(logits, turn.batch.synthetic)
    checked(confusion, "the domain loss of stage II")
    weight, ratio = weigh(learners, turn, pose, confusion, features)
    step(learners.pose_optimizer, pose + weight * confusion, turn.learning_rate)
    return value, weight, ratio


def weigh(learners: Learners, turn: Turn, pose: Tensor, term: Tensor, features: Tensor) -> tuple[float, float | None]:
    """λ of this step for a second term, and ‖λ ∂term/∂f‖ / ‖∂pose/∂f‖ where it is taken."""
    if learners.balance is None and turn.step > 0:
        return turn.domain_weight, None
    norms = [torch.autograd.grad(loss, features, retain_graph=True)[0].norm() for loss in (term, pose)]
    bare = float(norms[0] / norms[1]) if norms[1] > 0 else None
    share = turn.domain_weight
    weight = share if learners.balance is None else learners.balance.weight(bare, share)
    return weight, None if bare is None else weight * bare


def step(optimizer: Optimizer, loss: Tensor, learning_rate: float) -> None:
    """One step down the gradient of the optimiser's own parameters; nobody else's ``grad`` is touched."""
    step_together(((optimizer, loss),), learning_rate)


def step_together(losses: Sequence[tuple[Optimizer, Tensor]], learning_rate: float) -> None:
    """One step of several optimisers, each down its own loss, all of whose gradients are taken before anyone moves.

    Raises:
        NotFiniteError: a gradient is not finite; nobody has moved.
    """
    found: list[tuple[Tensor, Tensor]] = []
    for number, (optimizer, loss) in enumerate(losses, start=1):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        gradients = torch.autograd.grad(loss, parameters, retain_graph=number < len(losses))
        require_usable(gradients)
        found += zip(parameters, gradients, strict=True)
    for parameter, gradient in found:
        parameter.grad = laid_out_like(parameter, gradient) if parameter.is_cuda else gradient
    for optimizer, _ in losses:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def laid_out_like(parameter: Tensor, gradient: Tensor) -> Tensor:
    """The gradient in the memory layout of its parameter, which the one kernel of Adam on CUDA asks for."""
    alike = gradient.stride() == parameter.stride()
    return gradient if alike else torch.empty_like(parameter).copy_(gradient)
