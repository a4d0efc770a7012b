"""One training run in one folder, from files to weights; killed and resumed it gives the same weights, bit for bit.

::

    RUN/best.safetensors   the weights of the best epoch on the validation set, else of the last epoch
    RUN/best.json          how they came about: recipe, figures, fingerprints of the data, versions, machine
    RUN/history.jsonl      one line an epoch; RUN/timings.jsonl the seconds that each took
    RUN/checkpoint         everything needed to go on
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from fidip.data.sampling import SMALLEST_BATCH
from fidip.errors import RecipeError, TrainingError, WeightsError
from fidip.files import sha256_of, write_json, write_text
from fidip.networks.card import NetworkCard
from fidip.networks.pose import PoseNet
from fidip.networks.weights import save_pose_net, weights_sha256
from fidip.training.checkpoint import (
    beside_the_pose_network,
    refuse_broken,
    restore,
    write_checkpoint,
)
from fidip.training.computing import PLAIN, Computing, Group, out_of_memory_told, prepare, want_of_memory_told
from fidip.training.events import EpochEnd, Loading, Watch
from fidip.training.finite import SKIPS_IN_A_ROW
from fidip.training.inputs import Inputs, check_inputs, fingerprints
from fidip.training.journal import Journal
from fidip.training.loading import load_data
from fidip.training.loop import take_steps
from fidip.training.outcome import outcome
from fidip.training.parts import Pass
from fidip.training.planning import plan
from fidip.training.provenance import machine, versions
from fidip.training.recipe import Recipe
from fidip.training.resuming import BEST, CHECKPOINT, HISTORY, SUMMARY, TIMINGS, resumed_journal, run_folder
from fidip.training.retention import check_retained, retained, warn_of_memories
from fidip.training.schedule import ADAPT, Stage, lay_out, turns
from fidip.training.stages import Learners, StepRecord
from fidip.training.start import start_learners, start_network
from fidip.training.validation import ValidationCrops, validate


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run left: the weights, the line of the history they belong to, and all lines."""

    weights: Path
    best: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    ended: str | None = None  # why before the recipe's last epoch
    retained: dict[str, Any] | None = None  # AP on --retain, before and after


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What stays the same from the first step to the last."""

    recipe: Recipe
    out: Path
    group: Group
    learners: Learners
    stages: tuple[Stage, ...]
    validation: ValidationCrops | None
    identity: dict[str, Any]
    watch: Watch


def train(
    recipe: Recipe,
    inputs: Inputs,
    out: Path | str,
    device: str = "cpu",
    resume: bool = False,
    watch: Watch = lambda _: None,
    computing: Computing = PLAIN,
) -> RunResult:
    """Run a recipe on files and leave weights, history and checkpoint in the folder ``out``.

    ``resume`` goes on from the folder's checkpoint, or starts if there is none yet; on the CPU, with as many threads as
    before, the result is the same to the bit. ``watch`` is told what happens. ``computing`` is how it is computed.

    Raises:
        RecipeError: the recipe contradicts itself or the inputs, or cannot be computed in this way on this device.
        DataError, ImageError: the data cannot be used, or validation data shares anything with training data.
        WeightsError: the initial weights cannot be read, the checkpoint is of another run, or its weights are gone.
        TrainingError: something is not finite and the recipe does not skip it, too many steps in a row were skipped, or
            a weight has overflowed, or memory does not suffice; the last checkpoint stays.
        StorageError: the folder is not empty or cannot be written to.
    """
    recipe.validate()
    check_inputs(recipe, inputs)
    if inputs.retain is not None:
        check_retained(inputs.retain)
    group = Group.start(computing, device)
    _check_shares(recipe, group)
    place, watch = group.device, watch if group.first else lambda _: None
    folder = run_folder(Path(out), resume) if group.first else Path(out)
    group.wait()
    tick = _counter(inputs.reads, watch)
    prints = fingerprints(inputs, tick)
    settled = {"recipe": recipe.to_json(), "computing": computing.to_json(), "init": _init(inputs)}
    identity = {**settled, "data": prints}
    journal = resumed_journal(folder / CHECKPOINT, identity, _machine(group))
    group.wait()  # all have read it before the first one writes another
    if journal.best is not None and not (folder / BEST).is_file():
        problem = "gone, though the checkpoint knows of it; put it back, or train anew in another --out"
        raise WeightsError(f"{folder / BEST}: {problem}")
    if journal.finished:
        return _with_retained(_result(folder, journal), inputs, group, watch)
    size = recipe.input_size or (recipe.network.input_size if recipe.network else None)
    generators = torch.random.fork_rng(devices=[place] if place.type == "cuda" else [])
    with generators, want_of_memory_told(computing, recipe.batch_size, size):
        torch.manual_seed(recipe.seed)
        net = start_network(recipe, inputs.init)
        warn_of_memories(net.card, inputs, prints)
        data = load_data(recipe, inputs, net.card, place, tick)
        stages = lay_out(recipe, data.infants, data.adults)
        started = start_learners(recipe, net, place, data.infants)
        learners = replace(started, forward=Pass(group, computing.accumulate))
        prepare(net, computing, group)
        run = _Run(recipe, folder, group, learners, stages, data.validation, identity, watch)
        if journal.started:
            restore(folder / CHECKPOINT, run.learners)
            _write_history(run, journal)
        watch(plan(recipe, run.learners, stages, journal, data.skipped, computing, group.size))
        result = _go(run, journal)
        del net, data, stages, started, learners, run  # before other networks look at those who are to be retained
    return _with_retained(result, inputs, group, watch)


def _go(run: _Run, journal: Journal) -> RunResult:
    for stage in run.stages[journal.stage :]:
        start = (journal.epoch, journal.step)
        feed = turns(stage, run.recipe, run.learners.pose_net.card, run.group.device, start)
        records = take_steps(stage.learn, run.learners, feed, run.recipe.not_finite)
        while not _at_chance(run.recipe, journal) and (record := next(records, None)) is not None:
            journal.add(record)
            run.watch(record)
            _give_up(journal, record)
            if journal.step == stage.steps:
                _close_epoch(run, stage, journal, record)
            elif journal.step % run.recipe.save_every == 0:
                _save(run, journal)
        journal.close_stage()
    journal.ended = _at_chance(run.recipe, journal)
    if run.validation is None:
        _keep(run, journal, journal.history[-1], _outcome(run))
    elif journal.ended and journal.best is not None:
        _write_summary(run, journal, journal.best, _outcome(run))
    journal.finished = True
    _save(run, journal)
    return _result(run.out, journal)


def _give_up(journal: Journal, record: StepRecord) -> None:
    if journal.skipped_in_a_row == SKIPS_IN_A_ROW:
        place = f"stage {record.stage}, epoch {record.epoch + 1}, step {record.step + 1}"
        problem = f"{SKIPS_IN_A_ROW} steps in a row were skipped up to {place}, where {record.skipped}"
        raise TrainingError(f"{problem}; the last checkpoint is intact: start again with a lower learning rate")


def _at_chance(recipe: Recipe, journal: Journal) -> str | None:
    """Why the run ends here: over the last epoch, stage I could hardly tell the domains apart."""
    limit = recipe.stop_at_accuracy
    if limit is None or journal.step or not journal.history or journal.history[-1]["stage"] != ADAPT:
        return None
    epoch, accuracy = journal.history[-1]["epoch"], journal.history[-1]["domain_accuracy"]
    if accuracy is None or accuracy > limit or epoch == recipe.epochs:
        return None
    reason = f"the classifier's mean accuracy in stage I was {accuracy:.1%}, not above {limit:.1%}"
    return f"ended after epoch {epoch} of {recipe.epochs}: {reason}"


def _close_epoch(run: _Run, stage: Stage, journal: Journal, record: StepRecord) -> None:
    """Validate, keep the weights if they are the best, write the history and a checkpoint."""
    refuse_broken(run.out / CHECKPOINT, run.learners)
    net = _outcome(run) if run.validation is not None and stage.name == ADAPT else None
    judged = run.validation if run.group.first else None
    figures = validate(net, judged, run.group.device) if net is not None and judged else None
    line = journal.history[-1] = run.group.told(journal.close_epoch(record, figures))
    if net is not None and journal.better(line):
        _keep(run, journal, line, net)
    _save(run, journal)
    run.watch(EpochEnd(line))


def _save(run: _Run, journal: Journal) -> None:
    """The history is a copy of what the checkpoint holds, so that a resumed run writes the same lines again."""
    run.group.follow_first(beside_the_pose_network(run.learners))
    if run.group.first:
        facts = {"identity": run.identity, "journal": asdict(journal), "machine": _machine(run.group)}
        write_checkpoint(run.out / CHECKPOINT, run.learners, facts)
    if journal.step == 0:
        _write_history(run, journal)


def _write_history(run: _Run, journal: Journal) -> None:
    if run.group.first:
        write_text(run.out / HISTORY, _lines(journal.history))
        write_text(run.out / TIMINGS, _lines(journal.timings))


def _outcome(run: _Run) -> PoseNet:
    return outcome(run.recipe, run.learners, run.stages[-1].samples, run.group.device)


def _keep(run: _Run, journal: Journal, line: dict[str, Any], net: PoseNet) -> None:
    """Write the weights as the run's result."""
    if run.group.first:
        previous, net.card = net.card, _card(run, line, net)
        save_pose_net(net, run.out / BEST)
        net.card = previous
    _write_summary(run, journal, line, net)
    journal.best = line


