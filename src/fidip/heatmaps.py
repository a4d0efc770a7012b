"""Keypoints to heatmaps and back, for whole batches on any device.

Coordinates are heatmap pixels (integers are pixel centres). Two published pairs exist: SimpleBaseline (Xiao et al.
2018) quantises the Gaussian's centre and decodes by a quarter-pixel offset; DARK (Zhang et al. 2020) does neither, and
decodes by a Taylor step on the logarithm of the smoothed heatmap.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import cv2
import torch
from torch import Tensor

from fidip.geometry import Size

Encoding = Literal["unbiased", "quantised"]
Decoding = Literal["dark", "quarter", "argmax"]

REACH = 3.0
"""A Gaussian counts as inside the map while its window of ±3 sigma touches it; the quantised one is cut there."""

SMALLEST = 1e-10
"""DARK's floor under the logarithm."""


def encode_heatmaps(
    points: Tensor,  # (B, K, 2)
    weights: Tensor,  # (B, K) 0 for keypoints without a label
    size: Size,
    sigma: float,
    encoding: Encoding = "unbiased",
) -> tuple[Tensor, Tensor]:  # (B, K, h, w), (B, K)
    """Gaussians of peak 1 at the points, and the weights with points out of reach set to 0.

    Maps of weight 0 are empty. ``"quantised"`` rounds the centre to a pixel and cuts the Gaussian at ±3 sigma;
    ``"unbiased"`` keeps the exact centre and fills the whole map.
    """
    width, height = size
    center = torch.trunc(points + 0.5) if encoding == "quantised" else points
    reach = REACH * sigma
    low, high = center - reach, center + reach + 1
    inside = (low[..., 0] < width) & (low[..., 1] < height) & (high >= 0).all(dim=-1)
    weights = weights * inside
    x = torch.arange(width, device=points.device) - center[..., 0, None]  # (B, K, w)
    y = torch.arange(height, device=points.device) - center[..., 1, None]  # (B, K, h)
    across, down = (torch.exp(-(d**2) / (2 * sigma**2)) for d in (x, y))
    if encoding == "quantised":
        across, down = across * (x.abs() <= reach), down * (y.abs() <= reach)
    maps = down[..., :, None] * across[..., None, :] * (weights > 0)[..., None, None]
    return maps.to(torch.float32), weights


def decode_heatmaps(
    heatmaps: Tensor,  # (B, K, h, w)
    decoding: Decoding = "dark",
    blur: int = 11,
) -> Tensor:  # (B, K, 3)
    """The most likely point of every map: x, y in heatmap pixels, and the maximum's height as a score.

    A map without a positive value gives (0, 0). ``blur`` is DARK's smoothing kernel in pixels (odd; 1 for none); its
    published values are 11 for inputs of 384x288, 7 for smaller ones.
    """
    batch, count, height, width = heatmaps.shape
    flat = heatmaps.reshape(batch * count, height * width).float()
    scores, index = flat.max(dim=1)
    px, py = index % width, index // width
    points = torch.stack([px, py], dim=1).to(flat.dtype)
    if decoding == "quarter":
        points = points + _quarter_offset(flat, px, py, width, height)
    elif decoding == "dark":
        points = points + _taylor_offset(flat.view(-1, height, width), px, py, blur)
    points = torch.where(scores[:, None] > 0, points, torch.zeros_like(points))
    return torch.cat([points, scores[:, None]], dim=1).view(batch, count, 3)


def _quarter_offset(flat: Tensor, px: Tensor, py: Tensor, width: int, height: int) -> Tensor:  # (N, 2)
    """A quarter of a pixel towards the larger neighbour, away from the border (SimpleBaseline)."""
    inside = (px > 1) & (px < width - 1) & (py > 1) & (py < height - 1)
    x, y = px.clamp(1, width - 2), py.clamp(1, height - 2)

    def value(dx: int, dy: int) -> Tensor:
        return flat.gather(1, ((y + dy) * width + x + dx)[:, None])[:, 0]

    slope = torch.stack([value(1, 0) - value(-1, 0), value(0, 1) - value(0, -1)], dim=1)
    return 0.25 * slope.sign() * inside[:, None]


def _taylor_offset(maps: Tensor, px: Tensor, py: Tensor, blur: int) -> Tensor:  # (N, 2)
    """DARK's step to the mode of a Gaussian: −H⁻¹∇ of the log of the smoothed map at its maximum.

    Only the 5 x 5 pixels that the differences touch are smoothed. The published rescaling to the old maximum is a
    constant factor, which the logarithm turns into a constant that no difference sees.
    """
    count, height, width = maps.shape
    border = 2 + (blur - 1) // 2
    padded = torch.nn.functional.pad(maps, (border,) * 4)
    steps = torch.arange(2 * border + 1, device=maps.device)
    rows, columns = py[:, None] + steps, px[:, None] + steps  # the padding shifts the window's corner to the maximum
    patch = padded[torch.arange(count, device=maps.device)[:, None, None], rows[:, :, None], columns[:, None, :]]
    smooth = _smoothing(blur).to(patch)  # (5, 2 border + 1)
    log = torch.log((smooth @ patch @ smooth.T).clamp_min(SMALLEST))  # (N, 5, 5), the maximum at [2, 2]
    dx, dy = (log[:, 2, 3] - log[:, 2, 1]) / 2, (log[:, 3, 2] - log[:, 1, 2]) / 2
    dxx = (log[:, 2, 4] - 2 * log[:, 2, 2] + log[:, 2, 0]) / 4
    dyy = (log[:, 4, 2] - 2 * log[:, 2, 2] + log[:, 0, 2]) / 4
    dxy = (log[:, 3, 3] - log[:, 1, 3] - log[:, 3, 1] + log[:, 1, 1]) / 4
    determinant = dxx * dyy - dxy**2
    inside = (px > 1) & (px < width - 2) & (py > 1) & (py < height - 2) & (determinant != 0)
    safe = torch.where(inside, determinant, torch.ones_like(determinant))
    step = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], dim=1) / safe[:, None]
    return step * inside[:, None]


@cache
def _smoothing(blur: int) -> Tensor:  # (5, blur + 4)
    """Rows that smooth a padded patch at its five middle positions with OpenCV's Gaussian kernel of that size."""
    kernel = torch.from_numpy(cv2.getGaussianKernel(blur, 0)[:, 0]).float()
    rows = torch.zeros(5, blur + 4)
    for i in range(5):
        rows[i, i : i + blur] = kernel
    return rows
