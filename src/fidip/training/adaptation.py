"""The menu of adaptation: one function a method, each one step of learning, on the same budget.

Every method has one pass of the pose network a batch and one step down

    L_pose + λ L_term

whose second term sees no label of the real domain; they differ in the term. With λ = 0 each leaves the pose network as
supervised training on the same batches would, to the bit: that is its control.
"""

from __future__ import annotations

from typing import Literal

from fidip.networks.domain import batch_statistics_unrecorded, reverse_gradient
from fidip.training.finite import checked
from fidip.training.losses import (
    discrepancy,
    domain_accuracy,
    domain_loss,
    ground_truth_and_false,
    heatmap_divergence,
    heatmap_loss,
)
from fidip.training.stages import Found, Learn, Learners, Turn, adapt, see, step, step_together, weigh

Method = Literal["fine-tune", "fidip", "dann", "mmd", "regda", "mean-teacher", "adabn"]

MARGIN = 4.0
"""Weight of the adversary's agreement on synthetic people (Jiang et al. 2021)."""


def dann(learners: Learners, turn: Turn) -> Found:
    """Domain-adversarial training (Ganin and Lempitsky 2015): classifier and pose network learn in one step.

    One pass through the classifier serves both: it goes down L_domain, and the gradient that it hands to the features
    is reversed. In FiDIP the classifier learns first, and judges anew before the pose network learns.
    """
    assert learners.classifier is not None
    assert learners.domain_optimizer is not None
    batch = turn.batch
    learners.pose_net.train()
    heatmaps, features = see(learners, turn)
    pose = heatmap_loss(heatmaps, batch.heatmaps, batch.weights)
    posed = checked(pose, "the pose loss")
    logits = learners.classifier.train()(reverse_gradient(features, 1.0))
    confusion = domain_loss(logits, batch.synthetic)
    told = checked(confusion, "the domain loss")
    weight, ratio = weigh(learners, turn, pose, confusion, features)
    losses = ((learners.pose_optimizer, pose + weight * confusion), (learners.domain_optimizer, confusion))
    step_together(losses, turn.learning_rate)
    accuracy = float(domain_accuracy(logits, batch.synthetic))
    return Found(
        pose_loss=posed, domain_loss=told, domain_accuracy=accuracy, gradient_ratio=ratio, domain_weight=weight
    )


def mmd(learners: Learners, turn: Turn) -> Found:
    """The real and the synthetic features of a batch are drawn together by their maximum mean discrepancy.

    After Long et al. (2015), on the averages of the features over the image, which the pooled classifier looks at too.
    There is no second network and no game. ``domain_loss`` in the records is the discrepancy.
    """
    batch = turn.batch
    learners.pose_net.train()
    heatmaps, features = see(learners, turn)
    pose = heatmap_loss(heatmaps, batch.heatmaps, batch.weights)
    posed = checked(pose, "the pose loss")
    pooled, synthetic = features.mean(dim=(2, 3)), batch.synthetic > 0.5
    apart = discrepancy(pooled[~synthetic], pooled[synthetic])
    told = checked(apart, "the discrepancy")
    weight, ratio = weigh(learners, turn, pose, apart, features)
    step(learners.pose_optimizer, pose + weight * apart, turn.learning_rate)
    return Found(pose_loss=posed, domain_loss=told, gradient_ratio=ratio, domain_weight=weight)


def mean_teacher(learners: Learners, turn: Turn) -> Found:
    """People without labels are learnt from a teacher, who is the running mean of the network and sees them plainly.

    The network sees them varied, and is to say of the varied picture what the teacher said of the plain one (Tarvainen
    and Valpola 2017; for poses Kim et al. 2022). L_term is the heatmap loss on what the teacher is sure of and the
    prior of limbs admits; ``domain_loss`` in the records is that loss, ``believed`` the share of keypoints in it.
    """
    assert learners.teacher is not None
    batch, view = turn.batch, turn.view
    learners.pose_net.train()
    heatmaps, features = see(learners, turn)
    pose = heatmap_loss(heatmaps, batch.heatmaps, batch.weights)
    posed, believed = checked(pose, "the pose loss"), None
    consistency = 0 * heatmaps.sum()
    if view is not None:
        targets, weights = learners.teacher.pseudo_labels(view)
        consistency = heatmap_loss(heatmaps[view.rows], targets, weights)
        believed = float(weights.mean())
    taught = checked(consistency, "the consistency loss")
    weight, ratio = weigh(learners, turn, pose, consistency, features)
    step(learners.pose_optimizer, pose + weight * consistency, turn.learning_rate)
    learners.teacher.follow(learners.pose_net)
    return Found(pose_loss=posed, domain_loss=taught, gradient_ratio=ratio, domain_weight=weight, believed=believed)


def regda(learners: Learners, turn: Turn) -> Found:
    """Regressive domain adaptation (Jiang et al. 2021): the adversary is a second head, not a classifier.

    It agrees with the head on synthetic people, and on real ones puts each keypoint where the head sees the others;
    then the features change so that it agrees on real people too. ``learners.classifier`` is that second head.

    Here, other than there, the adversary learns on detached features, as in stage I of FiDIP, so that with λ = 0
    nothing of it reaches the pose network; all steps of a batch share one pass of the extractor; and every labelled
    person, real ones too, counts in the pose loss. ``domain_loss`` in the records is what the adversary goes down.
    """
    assert learners.classifier is not None
    assert learners.domain_optimizer is not None
    batch = turn.batch
    learners.pose_net.train()
    heatmaps, features = see(learners, turn)
    truth, false = ground_truth_and_false(heatmaps, learners.pose_net.card.heatmap_sigma)
    synthetic = batch.synthetic > 0.5
    # The adversary learns; the pose network stands still.
    opposed = learners.classifier.train()(features.detach())
    agreeing = heatmap_divergence(opposed[synthetic], truth[synthetic])
    apart = MARGIN * agreeing + heatmap_divergence(opposed[~synthetic], false[~synthetic])
    told = checked(apart, "the adversary's loss")
    step(learners.domain_optimizer, apart, turn.learning_rate)
    # The pose network learns keypoints, and features on which the adversary agrees; the adversary stands still.
    pose = heatmap_loss(heatmaps, batch.heatmaps, batch.weights)
    posed = checked(pose, "the pose loss")
    with batch_statistics_unrecorded(learners.classifier):
        opposed = learners.classifier.train()(features)
    disparity = heatmap_divergence(opposed[~synthetic], truth[~synthetic])
    checked(disparity, "the disparity")
    weight, ratio = weigh(learners, turn, pose, disparity, features)
    step(learners.pose_optimizer, pose + weight * disparity, turn.learning_rate)
    return Found(pose_loss=posed, domain_loss=told, gradient_ratio=ratio, domain_weight=weight)


METHODS: dict[Method, Learn] = {
    "fine-tune": adapt,  # without a classifier nothing but the pose is learnt
    "fidip": adapt,
    "dann": dann,
    "mmd": mmd,
    "regda": regda,
    "mean-teacher": mean_teacher,
    "adabn": adapt,  # learns as fine-tuning does; what it leaves is made by ``outcome.restated``
}
"""From a recipe's method to what learns."""

JUDGED: frozenset[Method] = frozenset({"fidip", "dann"})
"""Who needs a domain classifier."""

WEIGHED: frozenset[Method] = frozenset({"fidip", "dann", "mmd", "regda", "mean-teacher"})
"""Who has a second term, and so a weight."""

ALIGNING: frozenset[Method] = frozenset({"fidip", "dann", "mmd", "regda"})
"""Whose second term compares the domains, and so needs both."""
