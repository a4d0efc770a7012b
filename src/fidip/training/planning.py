"""What a run is going to do, computed before its first step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fidip.data.sampling import epoch_batches, generator
from fidip.training.computing import PLAIN, Computing
from fidip.training.events import Plan, StagePlan
from fidip.training.journal import Journal
from fidip.training.memory import step_memory
from fidip.training.recipe import Recipe
from fidip.training.schedule import PRETRAIN, Stage, groups
from fidip.training.stages import Learners


def plan(
    recipe: Recipe,
    learners: Learners,
    stages: Sequence[Stage],
    journal: Journal,
    skipped: Mapping[str, dict[str, int]],
    computing: Computing = PLAIN,
    processes: int = 1,
) -> Plan:
    """The schedule of a run that stands where its journal says. ``skipped``: why people were left out, and how many."""
    net, classifier = learners.pose_net, learners.classifier
    planned = tuple(_stage(stage, recipe) for stage in stages)
    lengths = [stage.epochs * stage.steps for stage in planned]
    under_way = journal.epoch * planned[journal.stage].steps + journal.step if journal.stage < len(planned) else 0
    parameters = sum(p.numel() for p in net.parameters())
    learning = sum(p.numel() for p in net.parameters() if p.requires_grad)
    judging = sum(p.numel() for p in classifier.parameters()) if classifier else 0
    memory = [
        step_memory(
            learners,
            stage.order.batch_size,
            pretrain=stage.name == PRETRAIN,
            computing=computing,
            processes=processes,
            skips=recipe.not_finite == "skip",
        )
        for stage in stages
    ]
    return Plan(
        recipe=recipe,
        stages=planned,
        skipped=dict(skipped),
        network=net.card.backbone,
        input_size=net.card.input_size,
        heatmap_size=net.card.heatmap_size,
        parameters=parameters,
        learning=learning,
        classifier_parameters=judging,
        learner_bytes=memory[0].networks + memory[0].gradients + memory[0].moments,
        batch_bytes=max(found.batch for found in memory),
        step_bytes=max(found.peak for found in memory),
        activation_bytes=max(found.activations for found in memory),
        device=str(next(net.parameters()).device),
        computing=computing,
        processes=processes,
        done_steps=sum(lengths[: journal.stage]) + under_way,
        total_steps=sum(lengths),
    )


def _stage(stage: Stage, recipe: Recipe) -> StagePlan:
    domains = stage.samples.domains
    synthetic = int(domains.sum())
    batches = epoch_batches(groups(stage.samples, stage.order), stage.order, generator(recipe.seed, stage.number, 0))
    synthetic_per_step = sum(int(domains[batch].sum()) for batch in batches) / len(batches)
    last = (stage.epochs - 1, stage.batches - 1, stage.batches)
    before = stage.name == PRETRAIN  # the schedule of stages I and II has not begun
    return StagePlan(
        name=stage.name,
        epochs=stage.epochs,
        steps=stage.steps,
        passes=stage.passes,
        batch_size=stage.order.batch_size,
        real=len(domains) - synthetic,
        synthetic=synthetic,
        real_per_step=sum(map(len, batches)) / len(batches) - synthetic_per_step,
        synthetic_per_step=synthetic_per_step,
        learning_rate=(recipe.learning_rate, recipe.learning_rate)
        if before
        else (recipe.learning_rate_at(0, 0, stage.batches), recipe.learning_rate_at(*last)),
        domain_weight=(0.0, 0.0)
        if before
        else (recipe.domain_weight_at(0, 0, stage.batches), recipe.domain_weight_at(*last)),
        sample_bytes=stage.samples.bytes,
    )
