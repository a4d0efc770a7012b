"""Folders of the user's own pictures: cloth for clothes and blankets, whole bodies, backgrounds to put behind them.

They are opened before anything is rendered: every file is decoded once, those that cannot be used are named in a
warning and left out, and a fingerprint of the rest becomes part of a run's settings. Pictures are read again whenever a
scene wants one, so that a folder may be larger than the memory.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np

from fidip.errors import DataWarning, ImageError, RecipeError
from fidip.files import sha256_of, unreadable
from fidip.images import RGBImage, image_size, read_image
from fidip.synthesis.textures import Texture

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")

SMALLEST = 32
"""Pixels: a picture with a shorter side shows nothing when it is enlarged."""

LARGEST_BACKGROUND = 1600
"""Pixels of the longer side of a background that is handed on; a larger one is shrunk."""

LARGEST_BODY = 1024
"""Texels of the edge of a body's texture; a larger picture is shrunk."""

BODY_KINDS = ("infant", "clothing")
"""Sub-folders of a folder of body textures: bare infants with a diaper, and people in clothes."""

EVERYTHING: Mapping[str, int] = MappingProxyType({})
"""No kind of picture is limited in number."""


@dataclass(frozen=True, slots=True)
class PictureFolder:
    """The usable pictures of a folder, sorted by name."""

    folder: Path
    files: tuple[str, ...]
    sha256: str  # over the names and the bytes of these files
    hashes: tuple[str, ...]  # of each file

    @classmethod
    def open(cls, folder: Path, count: int | None = None, seed: int = 0) -> PictureFolder:
        """Look through a folder; what cannot be used is left out with a warning that names it.

        ``count`` chooses so many of the pictures by ``seed``; only these and the unusable ones that were drawn before
        them are decoded.

        Raises:
            DataError: the folder cannot be listed.
            RecipeError: no picture in it can be used, or fewer than ``count``.
        """
        try:
            names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise unreadable(folder, error) from error
        names = [name for name in names if not name.startswith(".")]
        if count is not None:
            names = [names[place] for place in np.random.default_rng([seed, 0x9C7]).permutation(len(names))]
        usable = sorted(islice(_usable(folder, names), count))
        if not usable:
            raise RecipeError(f"{folder}: no picture in it can be used; put JPEG or PNG files there")
        if count is not None and len(usable) < count:
            problem = f"{count} pictures are needed, {len(usable)} of those in it can be used"
            raise RecipeError(f"{folder}: {problem}; add some, or ask for fewer by --take")
        hashes = tuple(sha256_of(folder / name) for name in usable)
        together = "".join(f"{name}\0{own}\n" for name, own in zip(usable, hashes, strict=True))
        return cls(folder, tuple(usable), hashlib.sha256(together.encode()).hexdigest(), hashes)

    def read(self, index: int) -> RGBImage:  # (H, W, 3)
        """One picture. Raises ``ImageError`` where the file is no longer what it was when the folder was opened."""
        path = self.folder / self.files[index]
        image = read_image(path)
        if sha256_of(path) != self.hashes[index]:
            raise ImageError(path, "has changed since the run began; start a new one")
        return image


def _usable(folder: Path, names: list[str]) -> Iterator[str]:
    for name in names:
        try:
            _check(folder / name)
        except ImageError as error:
            warnings.warn(DataWarning(f"{error}: left out"), stacklevel=4)
            continue
        yield name


def _check(path: Path) -> None:
    if min(image_size(path)) < SMALLEST:
        width, height = image_size(path)
        raise ImageError(path, f"{width}x{height} pixels; a side of at least {SMALLEST} is needed")
    read_image(path)


@dataclass(frozen=True, slots=True)
class UserPictures:
    """What a user adds to an asset bank."""

    textures: PictureFolder | None = None  # cloth
    backgrounds: PictureFolder | None = None
    bodies: tuple[PictureFolder, ...] = ()  # whole bodies in SMPL's layout, skin and clothes in one
    only_theirs: bool = False  # no background but the user's

    @classmethod
    def open(
        cls, textures: Path | None, backgrounds: Path | None, bodies: Path | None = None,
        take: Mapping[str, int] = EVERYTHING, seed: int = 0,
    ) -> UserPictures:  # fmt: skip
        """Look through the folders that were named.

        ``bodies`` holds pictures, or its sub-folders ``BODY_KINDS`` do. ``take`` says how many of a
        kind are chosen, by ``seed``: ``backgrounds``, or the name of a sub-folder; of other kinds all are taken.

        Raises:
            DataError: a folder cannot be listed.
            RecipeError: no picture of a folder can be used, or too few, or a sub-folder of which some are wanted is
                missing.
        """
        return cls(
            None if textures is None else PictureFolder.open(textures),
            None if backgrounds is None else PictureFolder.open(backgrounds, take.get("backgrounds"), seed),
            () if bodies is None else _body_folders(bodies, take, seed),
        )

    def fingerprints(self) -> dict[str, str | bool]:
        """What of the folders decides the bytes of a run."""
        named = {"textures": self.textures, "backgrounds": self.backgrounds}
        named |= {f"bodies {number}": folder for number, folder in enumerate(self.bodies)}
        found: dict[str, str | bool] = {name: folder.sha256 for name, folder in named.items() if folder is not None}
        return found | ({"only_theirs": True} if self.only_theirs else {})


def _body_folders(folder: Path, take: Mapping[str, int], seed: int) -> tuple[PictureFolder, ...]:
    kinds = [folder / kind for kind in BODY_KINDS if (folder / kind).is_dir()]
    for kind in BODY_KINDS:
        if kind in take and folder / kind not in kinds:
            problem = f"no sub-folder {kind}, where {take[kind]} textures are looked for"
            raise RecipeError(f"{folder}: {problem}; sort the textures into {' and '.join(BODY_KINDS)}")
    if not kinds:
        return (PictureFolder.open(folder),)
    return tuple(PictureFolder.open(kind, take.get(kind.name), seed) for kind in kinds)


def cloth(pixels: RGBImage, size: int) -> Texture:  # (H, W, 3) -> (size, size, 4)
    """A picture as cloth: its middle square, mirrored both ways so that it repeats without a seam."""
    side, half = min(pixels.shape[:2]), size // 2
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    way = cv2.INTER_AREA if side > half else cv2.INTER_LINEAR
    quarter = np.asarray(cv2.resize(square, (half, half), interpolation=way), np.uint8)
    row = np.concatenate([quarter, quarter[:, ::-1]], axis=1)
    whole = np.concatenate([row, row[::-1]], axis=0)
    return np.concatenate([whole, np.full((size, size, 1), 255, np.uint8)], axis=2)


def body_texture(pixels: RGBImage) -> Texture:  # (H, W, 3) -> (S, S, 4)
    """A picture of a whole body: squared, as the unit square of its layout is, and at most ``LARGEST_BODY`` wide."""
    size = min(max(pixels.shape[:2]), LARGEST_BODY)
    way = cv2.INTER_AREA if max(pixels.shape[:2]) > size else cv2.INTER_LINEAR
    square = cv2.resize(pixels, (size, size), interpolation=way) if pixels.shape[:2] != (size, size) else pixels
    return np.concatenate([square, np.full((size, size, 1), 255, np.uint8)], axis=2)


def backdrop(pixels: RGBImage) -> RGBImage:
    """A picture as a background: as it is, or shrunk to ``LARGEST_BACKGROUND``."""
    scale = LARGEST_BACKGROUND / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    height, width = (max(round(side * scale), 1) for side in pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
