"""The methods of the menu: each against its control, and each step against autograd by hand."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from fidip.data.views import View
from fidip.errors import TrainingError
from fidip.networks.domain import DomainClassifier, batch_statistics_unrecorded
from fidip.training.adaptation import ALIGNING, JUDGED, METHODS, WEIGHED
from fidip.training.balance import Balance
from fidip.training.loop import take_steps
from fidip.training.losses import (
    discrepancy,
    domain_loss,
    ground_truth_and_false,
    heatmap_divergence,
    heatmap_loss,
)
from fidip.training.stages import step
from fidip.training.teacher import MeanTeacher, Teacher
from learners import RATE, WEIGHT, bits, changed, learners, turns

METHODS_WITH_A_WEIGHT = sorted(WEIGHED)
SURE = MeanTeacher(confidence=0.0)


def start(method, **changes):
    ours = replace(learners(classifier=method in JUDGED), **changes)
    if method == "regda":
        second = deepcopy(ours.pose_net.head)
        second.initialise(torch.Generator().manual_seed(3))
        torch.nn.init.normal_(second.final_layer.weight, 0, 0.1, generator=torch.Generator().manual_seed(4))
        return replace(ours, classifier=second, domain_optimizer=torch.optim.Adam(second.parameters()))
    return replace(ours, teacher=Teacher(ours.pose_net, SURE)) if method == "mean-teacher" else ours


def seen(count, weight=WEIGHT):
    """Turns whose first two people have no labels, and a plain view of them."""
    straight = torch.eye(2, 3).repeat(2, 1, 1)
    made = []
    for turn in turns(count, weight):
        weights = turn.batch.weights.clone()
        weights[:2] = 0
        view = View(torch.arange(2), turn.batch.images[:2] * 0.9, straight, torch.tensor([False, True]))
        made.append(replace(turn, batch=replace(turn.batch, weights=weights), view=view))
    return made


def test_the_sets_of_methods_agree_with_the_menu() -> None:
    assert METHODS.keys() >= WEIGHED >= ALIGNING
    assert WEIGHED >= JUDGED


@pytest.mark.parametrize("method", METHODS_WITH_A_WEIGHT)
def test_weight_zero_is_supervised_training_to_the_bit(method) -> None:
    control, plain = start(method), learners(classifier=False)
    records = list(take_steps(METHODS[method], control, seen(3, weight=0.0)))
    list(take_steps(METHODS["fine-tune"], plain, seen(3, weight=0.0)))
    assert changed(control.pose_net, bits(plain.pose_net)) == set()
    assert [record.domain_weight for record in records] == [0.0] * 3
    assert records[0].gradient_ratio == 0


@pytest.mark.parametrize("method", METHODS_WITH_A_WEIGHT)
def test_a_share_of_zero_is_supervised_training_to_the_bit(method) -> None:
    control, plain = start(method, balance=Balance()), learners(classifier=False)
    list(take_steps(METHODS[method], control, seen(3, weight=0.0)))
    list(take_steps(METHODS["fine-tune"], plain, seen(3, weight=0.0)))
    assert changed(control.pose_net, bits(plain.pose_net)) == set()


@pytest.mark.parametrize("method", METHODS_WITH_A_WEIGHT)
def test_a_weight_changes_the_pose_network(method) -> None:
    weighed, plain = start(method), learners(classifier=False)
    list(take_steps(METHODS[method], weighed, seen(3, weight=1.0)))
    list(take_steps(METHODS["fine-tune"], plain, seen(3)))
    assert changed(weighed.pose_net, bits(plain.pose_net))


@pytest.mark.parametrize("method", METHODS_WITH_A_WEIGHT)
def test_a_share_becomes_the_weight_that_has_it(method) -> None:
    """On the first step, and the smoothed one after it: the ratio stays near the share where λ alone would drift."""
    ours = start(method, balance=Balance())
    records = list(take_steps(METHODS[method], ours, seen(4, weight=0.2)))
    assert records[0].gradient_ratio == pytest.approx(0.2, rel=1e-5)
    fixed = start(method)
    (told,) = take_steps(METHODS[method], fixed, seen(1, weight=records[0].domain_weight))
    assert told.gradient_ratio == pytest.approx(0.2, rel=1e-4)
    assert all(record.gradient_ratio is not None for record in records)


@pytest.mark.parametrize("method", METHODS_WITH_A_WEIGHT)
@pytest.mark.parametrize("field", ["images", "heatmaps"])
def test_a_loss_that_is_not_finite_names_the_batch(method, field) -> None:
    (bad,) = seen(1)
    tensor = getattr(bad.batch, field).clone()
    tensor.view(-1)[0] = float("nan")
    bad = replace(bad, batch=replace(bad.batch, **{field: tensor, "weights": torch.ones(4, 17)}))
    ours = start(method)
    before = {name: p.detach().clone() for name, p in ours.pose_net.named_parameters()}
    with pytest.raises(TrainingError, match=r"(is nan|not finite) in stage adapt, epoch 1, step 1, on 0\.png;"):
        list(take_steps(METHODS[method], ours, [bad]))
    assert all(torch.equal(p, before[name]) for name, p in ours.pose_net.named_parameters())


def test_dann_is_one_step_down_the_reversed_sum() -> None:
    """Against L_pose − λ L_domain for the pose network and L_domain for the classifier, from one pass through both."""
    ours, theirs = learners(torch.float64), learners(torch.float64)
    list(take_steps(METHODS["dann"], ours, turns(4, 0.5, torch.float64)))
    for turn in turns(4, 0.5, torch.float64):
        output = theirs.pose_net.train()(turn.batch.images)
        told = domain_loss(theirs.classifier.train()(output.features), turn.batch.synthetic)
        pose = heatmap_loss(output.heatmaps, turn.batch.heatmaps, turn.batch.weights)
        net, judge = list(theirs.pose_net.parameters()), list(theirs.classifier.parameters())
        of_net = torch.autograd.grad(pose - 0.5 * told, net, retain_graph=True)
        of_judge = torch.autograd.grad(told, judge)
        for optimizer, parameters, gradients in (
            (theirs.pose_optimizer, net, of_net), (theirs.domain_optimizer, judge, of_judge)
        ):  # fmt: skip
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.param_groups[0]["lr"] = RATE
            optimizer.step()
    for a, b in ((ours.pose_net, theirs.pose_net), (ours.classifier, theirs.classifier)):
        for name, tensor in a.state_dict().items():
            assert torch.allclose(tensor, b.state_dict()[name], rtol=1e-9, atol=1e-12), name


def test_dann_records_the_classifiers_statistics_once_a_batch() -> None:
    ours = learners()
    list(take_steps(METHODS["dann"], ours, turns(3)))
    (norm,) = (m for m in ours.classifier.modules() if isinstance(m, torch.nn.BatchNorm1d))
    assert isinstance(ours.classifier, DomainClassifier)
    assert int(norm.num_batches_tracked) == 3


def test_mmd_is_recorded_as_it_is_of_the_pooled_features() -> None:
    ours, copied = learners(classifier=False), learners(classifier=False)
    (record,) = take_steps(METHODS["mmd"], ours, turns(1))
    turn = turns(1)[0]
    output = copied.pose_net.train()(turn.batch.images)
    real = turn.batch.synthetic == 0
    pooled = output.features.flatten(2).mean(dim=2)
    apart = discrepancy(pooled[real], pooled[~real])
    assert record.domain_loss == pytest.approx(apart.item(), rel=1e-5)
    pose = heatmap_loss(output.heatmaps, turn.batch.heatmaps, turn.batch.weights)
    norms = [torch.autograd.grad(loss, output.features, retain_graph=True)[0].norm() for loss in (apart, pose)]
    assert record.gradient_ratio == pytest.approx(float(WEIGHT * norms[0] / norms[1]), rel=1e-4)
    assert record.domain_accuracy is None


def test_there_is_one_pass_of_the_pose_network_a_batch() -> None:
    for method in METHODS_WITH_A_WEIGHT:
        ours, passes = start(method), []
        ours.pose_net.register_forward_hook(lambda *_, passes=passes: passes.append(1))
        list(take_steps(METHODS[method], ours, seen(3)))
        assert len(passes) == 3


def test_the_teachers_lesson_is_the_heatmap_loss_on_its_rows() -> None:
    ours, copied = start("mean-teacher"), start("mean-teacher")
    (turn,) = seen(1)
    (record,) = take_steps(METHODS["mean-teacher"], ours, [turn])
    targets, weights = copied.teacher.pseudo_labels(turn.view)
    output = copied.pose_net.train()(turn.batch.images)
    assert record.domain_loss == pytest.approx(heatmap_loss(output.heatmaps[:2], targets, weights).item())
    assert record.believed == pytest.approx(float(weights.mean()))
    assert record.believed > 0.1
    assert int(ours.teacher.steps) == 1


def test_a_batch_of_labelled_people_alone_is_no_lesson() -> None:
    ours, plain = start("mean-teacher"), learners(classifier=False)
    records = list(take_steps(METHODS["mean-teacher"], ours, turns(2, weight=1.0)))
    list(take_steps(METHODS["fine-tune"], plain, turns(2)))
    assert changed(ours.pose_net, bits(plain.pose_net)) == set()
    assert [(record.domain_loss, record.believed) for record in records] == [(0.0, None)] * 2


def test_regda_sets_the_second_head_against_the_features() -> None:
    """Both steps against autograd by hand: the adversary on features as they are, then the extractor against it."""
    ours, theirs = start("regda"), start("regda")
    (record,) = take_steps(METHODS["regda"], ours, turns(1, weight=0.5))
    (turn,) = turns(1)
    output = theirs.pose_net.train()(turn.batch.images)
    truth, false = ground_truth_and_false(output.heatmaps, theirs.pose_net.card.heatmap_sigma)
    real, synthetic = turn.batch.synthetic == 0, turn.batch.synthetic == 1
    opposed = theirs.classifier.train()(output.features.detach())
    apart = 4 * heatmap_divergence(opposed[synthetic], truth[synthetic]) + heatmap_divergence(
        opposed[real], false[real]
    )
    assert record.domain_loss == pytest.approx(apart.item(), rel=1e-5)
    step(theirs.domain_optimizer, apart, RATE)
    with batch_statistics_unrecorded(theirs.classifier):
        disparity = heatmap_divergence(theirs.classifier(output.features)[real], truth[real])
    pose = heatmap_loss(output.heatmaps, turn.batch.heatmaps, turn.batch.weights)
    head = {f"head.{name}" for name, _ in theirs.pose_net.head.named_parameters()}
    named = dict(theirs.pose_net.named_parameters())
    pulled = torch.autograd.grad(disparity, list(named.values()), retain_graph=True, allow_unused=True)
    assert {name for name, gradient in zip(named, pulled, strict=True) if gradient is None} == head  # features alone
    step(theirs.pose_optimizer, pose + 0.5 * disparity, RATE)
    for a, b in ((ours.pose_net, theirs.pose_net), (ours.classifier, theirs.classifier)):
        assert changed(a, bits(b)) == set()
