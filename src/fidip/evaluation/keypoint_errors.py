"""Where a network goes wrong: errors keypoint by keypoint in torso lengths, and the OKS of every image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray, LabelledImage, Person
from fidip.errors import FidipError
from fidip.evaluation.area import AreaPolicy
from fidip.evaluation.matching import candidates
from fidip.skeleton import COCO_17, Skeleton

PCK_SHARES = (0.05, 0.1, 0.2)
TORSO_DIAGONALS = (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeypointErrors:
    """How far each labelled person's most similar prediction is off.

    The unit is the person's torso: the mean of the two shoulder–hip diagonals, or the one that is labelled. People
    without either are counted in ``without_torso`` and enter ``oks`` only. A person in an image without predictions is
    infinitely far off. ``pck`` is the share of labelled keypoints within 0.05, 0.1 and 0.2 torsos. ``None`` and NaN
    stand where nothing of the kind is labelled.
    """

    oks: dict[int, float | None]  # by image id, the mean over its people
    pck: dict[float, float | None]
    keypoints: tuple[str, ...]
    keypoint_pck: FloatArray  # (3, K), one row for each share in pck
    keypoint_median: FloatArray  # (K,) in torsos
    without_torso: int

    def to_json(self) -> dict[str, Any]:
        """The same in the types of JSON; ``None`` also for a median that is infinite."""
        rows = zip(self.keypoints, self.keypoint_pck.T.tolist(), self.keypoint_median.tolist(), strict=True)
        return {
            "oks": {str(image): value for image, value in self.oks.items()},
            "pck": {str(share): value for share, value in self.pck.items()},
            "keypoints": {
                name: {
                    "pck": {str(share): _finite(value) for share, value in zip(self.pck, shares, strict=True)},
                    "median": _finite(median),
                }
                for name, shares, median in rows
            },
            "without_torso": self.without_torso,
        }


def keypoint_errors(
    images: Sequence[LabelledImage],
    predictions: Mapping[int, Sequence[Person]],
    *,
    area: AreaPolicy,
    skeleton: Skeleton = COCO_17,
) -> KeypointErrors:
    """Compare each labelled person, crowds left out, with the prediction of the highest OKS in the same image.

    Raises:
        DataError: a person or a prediction lacks what OKS needs, as in ``evaluate``.
        FidipError: the skeleton has no shoulders and hips to measure a torso by.
    """
    oks: dict[int, float | None] = {}
    truths, distances = [np.zeros((0, len(skeleton), 3))], [np.zeros((0, len(skeleton)))]
    for image in images:
        predicted = predictions.get(image.id, ())
        compared = candidates(image, predicted, area, skeleton)
        people = np.flatnonzero(~compared.ignored)
        similarity = compared.oks[:, people]  # (D, N)
        oks[image.id] = float(similarity.max(axis=0, initial=0.0).mean()) if len(people) else None
        truth = np.array([image.people[i].keypoints for i in people]).reshape(-1, len(skeleton), 3)
        distance = np.full(truth.shape[:2], np.inf)
        if len(similarity):
            best = compared.order[similarity.argmax(axis=0)]
            poses = np.array([predicted[i].keypoints for i in best]).reshape(truth.shape)
            distance = np.hypot(*np.moveaxis(poses[..., :2] - truth[..., :2], -1, 0))
        truths.append(truth)
        distances.append(distance)
    truth = np.concatenate(truths)  # (N, K, 3)
    torso = _torso_lengths(truth, skeleton)
    measured = torso > 0
    errors = np.concatenate(distances)[measured] / torso[measured, None]
    labelled = truth[measured, :, 2] > 0
    return KeypointErrors(
        oks=oks,
        pck={share: _finite(_mean(errors[labelled] <= share)) for share in PCK_SHARES},
        keypoints=skeleton.keypoints,
        keypoint_pck=np.array(
            [[_mean(e[there] <= share) for e, there in zip(errors.T, labelled.T, strict=True)] for share in PCK_SHARES]
        ),
        keypoint_median=np.array([_median(e[there]) for e, there in zip(errors.T, labelled.T, strict=True)]),
        without_torso=int(np.count_nonzero(~measured)),
    )


def _torso_lengths(truth: FloatArray, skeleton: Skeleton) -> FloatArray:  # (N,) in pixels from (N, K, 3); 0 unknown
    missing = {name for pair in TORSO_DIAGONALS for name in pair} - set(skeleton.keypoints)
    if missing:
        raise FidipError(f"the skeleton {skeleton.name} has no {min(missing)}: errors in torso lengths need it")
    ends = np.array([[skeleton.keypoints.index(name) for name in pair] for pair in TORSO_DIAGONALS])  # (2, 2)
    start, end = truth[:, ends[:, 0]], truth[:, ends[:, 1]]  # (N, 2, 3)
    labelled = (start[..., 2] > 0) & (end[..., 2] > 0)
    lengths = np.where(labelled, np.linalg.norm(end[..., :2] - start[..., :2], axis=-1), 0.0)
    torso: FloatArray = lengths.sum(axis=1) / np.maximum(labelled.sum(axis=1), 1)
    return torso


def _mean(within: NDArray[np.bool_]) -> float:
    return float(within.mean()) if len(within) else math.nan


def _median(errors: FloatArray) -> float:
    return float(np.median(errors)) if len(errors) else math.nan


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
