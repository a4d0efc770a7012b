"""Pictures of small rendered images, with poses drawn on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fidip.annotations import Person
from fidip.coco import image_paths, read_coco
from fidip.drawing import draw_people
from fidip.evaluation.plots import plot_pictures
from fidip.evaluation.report import Picture
from fidip.images import read_image

PICTURE_SIDE = 384
"""Pixels: small images are enlarged before poses are drawn, so that lines stay thin."""

SHOWN = 4
"""Images of each set."""


def enlarged(pixels: NDArray[np.uint8], people: Sequence[Person]) -> NDArray[np.uint8]:
    """A small image (H, W, 3) at a size at which thin lines show, with poses drawn on it."""
    factor = PICTURE_SIDE / max(pixels.shape[:2])
    large = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    moved = []
    for person in people:
        points = (person.keypoints[:, :2] + 0.5) * factor - 0.5  # pixel centres
        moved.append(replace(person, keypoints=np.column_stack([points, person.keypoints[:, 2]]), box=None))
    return draw_people(np.asarray(large, dtype=np.uint8), moved)


def domain_pictures(data: Mapping[str, Path], titles: Mapping[str, str]) -> Picture:
    """The first images of some sets with their labels, a set a row; ``titles`` are what the sets are called."""
    rows = []
    for part in titles:
        images = read_coco(data[part])[:SHOWN]
        paths = image_paths(data[part], images)
        rows.append([enlarged(read_image(path), image.people) for image, path in zip(images, paths, strict=True)])
    shown = plot_pictures(rows, ("",) * max(map(len, rows)), list(titles.values()))
    alt = f"images with their poses of {', '.join(titles.values())}"
    return Picture(shown, alt, "What the networks learn from, with the labels.", "image/jpeg")
