"""How well a network does on images it does not learn from: AP in their own boxes, as the published code validates."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fidip.annotations import FloatArray, LabelledImage, Person
from fidip.data.samples import check_size, cut, person_crop, to_input, to_planes
from fidip.errors import DataError, DataWarning
from fidip.evaluation.area import AreaPolicy, areas_of, choose_area
from fidip.evaluation.average_precision import EvaluationResult, evaluate
from fidip.geometry import apply_affine, crop_to_input, invert_affine
from fidip.networks.card import NetworkCard
from fidip.networks.estimation import estimate_keypoints, pose_score
from fidip.networks.pose import PoseNet
from fidip.skeleton import SKELETONS
from fidip.training.inputs import LabelledSet

BATCH = 64


@dataclass(frozen=True, slots=True, eq=False)
class ValidationCrops:
    """Everybody who is judged, cut out once at the network's input size."""

    images: list[LabelledImage]
    area: AreaPolicy
    crops: NDArray[np.uint8]  # (N, H, W, 3)
    to_image: FloatArray  # (N, 2, 3)
    image_ids: tuple[int, ...]  # (N,)


def load_validation(labelled: LabelledSet, card: NetworkCard, progress: Callable[[int], None]) -> ValidationCrops:
    """Decode the validation images and cut out the people with a label.

    Raises:
        DataError: nobody is labelled, somebody has no area, or an image has another size than its annotation says.
        ImageError: an image cannot be read.
    """
    area = policy_of(labelled)
    crops, affines, ids = [], [], []
    for done, (image, path) in enumerate(zip(labelled.images, labelled.paths, strict=True), start=1):
        pixels = labelled.picture(path)
        check_size(image, pixels, path)
        for person in image.people:
            crop = person_crop(person, (image.width, image.height), card.input_size, card.affine)
            if crop is not None and not person.crowd and person.labelled.any():
                crops.append(cut(pixels, crop, card.input_size, card.affine))
                affines.append(invert_affine(crop_to_input(crop, card.input_size, card.affine)))
                ids.append(image.id)
        progress(done)
    if not crops:
        raise DataError(labelled.file, "annotations", "nobody has a labelled keypoint; nothing can be validated")
    return ValidationCrops(labelled.images, area, np.stack(crops), np.stack(affines), tuple(ids))


def policy_of(labelled: LabelledSet) -> AreaPolicy:
    """The area policy for a set; whoever lacks what it needs is told before the first epoch, not after it.

    Raises:
        DataError: somebody has no area.
    """
    policy = choose_area(labelled.images)
    for image in labelled.images:
        try:
            areas_of(image, policy)
        except DataError as error:
            raise DataError(labelled.file, error.where, error.problem) from error
    return policy


def validate(net: PoseNet, crops: ValidationCrops, device: torch.device) -> dict[str, Any]:
    """AP and AR on the validation images, without flip test; the network is left in the mode it had."""
    result = judge(net, crops, device)
    return {"AP": result.AP, "AP50": result.AP50, "AP75": result.AP75, "AR": result.AR, "area": result.area}


def judge(net: PoseNet, crops: ValidationCrops, device: torch.device, resamples: int = 0) -> EvaluationResult:
    """The evaluation behind ``validate``; with ``resamples``, its uncertainty too."""
    people, skeleton = estimates(net, crops, device), SKELETONS[net.card.skeleton]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the areas' defects were told when the set was loaded
        return evaluate(crops.images, people, area=crops.area, skeleton=skeleton, resamples=resamples)


def estimates(net: PoseNet, crops: ValidationCrops, device: torch.device) -> dict[int, list[Person]]:
    """Whom the network sees in everybody's own box, without flip test, by image id."""
    found = []
    for start in range(0, len(crops.crops), BATCH):
        images = to_input(to_planes(crops.crops[start : start + BATCH]).to(device))
        found.append(estimate_keypoints(net, images, flip_test=False).cpu().numpy())
    people: dict[int, list[Person]] = {}
    for estimate, affine, image_id in zip(np.concatenate(found), crops.to_image, crops.image_ids, strict=True):
        keypoints = np.column_stack([apply_affine(affine, estimate[:, :2]), estimate[:, 2]])
        people.setdefault(image_id, []).append(Person(keypoints, score=pose_score(keypoints[:, 2])))
    return people
