"""A batch that goes through the pose network part by part, and gives what it would give at once.

Usually gradients are accumulated over small batches, each with losses of its own. Here the *passes* are small and the
losses are those of the whole batch, so that methods whose terms tie its samples together (a classifier with batch
statistics, a discrepancy) learn what they would learn otherwise, and none of them knows of it. Parts go forward without
a graph; when the gradient at their heatmaps and features is known, each goes forward again and back (as in activation
checkpointing; Chen et al. 2016). That costs one more forward pass; memory is that of one part.

Several processes do the same at the same time: each takes its share of a batch through the network, all are given the
heatmaps and features of the whole, compute the same losses, and add up what their shares contribute to the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from fidip.data.augment import Batch
from fidip.data.sampling import SMALLEST_BATCH
from fidip.networks.domain import batch_statistics_unrecorded
from fidip.networks.pose import PoseNet, PoseOutput
from fidip.training.computing import Group
from fidip.training.stages import at_once


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """Takes batches through the pose network as a run computes.

    Every process of the group takes its share, in at most ``parts`` parts; no part has fewer than two samples.
    """

    group: Group
    parts: int = 1

    def __call__(self, net: PoseNet, batch: Batch) -> PoseOutput:
        """Heatmaps and features of the whole batch, in its order and in float32, with their gradients."""
        if self.parts == 1 and self.group.fabric is None:
            return at_once(net, batch)
        shares = deal(batch.synthetic, self.group.size, self.parts)
        features = self._through(net.features_of, net.backbone, batch.images, shares)
        heatmaps = self._through(net.head, net.head, features, shares)
        if len(shares) > 1:
            _average_statistics(net, self.group)
        return PoseOutput(heatmaps, features)

    def _through(
        self, function: Callable[[Tensor], Tensor], module: nn.Module, batch: Tensor, shares: Sequence[Sequence[Tensor]]
    ) -> Tensor:
        def compute(part: Tensor) -> Tensor:
            with self.group.arithmetic():
                found = function(part)
            return found.to(torch.promote_types(found.dtype, torch.float32))

        if len(shares) == len(shares[0]) == 1:
            return compute(batch)
        learning = tuple(parameter for parameter in module.parameters() if parameter.requires_grad)
        together = len(shares) > 1
        own = shares[self.group.number if together else 0]
        keeps_graph = torch.is_grad_enabled() and len(own) == 1
        work = _Work(compute, module, learning, own, self.group if together else None, keeps_graph)
        found: Tensor = _InParts.apply(work, batch, *learning)  # type: ignore[no-untyped-call]
        return found


def deal(synthetic: Tensor, processes: int, parts: int) -> list[list[Tensor]]:  # (B,)
    """The rows of a batch for each process and, of these, for each of at most so many parts.

    Both domains are dealt out in proportion. A rest of an epoch that is too small for that many processes has one
    entry: each of them takes all of it.
    """
    order = torch.argsort(synthetic, stable=True)
    processes = processes if len(order) >= SMALLEST_BATCH * processes else 1
    parts = max(1, min(parts, len(order) // (SMALLEST_BATCH * processes)))
    hands = [order[hand :: processes * parts] for hand in range(processes * parts)]
    return [hands[process::processes] for process in range(processes)]


def _average_statistics(net: PoseNet, group: Group) -> None:
    """Average what every process has just recorded of its own share; layers that are synchronised record the same.

    The averages are new tensors, since the way back still refers to the old ones.
    """
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm) and module.training]
    apart = [norm for norm in norms if norm.track_running_stats and not isinstance(norm, nn.SyncBatchNorm)]
    places = [(norm, name) for norm in apart for name in ("running_mean", "running_var")]
    averages = [getattr(norm, name).clone() for norm, name in places]
    group.add_up(averages, group.size)
    for (norm, name), average in zip(places, averages, strict=True):
        setattr(norm, name, average)


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What goes over a batch: a function whose parameters ``learning`` are those of ``module``."""

    compute: Callable[[Tensor], Tensor]
    module: nn.Module
    learning: tuple[Tensor, ...]
    parts: Sequence[Tensor]  # the rows of this process's parts
    group: Group | None  # None: these are all the rows
    keeps_graph: bool  # of its only part, so that it need not go forward again

    def whole(self, parts: Sequence[Tensor], count: int) -> Tensor:
        """The batch of ``count`` rows that the parts of all processes make."""
        found = torch.cat(list(parts))
        whole = found.new_zeros(count, *found.shape[1:])
        if found.is_contiguous(memory_format=torch.channels_last):  # as the layer that takes it likes it
            whole = whole.contiguous(memory_format=torch.channels_last)
        whole[torch.cat(list(self.parts))] = found
        if self.group is not None:
            self.group.add_up([whole])
        return whole


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, work: _Work, batch: Tensor, *_learning: Tensor) -> Tensor:
        ctx.work, ctx.kept = work, None
        ctx.save_for_backward(batch)
        if work.keeps_graph:
            part = batch[work.parts[0]].requires_grad_(batch.requires_grad)
            with torch.enable_grad():
                ctx.kept = part, work.compute(part)
            return work.whole([ctx.kept[1].detach()], len(batch))
        return work.whole([work.compute(batch[rows]) for rows in work.parts], len(batch))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        work: _Work = ctx.work
        (batch,) = ctx.saved_tensors
        back: list[Tensor] = []
        totals = [torch.zeros_like(parameter) for parameter in work.learning]
        for rows in work.parts:
            part, found = ctx.kept or _again(work, batch[rows].requires_grad_(batch.requires_grad))
            given = [part] if batch.requires_grad else []
            found = torch.autograd.grad(found, [*given, *work.learning], gradient[rows], retain_graph=work.keeps_graph)
            back += found[: len(given)]
            totals = [total.add_(one) for total, one in zip(totals, found[len(given) :], strict=True)]
        if work.group is not None:
            work.group.add_up(totals)
        return None, work.whole(back, len(batch)) if back else None, *totals


def _again(work: _Work, part: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad(), batch_statistics_unrecorded(work.module):
        return part, work.compute(part)
