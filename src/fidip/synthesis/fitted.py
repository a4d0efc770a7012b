"""Bodies that were fitted to poses as the subjects of images: the procedure of the paper (§4.2).

A hundred fits are chosen at random, each is shown in ten turns, and a part of these images is kept. What the authors
sorted out by hand never gets here: only fits that were found plausible are chosen.

In scenes with a floor the bodies lie on it (``laying.py``), and the turns are views: each image has its own camera.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fidip.errors import DataError, DataWarning, RecipeError
from fidip.files import read_json, sha256_of
from fidip.synthesis.bodies import OF_A_FILE, BodyChoice
from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.fits import FITS, RECORD, Fits, read_fits
from fidip.synthesis.framing import View
from fidip.synthesis.laying import lay, lay_as, posture_of
from fidip.synthesis.plausibility import Fault
from fidip.synthesis.postures import Posture
from fidip.synthesis.scene import SceneStyle, Subject, resting_subject
from fidip.synthesis.threads import single_thread
from fidip.synthesis.varying import vary_floating, vary_lying

TURN = np.array([1.0, -1.0, -1.0]) * np.pi / 11
"""From one image of a body to the next, added to the root's axis-angle components as in the published renderer."""

JOINTED = "anny"
"""The body whose joints' motions are known, so that they can be varied."""

AS_FITTED = View(weight=1.0, elevation=(-8, 8), azimuth=(-8, 8), roll=(0, 0))
"""From where the fit's camera stood: upright in the picture is upright in the world."""

TOWARDS_CAMERA = -np.pi / 2
"""The camera of a fit looks along y."""


MOST_VARIED = 45.0
"""Degrees of noise beyond which a pose has nothing left of its fit."""


@dataclass(frozen=True, slots=True)
class FittedBodies:
    """Chosen fits of a folder of ``fidip fit``, and in which turns each is shown.

    ``shown`` holds (row of the fits, turn) of every image; ``lying``, for scenes with a floor, how each row rests:
    posture and orientation of the root. ``vary`` is the deviation, in degrees, of the noise on joints' motions.
    """

    file: Path
    sha256: str
    shown: tuple[tuple[int, int], ...]
    lying: Mapping[int, tuple[Posture, tuple[float, ...]]] | None = None
    not_laid: Mapping[int, str] = field(default_factory=dict)  # ids of plausible fits that can rest in no way, and why
    vary: float = 0.0

    @classmethod
    def open(
        cls, folder: Path, select: int | None, rotations: int, keep: int | None, seed: int,
        floor: BodyChoice | None = None,
    ) -> FittedBodies:  # fmt: skip
        """Choose ``select`` plausible fits (``None``: all), ``rotations`` turns of each, ``keep`` images of these.

        ``floor`` is their body where they are to be laid on one: then only fits that can be are chosen, and a warning
        names the others.

        Raises:
            DataError: the folder is not one of ``fidip fit``, or its bodies are not those to be laid down.
            RecipeError: there are too few plausible fits, or fewer images than are to be kept.
        """
        file = folder / FITS
        fits = read_fits(file)
        plausible, postures = _recorded(folder / RECORD)
        rows = np.flatnonzero([plausible.get(int(one), False) for one in fits.ids])
        wanted = len(rows) if select is None else select
        if not 1 <= wanted <= len(rows):
            problem = f"{len(rows)} of {len(fits)} fits are plausible, {wanted} are asked for"
            raise RecipeError(f"{folder}: {problem}; give a smaller --select or fit more poses")
        if rotations < 1:
            raise RecipeError(f"--rotations {rotations}: at least one picture of each body is needed")
        rng = np.random.default_rng([seed, 0xF17])
        chosen = np.sort(rng.choice(rows, wanted, replace=False))
        lying: dict[int, tuple[Posture, tuple[float, ...]]] | None = None
        not_laid: dict[int, str] = {}
        if floor is not None:
            _check_body(file, fits, floor)
            order = rng.permutation(rows)
            lying, not_laid = _lay_down((file, fits), order, wanted, postures, floor.load())
            if not lying or (select is not None and len(lying) < select):
                problem = f"{len(lying)} of {len(rows)} plausible fits can be laid on a floor, {wanted} are asked for"
                raise RecipeError(f"{folder}: {problem}; give a smaller --select, or --renderer flat")
            chosen = np.sort(list(lying))
            wanted = len(chosen)
        every = [(int(row), turn) for row in chosen for turn in range(rotations)]
        kept = len(every) if keep is None else keep
        if not 1 <= kept <= len(every):
            raise RecipeError(f"--keep {kept}: {wanted} bodies in {rotations} turns make {len(every)} images")
        places = np.sort(rng.choice(len(every), kept, replace=False))
        return cls(file, sha256_of(file), tuple(every[place] for place in places), lying, not_laid)

    def varied(self, degrees: float) -> FittedBodies:
        """The same, every image's joints moved by noise. Raises ``RecipeError`` for a deviation that makes no sense."""
        if not 0 < degrees <= MOST_VARIED:
            raise RecipeError(f"--vary {degrees:g}: give degrees above 0, at most {MOST_VARIED:.0f}")
        if read_fits(self.file).body != JOINTED:
            raise RecipeError(f"--vary: joints' motions are known for fits with --body {JOINTED} alone; leave it out")
        return replace(self, vary=float(degrees))

    def check(self, choice: BodyChoice) -> None:
        """Raise ``DataError`` where the fits are not of this body, to the very file where their record names one."""
        _check_body(self.file, _fits(self.file, self.sha256), choice)

    def to_json(self) -> dict[str, Any]:
        """What of it decides the bytes of a run."""
        record: dict[str, Any] = {"sha256": self.sha256, "shown": [list(one) for one in self.shown], "vary": self.vary}
        if self.lying is not None:
            record["lying"] = {str(row): [posture, list(root)] for row, (posture, root) in sorted(self.lying.items())}
            record["not_laid"] = {str(one): reason for one, reason in sorted(self.not_laid.items())}
        return record

    def subject(self, number: int, body: BodyModel, rng: np.random.Generator, further: int = 0) -> Subject:
        """Who is in the image of a number; the generator draws the noise of ``vary``, and nothing without it.

        A body without a floor is turned ``further`` than was chosen where too little of it was seen: cameras stand
        where the fit's did, so that another draw alone would not help.

        Raises ``DataError`` where the fits are of another body, or have changed.
        """
        fits = _fits(self.file, self.sha256)
        fits.check(self.file, body)
        row, turn = self.shown[number]
        rotations = fits.rotations[row].copy()
        if self.lying is not None:
            return self._on_floor(rng, body, fits, row)
        rotations[0] += ((turn + further) * TURN).astype(np.float32)
        refused: tuple[tuple[Fault, ...], ...] = ()
        if self.vary:
            rotations, refused = vary_floating(rng, body, torch.from_numpy(fits.shape[row]), rotations, self.vary)
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
            refused=refused,
        )

    def _on_floor(self, rng: np.random.Generator, body: BodyModel, fits: Fits, row: int) -> Subject:
        assert self.lying is not None
        posture, root = self.lying[row]
        shape, turn = torch.from_numpy(fits.shape[row]), np.array(root, np.float32)
        laid = lay_as(body, shape, fits.rotations[row], posture, turn)
        refused: tuple[tuple[Fault, ...], ...] = ()
        if self.vary:
            laid, refused = vary_lying(rng, body, shape, laid, self.vary)
        return resting_subject(laid.resting, fits.shape[row], origin=f"fit {fits.ids[row]}", refused=refused)


