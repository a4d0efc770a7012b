"""Several networks trained and measured side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fidip.annotations import FloatArray, LabelledImage, Person
from fidip.coco import write_results
from fidip.data.samples import cut, person_crop
from fidip.files import atomic_write
from fidip.images import read_image
from fidip.inference.predictor import Predictor
from fidip.networks.pose import PoseNet
from fidip.studies.processes import Tell, side_by_side
from fidip.studies.sets import standing_for_real
from fidip.training.inputs import Inputs, LabelledSet
from fidip.training.recipe import Recipe
from fidip.training.run import train
from fidip.training.stages import StepRecord

FEATURE_SAMPLES = 150
"""So many images of each domain are enough to see whether the domains lie apart."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One network of a comparison: a recipe and the files that it may learn from, or a network taken as it is.

    ``control`` names the arm that it is compared with, image by image.
    """

    name: str
    title: str
    recipe: Recipe | None = None
    real: Path | None = None
    synthetic: Path | None = None
    validation: Path | None = None
    adults: tuple[Path, Path] | None = None
    init: str = "adult-small"
    control: str | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What an arm left on the disk."""

    weights: str
    results: Path  # COCO results on the test images
    features: Path  # npz: real (N, C), synthetic (N, C)


def run_arms(
    arms: Sequence[Arm],
    test: Path,
    held_out: Path,
    out: Path,
    workers: int,
    watch: Callable[[str, StepRecord], None],
) -> dict[str, Measured]:
    """Train every arm, let it look at the test images, and keep the features it sees in both domains.

    ``test`` are real images, ``held_out`` synthetic ones that nobody learns from. What a killed run had finished is
    kept. ``watch`` is told the arm's name and the record of every step.

    Raises:
        FidipError: whatever the training or the prediction raises, or a process was ended from outside. The other
            arms then stop at their next step.
    """
    return side_by_side({arm.name: partial(_run_arm, arm, test, held_out, out) for arm in arms}, out, workers, watch)


def _run_arm(arm: Arm, test: Path, held_out: Path, out: Path, tell: Tell) -> Measured:
    folder = out / arm.name
    folder.mkdir(parents=True, exist_ok=True)
    weights = arm.init if arm.recipe is None else str(_train(arm, arm.recipe, folder / "run", tell))
    measured = Measured(weights, folder / "results.json", folder / "features.npz")
    if not measured.features.exists():  # written last
        predictor = Predictor.load(weights)
        truth = LabelledSet.read(test)
        people = {
            image.id: _predict(predictor, image, path) for image, path in zip(truth.images, truth.paths, strict=True)
        }
        write_results(measured.results, people)
        real, synthetic = (pooled_features(predictor.net, part) for part in (truth, LabelledSet.read(held_out)))
        with atomic_write(measured.features) as file:
            np.savez(file, real=real, synthetic=synthetic)
    return measured


def _train(arm: Arm, recipe: Recipe, folder: Path, tell: Tell) -> Path:
    def read(path: Path | None) -> LabelledSet | None:
        return None if path is None else LabelledSet.read(path)

    adults = None if arm.adults is None else (LabelledSet.read(arm.adults[0]), LabelledSet.read(arm.adults[1]))
    inputs = Inputs(read(arm.real), read(arm.synthetic), read(arm.validation), adults, arm.init)
    with standing_for_real():
        return train(recipe, inputs, folder, resume=True, watch=tell).weights


def _predict(predictor: Predictor, image: LabelledImage, path: Path) -> list[Person]:
    return predictor(read_image(path), [person.box for person in image.people if person.box is not None])


@torch.inference_mode()
def pooled_features(net: PoseNet, labelled: LabelledSet) -> FloatArray:  # (N, C)
    """What the domain classifier sees of the first people of a set, averaged over the map."""
    card, pooled = net.card, []
    for image, path in list(zip(labelled.images, labelled.paths, strict=True))[:FEATURE_SAMPLES]:
        crop = person_crop(image.people[0], (image.width, image.height), card.input_size, card.affine)
        if crop is None:
            continue
        pixels = cut(read_image(path), crop, card.input_size, card.affine)
        features = net(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255).features
        pooled.append(features.mean(dim=(2, 3))[0].double().numpy())
    return np.stack(pooled)
