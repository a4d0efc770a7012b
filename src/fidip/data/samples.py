"""People cut out of their images once and kept in memory, ready to be augmented.

Nine hundred images fit in the memory of any device, so nothing is decoded twice: every person becomes a *piece*, the
part of the image that any augmentation can reach, kept as uint8. A piece is shrunk by area averaging to at most
``DENSITY`` pixels per pixel of the network's input (more where half-body crops zoom in), which keeps the picture sharp
at the closest zoom of the published augmentation (0.65) and bounds the memory: a whole person at 256x192 takes at most
about 1.3 MB. Coordinates of keypoints and windows stay those of the image; only the last affine knows of the piece.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fidip.annotations import Box, Domain, FloatArray, LabelledImage, Person
from fidip.data.pool import Pool
from fidip.errors import DataError
from fidip.geometry import (
    AffineConvention,
    Crop,
    Size,
    box_around,
    crop_around,
    crop_of_box,
    crop_to_input,
    invert_affine,
)
from fidip.images import read_image

Image = NDArray[np.uint8]

DENSITY = 1.5
"""Pixels of a stored piece per pixel of the network's input, at most: the closest published zoom is 1 / 0.65."""

BOX_FROM_KEYPOINTS = 1.25
"""A box drawn by hand is about a quarter wider than the keypoints in it (measured on SyRIP: 1.20 to 1.28)."""

UPPER_BODY = 11
"""COCO's first eleven keypoints, nose to wrists, are the upper body of DARK's half-body augmentation."""

HALF_BODY_MARGIN = 1.5
"""DARK enlarges the box around the keypoints of one half of the body by this factor."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One person of one image, cut out with everything that an augmentation can reach.

    ``keypoints``, ``crop`` and ``halves`` (the windows of the upper and the lower body, where enough of it is labelled)
    are in pixels of the image, ``to_piece`` maps them to pixels of the piece.
    """

    piece: Image  # (Hp, Wp, 3) RGB
    to_piece: FloatArray  # (2, 3)
    keypoints: FloatArray  # (K, 3)
    crop: Crop
    halves: tuple[Crop, ...]
    domain: Domain
    file: str


