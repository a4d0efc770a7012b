"""The pieces of all samples on one device, end to end, and windows cut out of them in batches.

Pieces have as many sizes as there are people. Stacked and padded to the largest they would take several times their
memory, adults of COCO above all: a few fill their picture, most are small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fidip.annotations import FloatArray
from fidip.geometry import Size


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Pictures one after the other, row by row, and where each of them begins."""

    pixels: Tensor  # (P, 3) uint8
    places: NDArray[np.int64]  # (N, 3) first pixel, width and height of each picture

    @classmethod
    def of(cls, pictures: Sequence[NDArray[np.uint8]], device: torch.device | str) -> Pool:
        """Copy pictures (H, W, 3) to a device."""
        sizes = np.array([(picture.shape[1], picture.shape[0]) for picture in pictures], dtype=np.int64).reshape(-1, 2)
        ends = sizes.prod(axis=1).cumsum()
        pixels = torch.empty(int(ends[-1]) if len(ends) else 0, 3, dtype=torch.uint8, device=device)
        first = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
        for picture, begin, end in zip(pictures, first.tolist(), ends.tolist(), strict=True):
            pixels[begin:end] = torch.from_numpy(picture.reshape(-1, 3))
        return cls(pixels, np.column_stack([first, sizes]))

    def cut(
        self,
        indices: NDArray[np.intp],  # (B,)
        inverse: FloatArray,  # (B, 2, 3) from pixels of the result to those of the picture
        size: Size,
    ) -> Tensor:  # (B, 3, H, W) uint8
        """Sample windows bilinearly; zeros outside a picture.

        Coordinates are multiplied out element by element: as a product of matrices, TF32 would keep ten bits of them.
        """
        device = self.pixels.device
        first, width, height = sent(self.places[indices], device)[:, :, None, None].unbind(1)  # each (B, 1, 1)
        map_x, map_y = sent(inverse.astype(np.float32), device)[:, :, :, None, None].unbind(1)  # each (B, 3, 1, 1)
        x = torch.arange(size[0], device=device, dtype=torch.float32)
        y = torch.arange(size[1], device=device, dtype=torch.float32)[:, None]
        at_x, at_y = (m[:, 0] * x + m[:, 1] * y + m[:, 2] for m in (map_x, map_y))  # (B, H, W)
        left, top = at_x.floor(), at_y.floor()
        right_share, bottom_share = at_x - left, at_y - top
        column, row = left.long(), top.long()
        total = torch.zeros(len(indices), size[1], size[0], 3, device=device)
        for down, row_share in ((0, 1 - bottom_share), (1, bottom_share)):
            for across, column_share in ((0, 1 - right_share), (1, right_share)):
                i, j = row + down, column + across
                inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
                found = self.pixels[torch.where(inside, first + i * width + j, 0)]  # (B, H, W, 3)
                total += (inside * row_share * column_share)[..., None] * found
        return total.round_().to(torch.uint8).permute(0, 3, 1, 2).contiguous()


def sent(array: NDArray[np.generic], device: torch.device | str) -> Tensor:
    """An array on a device. Nobody waits for what a GPU is still computing, as a plain copy would."""
    tensor = torch.from_numpy(array)
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
