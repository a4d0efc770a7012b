"""What is known of infants' poses and shapes before a picture is seen: a mixture of Gaussians, and one Gaussian.

A pose prior lives in the numbers by which its body is posed (``PoseSpace``, radians): motions of joints for the bundled
body, whose prior is learnt from the sampler's poses by ``benchmarks/build_pose_prior.py``; ``smpl_prior`` carries it
over to users' bodies. Others are learnt from fits.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fidip.errors import DataError
from fidip.synthesis.anatomy import mirrored
from fidip.synthesis.arrays import read_arrays, write_arrays
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.protocol import Population
from fidip.synthesis.fit_motions import MOTION_NAMES

Array = NDArray[np.float64]

DEFAULT_PRIOR = Path(__file__).with_name("pose_prior.npz")
LOOSEST = math.radians(4.0)
"""Deviation that is added to every motion of a component: poses are never known better than that."""

MAX_COMPONENTS = 256
LEAST_PER_COMPONENT = 12
"""Poses, their mirror images counted, that a component must have to itself on average."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseSpace:
    """What the numbers of a pose vector are called, and what a mirror makes of them."""

    motions: tuple[str, ...]  # P names
    places: NDArray[np.intp]  # (P,) whose number each becomes
    signs: Array  # (P,) +1 or −1

    def mirrored(self, poses: Array) -> Array:  # (..., P) -> (..., P)
        """The poses as a mirror shows them."""
        return np.asarray(poses[..., self.places] * self.signs)


@dataclass(frozen=True, eq=False)
class PosePrior:
    """A mixture of Gaussians over pose vectors.

    Raises ``ValueError`` where shapes do not agree, or a covariance is not positive definite.
    """

    motions: tuple[str, ...]  # P names, in the order of the pose vector
    means: Array  # (C, P) radians
    covariances: Array  # (C, P, P)
    weights: Array  # (C,) summing to one

    def __post_init__(self) -> None:
        C, P = len(self.weights), len(self.motions)
        shapes = (self.means.shape, self.covariances.shape, self.weights.shape)
        if C == 0 or shapes != ((C, P), (C, P, P), (C,)):
            raise ValueError(f"expected means (C, {P}), covariances (C, {P}, {P}) and weights (C,), found {shapes}")
        if not all(np.isfinite(array).all() for array in (self.means, self.covariances, self.weights)):
            raise ValueError("holds values that are not finite")
        if (self.weights <= 0).any() or abs(self.weights.sum() - 1) > 1e-4:
            raise ValueError("the weights are not positive or do not sum to one")
        if not np.allclose(self.covariances, self.covariances.swapaxes(1, 2), rtol=1e-5, atol=1e-9):
            raise ValueError("a covariance is not symmetric")
        if (np.linalg.eigvalsh(self.covariances)[:, 0] <= 0).any():
            raise ValueError("a covariance is not positive definite")

    @cached_property
    def precisions(self) -> Array:  # (C, P, P)
        """Inverses of the covariances."""
        return np.asarray(np.linalg.inv(self.covariances))

    @cached_property
    def roots(self) -> Array:  # (C, P, P)
        """Cholesky roots of the covariances: what turns independent normal numbers into a pose's deviation."""
        return np.asarray(np.linalg.cholesky(self.covariances))

    @cached_property
    def costs(self) -> Array:  # (C,)
        """−log g of each component: its weight over its volume, the volume relative to the smallest one's."""
        volumes = np.linalg.slogdet(self.covariances)[1] / 2
        P = self.means.shape[1]
        return np.asarray(-np.log(self.weights) + P / 2 * math.log(2 * math.pi) + volumes - volumes.min())

    def energy(self, poses: Array) -> Array:  # (N, P) -> (N,)
        """min over components of ½ (θ − μ)ᵀ Σ⁻¹ (θ − μ) − log g: METHOD's pose term (SMPLify, eq. 2)."""
        away = poses[:, None] - self.means
        return np.asarray((0.5 * np.einsum("ncp,cpq,ncq->nc", away, self.precisions, away) + self.costs).min(1))

    def save(self, path: Path | str) -> None:
        """Write an npz that ``read_prior`` reads. Raises ``StorageError``."""
        arrays = {name: getattr(self, name).astype(np.float32) for name in ("means", "covariances", "weights")}
        write_arrays(path, {"motions": np.array(self.motions), **arrays})


