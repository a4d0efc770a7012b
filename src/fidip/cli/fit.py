"""``fidip fit``: bodies fitted to 2-D poses."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import tyro

from fidip.errors import DataError, DataWarning, FidipError, RecipeError

if TYPE_CHECKING:
    from fidip.images import RGBImage
    from fidip.synthesis.bodies.protocol import BodyModel
    from fidip.synthesis.fit_people import Fit, FocalMode, Subject, Unfit
    from fidip.synthesis.fits import Fits

OVERLAYS, PAGE = "overlays", "index.html"
"""What the folder receives beside the fits; the record comes last, so that a folder with it is whole."""


FOCALS = (1.0, 1e6)
"""Pixels: what may be meant as a focal length."""


class _Found(NamedTuple):
    """Where the poses are, and where their images may be."""

    poses: Path
    images: Path | None


def fit(
    poses: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="POSES.json")],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    images: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    body: Literal["anny", "smpl"] = "anny",
    body_file: Annotated[Path | None, tyro.conf.arg(metavar="BODY.npz")] = None,
    focal: Annotated[str, tyro.conf.arg(metavar="PX|guess|optimise")] = "optimise",
    prior: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    device: Literal["cpu", "cuda", "mps"] = "cpu",
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Fit infant bodies to 2-D poses: pose, shape and camera of everybody in a COCO keypoint file.

    DIR receives fits.npz, fits.json, pictures in overlays/ and index.html, which shows them all. Images are drawn upon
    where they are found and need not be there. fits.json is written last: a folder without it was interrupted.

    Args:
        poses: A COCO keypoint file; of an image only width and height are needed.
        out: A new folder.
        images: Where the images are. Without it they are looked for in images/ beside the file, and beside it.
        body: The body model: the bundled one, or an SMPL or SMIL body of yours.
        body_file: Your body, converted with "fidip convert-body"; for --body smpl only.
        focal: The cameras' focal length in pixels; "guess" derives it from the size of the image, "optimise" starts
            there and finds it together with the body.
        prior: A pose prior of "fidip prior" instead of the body's own; for --body smpl also the published gmm_08.pkl
            and smil_pose_prior.pkl.
        device: Where to compute.
        json: Also write the summary to this file.
    """
    from fidip.cli.output import write_report
    from fidip.cli.progress import bar
    from fidip.coco import read_coco
    from fidip.files import new_folder, sha256_of
    from fidip.networks.devices import find_device
    from fidip.synthesis.fit_bodies import Fittable
    from fidip.synthesis.fit_people import fit_people, subjects
    from fidip.synthesis.fits import FITS, RECORD, write_fits
    from fidip.synthesis.published_priors import fitting_prior

    mode = parse_focal(focal)
    people, unfit = subjects(read_coco(poses))
    if not people:
        raise DataError(poses, "annotations", _nobody(unfit))
    place = find_device(device)
    fittable = Fittable.load(body, body_file, place)
    known = None if prior is None else fitting_prior(prior, fittable.seen)
    folder = new_folder(out)
    with bar("fitting", len(people)) as show:
        fits, records = fit_people(people, body=fittable, focal=mode, prior=known, device=place, progress=show)
    names = {"poses": poses.name, "body_file": body_file and body_file.name, "prior": prior and prior.name}
    sha256 = None if body_file is None else sha256_of(body_file)
    options = names | {"body": body, "body_sha256": sha256, "focal": mode, "device": device}
    write_fits(folder / FITS, fits)
    _draw(folder, _Found(poses, images), people, (fits, records), unfit, fittable.model)
    write_report(folder / RECORD, _record(options, records, unfit))
    summary = _summary(folder, records, unfit)
    print("\n".join(_lines(summary, unfit)))
    write_report(json, summary)


def parse_focal(text: str) -> float | FocalMode:
    """A focal length in pixels, or how to find one. Raises ``RecipeError``."""
    modes: dict[str, FocalMode] = {"guess": "guess", "optimise": "optimise"}
    if text in modes:
        return modes[text]
    try:
        focal = float(text)
    except ValueError:
        focal = math.nan
    if not FOCALS[0] <= focal <= FOCALS[1]:
        raise RecipeError(f"--focal {text}: give pixels such as 1200, or guess, or optimise")
    return focal


