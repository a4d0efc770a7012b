"""How much memory a step of training takes, told without taking it.

The step runs on PyTorch's *meta* device, on which tensors have shapes and no numbers, and the bytes of every tensor are
counted from when it is made until nobody refers to it any more. So nothing is modelled: which results a layer keeps for
its backward pass, that frozen early layers keep none, and when each of them is let go are autograd's own affair. Not
counted, since no tensor holds them, are the program itself, a CUDA context (about half a GiB), the workspace of cuDNN
or oneDNN, and what an allocator cannot use again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from fidip.networks.domain import batch_statistics_unrecorded, reverse_gradient
from fidip.networks.outline import Kernels, Module, Tally, outline
from fidip.networks.pose import PoseNet, PoseOutput
from fidip.skeleton import SKELETONS
from fidip.training.computing import PLAIN, Computing
from fidip.training.losses import domain_loss, heatmap_divergence, heatmap_loss
from fidip.training.stages import Learners

META = torch.device("meta")


@dataclass(frozen=True, slots=True)
class StepMemory:
    """Bytes of a training step. Its parts are not all there at once, so that ``peak`` may be less than their sum."""

    networks: int  # parameters and statistics of all networks
    gradients: int  # of what learns
    moments: int  # Adam's
    copies: int  # from which a step is undone at which something is not finite
    batch: int  # images, targets, weights and domains
    activations: int  # what the pose network has left after its forward pass; of a share or part, if there are such
    peak: int  # most that is there at one time, with all that is in passing


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """What takes part in a step, without numbers."""

    net: PoseNet
    optimizer: Optimizer
    judge: nn.Module | None
    judge_optimizer: Optimizer | None
    teacher: nn.Module | None
    batch: _Batch
    parts: int
    processes: int
    kernels: Kernels  # of the pose network; everything else is float32

    @property
    def share(self) -> Tensor:
        """The images that this process takes through the pose network."""
        return _split(self.batch.images, self.processes)[0]

    def whole(self, own: Tensor) -> Tensor:
        """What all processes together make of the batch, where this one has made its own share."""
        if self.processes == 1:
            return own
        return own.new_empty((len(self.batch.images), *own.shape[1:]), requires_grad=own.requires_grad)

    def see(self, images: Tensor) -> PoseOutput:
        """The pose network. What leaves its backbone and its head is float32 at any precision."""
        with self.kernels.once():
            features = self.net.backbone((images - self.net.pixel_mean) / self.net.pixel_std)
        features = features.float()
        with self.kernels.once():
            heatmaps = self.net.head(features)
        return PoseOutput(heatmaps.float(), features)

    def judged(self, features: Tensor) -> Tensor:
        """The second loss: of a domain classifier, or of RegDA's second head with a first one to agree with."""
        assert self.judge is not None
        told = self.judge(features)
        if told.ndim > 1:
            return heatmap_divergence(told, torch.empty_like(told))
        return domain_loss(told, self.batch.synthetic)

    def taught(self) -> Tensor:
        """What a teacher says of everybody."""
        assert self.teacher is not None
        with torch.no_grad(), Kernels().once():
            told: Tensor = self.teacher.get_submodule("net")(self.batch.images).heatmaps
        return told


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    images: Tensor  # (B, 3, H, W)
    heatmaps: Tensor  # (B, K, h, w)
    weights: Tensor  # (B, K)
    synthetic: Tensor  # (B,)


def step_memory(
    learners: Learners,
    batch_size: int,
    *,
    pretrain: bool = False,
    computing: Computing = PLAIN,
    processes: int = 1,
    skips: bool = False,
) -> StepMemory:
    """The memory of a step of stages I and II, or else of the pre-stage, on so many images of the card's size.

    ``computing``: in parts, the batch goes through the pose network one after the other, once to see and once to learn,
    as activation checkpointing has it; at bf16 its layers multiply numbers of two bytes, as under autocast on a GPU.
    ``processes``: each takes its share of the batch through the pose network, and has the rest of it besides.
    ``skips``: a step that is not finite is going to be skipped, for which the classifier is copied. How the optimisers
    are set counts: an Adam that is not fused makes copies of parameters. The learners may be on any device and are left
    as they are.
    """
    with Tally() as tally:
        net, judge = _alone(outline(learners.pose_net)), learners.classifier and _alone(outline(learners.classifier))
        teacher = learners.teacher and _alone(outline(learners.teacher))
        networks = tally.live
        optimizer, moments = _optimizer(learners.pose_optimizer, net)
        judge_optimizer, more = _optimizer(learners.domain_optimizer, judge) if judge else (None, [])
        moments_bytes = tally.live - networks
        copies = _copies(net, judge if skips else None)
        copied = tally.live - networks - moments_bytes
        batch = _batch(net, batch_size)
        tally.peak = tally.live
        kernels = Kernels(computing.precision == "bf16")
        step = _Step(net, optimizer, judge, judge_optimizer, teacher, batch, computing.accumulate, processes, kernels)
        activations = _pretrain(step, tally) if pretrain else _adapt(step, tally)
        del moments, more, copies
    learning = [parameter for part in (net, judge) if part is not None for parameter in _learning(part)]
    return StepMemory(
        networks=networks,
        gradients=sum(parameter.nbytes for parameter in learning),
        moments=moments_bytes,
        copies=copied,
        batch=sum(part.nbytes for part in (batch.images, batch.heatmaps, batch.weights, batch.synthetic)),
        activations=activations,
        peak=tally.peak,
    )


