"""A batch that goes through the pose network part by part, and gives what it would give at once.

Usually gradients are accumulated over small batches, each with losses of its own. Here the *passes* are small and the
losses are those of the whole batch, so that methods whose terms tie its samples together (a classifier with batch
statistics, a discrepancy) learn what they would learn otherwise, and none of them knows of it. Parts go forward without
a graph; when the gradient at their heatmaps and features is known, each goes forward again and back (as in activation
checkpointing; Chen et al. 2016). That costs one more forward pass; memory is that of one part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from fidip.data.augment import Batch
from fidip.data.sampling import SMALLEST_BATCH
from fidip.networks.domain import batch_statistics_unrecorded
from fidip.networks.pose import PoseNet, PoseOutput
from fidip.training.computing import Group
from fidip.training.stages import at_once


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """Takes batches through the pose network as a run computes: in at most so many parts of at least two samples."""

    group: Group
    parts: int = 1

    def __call__(self, net: PoseNet, batch: Batch) -> PoseOutput:
        """Heatmaps and features of the batch, in the order of the batch and in float32, with their gradients."""
        rows = deal(batch.synthetic, self.parts)
        if len(rows) == 1 and self.group.fabric is None:
            return at_once(net, batch)
        features = self._through(net.features_of, net.backbone, batch.images, rows)
        return PoseOutput(self._through(net.head, net.head, features, rows), features)

    def _through(
        self, function: Callable[[Tensor], Tensor], module: nn.Module, batch: Tensor, rows: Sequence[Tensor]
    ) -> Tensor:
        def compute(part: Tensor) -> Tensor:
            with self.group.arithmetic():
                found = function(part)
            return found.to(torch.promote_types(found.dtype, torch.float32))

        if len(rows) == 1:
            return compute(batch)
        learning = tuple(parameter for parameter in module.parameters() if parameter.requires_grad)
        found: Tensor = _InParts.apply(_Work(compute, module, rows, learning), batch, *learning)  # type: ignore[no-untyped-call]
        return found


def deal(synthetic: Tensor, parts: int) -> list[Tensor]:  # (B,)
    """The rows of a batch, dealt out to at most so many parts, both domains to each in proportion."""
    order = torch.argsort(synthetic, stable=True)
    parts = max(1, min(parts, len(order) // SMALLEST_BATCH))
    return [order[part::parts] for part in range(parts)]


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What goes over a batch: a function whose parameters ``learning`` are those of ``module``."""

    compute: Callable[[Tensor], Tensor]
    module: nn.Module
    rows: Sequence[Tensor]
    learning: tuple[Tensor, ...]


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, work: _Work, batch: Tensor, *_learning: Tensor) -> Tensor:
        ctx.work = work
        ctx.save_for_backward(batch)
        found = torch.cat([work.compute(batch[rows]) for rows in work.rows])
        whole = torch.empty_like(found)
        whole[torch.cat(list(work.rows))] = found
        return whole

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        work: _Work = ctx.work
        (batch,) = ctx.saved_tensors
        back = torch.zeros_like(batch) if ctx.needs_input_grad[1] else None
        totals = [torch.zeros_like(parameter) for parameter in work.learning]
        for rows in work.rows:
            part = batch[rows].requires_grad_(back is not None)
            with torch.enable_grad(), batch_statistics_unrecorded(work.module):
                found = work.compute(part)
            given = [part] if back is not None else []
            gradients = torch.autograd.grad(found, [*given, *work.learning], gradient[rows])
            if back is not None:
                back[rows] = gradients[0]
            totals = [total.add_(one) for total, one in zip(totals, gradients[len(given) :], strict=True)]
        return None, back, *totals