@dataclass(frozen=True, slots=True, eq=False)
class ShapePrior:
    """One Gaussian over a body model's shape coefficients."""

    mean: Array  # (S,)
    covariance: Array  # (S, S)

    @classmethod
    def of_population(cls, body: AnnyBody, population: Population = "infant") -> ShapePrior:
        """The mean and covariance of a population's measured bodies."""
        shapes = body.shapes(population).astype(np.float64)
        return cls(shapes.mean(0), np.cov(shapes, rowvar=False))

    def directions(self, effects: Array, count: int) -> Array:  # (S, M) -> (count, S)
        """Orthonormal directions of the whitened shape, those first that change ``effects @ shape`` the most.

        The squared length of their coefficients is the Mahalanobis distance from the mean.
        """
        root = np.linalg.cholesky(self.covariance)
        towards, _, _ = np.linalg.svd(root.T @ effects, full_matrices=False)
        return np.asarray((root @ towards[:, :count]).T)


_MARKED = mirrored({name: float(place + 1) for place, name in enumerate(MOTION_NAMES)})
ANATOMICAL = PoseSpace(
    MOTION_NAMES,
    np.array([abs(int(_MARKED[name])) - 1 for name in MOTION_NAMES]),
    np.array([math.copysign(1, _MARKED[name]) for name in MOTION_NAMES]),
)
"""The bundled body's motions."""


def learn_prior(poses: Array, components: int, seed: int = 0, space: PoseSpace = ANATOMICAL) -> PosePrior:  # (N, P)
    """A mixture for poses and their mirror images: at most ``components`` Gaussians, and the mirror image of each.

    Covariances are shrunk towards their diagonal by P / (P + n), with n the poses of a component, and loosened by
    ``LOOSEST``, so that few poses give a prior that is wide rather than wrong. There are fewer components than asked
    where they would have less than ``LEAST_PER_COMPONENT`` poses each. Raises ``ValueError`` for fewer than two poses.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if len(poses) < 2:
        raise ValueError(f"a prior needs at least two poses, found {len(poses)}")
    both = np.concatenate([poses, space.mirrored(poses)])
    components = max(1, min(components, len(both) // LEAST_PER_COMPONENT))
    mixture = GaussianMixture(components, reg_covar=LOOSEST**2, random_state=seed, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(both)
    P, counts = both.shape[1], mixture.weights_ * len(both)
    share = (P / (P + counts))[:, None, None]
    covariances = (1 - share) * mixture.covariances_ + share * (mixture.covariances_ * np.eye(P))
    covariances = (covariances + covariances.swapaxes(1, 2)) / 2
    return with_mirror_images(space, mixture.means_, covariances, mixture.weights_)


def with_mirror_images(space: PoseSpace, means: Array, covariances: Array, weights: Array) -> PosePrior:
    """A mixture (C, P), (C, P, P), (C,) of its Gaussians and, after them in the same order, their mirror images."""
    turned = space.mirrored(space.mirrored(covariances).swapaxes(1, 2))  # rows and columns
    return PosePrior(
        space.motions,
        np.concatenate([means, space.mirrored(means)]),
        np.concatenate([covariances, turned]),
        np.tile(weights / 2, 2),
    )


def pose_vector(angles: dict[str, float]) -> Array:  # (P,)
    """A pose vector in radians from motions in degrees (``anatomy``'s words)."""
    return np.radians([angles[name] for name in MOTION_NAMES])


def read_prior(path: Path | str) -> PosePrior:
    """A prior that ``PosePrior.save`` wrote. Raises ``DataError`` for anything else."""
    arrays = read_arrays(
        path, ("motions", "means", "covariances", "weights"), "a pose prior; make one with fidip prior"
    )
    if arrays["motions"].dtype.kind != "U" or arrays["motions"].ndim != 1:
        raise DataError(path, "motions", f"expected names, found {arrays['motions'].dtype}")
    if arrays["weights"].size > MAX_COMPONENTS:
        raise DataError(path, "weights", f"more than {MAX_COMPONENTS} components")
    try:
        means, covariances, weights = (arrays[name].astype(np.float64) for name in ("means", "covariances", "weights"))
        motions = tuple(map(str, arrays["motions"].tolist()))
        return PosePrior(motions, means, (covariances + covariances.swapaxes(-1, -2)) / 2, weights)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise DataError(path, "", f"not a usable pose prior: {error}") from error


@cache
def default_prior() -> PosePrior:
    """The prior that comes with the package, learnt from the sampler's infants."""
    return read_prior(DEFAULT_PRIOR)
