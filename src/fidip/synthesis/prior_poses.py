"""Infants whose limbs are drawn from a pose prior, and who take the posture in which such limbs can rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fidip.errors import DataError, RecipeError
from fidip.files import sha256_of
from fidip.synthesis.anatomy import bone_rotations
from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.fit_motions import MOTION_NAMES
from fidip.synthesis.laying import canonical_roots, lying_faults, posture_shares
from fidip.synthesis.mending import lay_down
from fidip.synthesis.plausibility import Fault
from fidip.synthesis.poses import Pose
from fidip.synthesis.postures import YEARS, Posture
from fidip.synthesis.priors import DEFAULT_PRIOR, PosePrior, read_prior
from fidip.synthesis.scene import SceneStyle, Subject, draw_posture, draw_shape, resting_subject
from fidip.synthesis.varying import within_limits

DEFAULT = "default"
"""The word for the prior that comes with the package."""

ATTEMPTS = 8
"""Draws of limbs for one posture of one image."""

CHOICE, LEAST_SHARE = 24, 1e-6
"""So many limbs are drawn for one that suits a posture; a prior that knows none for it still gives some."""


@dataclass(frozen=True, slots=True)
class PriorPoses:
    """A file of ``fidip prior`` from which poses are drawn."""

    file: Path
    sha256: str

    @classmethod
    def open(cls, name: str) -> PriorPoses:
        """A prior by its file, or the package's own as ``default``.

        Raises ``DataError`` for anything else, and for a prior of another body than the one that images show.
        """
        file = DEFAULT_PRIOR if name == DEFAULT else Path(name)
        prior = read_prior(file)
        if prior.motions != MOTION_NAMES:
            problem = "a prior of another body than the one that images are made of"
            raise DataError(file, "motions", f"{problem}; learn one from fits with --body anny, or give {DEFAULT}")
        return cls(file, sha256_of(file))

    def to_json(self) -> dict[str, Any]:
        """What of it decides the bytes of a run."""
        return {"sha256": self.sha256}

    def draw(self, rng: np.random.Generator, body: BodyModel, style: SceneStyle) -> Subject:
        """Somebody of a style with limbs of this prior, at rest on the floor.

        The posture is drawn by the style's weights, the limbs by how likely they are in it. Where they cannot rest in
        it, even mended, others are drawn, and after ``ATTEMPTS`` another posture. Raises ``RecipeError`` where no draw
        rests in any.
        """
        prior = _prior(self.file, self.sha256)
        body_seed = int(rng.integers(2**31))
        first = draw_posture(rng, style)
        shape, years = draw_shape(np.random.default_rng(body_seed), body, style, first)
        refused: list[tuple[Fault, ...]] = []
        for posture in (first, *_others(rng, style, first, years)):
            for _ in range(ATTEMPTS):
                angles = draw_limbs(rng, prior, posture)
                roots = canonical_roots(posture, angles)
                rotations = bone_rotations(angles, body.bone_names)
                rotations[0] = roots[int(rng.integers(len(roots)))]
                resting, faults = lay_down(
                    body, shape, Pose(posture, style.population, rotations, np.zeros(3, np.float32))
                )
                faults = faults or lying_faults(body, resting)
                if not faults:
                    known = {"years": years, "body_seed": body_seed, "refused": tuple(refused)}
                    return resting_subject(resting, shape.numpy(), **known)
                refused.append(faults)
        raise RecipeError(f"{self.file}: no pose drawn from this prior can rest on a floor; give another one")


def draw_limbs(rng: np.random.Generator, prior: PosePrior, posture: Posture) -> dict[str, float]:
    """Motions in degrees, the likelier the more they look like those of a posture rather than of the others."""
    drawn = [draw_motions(rng, prior) for _ in range(CHOICE)]
    shares = np.array([posture_shares(angles)[posture] for angles in drawn]) + LEAST_SHARE
    return drawn[int(rng.choice(CHOICE, p=shares / shares.sum()))]


def draw_motions(rng: np.random.Generator, prior: PosePrior) -> dict[str, float]:
    """Motions in degrees from the mixture, within the limits of joints."""
    component = int(rng.choice(len(prior.weights), p=prior.weights / prior.weights.sum()))
    pose = np.degrees(prior.means[component] + prior.roots[component] @ rng.standard_normal(len(prior.motions)))
    return within_limits(dict(zip(MOTION_NAMES, pose.tolist(), strict=True)))


def _others(rng: np.random.Generator, style: SceneStyle, first: Posture, years: float | None) -> list[Posture]:
    """The style's other postures that somebody of this age takes, in an order drawn by their weights."""
    able = [posture for posture in style.postures if posture != first and _takes(style, posture, years)]
    weights: NDArray[np.float64] = np.array([style.postures[posture] for posture in able])
    if not able:
        return []
    return [able[place] for place in rng.choice(len(able), len(able), replace=False, p=weights / weights.sum())]


def _takes(style: SceneStyle, posture: Posture, years: float | None) -> bool:
    low, high = YEARS.get((style.population, posture), (0.0, np.inf))
    return years is None or low <= years <= high


@lru_cache(maxsize=1)
def _prior(file: Path, sha256: str) -> PosePrior:
    if sha256_of(file) != sha256:
        raise DataError(file, "", "has changed since the run began; start a new one")
    return read_prior(file)
