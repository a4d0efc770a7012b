"""The two losses of the paper, and those of other methods of adaptation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from fidip.heatmaps import decode_heatmaps, encode_heatmaps

EPSILON = 1e-7
"""That no pixel of a target is impossible (Jiang et al. 2021)."""

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the kernels of the discrepancy, in median squared distances: powers of 2, as Long et al. (2015) take them."""


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


def discrepancy(real: Tensor, synthetic: Tensor) -> Tensor:  # (M, C), (N, C) -> ()
    """The squared maximum mean discrepancy of two samples of features, with a sum of Gaussian kernels.

        MMD² = mean k(r_i, r_j) + mean k(s_i, s_j) − 2 mean k(r_i, s_j),   k(a, b) = mean over u of exp(−‖a−b‖² / (u d))

    where d is the median of the squared distances between different members of both samples together, taken as a
    constant, and u goes through ``BANDWIDTHS``. It is never negative (the biased estimate of Gretton et al. 2012), and
    0 if a sample is empty.
    """
    count = len(real)
    both = torch.cat([real, synthetic])
    if not 0 < count < len(both):
        return 0 * both.sum()
    squares = (both[:, None] - both[None]).square().sum(dim=2)  # (M + N, M + N)
    rows, columns = torch.triu_indices(len(both), len(both), offset=1, device=both.device)
    scale = squares.detach()[rows, columns].median().clamp_min(torch.finfo(squares.dtype).tiny)
    kernel = torch.stack([torch.exp(-squares / (u * scale)) for u in BANDWIDTHS]).mean(dim=0)
    return kernel[:count, :count].mean() + kernel[count:, count:].mean() - 2 * kernel[:count, count:].mean()


def ground_truth_and_false(heatmaps: Tensor, sigma: float) -> tuple[Tensor, Tensor]:  # (B, K, h, w) -> twice the same
    """Where a prediction puts each keypoint, and where it puts all the others (Jiang et al. 2021): both as heatmaps.

    The first has a Gaussian at the maximum of each map; in the second the map of a keypoint is the sum of the Gaussians
    of all other keypoints, at most 1. A keypoint that is mistaken for another lies there: the space of false poses is
    small, which is what makes an adversary of a regressor possible.
    """
    points = decode_heatmaps(heatmaps.detach(), "argmax")[..., :2]
    size = (heatmaps.shape[3], heatmaps.shape[2])
    truth, _ = encode_heatmaps(points, points.new_ones(points.shape[:2]), size, sigma)
    return truth, (truth.sum(dim=1, keepdim=True) - truth).clamp(0, 1)


def heatmap_divergence(predicted: Tensor, target: Tensor) -> Tensor:  # (B, K, h, w) twice -> ()
    """The mean over people and keypoints of KL(q ‖ p), with p = softmax(predicted) over pixels and q ∝ target + 1e-7.

    0 if there is nobody.
    """
    if not len(predicted):
        return 0 * predicted.sum()
    q = target.flatten(2) + EPSILON
    q = q / q.sum(dim=2, keepdim=True)
    return (q * (q.log() - predicted.flatten(2).log_softmax(dim=2))).sum(dim=2).mean()
