"""Which keypoints a pose has, how they mirror, how they connect, and how precisely people place them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Skeleton:
    """The keypoints of a pose, in the order in which every array of the product holds them.

    ``oks_sigmas`` are COCO's per-keypoint constants: the spread of human annotations in units of the square root of the
    object's area. OKS uses twice these values.
    """

    name: str
    keypoints: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    limbs: tuple[tuple[int, int], ...]
    oks_sigmas: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.keypoints)

    @cached_property
    def flip_permutation(self) -> NDArray[np.intp]:  # (K,)
        """Index of each keypoint's mirror image; an involution."""
        permutation = np.arange(len(self))
        for left, right in self.flip_pairs:
            permutation[left], permutation[right] = right, left
        return permutation


COCO_17 = Skeleton(
    name="coco-17",
    keypoints=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    limbs=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
        (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    oks_sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035,
        0.079, 0.079, 0.072, 0.072, 0.062, 0.062,
        0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
    ),
)  # fmt: skip

SKELETONS = {COCO_17.name: COCO_17}
