"""Synthetic pictures in the colours of real ones: what a camera, a lamp or the night does to all pixels alike."""

from __future__ import annotations

import torch
from torch import Tensor

FLAT = 1e-5
"""Variance that is added to the colours of the picture to be changed, so that one of a single colour has a root."""


def borrow_colours(pictures: Tensor, donors: Tensor) -> Tensor:  # (N, 3, H, W) in [0, 1] twice -> (N, 3, H, W)
    """Each picture after the affine map of RGB that gives it the mean and the covariance of its donor's colours.

    Of all such maps it is the one that moves colours least, the linear Monge-Kantorovitch map of Pitié and Kokaram
    (2007):

        x → μ_d + A (x − μ),    A = Σ^−½ (Σ^½ Σ_d Σ^½)^½ Σ^−½

    Black pixels are what lies beyond a picture: they do not count, and stay black.
    """
    flat, inside = pictures.flatten(2), _inside(pictures)
    mean, covariance = _moments(flat, inside)
    other_mean, other_covariance = _moments(donors.flatten(2), _inside(donors))
    values, vectors = torch.linalg.eigh(covariance + FLAT * torch.eye(3, device=flat.device))
    roots = values.clamp_min(FLAT).sqrt()[:, None]  # (N, 1, 3)
    root, inverse = (vectors * roots) @ vectors.mT, (vectors / roots) @ vectors.mT
    values, vectors = torch.linalg.eigh(root @ other_covariance @ root)
    middle = (vectors * values.clamp_min(0).sqrt()[:, None]) @ vectors.mT
    moved = torch.baddbmm(other_mean, inverse @ middle @ inverse, flat - mean)
    return (moved.clamp(0, 1) * inside).view(pictures.shape)


def _inside(pictures: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, 1, HW)
    return (pictures.flatten(2).amax(dim=1, keepdim=True) > 0).to(pictures.dtype)


def _moments(flat: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:  # (N, 3, P), (N, 1, P) -> (N, 3, 1), (N, 3, 3)
    count = inside.sum(dim=2, keepdim=True).clamp_min(1)
    mean = (flat * inside).sum(dim=2, keepdim=True) / count
    apart = (flat - mean) * inside
    return mean, apart @ apart.mT / count
