"""How much memory a step of training takes, told without taking it.

The step runs on PyTorch's *meta* device, on which tensors have shapes and no numbers, and the bytes of every tensor are
counted from when it is made until nobody refers to it any more. So nothing is modelled: which results a layer keeps for
its backward pass, that frozen early layers keep none, and when each of them is let go are autograd's own affair. Not
counted, since no tensor holds them, are the program itself, a CUDA context (about half a GiB), the workspace of cuDNN
or oneDNN, and what an allocator cannot use again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from fidip.networks.domain import batch_statistics_unrecorded, reverse_gradient
from fidip.networks.outline import Kernels, Tally, outline
from fidip.networks.pose import PoseNet, PoseOutput
from fidip.skeleton import SKELETONS
from fidip.training.losses import domain_loss, heatmap_divergence, heatmap_loss
from fidip.training.stages import Learners

META = torch.device("meta")


@dataclass(frozen=True, slots=True)
class StepMemory:
    """Bytes of a training step. Its parts are not all there at once, so that ``peak`` may be less than their sum."""

    networks: int  # parameters and statistics of all networks
    gradients: int  # of what learns
    moments: int  # Adam's
    batch: int  # images, targets, weights and domains
    activations: int  # what the pose network has left when its forward pass is over
    peak: int  # most that is there at one time, with all that is in passing


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """What a step takes part in, without numbers."""

    net: PoseNet
    optimizer: Optimizer
    judge: nn.Module | None
    judge_optimizer: Optimizer | None
    teacher: nn.Module | None
    kernels: Kernels

    def see(self, images: Tensor) -> PoseOutput:
        """The pose network; its heatmaps are float32 at any precision."""
        with self.kernels.once():
            heatmaps, features = self.net(images)
        return PoseOutput(heatmaps.float(), features)

    def judged(self, features: Tensor, batch: _Batch, aim: Tensor | None) -> Tensor:
        """The second loss: of a domain classifier, or of RegDA's second head with a first one to agree with."""
        assert self.judge is not None
        with self.kernels.once():
            told = self.judge(features).float()
        return domain_loss(told, batch.synthetic) if aim is None else heatmap_divergence(told, aim)


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    images: Tensor  # (B, 3, H, W)
    heatmaps: Tensor  # (B, K, h, w)
    weights: Tensor  # (B, K)
    synthetic: Tensor  # (B,)


def step_memory(
    learners: Learners, batch_size: int, *, pretrain: bool = False, bf16: bool = False, accumulating: bool = False
) -> StepMemory:
    """The memory of a step of stages I and II, or else of the pre-stage, on so many images of the card's size at once.

    ``bf16``: layers multiply numbers of two bytes, as autocast has it on a GPU. ``accumulating``: the images are a part
    of a larger batch, so that gradients of other parts are there already. How the optimisers are set counts: an Adam
    that is not fused makes copies of parameters. The learners may be on any device and are left as they are.
    """
    with Tally() as tally:
        net, judge = outline(learners.pose_net), learners.classifier and outline(learners.classifier)
        teacher = learners.teacher and outline(learners.teacher)
        networks = tally.live
        optimizer, moments = _optimizer(learners.pose_optimizer, net)
        judge_optimizer, more = _optimizer(learners.domain_optimizer, judge) if judge else (None, [])
        moments_bytes = tally.live - networks
        batch = _batch(net, batch_size)
        parts = _Parts(net, optimizer, judge, judge_optimizer, teacher, Kernels(bf16))
        gathered = [torch.empty_like(p) for p in _learning(net)] if accumulating and not pretrain else []
        held = tally.peak = tally.live
        activations = (_pretrain if pretrain else _adapt)(parts, batch, tally) - held
        del moments, more, gathered
    learning = [parameter for part in (net, judge) if part is not None for parameter in _learning(part)]
    return StepMemory(
        networks=networks,
        gradients=sum(parameter.nbytes for parameter in learning),
        moments=moments_bytes,
        batch=sum(part.nbytes for part in (batch.images, batch.heatmaps, batch.weights, batch.synthetic)),
        activations=activations,
        peak=tally.peak,
    )


def _pretrain(parts: _Parts, batch: _Batch, tally: Tally) -> int:
    """The pre-stage. Returns what is there after the forward pass."""
    assert parts.judge_optimizer is not None
    parts.net.eval()
    with torch.no_grad():
        features = parts.see(batch.images).features
    there = tally.live
    _descend(parts.judge_optimizer, parts.judged(features, batch, None))
    return there


def _adapt(parts: _Parts, batch: _Batch, tally: Tally) -> int:
    """Stages I and II, or another method's step. Returns what is there after the forward pass."""
    parts.net.train()
    heatmaps, features = parts.see(batch.images)
    there = tally.live
    loss = heatmap_loss(heatmaps, batch.heatmaps, batch.weights)
    if parts.judge is not None and parts.judge_optimizer is not None:
        aim = torch.empty_like(batch.heatmaps) if _is_head(parts.judge) else None
        _descend(parts.judge_optimizer, parts.judged(features.detach(), batch, aim))
        with batch_statistics_unrecorded(parts.judge):
            confusion = parts.judged(reverse_gradient(features, 1.0), batch, aim)
        for term in (confusion, loss):
            torch.autograd.grad(term, features, retain_graph=True)
        loss = loss + confusion
    if parts.teacher is not None:
        with torch.no_grad(), parts.kernels.once():
            taught = parts.teacher.get_submodule("net")(batch.images).heatmaps.float()
        loss = loss + heatmap_loss(heatmaps, taught, batch.weights)
    _descend(parts.optimizer, loss)
    return there


def _descend(optimizer: Optimizer, loss: Tensor) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _batch(net: PoseNet, size: int) -> _Batch:
    (width, height), (columns, rows) = net.card.input_size, net.card.heatmap_size
    count = len(SKELETONS[net.card.skeleton])
    shapes = ((size, 3, height, width), (size, count, rows, columns), (size, count), (size,))
    return _Batch(*(torch.empty(shape, device=META) for shape in shapes))


def _optimizer(real: Optimizer | None, outlined: nn.Module) -> tuple[Optimizer, list[Tensor]]:
    """An optimiser for the outline that needs the memory of the real one, and moments that it does not hold itself.

    A fused Adam needs nothing but its moments, like a plain descent beside which they lie.
    """
    assert real is not None
    learning = _learning(outlined)
    if real.defaults.get("fused"):
        return SGD(learning, foreach=False), [torch.empty_like(p) for p in learning for _ in range(2)]
    on_a_gpu = real.param_groups[0]["params"][0].is_cuda
    adam = Adam(learning, foreach=real.defaults.get("foreach") or on_a_gpu)
    for parameter in learning:
        parameter.grad = torch.empty_like(parameter)
    adam.step()
    adam.zero_grad(set_to_none=True)
    return adam, []


def _learning(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _is_head(judge: nn.Module) -> bool:
    return hasattr(judge, "upsampling")
