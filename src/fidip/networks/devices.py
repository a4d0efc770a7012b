"""Where networks compute."""

from __future__ import annotations

import torch
from torch import nn

from fidip.errors import RecipeError

NARROWEST = 8
"""Fewest channels of a convolution that oneDNN 3 trains safely in channels-last: with 4 to 6 it corrupts the heap."""


def find_device(name: str) -> torch.device:
    """The device of that name. Raises ``RecipeError`` if this machine does not have it."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RecipeError(f"no device {name!r}: choose cpu, cuda or mps") from error
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device.type, False):
        usable = ", ".join(kind for kind, present in available.items() if present)
        raise RecipeError(f"the device {name} is not available here: choose {usable}")
    return device


def lay_out(net: nn.Module, device: torch.device) -> None:
    """Lay the weights of convolutions out as that device's kernels like them: with the channels last.

    Numbers stay the same; sums are added up in another order, so that results differ in their last bits. A network
    with a convolution of fewer than 8 channels is left as it is on the CPU, and so is every network on other devices.
    """
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
    wide = min((module.out_channels for module in convolutions), default=0) >= NARROWEST
    if device.type == "cuda" or (device.type == "cpu" and wide):
        for module in convolutions:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
