"""Where networks compute."""

from __future__ import annotations

import torch

from fidip.errors import RecipeError


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
