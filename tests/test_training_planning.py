"""What is told before the first step, against the run itself and against counting by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fidip.annotations import Domain
from fidip.data.augment import Augmentation
from fidip.data.samples import ResidentSamples, Sample
from fidip.geometry import Crop
from fidip.training.journal import Journal
from fidip.training.planning import plan
from fidip.training.schedule import lay_out, turns
from fidip.training.start import start_learners, start_network
from figures import RECIPE, SUPERVISED, TINY

CPU = torch.device("cpu")


def people(real: int, synthetic: int) -> ResidentSamples:
    rng = np.random.default_rng(0)
    domains = [Domain.REAL] * real + [Domain.SYNTHETIC] * synthetic
    return ResidentSamples(
        tuple(
            Sample(
                rng.integers(0, 255, (40, 40, 3), dtype=np.uint8),
                np.eye(2, 3),
                np.column_stack([rng.uniform(5, 35, (17, 2)), np.full(17, 2.0)]),
                Crop((20.0, 20.0), (40.0, 40.0)),
                (),
                domain,
                f"{n}.png",
            )
            for n, domain in enumerate(domains)
        )
    )


def planned(recipe, infants, adults=None, journal=None):
    learners = start_learners(recipe, start_network(recipe, None), CPU)
    stages = lay_out(recipe, infants, adults)
    return plan(recipe, learners, stages, journal or Journal(), {}), learners, stages


@pytest.mark.parametrize("alternation", ["iteration", "epoch"])
@pytest.mark.parametrize("share", [None, 0.25, 0.5])
def test_the_plan_is_what_the_schedule_does(alternation, share) -> None:
    recipe = replace(
        RECIPE, alternation=alternation, synthetic_share=share, epochs=3, cosine=True, warmup_steps=2, domain_ramp=2.0,
        augmentation=Augmentation.none(),
    )  # fmt: skip
    told, _, stages = planned(recipe, people(5, 9), people(6, 6))
    assert [stage.name for stage in told.stages] == ["pretrain", "adapt"]
    for promised, stage in zip(told.stages, stages, strict=True):
        done = list(turns(stage, recipe, TINY, CPU, (0, 0)))
        assert len(done) == promised.epochs * promised.steps
        assert promised.learning_rate == (done[0].learning_rate, done[-1].learning_rate)
        assert promised.domain_weight == (done[0].domain_weight, done[-1].domain_weight)
        synthetic = [int(turn.batch.synthetic.sum()) for turn in done[: promised.steps]]
        sizes = [len(turn.batch.synthetic) for turn in done[: promised.steps]]
        assert promised.synthetic_per_step == pytest.approx(sum(synthetic) / promised.steps)
        assert promised.real_per_step == pytest.approx((sum(sizes) - sum(synthetic)) / promised.steps)
        assert promised.sample_bytes == promised.real * 4800 + promised.synthetic * 4800
    assert told.total_steps == sum(stage.epochs * stage.steps for stage in told.stages)


def test_a_resumed_run_knows_where_it_is() -> None:
    recipe = replace(RECIPE, alternation="epoch", epochs=4)
    told, _, _ = planned(recipe, people(4, 8), people(4, 4), Journal(stage=1, epoch=2, step=5))
    assert (told.done_steps, told.total_steps) == (2 + 2 * 6 + 5, 2 + 4 * 6)


@pytest.mark.parametrize("recipe", [RECIPE, SUPERVISED, replace(SUPERVISED, frozen=("res1", "res2", "res3"))])
def test_memory_is_that_of_the_tensors(recipe) -> None:
    """Against the bytes of the tensors that one step leaves: weights, gradients and Adam's moments."""
    told, learners, stages = planned(recipe, people(4, 8), people(4, 4) if recipe.pretrain else None)
    turn = next(turns(stages[-1], recipe, TINY, CPU, (0, 0)))
    batch = turn.batch
    held = sum(part.nbytes for part in (batch.images, batch.heatmaps, batch.weights, batch.synthetic))
    assert told.batch_bytes == held
    nets = [(learners.pose_net, learners.pose_optimizer), (learners.classifier, learners.domain_optimizer)]
    total = 0
    for net, optimizer in nets:
        if net is None:
            continue
        learning = [p for p in net.parameters() if p.requires_grad]
        for parameter in learning:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        total += sum(tensor.nbytes for tensor in (*net.parameters(), *net.buffers())) + sum(
            p.grad.nbytes for p in learning
        )
        total += sum(v.nbytes for state in optimizer.state.values() for name, v in state.items() if name != "step")
    assert told.learner_bytes == total
