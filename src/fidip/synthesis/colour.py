"""Between the sRGB bytes of pictures and textures and the linear light in which renderers reckon (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def linear_from_srgb(encoded: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Linear light in [0, 1] of sRGB bytes, in any shape."""
    return LINEAR_OF_BYTE[encoded]


def srgb_from_linear(light: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The nearest sRGB bytes of linear light; values outside [0, 1] are clipped."""
    light = np.clip(light, 0.0, 1.0)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    rounded: NDArray[np.uint8] = np.rint(255 * encoded).astype(np.uint8)
    return rounded


def _linear(encoded: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(np.float32)


LINEAR_OF_BYTE = _linear(np.arange(256) / 255)
"""Linear light of each sRGB byte, float32."""
