"""Fitted bodies as arrays, and the one file that holds them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fidip.errors import DataError
from fidip.synthesis.arrays import finite, read_arrays, write_arrays
from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.camera import Camera

CAMERA_ROTATION = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""World -> camera of every fit: the picture's up is the world's z, the camera stands at the origin and looks along y.
Where gravity points is not known from keypoints."""

FITS, RECORD = "fits.npz", "fits.json"
"""What ``fidip fit`` leaves in its folder: the bodies as arrays, and what is said of each."""

WHAT = f"the {FITS} of fidip fit"


@dataclass(frozen=True, slots=True, eq=False)
class Fits:
    """N fitted bodies: what ``BodyModel`` takes to pose them and ``Camera`` to project them."""

    ids: NDArray[np.int64]  # (N,) of the annotations
    image_ids: NDArray[np.int64]  # (N,)
    shape: NDArray[np.float32]  # (N, S)
    rotations: NDArray[np.float32]  # (N, J, 3) axis-angle, radians, the root's first
    translation: NDArray[np.float32]  # (N, 3) metres
    focal: NDArray[np.float64]  # (N,) pixels
    principal: NDArray[np.float64]  # (N, 2) pixels
    size: NDArray[np.int64]  # (N, 2) width and height of the image
    camera_rotation: NDArray[np.float64]  # (N, 3, 3) world -> camera
    camera_position: NDArray[np.float64]  # (N, 3) metres
    bone_names: tuple[str, ...]  # J
    body: str  # of BODY_MODELS

    def __len__(self) -> int:
        return len(self.ids)

    def camera(self, index: int) -> Camera:
        """The camera of one fit."""
        (x, y), (width, height) = self.principal[index].tolist(), self.size[index].tolist()
        return Camera(
            float(self.focal[index]),
            (x, y),
            (width, height),
            self.camera_rotation[index],
            self.camera_position[index],
        )

    def check(self, path: Path | str, body: BodyModel) -> None:
        """Raise ``DataError`` where the fits are of another body than this one."""
        expected, found = (len(body.bone_names), body.shape_size), (len(self.bone_names), self.shape.shape[1])
        if self.bone_names != body.bone_names or expected != found:
            raise DataError(path, "bone_names", f"fits of another body than this version's {self.body}; fit anew")


def write_fits(path: Path | str, fits: Fits) -> None:
    """Write an npz that ``read_fits`` reads. Raises ``StorageError``."""
    write_arrays(path, {field.name: np.array(getattr(fits, field.name)) for field in fields(Fits)})


def read_fits(path: Path | str) -> Fits:
    """Fits that ``write_fits`` wrote: shapes, numbers and cameras checked, nothing in the file is run.

    Raises ``DataError`` for anything else; the message names the file and the array.
    """
    arrays: dict[str, Any] = read_arrays(path, [field.name for field in fields(Fits)], WHAT)
    N, J = arrays["ids"].size, arrays["bone_names"].size
    S = arrays["shape"].shape[-1] if arrays["shape"].ndim == 2 else 0
    shapes = {
        "ids": (N,), "image_ids": (N,), "shape": (N, S), "rotations": (N, J, 3), "translation": (N, 3),
        "focal": (N,), "principal": (N, 2), "size": (N, 2), "camera_rotation": (N, 3, 3), "camera_position": (N, 3),
    }  # fmt: skip
    numbers = {name: finite(path, name, arrays[name], shape) for name, shape in shapes.items()}
    for name in ("bone_names", "body"):
        if arrays[name].dtype.kind != "U":
            raise DataError(path, name, f"expected names, found {arrays[name].dtype}: not {WHAT}")
    if len(set(numbers["ids"].tolist())) != N:
        raise DataError(path, "ids", "an id stands there more than once")
    turns = numbers["camera_rotation"]
    if not np.allclose(turns @ turns.swapaxes(1, 2), np.eye(3), atol=1e-4) or (np.linalg.det(turns) < 0).any():
        raise DataError(path, "camera_rotation", "not rotations")
    for name in ("focal", "size"):
        if (numbers[name] <= 0).any():
            raise DataError(path, name, "expected positive numbers")
    whole = {name: numbers[name].astype(np.int64) for name in ("ids", "image_ids", "size")}
    single = {name: numbers[name].astype(np.float32) for name in ("shape", "rotations", "translation")}
    bones, body = tuple(map(str, arrays["bone_names"].tolist())), str(arrays["body"])
    return Fits(**{**numbers, **whole, **single}, bone_names=bones, body=body)  # type: ignore[arg-type]
