"""What a gallery shows of each image: a small picture, the pose as a layer to lay over it, and a few facts.

The pose is drawn by ``fidip.drawing`` once on black and once on white; from the two follow its colours and its opacity,
so that the page can show the picture with and without it, and so that a photograph need not enter the page at all.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fidip.annotations import Box, Domain, LabelledImage, Person
from fidip.coco import image_paths
from fidip.drawing import draw_people
from fidip.errors import DataWarning, ImageError
from fidip.fields import MAX_INTEGER
from fidip.images import RGBImage, encode_image, read_image

PICTURE_SIDE, POSE_SIDE = 256, 384
"""Longest side in pixels. Lines stay sharp when they are enlarged only if they were drawn larger than the picture."""

QUALITY, COLOURS = 80, 48
"""Of the JPEG, and of the palette of the layer; five kilobytes and four."""

UNKNOWN = "not stated"


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """One image in a gallery."""

    facts: dict[str, Any]  # plain JSON values
    picture: bytes | None  # a JPEG
    pose: bytes  # a PNG with opacity


def choose(images: Sequence[LabelledImage], count: int | None, seed: int) -> list[LabelledImage]:
    """So many images by a seed, in their order; all of them where there are no more."""
    if count is None or count >= len(images):
        return list(images)
    chosen = np.random.default_rng(seed).choice(len(images), count, replace=False)
    return [images[i] for i in np.sort(chosen)]


def make_cards(
    annotations: Path, images: Sequence[LabelledImage], folder: Path | None = None, with_photos: bool = False
) -> Iterator[Card]:
    """The cards of images, in their order. Pictures that the file does not call synthetic are not even opened.

    A picture that cannot be used is named in a ``DataWarning``, and its pose shown alone.

    Raises:
        DataError: a picture that is to be shown is not there.
    """
    shown = [image for image in images if with_photos or image.domain is Domain.SYNTHETIC]
    paths = {image.id: path for image, path in zip(shown, image_paths(annotations, shown, folder), strict=True)}
    for image in images:
        picture = _picture(image, paths[image.id]) if image.id in paths else None
        yield Card(facts(image), picture, small_png(pose_layer(image)))


def facts(image: LabelledImage) -> dict[str, Any]:
    """What is said of an image in words and numbers."""
    visibility = np.concatenate([np.zeros(0), *(person.keypoints[:, 2] for person in image.people)])
    boxes = [person.box for person in image.people if person.box is not None]
    share = sum(box[2] * box[3] for box in boxes) / (image.width * image.height)
    return {
        "id": image.id,
        "name": image.file_name,
        "width": image.width,
        "height": image.height,
        "posture": image.posture or UNKNOWN,
        "months": _finite(image.extras.get("age_months")),
        "people": len(image.people),
        "keypoints": len(visibility),
        "visible": int((visibility == 2).sum()),
        "occluded": int((visibility == 1).sum()),
        "share": round(min(share, 1), 3) if boxes else None,
        "domain": UNKNOWN if image.domain is None else image.domain.name.lower(),
    }


def pose_layer(image: LabelledImage) -> NDArray[np.uint8]:  # (H, W, 4)
    """The people's poses on nothing, with opacity; the longer side is ``POSE_SIDE``."""
    size, people = _fitted(image, POSE_SIDE)
    black = np.zeros((size[1], size[0], 3), np.uint8)
    on_black, on_white = draw_people(black, people), draw_people(~black, people)
    through = cv2.subtract(on_white, on_black)  # how much of what lies beneath is seen
    opacity = 255 - np.asarray(through).max(axis=2)
    touched = opacity > 0
    layer = np.zeros((size[1], size[0], 4), np.uint8)
    colour = 255 * on_black[touched].astype(np.float32) / opacity[touched, None]
    layer[touched, :3] = np.minimum(np.round(colour), 255)
    layer[..., 3] = opacity
    return layer


def small_png(layer: NDArray[np.uint8]) -> bytes:  # (H, W, 4)
    """A PNG of a palette of ``COLOURS``, a third of the size of one in true colour."""
    stream = io.BytesIO()
    picture = Image.fromarray(layer).quantize(COLOURS, method=Image.Quantize.FASTOCTREE)
    picture.save(stream, format="PNG", compress_level=6)
    return stream.getvalue()


def _picture(image: LabelledImage, path: Path) -> bytes | None:
    try:
        pixels = read_image(path)
        if pixels.shape[:2] != (image.height, image.width):
            found = f"{pixels.shape[1]} x {pixels.shape[0]} pixels, labelled as {image.width} x {image.height}"
            raise ImageError(path, found)
    except ImageError as error:
        warnings.warn(DataWarning(f"{error}: only its pose is shown"), stacklevel=2)
        return None
    return encode_image(_shrunk(pixels), ".jpg", QUALITY)


def _shrunk(pixels: RGBImage) -> RGBImage:
    """A picture of at most ``PICTURE_SIDE``."""
    factor = PICTURE_SIDE / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    size = (max(round(pixels.shape[1] * factor), 1), max(round(pixels.shape[0] * factor), 1))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _fitted(image: LabelledImage, side: int) -> tuple[tuple[int, int], list[Person]]:
    """(width, height) of an image whose longer side is ``side``, and its people there."""
    factor = side / max(image.width, image.height)
    people = [
        replace(
            person,
            keypoints=np.column_stack([(person.keypoints[:, :2] + 0.5) * factor - 0.5, person.keypoints[:, 2]]),
            box=None if person.box is None else _scaled(person.box, factor),
        )
        for person in image.people
    ]
    return (max(round(image.width * factor), 1), max(round(image.height * factor), 1)), people


def _scaled(box: Box, factor: float) -> Box:
    x, y, width, height = box
    return (factor * x, factor * y, factor * width, factor * height)


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > MAX_INTEGER:
        return None
    return float(value) if math.isfinite(value) else None
