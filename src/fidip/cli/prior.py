"""``fidip prior``: a pose prior from fitted bodies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from fidip.errors import DataError, FidipError, RecipeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fidip.synthesis.priors import PoseSpace


def prior(
    fits: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FITS...")],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")],
    components: int = 4,
    all: bool = False,
    seed: int = 0,
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Learn a mixture-of-Gaussians pose prior from fitted bodies, for "fidip fit --prior FILE".

    Mirror images are learnt as well, so that left and right are alike. Few poses give few and wide Gaussians.

    Args:
        fits: Folders of "fidip fit".
        out: The file to write (.npz).
        components: At most so many Gaussians, each with its mirror image.
        all: Learn from implausible fits too.
        seed: Decides where the mixture's search starts.
        json: Also write what was learnt to this file.
    """
    import numpy as np

    from fidip.cli.output import write_report
    from fidip.synthesis.fits import FITS
    from fidip.synthesis.priors import MAX_COMPONENTS, learn_prior

    if not fits:
        raise FidipError("no fits given; name folders of fidip fit")
    if not 1 <= components <= MAX_COMPONENTS // 2:
        raise RecipeError(f"--components {components}: between 1 and {MAX_COMPONENTS // 2} Gaussians")
    if seed < 0:
        raise RecipeError(f"--seed {seed}: a seed is 0 or more")
    spaces, parts = zip(*(_poses(folder, all) for folder in fits), strict=True)
    for folder, space in zip(fits, spaces, strict=True):
        if space.motions != spaces[0].motions:
            problem = f"fits of another body than those in {fits[0]}"
            raise DataError(folder / FITS, "body", f"{problem}; learn a prior for each body")
    poses = np.concatenate(parts)
    if len(poses) < LEAST_POSES:
        kind = "" if all else "plausible "
        raise FidipError(f"{len(poses)} {kind}fits: a prior needs at least {LEAST_POSES}; fit more poses")
    learnt = learn_prior(poses, components, seed, spaces[0])
    learnt.save(out)
    print(f"{out}: {len(learnt.weights)} Gaussians, half of them mirror images, from {len(poses)} poses")
    write_report(json, {"out": out, "poses": len(poses), "components": len(learnt.weights), "weights": learnt.weights})


LEAST_POSES = 6


def _poses(folder: Path, everything: bool) -> tuple[PoseSpace, NDArray[np.float64]]:  # (N, P)
    """The poses of one folder's fits, and what their numbers are called."""
    from fidip.fields import Fields
    from fidip.files import read_json
    from fidip.synthesis.fit_bodies import fitted_poses
    from fidip.synthesis.fits import FITS, RECORD, read_fits

    file, record = folder / FITS, folder / RECORD
    fits = read_fits(file)
    space, poses = fitted_poses(fits, file)
    if everything:
        return space, poses
    entries = Fields.of(record, "", read_json(record)).objects("fits")
    plausible = {fields.integer("id") for fields in entries if fields.flag("plausible")}
    return space, poses[[id_ in plausible for id_ in fits.ids.tolist()]]
