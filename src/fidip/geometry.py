"""Boxes, crops and the affine maps between an image, a crop and its heatmaps.

Pixels: integer coordinates are pixel centres, so an image of width W spans −0.5 … W−0.5 and a horizontal flip is
``x → W−1−x``. Three published conventions map a crop's window onto the network's input; a network's card says which
one it was trained with:

* ``"dark"``: window and input are measured between the centres of their outer pixels (size − 1), their centres
  coincide, and the heatmap is a third grid on the same window (DARK, Zhang et al. 2020).
* ``"simple-baseline"``: window and input are measured in whole pixels, the window's centre goes to (W/2, H/2), and
  heatmap coordinates are input coordinates divided by the stride (SimpleBaseline, Xiao et al. 2018). It is biased by a
  fraction of a pixel, consistently in training and inference.
* ``"udp"``: the window is measured in whole pixels, input and heatmap between the centres of their outer pixels, each
  axis for itself; the window's edges go to these centres (UDP, Huang et al. 2020, as ViTPose has it).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import Box, FloatArray
from fidip.skeleton import Skeleton

AffineConvention = Literal["dark", "simple-baseline", "udp"]
Size = tuple[int, int]
"""Width and height in pixels."""

BOX_MARGIN = 1.25
"""Both published loaders enlarge the box by a quarter."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A window of an image: centre and size in image pixels, rotation in radians.

    A positive rotation turns the picture's content anticlockwise on the screen (y points down).
    """

    center: tuple[float, float]
    size: tuple[float, float]
    rotation: float = 0.0

    def scaled(self, factor: float) -> Crop:
        """The same window, ``factor`` times as large."""
        return replace(self, size=(self.size[0] * factor, self.size[1] * factor))


def crop_around(box: Box, input_size: Size, convention: AffineConvention = "dark", margin: float = BOX_MARGIN) -> Crop:
    """The window around a box: grown to the input's aspect ratio, then by the margin, as the published loaders do.

    The centre is ``x + (w − 1)/2`` (``"dark"``) or else ``x + w/2``.
    """
    x, y, width, height = box
    shift = 1.0 if convention == "dark" else 0.0
    center = (x + (width - shift) / 2, y + (height - shift) / 2)
    aspect = input_size[0] / input_size[1]
    if width > aspect * height:
        height = width / aspect
    else:
        width = height * aspect
    return Crop(center, (width * margin, height * margin))


def crop_to_input(crop: Crop, input_size: Size, convention: AffineConvention = "dark") -> FloatArray:  # (2, 3)
    """The affine map from image coordinates to coordinates in an input (or heatmap) of the given size.

    The window's width decides the scale, as in the published code: with a window of the input's aspect ratio both axes
    agree; otherwise the window's height is cut or padded. By ``"udp"`` each axis has its own, which differ by some
    thousandths. A window less than a pixel wide counts as one of a pixel, so that the map has an inverse and never
    mirrors.
    """
    shift = 0.0 if convention == "simple-baseline" else 1.0
    less = 1.0 if convention == "dark" else 0.0
    scale = np.array([(to - shift) / max(of - less, 1.0) for to, of in zip(input_size, crop.size, strict=True)])
    if convention != "udp":
        scale[1] = scale[0]
    cos, sin = np.cos(crop.rotation), np.sin(crop.rotation)
    linear = scale[:, None] * np.array([[cos, sin], [-sin, cos]])
    middle = (np.array(input_size, dtype=np.float64) - shift) / 2
    return np.column_stack([linear, middle - linear @ np.array(crop.center)])


def crop_to_heatmap(
    crop: Crop, input_size: Size, heatmap_size: Size, convention: AffineConvention = "dark"
) -> FloatArray:  # (2, 3)
    """The affine map from image coordinates to heatmap coordinates under a convention."""
    if convention != "simple-baseline":
        return crop_to_input(crop, heatmap_size, convention)
    stride: FloatArray = np.array(input_size, dtype=np.float64) / np.array(heatmap_size)
    return crop_to_input(crop, input_size, convention) / stride[:, None]


def invert_affine(affine: FloatArray) -> FloatArray:  # (2, 3) -> (2, 3)
    """The inverse of an affine map of the plane."""
    inverse = np.linalg.inv(affine[:, :2])
    return np.column_stack([inverse, -inverse @ affine[:, 2]])


def apply_affine(affine: FloatArray, points: NDArray[np.floating]) -> FloatArray:  # (2, 3), (..., 2) -> (..., 2)
    """Map points by an affine map."""
    return np.asarray(points, dtype=np.float64) @ affine[:, :2].T + affine[:, 2]


def flip_points(points: FloatArray, width: int, skeleton: Skeleton) -> FloatArray:  # (..., K, 2 or more)
    """Mirror keypoints horizontally: ``x → width − 1 − x``, left and right exchanged. Twice is the identity."""
    flipped = points[..., skeleton.flip_permutation, :].copy()
    flipped[..., 0] = width - 1 - flipped[..., 0]
    return flipped


def clip_box(box: Box, size: Size, convention: AffineConvention = "dark") -> Box | None:
    """A box made to fit its image, as the published loaders clean boxes; ``None`` if less than two pixels are left.

    As there, a box that begins left of or above the image is moved in, not cut, and its far corner is the centre of a
    pixel: ``x2 = min(W − 1, x1 + w − 1)``. The result is ``x2 − x1 + 1`` wide (``"dark"``) or else ``x2 − x1``.
    """
    x, y, width, height = box
    x1, y1 = max(0.0, x), max(0.0, y)
    x2, y2 = min(size[0] - 1.0, x1 + max(0.0, width - 1)), min(size[1] - 1.0, y1 + max(0.0, height - 1))
    last = 1.0 if convention == "dark" else 0.0
    return (x1, y1, x2 - x1 + last, y2 - y1 + last) if x2 > x1 and y2 > y1 else None


def crop_of_box(box: Box, image_size: Size, input_size: Size, convention: AffineConvention = "dark") -> Crop | None:
    """The window that a box stands for in training, validation and prediction alike: cleaned, then enlarged.

    ``None`` if less than two pixels of the box lie in the image.
    """
    cleaned = clip_box(box, image_size, convention)
    return None if cleaned is None else crop_around(cleaned, input_size, convention)


def box_around(points: FloatArray, margin: float = 1.0) -> Box:  # (N, 2)
    """The smallest box that holds the pixels of some points, enlarged about its centre by ``margin``.

    Like any box it begins at the centre of its first pixel and is as large as it has pixels: a single point has a box
    of one pixel.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    size = (high - low + 1) * margin
    corner = (low + high - (size - 1)) / 2
    return (float(corner[0]), float(corner[1]), float(size[0]), float(size[1]))
