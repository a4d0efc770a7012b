"""From checked files to resident samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from fidip.annotations import Domain, LabelledImage
from fidip.data.samples import ResidentSamples, load_samples
from fidip.data.sampling import SMALLEST_BATCH
from fidip.errors import DataError
from fidip.networks.card import NetworkCard
from fidip.training.inputs import Inputs, Part
from fidip.training.recipe import Recipe
from fidip.training.validation import ValidationCrops, load_validation


@dataclass(frozen=True, slots=True, eq=False)
class RunData:
    """Everybody whom a run learns from and is judged on."""

    infants: ResidentSamples
    adults: ResidentSamples | None
    validation: ValidationCrops | None
    skipped: dict[str, dict[str, int]] = field(default_factory=dict)  # by option and file: why, and how many


def load_data(
    recipe: Recipe, inputs: Inputs, card: NetworkCard, device: torch.device, tick: Callable[[], None]
) -> RunData:
    """Decode every image of a run; ``tick`` is called after each.

    Raises:
        DataError: a file holds nobody who can be used, there are fewer than two people in all, or a teacher is to teach
            on people without labels and there are none.
        ImageError: an image cannot be read.
    """
    groups: dict[str, list[ResidentSamples]] = {"infants": [], "adults": []}
    skipped = {}
    for part in inputs.training:
        samples = _load(part, recipe, card, tick)
        groups["adults" if part.adults else "infants"].append(samples)
        if samples.skipped:
            skipped[f"{part.option} {part.labelled.file.name}"] = dict(samples.skipped)
    infants, adults = (_joined(parts, device) for parts in groups.values())
    if infants is None or not any((sample.keypoints[:, 2] > 0).any() for sample in infants.samples):
        raise DataError(_names(inputs), "annotations", "nobody has a labelled keypoint; there is no pose to learn from")
    if len(infants) < SMALLEST_BATCH:
        problem = f"{len(infants)} usable person; training needs at least {SMALLEST_BATCH}"
        raise DataError(_names(inputs), "annotations", problem)
    if recipe.learning == "mean-teacher" and infants.labelled.all():
        problem = "everybody has labels, so that a teacher has nobody to teach on; give --unlabelled or another method"
        raise DataError(_names(inputs), "annotations", problem)
    validation = None if inputs.validation is None else load_validation(inputs.validation, card, lambda _: tick())
    return RunData(infants, adults, validation, skipped)


def _load(part: Part, recipe: Recipe, card: NetworkCard, tick: Callable[[], None]) -> ResidentSamples:
    labelled = part.labelled
    hidden = recipe.real_images == "unlabelled" and part.domain is Domain.REAL and not part.adults
    images = [without_keypoints(image) for image in labelled.images] if hidden else labelled.images
    samples = load_samples(
        images, labelled.paths, part.domain, (card.input_size, card.affine), recipe.augmentation.reach,
        unlabelled=part.adults or part.unlabelled or recipe.unlabelled or hidden,
        read=labelled.picture, progress=lambda _: tick(),
    )  # fmt: skip
    if not len(samples):
        reasons = ", ".join(f"{count} with {reason}" for reason, count in samples.skipped.items())
        found = f"nobody can be used: {reasons}" if reasons else f"nobody in its {len(labelled.images)} images"
        raise DataError(labelled.file, "annotations", f"{found}; give people a box inside the image and keypoints")
    return samples


def without_keypoints(image: LabelledImage) -> LabelledImage:
    """The image as if nobody had labelled it; boxes are kept."""
    people = tuple(replace(person, keypoints=np.zeros_like(person.keypoints)) for person in image.people)
    return replace(image, people=people)


def _joined(parts: list[ResidentSamples], device: torch.device) -> ResidentSamples | None:
    if not parts:
        return None
    joined = parts[0]
    for part in parts[1:]:
        joined = joined + part
    return joined if device.type == "cpu" else joined.on(device)


def _names(inputs: Inputs) -> str:
    return " and ".join(str(part.labelled.file) for part in inputs.training if not part.adults)