def _write_summary(run: _Run, journal: Journal, line: dict[str, Any], net: PoseNet) -> None:
    if not run.group.first:
        return
    summary = {
        **_facts(run, line),
        "ended": journal.ended,
        "recipe": run.identity["recipe"],
        "computing": run.identity["computing"],
        "init": run.identity["init"],
        "data": run.identity["data"],
        "network": json.loads(_card(run, line, net).to_json()),
        "weights_sha256": sha256_of(run.out / BEST),
        "versions": versions(),
        "machine": _machine(run.group),
    }
    write_json(run.out / SUMMARY, summary, indent=2)


def _facts(run: _Run, line: dict[str, Any]) -> dict[str, Any]:
    chosen = "the last epoch" if run.validation is None else "the best AP on the validation set"
    return {"recipe": run.recipe.name, "seed": run.recipe.seed, "chosen": chosen, "figures": line}


def _card(run: _Run, line: dict[str, Any], net: PoseNet) -> NetworkCard:
    """The card of the weights that the epoch of this line left."""
    training = {**_facts(run, line), "data": run.identity["data"]}
    return replace(net.card, name=run.recipe.name, training=training)


def _result(out: Path, journal: Journal) -> RunResult:
    assert journal.best is not None
    return RunResult(out / BEST, journal.best, tuple(journal.history), journal.ended)


