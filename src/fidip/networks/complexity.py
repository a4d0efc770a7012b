"""How large a pose network is and how much it computes for one image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fidip.networks.backbones.vit import Attention
from fidip.networks.pose import PoseNet


@dataclass(frozen=True, slots=True)
class Complexity:
    """Parameters, and multiply-adds for one image of the card's input size.

    A multiply-add is one product that is added up: a 1x1 convolution from C to D channels has C·D of them a pixel. They
    are counted in convolutions, transposed convolutions, matrices and attention; biases, normalisation, activations,
    sums and interpolation are left out, as is usual. Papers call the number FLOPs; it is half of what a machine's
    FLOP/s count. The published tables of SimpleBaseline, HRNet and DarkPose give it in units of 2^30, and count a
    transposed convolution by the pixels that leave it, four times too often.
    """

    parameters: int
    multiply_adds: int


def complexity(net: PoseNet) -> Complexity:
    """Count by one forward pass that computes shapes only: it takes no memory to speak of, on any device.

    The network, its mode and its statistics are left as they were.
    """
    width, height = net.card.input_size
    found: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append(COUNTERS[type(module)](module, inputs[0].shape, output.shape))

    hooks = [module.register_forward_hook(count) for module in net.modules() if type(module) in COUNTERS]
    tensors = {name: tensor.to("meta") for name, tensor in (*net.named_parameters(), *net.named_buffers())}
    was_training = net.training
    net.eval()
    try:
        with torch.no_grad():
            functional_call(net, tensors, (torch.empty(1, 3, height, width, device="meta"),))
    finally:
        net.train(was_training)
        for hook in hooks:
            hook.remove()
    return Complexity(sum(parameter.numel() for parameter in net.parameters()), sum(found))


def _convolution(module: Any, _: torch.Size, output: torch.Size) -> int:
    """Every weight is used once a pixel that leaves it."""
    return int(module.weight.numel() * output[2:].numel())


def _deconvolution(module: Any, inputs: torch.Size, _: torch.Size) -> int:
    """Every weight is used once a pixel that enters it."""
    return int(module.weight.numel() * inputs[2:].numel())


def _matrix(module: Any, inputs: torch.Size, _: torch.Size) -> int:
    return int(module.weight.numel() * inputs[:-1].numel())


def _attention(_: Any, inputs: torch.Size, __: torch.Size) -> int:
    """Each query with each key, then each weight with each value; the matrices around are modules of their own."""
    batch, tokens, width = inputs
    return 2 * batch * tokens * tokens * width


COUNTERS: dict[type[nn.Module], Callable[[Any, torch.Size, torch.Size], int]] = {
    nn.Conv2d: _convolution,
    nn.ConvTranspose2d: _deconvolution,
    nn.Linear: _matrix,
    Attention: _attention,
}
"""From a kind of layer to what it multiplies, given the module and the shapes that enter and leave it."""
