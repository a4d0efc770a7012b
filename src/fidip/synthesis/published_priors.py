"""Pose priors as they are published beside SMPL and SMIL: read as data, checked, given as plain arrays or as a prior.

Poses are SMPL's: axis-angle of the 23 joints below the root, in radians, one after the other, about the file's own axes
(y up, face along +z). :func:`to_our_axes` turns them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray
from fidip.errors import DataError
from fidip.files import unreadable
from fidip.pickles import read_pickle
from fidip.synthesis.bodies.smpl_files import AXES
from fidip.synthesis.fit_body import FitBody
from fidip.synthesis.fit_smpl import AXIS_ANGLE_NAMES
from fidip.synthesis.priors import PosePrior, read_prior

POSE = 69
"""Numbers in a pose without the root."""

MAHALANOBIS = "__main__.Mahalanobis"
"""The class under which SMIL's authors pickled their prior, from a script."""


@dataclass(frozen=True, slots=True, eq=False)
class MixtureFile:
    """A mixture of Gaussians over poses (``gmm_08.pkl``)."""

    means: FloatArray  # (M, 69)
    covariances: FloatArray  # (M, 69, 69)
    weights: FloatArray  # (M,) positive, sum to one


@dataclass(frozen=True, slots=True, eq=False)
class MahalanobisFile:
    """A Gaussian over poses as it is stored (``smil_pose_prior.pkl``).

    ``precision`` is the file's ``prec``, of which the file does not say whether it is a precision matrix or a factor of
    one; ``prefix`` is how many numbers of a whole pose, the root's, come before those that the prior is about.
    """

    mean: FloatArray  # (69,)
    precision: FloatArray  # (69, 69)
    prefix: int


def read_mixture(path: Path | str) -> MixtureFile:
    """The published mixture of pose Gaussians.

    Raises:
        DataError: the file cannot be read, is refused, or an array has another shape, is not finite, or is no weight or
            covariance.
    """
    stored = read_pickle(path, ["means", "covars", "weights"])
    weights = _numbers(path, "weights", stored["weights"])
    if weights.ndim != 1 or not len(weights):
        raise DataError(
            path, "weights", f"has the shape {weights.shape}, where one weight for each Gaussian is expected"
        )
    means = _numbers(path, "means", stored["means"], (len(weights), POSE))
    covariances = _numbers(path, "covars", stored["covars"], (len(weights), POSE, POSE))
    if weights.min() <= 0 or abs(weights.sum() - 1) > 1e-3:
        raise DataError(path, "weights", f"are not positive with the sum one (they sum to {weights.sum():.4g})")
    symmetric = np.allclose(covariances, covariances.swapaxes(1, 2), rtol=1e-4, atol=1e-8)
    if not symmetric or np.linalg.eigvalsh(covariances).min() <= 0:
        raise DataError(path, "covars", "holds a matrix that is no covariance; the file is damaged")
    return MixtureFile(means, covariances, weights / weights.sum())


def read_mahalanobis(path: Path | str) -> MahalanobisFile:
    """The published Gaussian over infants' poses.

    Raises:
        DataError: the file cannot be read, is refused, or an array has another shape or is not finite.
    """
    stored = read_pickle(path, ["mean", "prec", "prefix"], [MAHALANOBIS])
    mean = _numbers(path, "mean", stored["mean"])
    if mean.size != POSE:
        raise DataError(path, "mean", f"has the shape {mean.shape}, where {POSE} numbers are expected")
    prefix = stored["prefix"]
    value = prefix.item() if isinstance(prefix, np.ndarray) and prefix.size == 1 else prefix
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 6:
        raise DataError(path, "prefix", "is no count of the root's numbers, such as 3")
    return MahalanobisFile(mean.ravel(), _numbers(path, "prec", stored["prec"], (POSE, POSE)), value)


def published_prior(path: Path | str) -> PosePrior:
    """A published file as a prior over ``AXIS_ANGLE_NAMES``: which of the two it is, the class in its first bytes says.

    SMIL's is taken as its authors' class takes it, whose residual is (θ − μ) · prec: the precision matrix is
    prec · precᵀ. Raises ``DataError`` as :func:`read_mixture` and :func:`read_mahalanobis` do, and where ``prec`` has
    no inverse.
    """
    try:
        with Path(path).open("rb") as stream:
            beginning = stream.read(1024)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if MAHALANOBIS.rpartition(".")[2].encode() in beginning:
        stored = read_mahalanobis(path)
        means, covariances, weights = stored.mean[None], _covariance(path, stored.precision)[None], np.ones(1)
    else:
        mixture = read_mixture(path)
        means, covariances, weights = mixture.means, mixture.covariances, mixture.weights
    rows = to_our_axes(covariances)  # Σ Tᵀ
    turned = to_our_axes(rows.swapaxes(1, 2))
    try:
        return PosePrior(AXIS_ANGLE_NAMES, to_our_axes(means), (turned + turned.swapaxes(1, 2)) / 2, weights)
    except ValueError as error:
        raise DataError(path, "", f"not a usable pose prior: {error}") from error


def fitting_prior(path: Path | str, body: FitBody) -> PosePrior:
    """A prior for fitting a body: a published pickle, or an npz of ``fidip prior``.

    Raises ``DataError`` for anything else, or where it is over other numbers than those of the body's poses.
    """
    prior = published_prior(path) if Path(path).suffix in (".pkl", ".pickle") else read_prior(path)
    if prior.motions != body.motions:
        sizes = f"{len(prior.motions)} numbers ({prior.motions[0]}, …), the body's poses are {len(body.motions)}"
        raise DataError(path, "motions", f"over {sizes} ({body.motions[0]}, …); learn a prior from fits of this body")
    return prior


def to_our_axes(poses: FloatArray) -> FloatArray:  # (..., 69) -> (..., 69)
    """Poses about the files' axes as poses about this package's (z up, face along −y)."""
    return np.asarray((poses.reshape(*poses.shape[:-1], -1, 3) @ AXES.T).reshape(poses.shape))


def _covariance(path: Path | str, factor: FloatArray) -> FloatArray:  # (69, 69) -> (69, 69)
    if np.linalg.matrix_rank(factor) < len(factor):
        raise DataError(path, "prec", "has no inverse, so that some poses cost nothing; the file is damaged")
    inverse = np.linalg.inv(factor)
    return np.asarray(inverse.T @ inverse)


def _numbers(path: Path | str, name: str, value: Any, shape: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise DataError(path, name, "holds no numbers")
    if shape is not None and array.shape != shape:
        raise DataError(path, name, f"has the shape {array.shape}, where {shape} is expected")
    if not np.isfinite(array).all():
        raise DataError(path, name, "holds a value that is not finite; the file is damaged")
    return array.astype(np.float64)