def _with_retained(result: RunResult, inputs: Inputs, group: Group, watch: Watch) -> RunResult:
    if not group.first:
        return result
    remedy = "the run is over and its weights are saved: free some memory and repeat the command with --resume"
    with out_of_memory_told(f"while networks look at --retain; {remedy}"):
        figures = retained(result.weights, result.weights.with_name(SUMMARY), inputs, group.device, watch)
    return replace(result, retained=figures)


def _machine(group: Group) -> dict[str, Any]:
    return {**machine(group.device), "processes": group.size}


def _check_shares(recipe: Recipe, group: Group) -> None:
    batch = min(recipe.batch_size, recipe.pretrain.batch_size if recipe.pretrain else recipe.batch_size)
    if batch < SMALLEST_BATCH * group.size:
        problem = f"recipe {recipe.name}: batches of {batch} for {group.size} processes, each of which needs at least"
        raise RecipeError(f"{problem} {SMALLEST_BATCH}; start fewer, or choose a larger batch_size")


def _counter(total: int, watch: Watch) -> Callable[[], None]:
    done = count(1)
    return lambda: watch(Loading(next(done), total))


def _init(inputs: Inputs) -> dict[str, str] | None:
    if inputs.init is None:
        return None
    return {"name": Path(inputs.init).name, "sha256": weights_sha256(inputs.init)}


def _lines(entries: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in entries)
