"""Who was found by which prediction, at each of COCO's ten thresholds: all that AP needs, image by image.

The evaluator that gives the ten numbers keeps its matches to itself, and the bootstrap needs them: so they are made
here a second time, in numpy, by the rules of COCO's own code. That both agree is a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray, LabelledImage, Person
from fidip.errors import DataError
from fidip.evaluation.area import AreaPolicy, areas_of
from fidip.evaluation.oks import oks_matrix
from fidip.skeleton import Skeleton

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # (T,) of OKS
MAX_DETECTIONS = 20
"""So many predictions of an image count, those of the highest score."""
LARGEST_AREA = 1e5**2
"""COCO evaluates nobody above this area, in pixels squared."""

BLOCK = 512
"""Images that are matched together: bounds the memory without slowing small sets."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The labelled people (N) and the predictions (D, by falling score) of one image, and how similar they are.

    ``ignored`` people (crowds, and people without a labelled keypoint) need not be found, and a prediction that fits
    one of them is not counted.
    """

    order: NDArray[np.intp]  # (D,) index among the predictions as they were given
    oks: FloatArray  # (D, N)
    scores: FloatArray  # (D,)
    predicted_areas: FloatArray  # (D,) decide only whether an unmatched prediction counts as medium or large
    areas: FloatArray  # (N,)
    ignored: NDArray[np.bool_]  # (N,)
    crowd: NDArray[np.bool_]  # (N,)


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The predictions of a whole set (D, by falling score): right, wrong or not counted at each threshold (T).

    ``people`` counts those to be found in each image (I). A prediction that is neither ``correct`` nor ``ignored`` is
    wrong.
    """

    image_ids: NDArray[np.int64]  # (I,)
    people: NDArray[np.int64]  # (I,)
    image: NDArray[np.intp]  # (D,) index into image_ids
    correct: NDArray[np.bool_]  # (T, D)
    ignored: NDArray[np.bool_]  # (T, D)


def candidates(image: LabelledImage, predicted: Sequence[Person], area: AreaPolicy, skeleton: Skeleton) -> Candidates:
    """Compare the predictions of one image with the people in it.

    Raises:
        DataError: a person has other keypoints than the skeleton, lacks the area or the box that is needed, or a
            prediction has no score or coordinates that are not finite.
    """
    truth = _keypoints("truth", image, image.people, skeleton)
    unscored = [i for i, person in enumerate(predicted) if person.score is None or not np.isfinite(person.score)]
    if unscored:
        problem = f"prediction {unscored[0] + 1} of {len(predicted)} has no score; give each one"
        raise DataError("predictions", f"image {image.id}", problem)
    scores = np.array([person.score for person in predicted], dtype=np.float64)
    kept = np.argsort(-scores, kind="stable")[:MAX_DETECTIONS]
    poses = _keypoints("predictions", image, predicted, skeleton)[kept]
    areas = areas_of(image, area)
    return Candidates(
        order=kept,
        oks=oks_matrix(truth, _boxes(image), areas, poses, np.array(skeleton.oks_sigmas)),
        scores=scores[kept],
        predicted_areas=_predicted_areas([predicted[i] for i in kept], poses),
        areas=areas,
        ignored=np.array([p.crowd or not p.labelled.any() for p in image.people], dtype=bool),
        crowd=np.array([p.crowd for p in image.people], dtype=bool),
    )


def match(image_ids: Sequence[int], sets: Sequence[Candidates]) -> Matches:
    """Give each prediction, in the order of falling score, the most similar person who is still free.

    As COCO does: an ignored person is taken only if no other is similar enough; a crowd can be taken again and again;
    the last of equals wins; among images, equal scores keep the order of ``image_ids``.
    """
    outcomes = [_match_block(sets[start : start + BLOCK]) for start in range(0, len(sets), BLOCK)]
    scores = np.concatenate([np.zeros(0), *(c.scores for c in sets)])
    order = np.argsort(-scores, kind="stable")
    none = np.zeros((len(THRESHOLDS), 0), dtype=bool)
    return Matches(
        image_ids=np.array(image_ids, dtype=np.int64),
        people=np.array([np.sum(_counted(c)) for c in sets], dtype=np.int64),
        image=np.repeat(np.arange(len(sets)), [len(c.scores) for c in sets])[order],
        correct=np.concatenate([none, *(correct for correct, _ in outcomes)], axis=1)[:, order],
        ignored=np.concatenate([none, *(ignored for _, ignored in outcomes)], axis=1)[:, order],
    )


