"""The loop of all stages and methods, and what it does where a number is not finite."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from fidip.errors import DataWarning, TrainingError
from fidip.training.finite import NotFinite, NotFiniteError
from fidip.training.losses import heatmap_loss
from fidip.training.stages import Found, Learn, Learners, StepRecord, Turn

NAMED_FILES = 8
"""So many files of a batch are named in a message."""


def take_steps(
    learn: Learn, learners: Learners, turns: Iterable[Turn], not_finite: NotFinite = "stop"
) -> Iterator[StepRecord]:
    """One step of learning for every turn.

    At a step of which anything is not finite (images, features, heatmaps, statistics, a loss, a gradient) nothing is
    learnt. With ``"skip"`` everything is then as it was before, its record says so, and a ``DataWarning`` names the
    files that are to blame.

    Raises:
        TrainingError: with ``"stop"``, at such a step; the message names the files.
    """
    started = perf_counter()
    for turn in turns:
        before = _Before(learners, whole=not_finite == "skip")
        found, skipped = Found(), None
        try:
            found = learn(learners, turn)
        except NotFiniteError as problem:
            before.come_back()
            skipped = str(problem)
            told = f"{skipped} in stage {turn.stage}, epoch {turn.epoch + 1}, step {turn.step + 1}, "
            told += _named(blamed(learners, turn), turn)
            if not_finite == "stop":
                raise TrainingError(f"{told}; {REMEDY}") from problem
            warnings.warn(f"{told}: the step is skipped", DataWarning, stacklevel=2)
        del before  # it is as large as the classifier, and the next one is made before it would be let go
        ended = perf_counter()
        yield StepRecord(
            **asdict(found), stage=turn.stage, epoch=turn.epoch, step=turn.step, learning_rate=turn.learning_rate,
            seconds=ended - started, skipped=skipped,
        )  # fmt: skip
        started = perf_counter()


REMEDY = (
    "the last checkpoint is intact: check these images, go on with --resume --set not_finite=skip, "
    "or start again with a lower learning rate"
)


class _Before:
    """What a step can change before all its numbers are known to be finite.

    These are the statistics of the pose network, which its forward pass records, and, ``whole``, the classifier with
    its optimiser, which learns first, and the running mean behind a share. The weights of the pose network move last.
    """

    def __init__(self, learners: Learners, whole: bool) -> None:
        optimizer = learners.domain_optimizer if whole else None
        self.net = learners.pose_net
        self.statistics = {name: buffer.clone() for name, buffer in self.net.named_buffers()}
        self.moments: dict[Any, Any] = {} if optimizer is None else optimizer.state
        self.untried = not self.moments  # Adam makes its moments at its first step
        tensors = [tensor for state in self.moments.values() for tensor in state.values()]
        for module in (learners.classifier, learners.balance) if whole else ():
            if module is not None:
                tensors += [*module.parameters(), *module.buffers()]
        self.copies = [(tensor, tensor.detach().clone()) for tensor in tensors]

    @torch.no_grad()
    def come_back(self) -> None:
        """Make everything as it was."""
        for name, buffer in self.net.named_buffers():  # by name: several processes put averages in their place
            buffer.copy_(self.statistics[name])
        for tensor, copy in self.copies:
            tensor.copy_(copy)
        if self.untried:
            self.moments.clear()


def blamed(learners: Learners, turn: Turn) -> tuple[str, ...]:
    """The files of those samples that show by themselves what is not finite; empty where no single one does.

    First the numbers of the batch are looked at, then each sample goes through the networks alone, in evaluation mode,
    where no statistics of the batch tie it to the others.
    """
    batch, view = turn.batch, turn.view
    bad = torch.zeros(len(batch.files), dtype=torch.bool)
    for part in (batch.images, batch.heatmaps, batch.weights, batch.synthetic):
        bad |= ~_finite_rows(part)
    if view is not None:
        bad[view.rows.cpu()] |= ~_finite_rows(view.images)
    if not bad.any():
        bad = torch.tensor([_fails_alone(learners, turn, row) for row in range(len(bad))])
        bad &= ~bad.all()  # all of them: it is the network
    return tuple(file for file, one in zip(batch.files, bad.tolist(), strict=True) if one)


def _finite_rows(tensor: Tensor) -> Tensor:  # (B, …) -> (B,)
    return torch.isfinite(tensor.flatten(start_dim=1) if tensor.ndim > 1 else tensor[:, None]).all(dim=1).cpu()


def _fails_alone(learners: Learners, turn: Turn, row: int) -> bool:
    one, batch = slice(row, row + 1), turn.batch
    heatmaps, features = learners.pose_net.eval()(batch.images[one])
    loss = heatmap_loss(heatmaps, batch.heatmaps[one], batch.weights[one])
    seen = [heatmaps, features, loss]
    if learners.classifier is not None:
        seen.append(learners.classifier.eval()(features))
    learning = [parameter for parameter in learners.pose_net.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, learning)
    return not all(bool(torch.isfinite(tensor).all()) for tensor in (*seen, *gradients))


def _named(files: tuple[str, ...], turn: Turn) -> str:
    """Where in the batch, in words."""
    where, files = ("on", files) if files else ("somewhere in the batch of", turn.batch.files)
    others = len(files) - NAMED_FILES
    more = f" and {others} more" if others > 0 else ""
    return f"{where} {', '.join(files[:NAMED_FILES])}{more}"
