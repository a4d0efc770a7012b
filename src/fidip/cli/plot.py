"""``fidip plot``: pictures of data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from fidip.errors import DataError, RecipeError

if TYPE_CHECKING:
    from fidip.evaluation.plots import PosePanel
    from fidip.evaluation.pose_distribution import PoseDistribution
    from fidip.images import RGBImage


def plot(
    kind: Annotated[Literal["poses"], tyro.conf.Positional, tyro.conf.arg(metavar="poses")],
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE.json")],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.png")],
    count: int = 200,
    seed: int = 0,
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Draw the poses of data sets over each other, one row a set, and say how varied they are.

    Skeletons are drawn at random, scaled by their box, moved and turned so that their torsos agree; eyes and ears are
    left out. Diversity is the mean distance between the keypoints of two skeletons, in units of the box's longer side.

    Args:
        kind: What to draw: poses.
        files: COCO keypoint files with labelled people.
        out: Where the picture goes.
        count: How many people of each file are drawn.
        seed: Decides which.
        json: Also write the numbers to this file.
    """
    from fidip.cli.output import write_report
    from fidip.coco import read_coco
    from fidip.evaluation.plots import plot_poses
    from fidip.evaluation.pose_distribution import distribution_of
    from fidip.files import write_bytes

    if not files:
        raise RecipeError(f"plot {kind}: name at least one COCO keypoint file")
    if count < 2:
        raise RecipeError(f"--count {count}: at least two skeletons make a distribution")
    if seed < 0:
        raise RecipeError(f"--seed {seed}: a seed is 0 or more")
    if out.suffix.lower() != ".png":
        raise RecipeError(f"{out}: the picture is a PNG; let its name end in .png")
    panels: list[PosePanel] = []
    report: list[dict[str, Any]] = []
    for file in files:
        try:
            poses = distribution_of(read_coco(file), count, seed)
        except ValueError as error:
            raise DataError(file, "annotations", str(error)) from error
        panels.append(_panel(file, poses))
        drawn, value = len(poses.points), poses.diversity
        print(f"{file}: {drawn} of {poses.people} people drawn, {poses.usable} usable, diversity {value:.3f}")
        report.append(
            {"file": file, "people": poses.people, "usable": poses.usable, "drawn": drawn, "diversity": value}
        )
    write_bytes(out, plot_poses(panels))
    write_report(json, {"out": out, "seed": seed, "files": report})


def _panel(file: Path, poses: PoseDistribution) -> PosePanel:
    import numpy as np

    from fidip.evaluation.plots import PosePanel

    _, person = poses.sample
    sample = np.where(person.labelled[:, None], person.keypoints[:, :2], np.nan)
    name = f"{file.parent.name}/{file.name}".lstrip("/")  # every set of fidip synth is called annotations.json
    shown = name if len(name) <= 44 else f"…{name[-43:]}"
    title = f"{shown}\n{len(poses.points)} people, diversity {poses.diversity:.3f}"
    return PosePanel(title, poses.points, sample, _picture(file, poses))


def _picture(file: Path, poses: PoseDistribution) -> RGBImage | None:
    """The sample's image if it is there and says that it is synthetic: a child's photograph belongs in no figure."""
    from fidip.annotations import Domain
    from fidip.coco import image_paths
    from fidip.images import read_image

    image, _ = poses.sample
    if image.domain is not Domain.SYNTHETIC:
        return None
    try:
        (path,) = image_paths(file, [image])
    except DataError:
        return None  # annotations may lie anywhere without their images
    return read_image(path)
