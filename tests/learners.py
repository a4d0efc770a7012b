"""A tiny pose network, a tiny classifier and random batches, to see what the stages do to them."""

import torch
from torch import nn

from fidip.data.augment import Batch
from fidip.networks.domain import DomainClassifier
from fidip.networks.pose import build_pose_net
from fidip.training.stages import Learners, Turn
from figures import TINY

WEIGHT = 0.02
RATE = 1e-3


def learners(dtype=torch.float32, frozen=(), drifting=False, classifier=True, card=TINY) -> Learners:
    net = build_pose_net(card, torch.Generator().manual_seed(1)).to(dtype)
    with torch.no_grad():
        net.head.final_layer.weight.mul_(100)  # the published initial weights give almost no gradient at the features
    net.freeze(frozen, drifting)
    pose = torch.optim.Adam([p for p in net.parameters() if p.requires_grad])
    if not classifier:
        return Learners(net, pose)
    torch.manual_seed(2)
    judge = DomainClassifier(net.backbone.channels, (8, 4)).to(dtype)
    return Learners(net, pose, judge, torch.optim.Adam(judge.parameters()))


def batch(seed=0, dtype=torch.float32, size=4) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images, heatmaps = (torch.rand(size, n, s, s, generator=generator, dtype=dtype) for n, s in ((3, 32), (17, 8)))
    weights = (torch.rand(size, 17, generator=generator) > 0.2).to(dtype)
    synthetic = (torch.arange(size) % 2).to(dtype)
    return Batch(images, heatmaps, weights, synthetic, tuple(f"{i}.png" for i in range(size)))


def turns(count, weight=WEIGHT, dtype=torch.float32, start=0):
    return [Turn("adapt", 0, start + n, batch(n, dtype), RATE, weight) for n in range(count)]


def bits(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}


def parameters_of(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_parameters()}