def _nobody(unfit: list[Unfit]) -> str:
    if not unfit:
        return "no people in this file; there is nobody to fit"
    more = f" and {len(unfit) - 1} more" if len(unfit) > 1 else ""
    return f"nobody can be fitted: {unfit[0].file_name}, id {unfit[0].id}: {unfit[0].reason}{more}"


def _draw(
    folder: Path,
    found: _Found,
    people: list[Subject],
    fitted: tuple[Fits, list[Fit]],
    unfit: list[Unfit],
    body: BodyModel,
) -> None:
    from fidip.cli.progress import track
    from fidip.files import new_folder, write_text
    from fidip.images import write_image
    from fidip.synthesis.fit_report import contact_sheet, draw_card

    overlays = new_folder(folder / OVERLAYS)
    fits, records = fitted
    cards = []
    shown: tuple[int, RGBImage | None] = (-1, None)
    for index, subject in enumerate(track(people, "drawing")):
        if subject.image.id != shown[0] or index == 0:
            shown = subject.image.id, _image(found, subject)
        picture, card = draw_card(shown[1], subject, fits, index, records[index], body)
        write_image(overlays / f"{subject.id}.png", picture)
        cards.append(card)
    write_text(folder / PAGE, contact_sheet(f"Bodies fitted to {found.poses.name}", cards, unfit))


def _image(found: _Found, subject: Subject) -> RGBImage | None:
    """A person's image where it is there and is the one that was annotated, or else nothing."""
    from fidip.files import safe_join
    from fidip.images import read_image

    roots = [found.images] if found.images is not None else [found.poses.parent / "images", found.poses.parent]
    name, size = subject.image.file_name, (subject.image.width, subject.image.height)
    try:
        path = next((path for path in (safe_join(root, name) for root in roots) if path.is_file()), None)
        if path is None:
            return None
        image = read_image(path)
    except FidipError as error:
        warnings.warn(DataWarning(f"{error}; drawn on white"), stacklevel=2)
        return None
    if image.shape[1::-1] != size:
        sizes = f"{image.shape[1]} x {image.shape[0]} pixels, {size[0]} x {size[1]} in {found.poses}"
        warnings.warn(DataWarning(f"{path}: {sizes}; drawn on white"), stacklevel=2)
        return None
    return image


def _record(options: dict[str, Any], records: list[Fit], unfit: list[Unfit]) -> dict[str, Any]:
    import numpy as np
    import torch

    from fidip import __version__
    from fidip.synthesis import fit_check, fit_people
    from fidip.synthesis.fit import SCHEDULE

    thresholds = {name.lower(): getattr(fit_check, name) for name in fit_check.THRESHOLDS}
    settings = {
        **options,
        "guessed_focal": fit_people.GUESSED_FOCAL,
        "stages": [asdict(stage) for stage in SCHEDULE],
        "thresholds": thresholds,
    }
    return {
        "fits": [asdict(record) for record in records],
        "not_fitted": [asdict(each) for each in unfit],
        "settings": settings,
        "versions": {"fidip": __version__, "torch": torch.__version__, "numpy": np.__version__},
    }


def _summary(folder: Path, records: list[Fit], unfit: list[Unfit]) -> dict[str, Any]:
    import numpy as np

    reasons = Counter(reason for record in records for reason in {each.partition(":")[0] for each in record.reasons})
    return {
        "out": folder,
        "fits": len(records),
        "plausible": sum(record.plausible for record in records),
        "not_fitted": len(unfit),
        "median_reprojection_torso": float(np.median([record.reprojection_torso for record in records])),
        "reasons": dict(reasons.most_common()),
        "seconds_per_fit": records[0].seconds,
    }


def _lines(summary: dict[str, Any], unfit: list[Unfit]) -> list[str]:
    fits, plausible, error = (summary[name] for name in ("fits", "plausible", "median_reprojection_torso"))
    first = f"{fits} fits in {summary['out']}, {plausible} of them plausible; median reprojection {error:.1%} of a size"
    lines = [f"{first}, {summary['seconds_per_fit']:.2f} s each"]
    lines += [f"  {count} by {reason}" for reason, count in summary["reasons"].items()]
    return lines + [f"not fitted: {each.file_name}, id {each.id}: {each.reason}" for each in unfit]
