"""How varied the poses of a data set are: skeletons laid over each other, as in the paper's Fig. 3, and one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray, LabelledImage, Person
from fidip.geometry import box_around
from fidip.skeleton import COCO_17

LEFT_OUT = ("left_eye", "right_eye", "left_ear", "right_ear")
"""Keypoints of the face, which say nothing about the pose of the body."""

SHORTEST_TORSO = 0.05
"""Of the box: a torso seen from its end has no direction to align by."""

_KEPT = np.array([name not in LEFT_OUT for name in COCO_17.keypoints])
_SHOULDERS, _HIPS = ([COCO_17.keypoints.index(f"{side}_{name}") for side in ("left", "right")]
                     for name in ("shoulder", "hip"))  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class PoseDistribution:
    """Aligned skeletons of a data set."""

    points: FloatArray  # (N, K, 2) units of the box's longer side; NaN where unlabelled or left out
    people: int  # of the data set, crowds left out
    usable: int  # those among them that can be aligned
    sample: tuple[LabelledImage, Person]  # one of the N, with as many keypoints as any

    @property
    def diversity(self) -> float:
        """See :func:`diversity`."""
        return diversity(self.points)


def distribution_of(images: Sequence[LabelledImage], count: int, seed: int) -> PoseDistribution:
    """Skeletons of at most ``count`` people, drawn evenly from those that can be aligned.

    Raises:
        ValueError: nobody can be aligned.
    """
    everybody = [(image, person) for image in images for person in image.people if not person.crowd]
    aligned = [(each, points) for each in everybody if (points := align(each[1])) is not None]
    if not aligned:
        raise ValueError("shows nobody whose shoulders and hips are all labelled and apart")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(aligned))[:count])
    best = max(chosen, key=lambda index: int(aligned[index][0][1].labelled.sum()))
    points = np.stack([aligned[index][1] for index in chosen])
    return PoseDistribution(points, len(everybody), len(aligned), aligned[best][0])


def align(person: Person) -> FloatArray | None:  # (K, 2)
    """Keypoints with the middle of the torso at the origin and the shoulders straight above the hips (y down).

    The unit is the longer side of the person's box. ``None`` if a shoulder or hip has no label or the torso no length.
    """
    labelled = person.labelled & np.isfinite(person.keypoints[:, :2]).all(1)
    if not labelled[[*_SHOULDERS, *_HIPS]].all():
        return None
    size = max((person.box or box_around(person.keypoints[labelled, :2]))[2:])
    points = np.where((labelled & _KEPT)[:, None], person.keypoints[:, :2], np.nan)
    shoulders, hips = points[_SHOULDERS].mean(0), points[_HIPS].mean(0)
    length = np.linalg.norm(shoulders - hips)
    if size <= 0 or length < SHORTEST_TORSO * size:
        return None
    down = (hips - shoulders) / length
    turn = np.array([[down[1], -down[0]], [down[0], down[1]]])
    return np.asarray((points - (shoulders + hips) / 2) @ turn.T / size)


def diversity(points: FloatArray) -> float:  # (N, K, 2)
    """How far apart two skeletons are on the average, in units of the box's longer side; NaN for fewer than two.

    The mean over all pairs of people of the mean distance between the keypoints that both have. Position, size and
    direction of the torso do not count, being aligned away; a mirrored pose counts as another one.
    """
    N = len(points)
    if N < 2:
        return float("nan")
    total = 0.0
    for row in range(N - 1):  # one against all later ones: memory stays at N skeletons
        gaps = np.linalg.norm(points[row + 1 :] - points[row], axis=-1)
        total += float(np.nanmean(gaps, axis=1).sum())  # the torso is always common
    return total / (N * (N - 1) / 2)


def limb_groups() -> dict[str, list[tuple[int, int]]]:
    """Limbs by the part of the body that they draw; K stands for the middle of the shoulders, the foot of the head."""
    index = COCO_17.keypoints.index
    groups = {"head": [(index("nose"), len(COCO_17))]}
    corners = [index(name) for name in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")]
    groups["torso"] = list(zip(corners, corners[1:] + corners[:1], strict=True))
    for side in ("left", "right"):
        for limb, chain in (("arm", ("shoulder", "elbow", "wrist")), ("leg", ("hip", "knee", "ankle"))):
            places = [index(f"{side}_{name}") for name in chain]
            groups[f"{side} {limb}"] = [(places[0], places[1]), (places[1], places[2])]
    return groups


def limb_lines(points: FloatArray, limbs: Sequence[tuple[int, int]]) -> NDArray[np.float64]:  # (N, K, 2) -> (M, 2, 2)
    """The ends of these limbs in all skeletons, those left out of which an end is missing."""
    whole = np.concatenate([points, points[:, _SHOULDERS].mean(1, keepdims=True)], 1)
    lines = np.concatenate([whole[:, [a, b]] for a, b in limbs])
    return np.asarray(lines[np.isfinite(lines).all((1, 2))])
