"""The weight of a second loss, told as its share of the pose gradient at the features."""

from __future__ import annotations

from math import exp, isfinite, log

import torch
from torch import Tensor, nn

MEMORY = 0.9
"""Of the running mean of the logarithm of the ratio: about the last ten steps."""


class Balance(nn.Module):
    """Makes a share of the pose gradient into λ, step by step.

    λ means nothing by itself: the same number is a tenth of the pose gradient at the beginning and several times as
    much at the end. With r = ‖∂L_term/∂f‖ / ‖∂L_pose/∂f‖ at the features f,

        λ = share / exp(m),    m ← 0.9 m + 0.1 ln r, and m = ln r at the first step,

    so that ‖λ ∂L_term/∂f‖ is about ``share`` of the pose gradient, whatever either loss has become. The logarithm is
    what is averaged, so that no single batch moves λ far. The mean is state: it is kept in checkpoints.
    """

    log_ratio: Tensor  # () float64
    seen: Tensor  # () int64

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("log_ratio", torch.zeros((), dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def weight(self, ratio: float | None, share: float) -> float:
        """λ of a step on which the two gradients, without any weight, had that ratio.

        A step without one (a gradient was nothing) leaves the mean alone; before any, λ is 0.
        """
        if ratio is not None and isfinite(ratio) and ratio > 0:
            mean = log(ratio)
            if self.seen:
                mean = MEMORY * float(self.log_ratio) + (1 - MEMORY) * mean
            self.log_ratio.fill_(mean)
            self.seen += 1
        return share / exp(float(self.log_ratio)) if self.seen else 0.0
