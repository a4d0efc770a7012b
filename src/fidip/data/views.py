"""A second look at the people of a batch who have no labels: as at test time, and the way from there to the batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fidip.data.augment import Batch, TargetFormat, cut_batch
from fidip.data.pool import sent
from fidip.data.samples import ResidentSamples, compose, to_input
from fidip.geometry import crop_to_input, invert_affine


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The plain windows of the U unlabelled people of a batch: no rotation, no colours, nothing in front."""

    rows: Tensor  # (U,) which of the batch they are
    images: Tensor  # (U, 3, H, W)
    to_batch: Tensor  # (U, 2, 3) from heatmap pixels of the view to those of the batch
    mirrored: Tensor  # (U,) whether the batch shows them mirrored, so that left and right are exchanged


def plain_view(
    resident: ResidentSamples,
    indices: NDArray[np.intp],  # (B,)
    batch: Batch,
    format: TargetFormat,
    device: torch.device | str = "cpu",
) -> View | None:
    """The unlabelled people of a batch that ``make_batch`` made of these samples; ``None`` if all have labels.

    Nothing is drawn: the batches of a run are the same with and without views.
    """
    rows = np.flatnonzero([not (resident.samples[i].keypoints[:, 2] > 0).any() for i in indices])
    if not len(rows):
        return None
    chosen = indices[rows]
    crops = [resident.samples[i].crop for i in chosen]
    affines = np.stack([crop_to_input(crop, format.input_size, format.convention) for crop in crops])
    images = to_input(cut_batch(resident, chosen, affines, format.input_size).to(device))
    grid = format.input_to_heatmap
    assert batch.drawn is not None
    to_batch = [
        compose(compose(grid, varied), invert_affine(compose(grid, plain)))
        for varied, plain in zip(batch.drawn.affines[rows], affines, strict=True)
    ]
    mirrored, moved = batch.drawn.flipped[rows], np.stack(to_batch).astype(np.float32)
    return View(sent(rows, device), images, sent(moved, device), sent(mirrored, device))
