"""Numbers that are not finite, found before anything is learnt from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite
from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

NotFinite = Literal["stop", "skip"]
"""What becomes of a run at such a number: it ends, or goes on as if the batch had not been there."""

SKIPS_IN_A_ROW = 20
"""So many skipped steps one after the other end a run: by then it is the network that is broken, not a picture."""


class NotFiniteError(ArithmeticError):
    """Something of a step is not finite; the message says what. ``take_steps`` makes of it what the recipe wants."""


def checked(loss: Tensor, name: str) -> float:
    """A loss as a number. Raises ``NotFiniteError`` with its name if it is none."""
    value = float(loss.detach())
    if not isfinite(value):
        raise NotFiniteError(f"{name} is {value}")
    return value


def require_finite(named: Mapping[str, Sequence[Tensor]]) -> None:
    """Raise ``NotFiniteError`` with the first name of which any number, of floating point, is not finite.

    The device is waited for once, however many there are.
    """
    given = {name: [tensor.detach() for tensor in tensors] for name, tensors in named.items() if tensors}
    finite = torch.stack([torch.isfinite(get_total_norm(tensors, inf)) for tensors in given.values()]).tolist()
    broken = next((name for name, fine in zip(given, finite, strict=True) if not fine), None)
    if broken is not None:
        raise NotFiniteError(f"{broken} not finite")


def require_usable(gradients: Iterable[Tensor]) -> None:
    """Raise ``NotFiniteError`` if a gradient is not finite, or so large that its square, which Adam keeps, is not."""
    norm = float(get_total_norm([gradient.detach() for gradient in gradients]))
    if not isfinite(norm):
        raise NotFiniteError(f"the norm of the gradient is {norm}")