def _match_block(sets: Sequence[Candidates]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:  # (T, D) each
    """Match many images at once: one round for the best prediction of each, one for the second best, and so on."""
    D, N = max(len(c.scores) for c in sets), max(len(c.areas) for c in sets)
    oks = np.full((len(sets), D, N + 1), -1.0)  # one person too many, so that an image may be empty
    present = np.zeros((len(sets), D), dtype=bool)
    vast = np.zeros((len(sets), D), dtype=bool)
    counted = np.zeros((len(sets), 1, N + 1), dtype=bool)
    crowd = np.zeros((len(sets), 1, N + 1), dtype=bool)
    for i, c in enumerate(sets):
        d, n = c.oks.shape
        oks[i, :d, :n], present[i, :d], vast[i, :d] = c.oks, True, c.predicted_areas > LARGEST_AREA
        counted[i, 0, :n], crowd[i, 0, :n] = _counted(c), c.crowd
    limits = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    free = np.ones((len(sets), len(THRESHOLDS), N + 1), dtype=bool)
    correct = np.zeros((len(sets), len(THRESHOLDS), D), dtype=bool)
    ignored = np.zeros_like(correct)
    for d in range(D):
        similarity = oks[:, d, None, :]
        similar = (similarity >= limits) & (free | crowd)  # (I, T, N)
        first_choice = similar & counted
        similar = np.where(first_choice.any(axis=-1, keepdims=True), first_choice, similar)
        best = N - np.argmax(np.where(similar, similarity, -1.0)[..., ::-1], axis=-1, keepdims=True)  # (I, T, 1)
        found = np.asarray(similar.any(axis=-1))
        worthy = np.take_along_axis(np.broadcast_to(counted, free.shape), best, axis=-1)[..., 0]
        correct[..., d] = found & worthy
        ignored[..., d] = np.where(found, ~worthy, vast[:, d, None])
        taken = np.take_along_axis(free, best, axis=-1) & ~found[..., None]
        np.put_along_axis(free, best, taken, axis=-1)
    # Image by image, the predictions that exist: (T, I, D) picked by (I, D).
    return correct.transpose(1, 0, 2)[:, present], ignored.transpose(1, 0, 2)[:, present]


def _counted(c: Candidates) -> NDArray[np.bool_]:  # (N,)
    return ~c.ignored & np.asarray(c.areas <= LARGEST_AREA)


def _keypoints(
    kind: str, image: LabelledImage, people: Sequence[Person], skeleton: Skeleton
) -> FloatArray:  # (N, K, 3)
    shape = (len(skeleton), 3)
    wrong = next((person.keypoints.shape for person in people if person.keypoints.shape != shape), None)
    if wrong is not None:
        raise DataError(kind, f"image {image.id}", f"expected keypoints of the shape {shape}, found {wrong}")
    keypoints = np.array([person.keypoints for person in people], dtype=np.float64).reshape(-1, *shape)
    if not np.isfinite(keypoints).all():
        problem = "a keypoint is not a finite number; leave out poses that could not be computed"
        raise DataError(kind, f"image {image.id}", problem)
    return keypoints


def _boxes(image: LabelledImage) -> FloatArray:  # (N, 4)
    for number, person in enumerate(image.people, start=1):
        if person.box is None and not person.labelled.any():
            problem = "has neither a labelled keypoint nor a box; remove the person or add the box"
            raise DataError("truth", f"image {image.id}", f"person {number} of {len(image.people)} {problem}")
    return np.array([p.box or (0, 0, 0, 0) for p in image.people], dtype=np.float64).reshape(-1, 4)


def _predicted_areas(people: Sequence[Person], poses: FloatArray) -> FloatArray:  # (D,) from (D, K, 3)
    """As COCO takes them: the area of the box, or else of the smallest box around the keypoints."""
    areas: FloatArray = np.ptp(poses[..., :2], axis=1).prod(axis=-1)
    for i, person in enumerate(people):
        if person.box is not None:
            areas[i] = person.box[2] * person.box[3]
    return areas
