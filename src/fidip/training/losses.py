"""The two losses of the paper."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def heatmap_loss(
    predicted: Tensor,  # (B, K, h, w)
    target: Tensor,  # (B, K, h, w)
    weights: Tensor,  # (B, K)
) -> Tensor:  # ()
    """Half the mean squared error of the weighted heatmaps, as SimpleBaseline computes it.

        L_pose = 1/K Σ_k ½ · 1/(B h w) Σ_b Σ_p w_bk² (Ĥ_bkp − H_bkp)²

    Maps of weight 0 count in the mean: an unlabelled keypoint makes the loss smaller, not undefined.
    """
    return 0.5 * ((predicted - target) * weights[:, :, None, None]).square().mean()


def domain_loss(logits: Tensor, synthetic: Tensor) -> Tensor:  # (B,), (B,) -> ()
    """Binary cross-entropy of the domain classifier; the label is 1 for synthetic, 0 for real (paper §3.1).

    L_domain = −1/B Σ_b [ y_b log σ(z_b) + (1 − y_b) log(1 − σ(z_b)) ]
    """
    return binary_cross_entropy_with_logits(logits, synthetic)


def domain_accuracy(logits: Tensor, synthetic: Tensor) -> Tensor:  # (B,), (B,) -> ()
    """Share of samples on the right side of the classifier; below a half it oscillates, which is no success."""
    return ((logits > 0) == (synthetic > 0.5)).to(torch.float32).mean()
