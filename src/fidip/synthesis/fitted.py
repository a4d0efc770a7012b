"""Bodies that were fitted to poses as the subjects of images: the procedure of the paper (§4.2).

A hundred fits are chosen at random, each is shown in ten turns, and a part of these images is kept. What the authors
sorted out by hand never gets here: only fits that were found plausible are chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fidip.errors import DataError, RecipeError
from fidip.files import read_json, sha256_of
from fidip.synthesis.bodies import OF_A_FILE, BodyChoice
from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.fits import FITS, RECORD, Fits, read_fits
from fidip.synthesis.framing import View
from fidip.synthesis.scene import SceneStyle, Subject

TURN = np.array([1.0, -1.0, -1.0]) * np.pi / 11
"""From one image of a body to the next, added to the root's axis-angle components as in the published renderer."""

AS_FITTED = View(weight=1.0, elevation=(-8, 8), azimuth=(-8, 8), roll=(0, 0))
"""From where the fit's camera stood: upright in the picture is upright in the world."""

TOWARDS_CAMERA = -np.pi / 2
"""The camera of a fit looks along y."""


@dataclass(frozen=True, slots=True)
class FittedBodies:
    """Chosen fits of a folder of ``fidip fit``, and in which turns each is shown.

    ``shown`` holds (row of the fits, turn) of every image.
    """

    file: Path
    sha256: str
    shown: tuple[tuple[int, int], ...]

    @classmethod
    def open(cls, folder: Path, select: int | None, rotations: int, keep: int | None, seed: int) -> FittedBodies:
        """Choose ``select`` plausible fits (``None``: all), ``rotations`` turns of each, ``keep`` images of these.

        Raises:
            DataError: the folder is not one of ``fidip fit``.
            RecipeError: there are too few plausible fits, or fewer images than are to be kept.
        """
        file = folder / FITS
        fits = read_fits(file)
        plausible = _plausible(folder / RECORD)
        rows = np.flatnonzero([plausible.get(int(one), False) for one in fits.ids])
        wanted = len(rows) if select is None else select
        if not 1 <= wanted <= len(rows):
            problem = f"{len(rows)} of {len(fits)} fits are plausible, {wanted} are asked for"
            raise RecipeError(f"{folder}: {problem}; give a smaller --select or fit more poses")
        if rotations < 1:
            raise RecipeError(f"--rotations {rotations}: at least one picture of each body is needed")
        rng = np.random.default_rng([seed, 0xF17])
        chosen = np.sort(rng.choice(rows, wanted, replace=False))
        every = [(int(row), turn) for row in chosen for turn in range(rotations)]
        kept = len(every) if keep is None else keep
        if not 1 <= kept <= len(every):
            raise RecipeError(f"--keep {kept}: {wanted} bodies in {rotations} turns make {len(every)} images")
        places = np.sort(rng.choice(len(every), kept, replace=False))
        return cls(file, sha256_of(file), tuple(every[place] for place in places))

    def check(self, choice: BodyChoice) -> None:
        """Raise ``DataError`` where the fits are not of this body, to the very file where their record names one."""
        fits = _fits(self.file, self.sha256)
        if fits.body != choice.name:
            remedy = "--body smpl --body-file BODY.npz" if fits.body in OF_A_FILE else f"--body {fits.body}"
            raise DataError(self.file, "body", f"fits of the body {fits.body}, not {choice.name}; give {remedy}")
        fits.check(self.file, choice.load())
        record = self.file.with_name(RECORD)
        match read_json(record):
            case {"settings": {"body_sha256": str(known)}} if choice.file is not None and known != choice.sha256:
                problem = f"the fits are of another file than {choice.file}; give the one that they were made with"
                raise DataError(record, "settings.body_sha256", problem)

    def to_json(self) -> dict[str, Any]:
        """What of it decides the bytes of a run."""
        return {"sha256": self.sha256, "shown": [list(one) for one in self.shown]}

    def subject(self, number: int, body: BodyModel) -> Subject:
        """Who is in the image of a number. Raises ``DataError`` where the fits are of another body, or have changed."""
        fits = _fits(self.file, self.sha256)
        fits.check(self.file, body)
        row, turn = self.shown[number]
        rotations = fits.rotations[row].copy()
        rotations[0] += (turn * TURN).astype(np.float32)
        with torch.no_grad():
            posed = body(torch.from_numpy(fits.shape[row])[None], torch.from_numpy(rotations)[None], torch.zeros(1, 3))
        return Subject(
            shape=fits.shape[row],
            rotations=rotations,
            translation=np.zeros(3, np.float32),
            vertices=posed.vertices[0].numpy(),
            joints=posed.joints[0].numpy(),
            keypoints=posed.keypoints[0].numpy().astype(np.float64),
            heading=TOWARDS_CAMERA,
            origin=f"fit {fits.ids[row]}",
        )


def as_fitted(style: SceneStyle) -> SceneStyle:
    """A style that shows fitted bodies.

    Raises ``RecipeError`` for one with a floor: keypoints do not tell where gravity points.
    """
    if style.photographed or style.population != "infant":
        raise RecipeError("--fits: fitted infants have no floor to lie on; give --population infant --renderer flat")
    return replace(style, views=(AS_FITTED,))


def _plausible(file: Path) -> dict[int, bool]:
    record = read_json(file)
    entries = record.get("fits") if isinstance(record, dict) else None
    if not isinstance(entries, list):
        raise DataError(file, "fits", "expected a list; name a folder of fidip fit")
    found = {}
    for index, entry in enumerate(entries):
        match entry:
            case {"id": int(identity), "plausible": bool(plausible)}:
                found[identity] = plausible
            case _:
                raise DataError(file, f"fits[{index}]", "expected an id and whether it is plausible")
    return found


@lru_cache(maxsize=1)
def _fits(file: Path, sha256: str) -> Fits:
    if sha256_of(file) != sha256:
        raise DataError(file, "", "has changed since the run began; start a new one")
    return read_fits(file)
