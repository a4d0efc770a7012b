"""From the joints of SMPL and SMIL to COCO's keypoints: what corresponds, what has to be moved, what is missing.

The joints that rigs call hips (``leftThigh``, ``rightThigh``) are the centres of the femoral heads, nearer to each
other and a little lower than the hips that people click on pictures. Copied, they would be labels of something else; so
they are moved, by shares of the body's own lengths that were found like this:

* SMPL's neutral body has femoral heads 0.137 m and shoulder joints 0.339 m apart: a ratio of 0.40. COCO hips of the
  bundled bodies lie 0.54 (infants) and 0.60 (adults) of the shoulders' distance apart. So the hips lie 0.54 / 0.40 and
  0.60 / 0.40 times as far apart as the femoral heads (``HIP_SPREAD``).
* Along the line from shoulders to knees of a standing adult, SMPL's femoral heads lie at 0.590 and COCO hips of the
  bundled adults at 0.567. The difference is 0.04 of the trunk, from the shoulders' middle to the femoral heads'
  (``HIP_RISE``). For infants there is no such comparison without a body that may not be shipped; the same is taken.

A moved point is a weighted sum of joints, so the same weights hold in space and, but for perspective within the body,
in the picture. Nothing here was fitted to anybody's labels, and how well it agrees with them is not known.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from fidip.annotations import FloatArray
from fidip.skeleton import COCO_17
from fidip.smpl_joints import KEYPOINT_JOINTS

Hips = Literal["moved", "joints", "none"]
"""COCO hips by the shares below, the femoral heads as they are, or no label."""

HIP_SPREAD = {"infant": 0.54 / 0.40, "adult": 0.60 / 0.40}
HIP_RISE = 0.04


def coco_points(joints: FloatArray, population: Literal["infant", "adult"], hips: Hips) -> FloatArray:
    """COCO's keypoints from the first 24 joints: (24 or more, D) -> (K, D), NaN where there is none.

    The face has none; ``hips="none"`` leaves these out too.
    """
    points = np.full((len(COCO_17), joints.shape[1]), np.nan)
    for name, joint in KEYPOINT_JOINTS.items():
        points[COCO_17.keypoints.index(name)] = joints[joint]
    left, right = (COCO_17.keypoints.index(f"{side}_hip") for side in ("left", "right"))
    if hips == "none":
        points[[left, right]] = np.nan
    elif hips == "moved":
        middle = (joints[1] + joints[2]) / 2
        shoulders = (joints[16] + joints[17]) / 2
        half = HIP_SPREAD[population] * (joints[1] - joints[2]) / 2
        middle = middle + HIP_RISE * (shoulders - middle)
        points[left], points[right] = middle + half, middle - half
    return points