@dataclass(frozen=True, slots=True, eq=False)
class ResidentSamples:
    """The people to learn from, in the order of their file, and how many were left out for which reason.

    ``pool`` holds all pieces on a device; it is ``None`` where OpenCV cuts on the CPU.
    """

    samples: tuple[Sample, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    pool: Pool | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def __add__(self, other: ResidentSamples) -> ResidentSamples:
        skipped = Counter(self.skipped) + Counter(other.skipped)
        return ResidentSamples(self.samples + other.samples, dict(skipped))

    @property
    def domains(self) -> NDArray[np.intp]:  # (N,)
        """0 for real, 1 for synthetic people."""
        return np.array([sample.domain for sample in self.samples], dtype=np.intp)

    @property
    def labelled(self) -> NDArray[np.bool_]:  # (N,)
        """Who has a labelled keypoint."""
        return np.array([(sample.keypoints[:, 2] > 0).any() for sample in self.samples], dtype=np.bool_)

    @property
    def bytes(self) -> int:
        """Memory taken by the pieces."""
        return sum(sample.piece.nbytes for sample in self.samples)

    def on(self, device: torch.device | str) -> ResidentSamples:
        """The same samples with their pieces on a device too, where they will be cut."""
        return replace(self, pool=Pool.of([sample.piece for sample in self.samples], device))


@dataclass(frozen=True, slots=True)
class Reach:
    """What must be kept of the image around a person's window.

    ``scale`` is the largest factor by which the window grows, ``turns`` says whether it rotates, ``halves`` whether
    half-body windows are wanted too.
    """

    scale: float = 1.0
    turns: bool = False
    halves: bool = False


def load_samples(
    images: Sequence[LabelledImage],
    paths: Sequence[Path],
    domain: Domain,
    format: tuple[Size, AffineConvention],  # of the network: input size, affine
    reach: Reach = Reach(),
    *,
    unlabelled: bool = False,
    read: Callable[[Path], Image] = read_image,
    progress: Callable[[int], None] = lambda _: None,
) -> ResidentSamples:
    """Decode every image once and cut out its people.

    A person without a box gets one around the labelled keypoints. Left out, and counted in ``skipped``, are crowds,
    people without any labelled keypoint (kept if ``unlabelled``: the domain can be learnt from them) and people whose
    box lies outside the image. ``read`` opens a path, ``progress`` is told the number of images done.

    Raises:
        ImageError: an image cannot be read.
        DataError: an image has another size than its annotation says.
    """
    input_size, convention = format
    samples: list[Sample] = []
    skipped: Counter[str] = Counter()
    for done, (image, path) in enumerate(zip(images, paths, strict=True), start=1):
        windows = {}
        for i, person in enumerate(image.people):
            problem = _reason_to_skip(person, unlabelled)
            crop = None if problem else person_crop(person, (image.width, image.height), input_size, convention)
            if crop is None:
                skipped[problem or "no box, or a box outside the image"] += 1
            else:
                windows[i] = crop
        if windows:
            pixels = read(path)
            check_size(image, pixels, path)
            for i, crop in windows.items():
                samples.append(_sample(pixels, image.people[i], crop, input_size, reach, domain, str(path)))
        progress(done)
    return ResidentSamples(tuple(samples), dict(skipped))


def person_crop(person: Person, image_size: Size, input_size: Size, convention: AffineConvention) -> Crop | None:
    """The window around a person as the published loaders take it: the box cleaned, grown to the aspect, then by 1.25.

    ``None`` if the person has neither a box inside the image nor two labelled keypoints to draw one around.
    """
    box = person.box
    if box is None:
        box = box_of_keypoints(person.keypoints[person.labelled, :2])
    return None if box is None else crop_of_box(box, image_size, input_size, convention)


def box_of_keypoints(points: FloatArray) -> Box | None:  # (N, 2)
    """The box that one would draw by hand around a pose; ``None`` if its keypoints all lie within one pixel."""
    if len(points) == 0 or np.ptp(points, axis=0).max() < 1:
        return None
    return box_around(points, BOX_FROM_KEYPOINTS)


def cut(image: Image, crop: Crop, size: Size, convention: AffineConvention = "dark") -> Image:  # (H, W, 3)
    """A window of an image as the network will see it: zeros outside the image, shrunk by area before it is sampled."""
    scale = min(1.0, DENSITY * size[0] / crop.size[0])
    piece, to_piece = _cut_piece(image, _bounds((crop,), Reach(turns=True), image), scale)
    return warp(piece, compose(crop_to_input(crop, size, convention), invert_affine(to_piece)), size)


def warp(image: Image, affine: FloatArray, size: Size, out: Image | None = None) -> Image:  # (H, W, 3)
    """Sample an image bilinearly through an affine map from its pixels to the result's; zeros outside the image."""
    warped = cv2.warpAffine(image, affine, size, dst=out, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(warped, dtype=np.uint8)


def to_planes(images: Image) -> Tensor:  # (B, H, W, 3) -> (B, 3, H, W)
    """The same grey levels, still uint8, in planes one after the other."""
    # A mere permutation would be taken for channels-last, in which oneDNN 3 corrupts the heap in the backward pass of
    # narrow networks (four channels; torch 2.13 on the CPU).
    planes = np.empty((len(images), 3, *images.shape[1:3]), dtype=np.uint8)
    for image, out in zip(images, planes, strict=True):
        cv2.split(image, list(out))
    return torch.from_numpy(planes)


def to_input(planes: Tensor) -> Tensor:  # (B, 3, H, W)
    """Grey levels as a network takes them: float32 in [0, 1]."""
    return planes.to(torch.float32).div_(255)  # two steps: dividing bytes directly takes three times as long


def compose(second: FloatArray, first: FloatArray) -> FloatArray:  # (2, 3), (2, 3) -> (2, 3)
    """The affine map that applies ``first``, then ``second``."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def _reason_to_skip(person: Person, unlabelled: bool) -> str:
    if person.crowd:
        return "a crowd"
    return "" if unlabelled or person.labelled.any() else "no labelled keypoint"


def check_size(image: LabelledImage, pixels: Image, path: Path) -> None:  # pixels (H, W, 3)
    """Raise ``DataError`` if an image has another size than its annotation says."""
    height, width = pixels.shape[:2]
    if (width, height) != (image.width, image.height):
        problem = (
            f"the image is {width}x{height}, its annotation says {image.width}x{image.height}; correct one of them"
        )
        raise DataError(path, "", problem)


def _sample(
    pixels: Image, person: Person, crop: Crop, input_size: Size, reach: Reach, domain: Domain, file: str
) -> Sample:
    halves = half_body_crops(person.keypoints, input_size) if reach.halves else ()
    closest = min(max(half.size[0], crop.size[0] / 2) for half in (crop, *halves))
    scale = min(1.0, DENSITY * input_size[0] / closest)
    piece, to_piece = _cut_piece(pixels, _bounds((crop, *halves), reach, pixels), scale)
    return Sample(piece, to_piece, person.keypoints, crop, halves, domain, file)


def half_body_crops(keypoints: FloatArray, input_size: Size) -> tuple[Crop, ...]:
    """The windows of the upper and the lower body as DARK draws them, where more than two keypoints have labels.

    A window is centred on the mean of the keypoints; its size is their extent, grown to the input's aspect and by 1.5.
    """
    crops = []
    for half in (keypoints[:UPPER_BODY], keypoints[UPPER_BODY:]):
        points = half[half[:, 2] > 0, :2]
        if len(points) > 2:
            center = points.mean(axis=0)
            width, height = np.ptp(points, axis=0).tolist()  # from centre to centre, as DARK measures here
            grown = crop_around((0.0, 0.0, width, height), input_size, margin=HALF_BODY_MARGIN)
            if grown.size[0] > 2:
                crops.append(Crop((float(center[0]), float(center[1])), grown.size))
    return tuple(crops)


def _bounds(crops: Sequence[Crop], reach: Reach, image: Image) -> tuple[int, int, int, int]:
    """The whole pixels (x0, y0, x1, y1) of the image that some variant of some window touches."""
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for crop in crops:
        half = np.array(crop.size) / 2
        half = reach.scale * (np.full(2, np.hypot(*half)) if reach.turns else half) + 2
        low, high = np.minimum(low, crop.center - half), np.maximum(high, crop.center + half)
    limit = np.array([image.shape[1], image.shape[0]])
    x0, y0 = np.clip(np.floor(low), 0, limit - 1).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(high) + 1, (x0 + 1, y0 + 1), limit).astype(int).tolist()
    return x0, y0, x1, y1


def _cut_piece(image: Image, bounds: tuple[int, int, int, int], scale: float) -> tuple[Image, FloatArray]:
    """The piece within bounds, shrunk by about ``scale``, and the exact affine from the image to it."""
    x0, y0, x1, y1 = bounds
    view = image[y0:y1, x0:x1]
    if scale >= 1:
        return np.ascontiguousarray(view), np.array([[1.0, 0.0, -x0], [0.0, 1.0, -y0]])
    width, height = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    piece = np.asarray(cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    sx, sy = width / (x1 - x0), height / (y1 - y0)
    return piece, np.array([[sx, 0.0, (0.5 - x0) * sx - 0.5], [0.0, sy, (0.5 - y0) * sy - 0.5]])