def as_fitted(style: SceneStyle) -> SceneStyle:
    """A style that shows fitted bodies: without a floor from where the fit's camera stood.

    Raises ``RecipeError`` for one of adults.
    """
    if style.population != "infant":
        raise RecipeError("--fits: fitted bodies are infants; give --population infant")
    return style if style.photographed else replace(style, views=(AS_FITTED,))


def _check_body(file: Path, fits: Fits, choice: BodyChoice) -> None:
    if fits.body != choice.name:
        remedy = "--body smpl --body-file BODY.npz" if fits.body in OF_A_FILE else f"--body {fits.body}"
        raise DataError(file, "body", f"fits of the body {fits.body}, not {choice.name}; give {remedy}")
    fits.check(file, choice.load())
    record = file.with_name(RECORD)
    match read_json(record):
        case {"settings": {"body_sha256": str(known)}} if choice.file is not None and known != choice.sha256:
            problem = f"the fits are of another file than {choice.file}; give the one that they were made with"
            raise DataError(record, "settings.body_sha256", problem)


def _lay_down(
    opened: tuple[Path, Fits], rows: NDArray[np.int64], wanted: int, postures: Mapping[int, str | None], body: BodyModel
) -> tuple[dict[int, tuple[Posture, tuple[float, ...]]], dict[int, str]]:
    """Lay these rows down until enough of them rest: how they do, and the ids of those that cannot, with the reason."""
    file, fits = opened
    lying: dict[int, tuple[Posture, tuple[float, ...]]] = {}
    not_laid: dict[int, str] = {}
    with single_thread():
        for row in rows.tolist():
            identity = int(fits.ids[row])
            laid, refused = lay(
                body, torch.from_numpy(fits.shape[row]), fits.rotations[row], posture_of(postures.get(identity)),
                towards_camera(fits, row),
            )  # fmt: skip
            if laid is None:
                not_laid[identity] = str(refused[0][0])
                problem = f"fit {identity} can be laid on a floor in no way, left out: {not_laid[identity]}"
                warnings.warn(DataWarning(f"{file}: {problem}"), stacklevel=3)
            else:
                lying[row] = laid.resting.pose.posture, tuple(laid.root.tolist())
            if len(lying) == wanted:
                break
    return lying, not_laid


def towards_camera(fits: Fits, row: int) -> NDArray[np.float64]:  # (3,)
    """Where a fit's camera is, as a direction about the body's own axes."""
    away = fits.camera_position[row] - fits.translation[row]
    length = np.linalg.norm(away)
    way = away / length if length else np.array([0.0, -1.0, 0.0])
    return np.asarray(Rotation.from_rotvec(fits.rotations[row, 0]).inv().apply(way))


def _recorded(file: Path) -> tuple[dict[int, bool], dict[int, str | None]]:
    """Of every fit by its id whether it is plausible, and in which posture its picture was said to show somebody."""
    record = read_json(file)
    entries = record.get("fits") if isinstance(record, dict) else None
    if not isinstance(entries, list):
        raise DataError(file, "fits", "expected a list; name a folder of fidip fit")
    found: dict[int, bool] = {}
    postures: dict[int, str | None] = {}
    for index, entry in enumerate(entries):
        match entry:
            case {"id": int(identity), "plausible": bool(plausible)}:
                found[identity] = plausible
                postures[identity] = posture if isinstance(posture := entry.get("posture"), str) else None
            case _:
                raise DataError(file, f"fits[{index}]", "expected an id and whether it is plausible")
    return found, postures


@lru_cache(maxsize=1)
def _fits(file: Path, sha256: str) -> Fits:
    if sha256_of(file) != sha256:
        raise DataError(file, "", "has changed since the run began; start a new one")
    return read_fits(file)
