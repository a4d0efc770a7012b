"""Drawn stick figures in the form of a data set: pictures on which a tiny network learns something within seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from fidip.annotations import Domain, LabelledImage, Person
from fidip.coco import write_coco
from fidip.data.augment import Augmentation
from fidip.images import write_image
from fidip.networks.card import NetworkCard
from fidip.skeleton import COCO_17
from fidip.training.inputs import LabelledSet
from fidip.training.recipe import Pretrain, Recipe

# A standing figure in units of its height, COCO order.
STANDING = np.array(
    [
        [0.00, 0.10], [0.03, 0.07], [-0.03, 0.07], [0.06, 0.09], [-0.06, 0.09],
        [0.14, 0.25], [-0.14, 0.25], [0.22, 0.40], [-0.22, 0.40], [0.24, 0.55], [-0.24, 0.55],
        [0.09, 0.55], [-0.09, 0.55], [0.10, 0.75], [-0.10, 0.75], [0.11, 0.95], [-0.11, 0.95],
    ]
)  # fmt: skip

TINY = NetworkCard(backbone="resnet-18", width=4, input_size=(32, 32), head_width=8, heatmap_sigma=1.0, blur_kernel=3)

RECIPE = Recipe(
    name="tiny",
    source="tests",
    network=TINY,
    epochs=2,
    batch_size=4,
    learning_rate=1e-3,
    classifier="pooled",
    domain_weight=0.01,
    pretrain=Pretrain(epochs=1, batch_size=4),
    augmentation=Augmentation(scale=0.2, rotation=20.0, brightness=0.2, contrast=0.2, saturation=0.2),
    seed=3,
)

SUPERVISED = replace(RECIPE, classifier=None, domain_weight=0.0, pretrain=None)


def keypoints(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A figure that stands, leans or lies somewhere in a picture of that size."""
    width, height = size
    turn, tall = rng.uniform(-0.6, 0.6), rng.uniform(0.6, 0.8) * min(size)
    points = (STANDING + rng.normal(0, 0.02, STANDING.shape) - [0, 0.5]) * tall
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = points @ rotation.T + [width / 2, height / 2] + rng.normal(0, 0.03, 2) * min(size)
    visible = np.where(rng.random(len(points)) < 0.1, 1.0, 2.0)
    return np.column_stack([np.clip(points, 0, np.array(size) - 1), visible])


def picture(points: np.ndarray, rng: np.random.Generator, size: tuple[int, int], domain: Domain) -> np.ndarray:
    """The figure drawn: real pictures are brownish and noisy, synthetic ones bluish and clean."""
    width, height = size
    base = np.array([120, 100, 80] if domain is Domain.REAL else [60, 80, 140])
    image = np.full((height, width, 3), base + rng.integers(-20, 20), dtype=np.uint8)
    for i, (a, b) in enumerate(COCO_17.limbs):
        ends = [tuple(int(v) for v in np.round(points[k, :2])) for k in (a, b)]
        cv2.line(image, *ends, color=(255 - 9 * i, 40 + 10 * i, 90 + 5 * i), thickness=2)
    if domain is Domain.REAL:
        image = np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)
    return image


def figure_set(
    folder: Path, count: int, domain: Domain, seed: int = 0, size: tuple[int, int] = (64, 64), subject: str = ""
) -> LabelledSet:
    """Write ``count`` pictures of one figure each with their annotations, and read them back."""
    images = []
    for n in range(count):
        rng = np.random.default_rng([seed, int(domain), n])
        points = keypoints(rng, size)
        name = f"{n:03}.png"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        write_image(folder / "images" / name, picture(points, rng, size, domain))
        low, high = points[:, :2].min(axis=0) - 3, points[:, :2].max(axis=0) + 3
        box = (*low.tolist(), *(high - low).tolist())
        person = Person(points, box=box, area=0.5 * box[2] * box[3])
        images.append(
            LabelledImage(n + 1, name, *size, (person,), domain=domain, subject=f"{subject}{n}" if subject else None)
        )
    write_coco(folder / "annotations.json", images)
    return LabelledSet.read(folder / "annotations.json")
