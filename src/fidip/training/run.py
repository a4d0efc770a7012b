"""One training run in one folder, from files to weights; killed and resumed it gives the same weights, bit for bit.

::

    RUN/best.safetensors   the weights of the best epoch on the validation set, else of the last epoch
    RUN/best.json          how they came about: recipe, figures, fingerprints of the data, versions, machine
    RUN/history.jsonl      one line an epoch; RUN/timings.jsonl the seconds that each took
    RUN/checkpoint         everything needed to go on
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from fidip.errors import DataWarning, StorageError, TrainingError, WeightsError
from fidip.files import new_folder, output_folder, sha256_of, write_json, write_text
from fidip.networks.card import NetworkCard
from fidip.networks.devices import find_device
from fidip.networks.pose import PoseNet
from fidip.networks.weights import save_pose_net, weights_sha256
from fidip.training.checkpoint import difference, read_facts, refuse_broken, restore, write_checkpoint
from fidip.training.computing import PLAIN, Computing, Group, prepare, want_of_memory_told
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
from fidip.training.schedule import ADAPT, Stage, lay_out, turns
from fidip.training.stages import Learners, StepRecord
from fidip.training.start import start_learners, start_network
from fidip.training.validation import ValidationCrops, validate

CHECKPOINT = "checkpoint"
BEST = "best.safetensors"
SUMMARY = "best.json"
HISTORY = "history.jsonl"
TIMINGS = "timings.jsonl"


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run left: the weights, the line of the history they belong to, and all lines."""

    weights: Path
    best: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    ended: str | None = None  # why before the recipe's last epoch


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What stays the same from the first step to the last."""

    recipe: Recipe
    out: Path
    device: torch.device
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
    place = find_device(device)
    computing.validate(place)
    folder = _folder(Path(out), resume)
    tick = _counter(2 * inputs.image_count, watch)
    settled = {"recipe": recipe.to_json(), "computing": computing.to_json(), "init": _init(inputs)}
    identity = {**settled, "data": fingerprints(inputs, tick)}
    journal = _journal(folder / CHECKPOINT, identity, machine(place))
    if journal.best is not None and not (folder / BEST).is_file():
        problem = "gone, though the checkpoint knows of it; put it back, or train anew in another --out"
        raise WeightsError(f"{folder / BEST}: {problem}")
    if journal.finished:
        return _result(folder, journal)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        net = start_network(recipe, inputs.init)
        data = load_data(recipe, inputs, net.card, place, tick)
        stages = lay_out(recipe, data.infants, data.adults)
        started = start_learners(recipe, net, place, data.infants)
        learners = replace(started, forward=Pass(Group.start(computing, place), computing.accumulate))
        prepare(net, computing)
        run = _Run(recipe, folder, place, learners, stages, data.validation, identity, watch)
        if journal.started:
            restore(folder / CHECKPOINT, run.learners)
            _write_history(folder, journal)
        watch(plan(recipe, run.learners, stages, journal, data.skipped, computing))
        with want_of_memory_told(computing, max(stage.order.batch_size for stage in stages), net.card.input_size):
            return _go(run, journal)


def _go(run: _Run, journal: Journal) -> RunResult:
    for stage in run.stages[journal.stage :]:
        start = (journal.epoch, journal.step)
        feed = turns(stage, run.recipe, run.learners.pose_net.card, run.device, start)
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
    figures = validate(net, run.validation, run.device) if net is not None and run.validation else None
    line = journal.close_epoch(record, figures)
    if net is not None and journal.better(line):
        _keep(run, journal, line, net)
    _save(run, journal)
    run.watch(EpochEnd(line))


def _save(run: _Run, journal: Journal) -> None:
    """The history is a copy of what the checkpoint holds, so that a resumed run writes the same lines again."""
    facts = {"identity": run.identity, "journal": asdict(journal), "machine": machine(run.device)}
    write_checkpoint(run.out / CHECKPOINT, run.learners, facts)
    if journal.step == 0:
        _write_history(run.out, journal)


def _write_history(out: Path, journal: Journal) -> None:
    write_text(out / HISTORY, _lines(journal.history))
    write_text(out / TIMINGS, _lines(journal.timings))


def _outcome(run: _Run) -> PoseNet:
    return outcome(run.recipe, run.learners, run.stages[-1].samples, run.device)


def _keep(run: _Run, journal: Journal, line: dict[str, Any], net: PoseNet) -> None:
    """Write the weights as the run's result."""
    previous, net.card = net.card, _card(run, line, net)
    save_pose_net(net, run.out / BEST)
    net.card = previous
    _write_summary(run, journal, line, net)
    journal.best = line


def _write_summary(run: _Run, journal: Journal, line: dict[str, Any], net: PoseNet) -> None:
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
        "machine": machine(run.device),
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


def _folder(out: Path, resume: bool) -> Path:
    if not resume:
        if (out / CHECKPOINT).exists():
            raise StorageError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out")
        return new_folder(out)
    others = sorted({path.name for path in output_folder(out).iterdir()} - {BEST, SUMMARY, HISTORY, TIMINGS})
    if others and CHECKPOINT not in others:
        raise StorageError(f"{out}: holds {others[0]} and no checkpoint to resume; choose another --out")
    return out


def _journal(checkpoint: Path, identity: dict[str, Any], here: dict[str, Any]) -> Journal:
    """Where the folder's run stands, if its checkpoint is of this very run; else at the beginning."""
    if not checkpoint.exists():
        return Journal()
    facts = read_facts(checkpoint)
    try:
        before, where, journal = facts["identity"], facts["machine"], Journal(**facts["journal"])
    except (KeyError, TypeError) as error:
        problem = f"written by another version of this program ({type(error).__name__}: {error})"
        raise WeightsError(f"{checkpoint}: {problem}; choose another --out") from error
    found = difference(_decisive(before), _decisive(json.loads(json.dumps(identity))))
    if found:
        remedy = "resume with the settings and files of before, or choose another --out"
        raise WeightsError(f"{checkpoint}: belongs to another run: {found}; {remedy}")
    if moved := difference(where, here):
        warnings.warn(f"{checkpoint}: {moved}: the result may differ in its last bits", DataWarning, stacklevel=3)
    return journal


def _decisive(identity: dict[str, Any]) -> dict[str, Any]:
    """What must be as before for a run to go on: one that stopped at something not finite may go on and skip it."""
    recipe = {name: value for name, value in identity["recipe"].items() if name != "not_finite"}
    return {**identity, "recipe": recipe}


def _counter(total: int, watch: Watch) -> Callable[[], None]:
    done = count(1)
    return lambda: watch(Loading(next(done), total))


def _init(inputs: Inputs) -> dict[str, str] | None:
    if inputs.init is None:
        return None
    return {"name": Path(inputs.init).name, "sha256": weights_sha256(inputs.init)}


def _lines(entries: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in entries)
