"""Object keypoint similarity: how close a predicted pose is to a labelled one, from 0 to 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray


def oks_matrix(
    truth: FloatArray,  # (N, K, 3)
    boxes: FloatArray,  # (N, 4)
    areas: FloatArray,  # (N,)
    predicted: FloatArray,  # (D, K, 2 or 3)
    sigmas: FloatArray,  # (K,)
) -> FloatArray:  # (D, N)
    """OKS of every predicted pose with every labelled person of one image, as COCO defines it.

    The mean over the person's labelled keypoints of ``exp(−d² / (2 · area · (2σ)²))``, with d in pixels and the area in
    pixels squared. Somebody without any labelled keypoint is represented by the box: d is a keypoint's distance, along
    each axis, from the box grown by its own size on every side, and the mean goes over all keypoints. Only for these
    people are ``boxes`` looked at.
    """
    labelled: NDArray[np.bool_] = truth[..., 2] > 0
    bare = np.flatnonzero(~labelled.any(axis=1))
    offset = predicted[:, None, :, :2] - truth[None, :, :, :2]  # (D, N, K, 2)
    if len(bare):
        corner, size = boxes[bare, None, :2], boxes[bare, None, 2:]
        point = predicted[:, None, :, :2]
        offset[:, bare] = np.maximum(corner - size - point, 0) + np.maximum(point - (corner + 2 * size), 0)
        labelled[bare] = True
    # The smallest step above 1 keeps an area of 0 from dividing by 0. COCO's code adds and divides in this very order:
    # so both round alike, and no similarity lies on the other side of a threshold.
    similarity = np.exp(-((offset**2).sum(axis=-1) / (2 * sigmas) ** 2 / (areas + np.spacing(1))[:, None] / 2))
    oks: FloatArray = np.where(labelled, similarity, 0.0).sum(axis=-1) / labelled.sum(axis=-1)
    return oks