def _alone(module: Module) -> Module:
    """Batch norm that other processes share computes on GPUs only, and takes what any takes."""
    for part in module.modules():
        if isinstance(part, nn.SyncBatchNorm):
            part.__class__ = nn.BatchNorm2d  # type: ignore[assignment]
    return module


def _copies(net: nn.Module, judge: nn.Module | None) -> list[Tensor]:
    """What the loop of training copies before a step: statistics, and a classifier with its moments if it has to."""
    copied = list(net.buffers())
    if judge is not None:
        copied += [*judge.parameters(), *judge.buffers(), *_learning(judge), *_learning(judge)]
    return [torch.empty_like(tensor) for tensor in copied]


def _pretrain(step: _Step, tally: Tally) -> int:
    """The pre-stage. Returns the bytes of what the pose network has left."""
    assert step.judge_optimizer is not None
    before = tally.live
    step.net.eval()
    with torch.no_grad():
        own = torch.cat([step.see(images).features for images in _split(step.share, step.parts)])
    left = tally.live - before
    features = step.whole(own)
    del own
    _descend(step.judge_optimizer, step.judged(features))
    return left


def _adapt(step: _Step, tally: Tally) -> int:
    """Stages I and II, or another method's step. Returns the bytes of what the pose network has left."""
    before = tally.live
    step.net.train()
    divided = step.parts > 1 or step.processes > 1
    own = step.see(step.share) if step.parts == 1 else _seen_in_parts(step)
    left = tally.live - before
    heatmaps, features = (step.whole(seen.detach().requires_grad_()) for seen in own) if divided else own
    kept = own if step.parts == 1 else None
    del own
    loss = heatmap_loss(heatmaps, step.batch.heatmaps, step.batch.weights)
    if step.judge is not None and step.judge_optimizer is not None:
        _descend(step.judge_optimizer, step.judged(features.detach()))
        with batch_statistics_unrecorded(step.judge):
            confusion = step.judged(reverse_gradient(features, 1.0))
        for term in (confusion, loss):
            torch.autograd.grad(term, features, retain_graph=True, allow_unused=True)
        loss = loss + confusion
    if step.teacher is not None:
        loss = loss + heatmap_loss(heatmaps, step.taught(), step.batch.weights)
    if not divided:
        _descend(step.optimizer, loss)
        return left
    slopes = torch.autograd.grad(loss, (heatmaps, features), materialize_grads=True)
    del loss
    if kept is not None:
        _learn_from_share(step, kept, slopes)
        return left
    return _learn_in_parts(step, slopes, tally)


def _seen_in_parts(step: _Step) -> PoseOutput:
    """Heatmaps and features of this process's share, whose own way back is not kept."""
    with torch.no_grad():
        seen = [step.see(images) for images in _split(step.share, step.parts)]
        return PoseOutput(*(torch.cat(tensors) for tensors in zip(*seen, strict=True)))


def _learn_from_share(step: _Step, own: PoseOutput, slopes: Sequence[Tensor]) -> None:
    """The share goes back from its rows of the slopes at heatmaps and features, and its graph stays until the end."""
    learning = _learning(step.net)
    gathered = [torch.empty_like(parameter) for parameter in learning]
    rows = len(step.share)
    gradients = torch.autograd.grad(own, learning, [slope[:rows] for slope in slopes], retain_graph=True)
    together = torch.cat([one.flatten() for one in gathered])  # as they travel between the processes
    del gradients, together
    _move(step.optimizer, gathered)


def _learn_in_parts(step: _Step, slopes: Sequence[Tensor], tally: Tally) -> int:
    """Each part goes forward again, then back from the slopes at heatmaps and features. Returns what it leaves."""
    learning = _learning(step.net)
    gathered, left = [torch.empty_like(parameter) for parameter in learning], 0
    rows = len(step.share)
    shares = (step.share, *(slope[:rows] for slope in slopes))
    for images, *slope in zip(*(_split(whole, step.parts) for whole in shares), strict=True):
        before = tally.live
        seen = step.see(images)
        left = max(left, tally.live - before)
        gradients = torch.autograd.grad(seen, learning, slope)
        for total, gradient in zip(gathered, gradients, strict=True):
            total.add_(gradient)
        del seen, gradients, gradient
    if step.processes > 1:
        torch.cat([one.flatten() for one in gathered])
    _move(step.optimizer, gathered)
    return left


def _split(whole: Tensor, parts: int) -> tuple[Tensor, ...]:
    return tuple(torch.split(whole, -(-len(whole) // parts)))


def _descend(optimizer: Optimizer, loss: Tensor) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    _move(optimizer, torch.autograd.grad(loss, parameters))


def _move(optimizer: Optimizer, gradients: Sequence[Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter, gradient in zip(parameters, gradients, strict=True):
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
