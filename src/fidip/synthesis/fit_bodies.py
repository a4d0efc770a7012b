"""Which bodies can be fitted, and how each is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fidip.errors import DataError
from fidip.smpl_joints import BONES
from fidip.synthesis.bodies import check_body
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.bodies.smpl import SmplBody
from fidip.synthesis.fit_body import AnatomicalBody, FitBody
from fidip.synthesis.fit_smpl import AXIS_ANGLES, AxisAngleBody, pose_vectors
from fidip.synthesis.fits import Fits
from fidip.synthesis.priors import ANATOMICAL, PoseSpace, ShapePrior

CPU = torch.device("cpu")
SHAPE_SIZE = 8
"""Directions of shape that are fitted: 99.9 % of the variance of what it does to the keypoints."""


def _anny(device: torch.device, dtype: torch.dtype) -> tuple[BodyModel, FitBody]:
    body = AnnyBody.load()
    return body, AnatomicalBody(body, ShapePrior.of_population(body), device, dtype, SHAPE_SIZE)


def _smpl(device: torch.device, dtype: torch.dtype, file: Path) -> tuple[BodyModel, FitBody]:
    body = SmplBody.load(file)
    return body, AxisAngleBody(body, device, dtype)


FIT_BODIES: dict[str, Callable[..., tuple[BodyModel, FitBody]]] = {"anny": _anny, "smpl": _smpl}
"""Bodies that can be fitted, the second of a user's file: the model itself, and what the fit sees of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Fittable:
    """A body that has been loaded for fitting."""

    name: str  # of FIT_BODIES
    model: BodyModel
    seen: FitBody

    @classmethod
    def load(cls, name: str, file: Path | None = None, device: torch.device = CPU) -> Fittable:
        """A body by its name, from ``file`` where it is of one, in double precision where the device has it.

        Raises:
            RecipeError: there is no such body, its file is missing, or it takes none.
            DataError: the file is no converted body.
        """
        check_body(name, file)
        dtype = torch.float32 if device.type == "mps" else torch.float64
        return cls(name, *FIT_BODIES[name](device, dtype, *(() if file is None else (file,))))


def fitted_poses(fits: Fits, file: Path) -> tuple[PoseSpace, NDArray[np.float64]]:  # (N, P)
    """The pose vectors of fits and what their numbers are called; a user's body needs no file for that.

    Raises ``DataError``, naming ``file``, for fits of a body that is not known, or of another version of it.
    """
    if fits.body == "smpl":
        if fits.bone_names != BONES:
            raise DataError(file, "bone_names", "not the joints of SMPL; fit anew")
        return AXIS_ANGLES, pose_vectors(fits.rotations)
    if fits.body not in FIT_BODIES:
        raise DataError(file, "body", f"fits of a body {fits.body!r}; known are {', '.join(FIT_BODIES)}")
    body = Fittable.load(fits.body)
    fits.check(file, body.model)
    poses = np.array([body.seen.pose(rotations) for rotations in fits.rotations])
    return ANATOMICAL, poses.reshape(-1, len(body.seen.motions))
