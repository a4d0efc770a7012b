"""Folders of the user's own pictures: cloth for clothes and blankets, backgrounds to put behind a body.

They are opened before anything is rendered: every file is decoded once, those that cannot be used are named in a
warning and left out, and a fingerprint of the rest becomes part of a run's settings. Pictures are read again whenever a
scene wants one, so that a folder may be larger than the memory.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class PictureFolder:
    """The usable pictures of a folder, sorted by name."""

    folder: Path
    files: tuple[str, ...]
    sha256: str  # over the names and the bytes of these files

    @classmethod
    def open(cls, folder: Path) -> PictureFolder:
        """Look through a folder; what cannot be used is left out with a warning that names it.

        Raises:
            DataError: the folder cannot be listed.
            RecipeError: no picture in it can be used.
        """
        try:
            names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise unreadable(folder, error) from error
        usable, digest = [], hashlib.sha256()
        for name in names:
            if name.startswith("."):
                continue
            try:
                _check(folder / name)
            except ImageError as error:
                warnings.warn(DataWarning(f"{error}: left out"), stacklevel=2)
                continue
            usable.append(name)
            digest.update(f"{name}\0{sha256_of(folder / name)}\n".encode())
        if not usable:
            raise RecipeError(f"{folder}: no picture in it can be used; put JPEG or PNG files there")
        return cls(folder, tuple(usable), digest.hexdigest())

    def read(self, index: int) -> RGBImage:  # (H, W, 3)
        """One picture. Raises ``ImageError`` where the file is no longer what it was when the folder was opened."""
        return read_image(self.folder / self.files[index])


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

    @classmethod
    def open(cls, textures: Path | None, backgrounds: Path | None) -> UserPictures:
        """Look through the folders that were named. Raises as :meth:`PictureFolder.open`."""
        return cls(*(None if folder is None else PictureFolder.open(folder) for folder in (textures, backgrounds)))

    def fingerprints(self) -> dict[str, str]:
        """What of the folders decides the bytes of a run."""
        named = {"textures": self.textures, "backgrounds": self.backgrounds}
        return {name: folder.sha256 for name, folder in named.items() if folder is not None}


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


def backdrop(pixels: RGBImage) -> RGBImage:
    """A picture as a background: as it is, or shrunk to ``LARGEST_BACKGROUND``."""
    scale = LARGEST_BACKGROUND / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    height, width = (max(round(side * scale), 1) for side in pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
