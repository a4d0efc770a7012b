"""What each stage may change and what it must leave alone, to the bit; and its gradients against autograd by hand."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from fidip.errors import TrainingError
from fidip.networks.domain import batch_statistics_unrecorded
from fidip.training.loop import take_steps
from fidip.training.losses import domain_loss, heatmap_loss
from fidip.training.stages import (
    Turn,
    adapt,
    adapt_by_epoch,
    laid_out_like,
    learn_domain,
    learn_pose,
    pretrain_classifier,
    step,
)
from learners import RATE, WEIGHT, batch, bits, changed, learners, parameters_of, turns


def test_the_pre_stage_leaves_the_pose_network_bit_identical() -> None:
    ours = learners()
    pose, judge = bits(ours.pose_net), bits(ours.classifier)
    records = list(take_steps(pretrain_classifier, ours, turns(3)))
    assert changed(ours.pose_net, pose) == set()
    assert parameters_of(ours.classifier) <= changed(ours.classifier, judge)
    assert all(parameter.grad is None for parameter in ours.pose_net.parameters())
    assert [record.pose_loss for record in records] == [None] * 3
    assert all(record.domain_loss > 0 for record in records)


def test_stage_one_leaves_the_pose_network_bit_identical() -> None:
    ours = learners()
    ours.pose_net.train()
    turn = turns(1)[0]
    features = ours.pose_net(turn.batch.images).features
    pose, judge = bits(ours.pose_net), bits(ours.classifier)
    learn_domain(ours, features.detach(), turn)
    assert changed(ours.pose_net, pose) == set()
    assert all(parameter.grad is None for parameter in ours.pose_net.parameters())
    assert changed(ours.classifier, judge) == set(judge)  # every tensor and every buffer learns


def test_stage_two_leaves_the_classifier_bit_identical() -> None:
    ours = learners()
    ours.pose_net.train()
    turn = turns(1)[0]
    output = ours.pose_net(turn.batch.images)
    pose, judge = bits(ours.pose_net), bits(ours.classifier)
    learn_pose(ours, output.heatmaps, output.features, turn)
    assert changed(ours.classifier, judge) == set()
    assert all(parameter.grad is None for parameter in ours.classifier.parameters())
    assert changed(ours.pose_net, pose) == parameters_of(ours.pose_net)  # and no buffer: the forward pass was before


def two_passes(count, weight=WEIGHT, dtype=torch.float32):
    """An epoch that shows its batches to stage I and then to stage II."""
    batches = turns(count, weight, dtype)
    return [replace(turn, first_pass=True) for turn in batches] + batches


@pytest.mark.parametrize("frozen", [(), ("res1", "res2")])
def test_by_epoch_each_stage_leaves_the_other_network_bit_identical(frozen) -> None:
    ours = learners(frozen=frozen)
    pose, judge, start = bits(ours.pose_net), bits(ours.classifier), bits(ours.pose_net)
    records = []
    for n, record in enumerate(take_steps(adapt_by_epoch, ours, two_passes(3))):
        records.append(record)
        if n < 3:
            assert changed(ours.pose_net, pose) == set()
            assert changed(ours.classifier, judge) == set(judge)
        else:
            assert changed(ours.classifier, judge) == set()
            assert parameters_of(ours.pose_net) - changed(ours.pose_net, pose) == {
                name for name, p in ours.pose_net.named_parameters() if not p.requires_grad
            }
        pose, judge = bits(ours.pose_net), bits(ours.classifier)
        assert all(p.grad is None for net in (ours.pose_net, ours.classifier) for p in net.parameters())
    assert any(name.endswith("running_mean") for name in changed(ours.pose_net, start))
    assert (
        [r.domain_loss is None for r in records]
        == [r.pose_loss is not None for r in records]
        == [False] * 3 + [True] * 3
    )
    assert [r.gradient_ratio is not None for r in records] == [False] * 3 + [True, False, False]


def test_by_epoch_stage_one_sees_the_features_that_stage_two_makes() -> None:
    """With no step between them, both alternations show the classifier the same first batch."""
    ours, theirs = learners(), learners()
    (first, *_), (record, *_) = take_steps(adapt_by_epoch, ours, two_passes(1)), take_steps(adapt, theirs, turns(1))
    assert (first.domain_loss, first.domain_accuracy) == (record.domain_loss, record.domain_accuracy)
    assert changed(ours.classifier, bits(theirs.classifier)) == set()


def test_by_epoch_weight_zero_is_supervised_training_to_the_bit() -> None:
    control, plain = learners(), learners(classifier=False)
    list(take_steps(adapt_by_epoch, control, two_passes(3, weight=0.0)))
    list(take_steps(adapt, plain, turns(3, weight=0.0)))
    assert changed(control.pose_net, bits(plain.pose_net)) == set()


def test_by_epoch_is_the_two_optimisations_one_after_the_other() -> None:
    """Against both problems written down, differentiated by autograd in double precision."""
    ours, theirs = learners(torch.float64), learners(torch.float64)
    list(take_steps(adapt_by_epoch, ours, two_passes(3, 3.0, torch.float64)))
    net, judge = theirs.pose_net.train(), theirs.classifier.train()
    for turn in turns(3, 3.0, torch.float64):
        with batch_statistics_unrecorded(net):
            features = net(turn.batch.images).features.detach()
        theirs.domain_optimizer.zero_grad()
        domain_loss(judge(features), turn.batch.synthetic).backward()
        theirs.domain_optimizer.step()
    for turn in turns(3, 3.0, torch.float64):
        output = net(turn.batch.images)
        with batch_statistics_unrecorded(judge):
            told = domain_loss(judge(output.features), turn.batch.synthetic)
        theirs.pose_optimizer.zero_grad()
        (heatmap_loss(output.heatmaps, turn.batch.heatmaps, turn.batch.weights) - 3.0 * told).backward()
        theirs.pose_optimizer.step()
    for a, b in ((ours.pose_net, net), (ours.classifier, judge)):
        for name, tensor in a.state_dict().items():
            assert torch.allclose(tensor, b.state_dict()[name], rtol=1e-9, atol=1e-12), name


@pytest.mark.parametrize("weight", [0.0, 0.02, 3.0])
def test_gradient_reversal_equals_subtraction(weight) -> None:
    """The stages against L_pose − λ L_domain, differentiated as it is written, in double precision."""
    ours, theirs = learners(torch.float64), learners(torch.float64)
    list(take_steps(adapt, ours, turns(4, weight, torch.float64)))
    for turn in turns(4, weight, torch.float64):
        theirs.pose_net.train()
        output = theirs.pose_net(turn.batch.images)
        theirs.classifier.train()
        stage_one = domain_loss(theirs.classifier(output.features.detach()), turn.batch.synthetic)
        theirs.domain_optimizer.zero_grad()
        stage_one.backward()
        theirs.domain_optimizer.step()
        with batch_statistics_unrecorded(theirs.classifier):
            told = domain_loss(theirs.classifier(output.features), turn.batch.synthetic)
        stage_two = heatmap_loss(output.heatmaps, turn.batch.heatmaps, turn.batch.weights) - weight * told
        theirs.pose_optimizer.zero_grad()
        stage_two.backward()
        theirs.pose_optimizer.step()
    for a, b in ((ours.pose_net, theirs.pose_net), (ours.classifier, theirs.classifier)):
        for name, tensor in a.state_dict().items():
            assert torch.allclose(tensor, b.state_dict()[name], rtol=1e-9, atol=1e-12), name


def test_weight_zero_is_supervised_training_to_the_bit() -> None:
    control, plain = learners(), learners(classifier=False)
    records = list(take_steps(adapt, control, turns(3, weight=0.0)))
    list(take_steps(adapt, plain, turns(3, weight=0.0)))
    assert changed(control.pose_net, bits(plain.pose_net)) == set()
    assert records[0].gradient_ratio == 0
    assert records[0].domain_loss is not None


def test_frozen_stages_do_not_change() -> None:
    ours = learners(frozen=("res1", "res2", "res3"))
    before = bits(ours.pose_net)
    list(take_steps(adapt, ours, turns(3)))
    frozen = [m for stage in ("res1", "res2", "res3") for m in ours.pose_net.backbone.stages[stage]]
    still = {name for name in before if name.startswith(tuple(f"backbone.{module}." for module in frozen))}
    assert len(still) > 20
    assert changed(ours.pose_net, before) == set(before) - still


def test_frozen_stages_may_drift_as_in_the_published_code() -> None:
    ours = learners(frozen=("res1",), drifting=True)
    before = bits(ours.pose_net)
    list(take_steps(adapt, ours, turns(2)))
    first = {
        name
        for name in before
        if name.startswith(tuple(f"backbone.{m}." for m in ours.pose_net.backbone.stages["res1"]))
    }
    drifted = {name.rpartition(".")[2] for name in first & changed(ours.pose_net, before)}
    assert drifted == {"running_mean", "running_var", "num_batches_tracked"}


def test_the_ratio_of_gradients_is_that_of_the_two_terms_and_disturbs_nothing() -> None:
    watched, unwatched = learners(), learners()
    (record, *others) = list(take_steps(adapt, watched, turns(3)))
    list(take_steps(adapt, unwatched, turns(3, start=1)))  # the ratio is taken at step 0 only
    assert changed(watched.pose_net, bits(unwatched.pose_net)) == set()
    assert changed(watched.classifier, bits(unwatched.classifier)) == set()
    assert [other.gradient_ratio for other in others] == [None, None]

    fresh = learners()
    fresh.pose_net.train()
    turn = turns(1)[0]
    output = fresh.pose_net(turn.batch.images)
    learn_domain(fresh, output.features.detach(), turn)
    with batch_statistics_unrecorded(fresh.classifier):
        told = domain_loss(fresh.classifier(output.features), turn.batch.synthetic)
    pose = heatmap_loss(output.heatmaps, turn.batch.heatmaps, turn.batch.weights)
    norms = [torch.autograd.grad(term, output.features, retain_graph=True)[0].norm() for term in (told, pose)]
    assert record.gradient_ratio == pytest.approx(float(WEIGHT * norms[0] / norms[1]), rel=1e-5)


def test_there_is_one_forward_pass_a_batch() -> None:
    ours = learners()
    passes = []
    ours.pose_net.register_forward_hook(lambda *_: passes.append(1))
    list(take_steps(adapt, ours, turns(3)))
    assert len(passes) == 3


def test_records_say_what_the_losses_were() -> None:
    ours, copied = learners(), learners()
    (record,) = take_steps(adapt, ours, turns(1))
    turn = turns(1)[0]
    output = copied.pose_net.train()(turn.batch.images)
    expected = heatmap_loss(output.heatmaps, turn.batch.heatmaps, turn.batch.weights)
    assert record.pose_loss == pytest.approx(expected.item())
    told = domain_loss(copied.classifier.train()(output.features), turn.batch.synthetic)
    assert record.domain_loss == pytest.approx(told.item())
    assert (record.stage, record.epoch, record.step, record.learning_rate) == ("adapt", 0, 0, RATE)
    assert record.seconds > 0


def test_a_step_differentiates_its_own_parameters_only() -> None:
    own, other = (nn.Parameter(torch.tensor([2.0])) for _ in range(2))
    optimizer = torch.optim.SGD([own], lr=1.0)
    step(optimizer, (own * other).sum(), 0.5)
    assert own.item() == 1.0  # 2 − 0.5 · 2
    assert other.grad is None
    assert own.grad is None


WHAT = {"images": "images are not finite", "heatmaps": "pose loss is (nan|inf)", "synthetic": "domain loss is nan"}


@pytest.mark.parametrize("field", WHAT)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_and_names_the_batch(field, value) -> None:
    if field == "synthetic" and value == float("inf"):
        value = float("nan")
    ours = learners()
    good, bad = turns(2)
    tensor = getattr(bad.batch, field).clone()
    tensor.view(-1)[0] = value
    bad = replace(bad, batch=replace(bad.batch, **{field: tensor, "weights": torch.ones(4, 17)}), epoch=4)
    steps = take_steps(adapt, ours, [good, bad])
    next(steps)
    weights = {n: p.detach().clone() for n, p in ours.pose_net.named_parameters()}
    with pytest.raises(
        TrainingError, match=rf"{WHAT[field]} in stage adapt, epoch 5, step 2, on 0\.png; the last checkpoint is intact"
    ) as error:
        next(steps)
    assert "\n" not in str(error.value)
    assert all(torch.equal(p, weights[n]) for n, p in ours.pose_net.named_parameters())


def test_many_files_are_counted_not_listed() -> None:
    many = batch(size=30)
    bad = replace(many, images=many.images * float("nan"))
    with pytest.raises(TrainingError, match=r"7\.png and 22 more"):
        list(take_steps(pretrain_classifier, learners(), [Turn("pretrain", 0, 0, bad, RATE, 0.0)]))


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (8, 4, 1, 1), (8, 1, 1, 1)])
def test_a_gradient_takes_the_layout_of_its_parameter(shape) -> None:
    """Of a 1x1 convolution both layouts count as contiguous, and their strides still differ."""
    parameter = nn.Parameter(torch.randn(shape).to(memory_format=torch.channels_last))
    gradient = torch.randn(shape)
    moved = laid_out_like(parameter, gradient)
    assert torch.equal(moved, gradient)
    assert moved.stride() == parameter.stride()
    assert laid_out_like(parameter, moved) is moved
