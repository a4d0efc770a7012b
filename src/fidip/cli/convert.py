"""``fidip convert``: published data sets in their original folders to one COCO keypoint folder each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from fidip.errors import FidipError

if TYPE_CHECKING:
    from fidip.data.folder import FileMode
    from fidip.data.sources.coco import Coco
    from fidip.data.sources.mini_rgbd import MiniRgbd
    from fidip.data.sources.prestage import Prestage
    from fidip.data.sources.surreal import Surreal
    from fidip.data.sources.syrip import Syrip
    from fidip.data.tally import Tally

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
Out = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
Report = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
Hips = Literal["moved", "joints", "none"]

NAMED = 3
"""So many places of each reason are printed; more stand in the JSON."""


def syrip(
    folder: Folder,
    out: Out,
    *,
    subset: tuple[str, ...] = (),
    files: Literal["copy", "link", "reference"] = "copy",
    json: Report = None,
) -> None:
    """Convert SyRIP: OUT/annotations.json and OUT/images, checked and with what was changed told.

    Args:
        folder: What holds annotations/ and images/ of SyRIP.
        out: A new folder.
        subset: Which subsets, such as 200R 1000S; needed where there are several.
        files: copy the pictures, make hard links, or only refer to them (then train with --images FOLDER).
        json: Also write the report to this file.
    """
    from fidip.data.sources.syrip import Syrip

    _convert("syrip", Syrip(folder, subset), out, files, json)


def mini_rgbd(
    folder: Folder,
    out: Out,
    *,
    every: int = 1,
    sequences: tuple[str, ...] = (),
    hips: Hips = "moved",
    files: Literal["copy", "link", "reference"] = "copy",
    json: Report = None,
) -> None:
    """Convert MINI-RGBD: OUT/annotations.json and OUT/images, checked and with what was changed told.

    Args:
        folder: What holds the sequences 01 to 12.
        out: A new folder.
        every: Take every N-th frame of a sequence.
        sequences: Which sequences, such as 11 12; all by default.
        hips: moved from the femoral heads to where COCO's hips are, the joints as they are, or none.
        files: copy the pictures, make hard links, or only refer to them (then train with --images FOLDER).
        json: Also write the report to this file.
    """
    from fidip.data.sources.mini_rgbd import MiniRgbd

    _convert("mini-rgbd", MiniRgbd(folder, sequences, every, hips), out, files, json)


def surreal(
    folder: Folder,
    out: Out,
    *,
    frames: int = 1,
    count: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    seed: int = 0,
    hips: Hips = "moved",
    json: Report = None,
) -> None:
    """Convert frames of SURREAL's videos: OUT/annotations.json and OUT/images, with what was changed told.

    Args:
        folder: What holds the clips, at any depth.
        out: A new folder.
        frames: How many frames of each clip.
        count: Draw clips until there are so many pictures; all clips by default.
        seed: Decides which frames and which clips.
        hips: moved from the femoral heads to where COCO's hips are, the joints as they are, or none.
        json: Also write the report to this file.
    """
    from fidip.data.sources.surreal import Surreal

    _convert("surreal", Surreal(folder, frames, count, seed, hips), out, "copy", json)


def coco(
    folder: Folder,
    out: Out,
    *,
    split: str = "val2017",
    min_keypoints: int = 1,
    crop: bool = False,
    count: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    seed: int = 0,
    files: Literal["copy", "link", "reference"] = "copy",
    json: Report = None,
) -> None:
    """Convert the people of COCO: OUT/annotations.json and OUT/images, without crowds and the unlabelled.

    Args:
        folder: What holds annotations/ and the pictures of COCO.
        out: A new folder.
        split: Which file and folder, such as train2017.
        min_keypoints: Leave out people with fewer labelled keypoints.
        crop: Make an image of each person instead of whole pictures.
        count: Draw so many people; all by default.
        seed: Decides which people are drawn.
        files: copy the pictures, make hard links, or only refer to them (then train with --images FOLDER).
        json: Also write the report to this file.
    """
    from fidip.data.sources.coco import Coco

    _convert("coco", Coco(folder, split, min_keypoints, crop, count, seed), out, files, json)


def prestage(
    coco: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="COCO")],
    surreal: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SURREAL")],
    out: Out,
    *,
    real: int = 1904,
    synthetic: int = 2000,
    seed: int = 0,
    files: Literal["copy", "link"] = "copy",
    json: Report = None,
) -> None:
    """Draw the adults of the pre-stage, in the paper's numbers: OUT/real.json, OUT/synthetic.json and OUT/images.

    Args:
        coco: A COCO folder with val2017.
        surreal: A folder with SURREAL's clips.
        out: A new folder.
        real: People of COCO.
        synthetic: Pictures of SURREAL.
        seed: Decides who is drawn.
        files: copy COCO's pictures or make hard links.
        json: Also write the report to this file.
    """
    from fidip.data.sources.prestage import Prestage

    _convert("prestage", Prestage(coco, surreal, seed, real, synthetic), out, files, json)


def _convert(
    name: str,
    source: Coco | MiniRgbd | Prestage | Surreal | Syrip,
    out: Path,
    files: FileMode,
    json: Path | None,
) -> None:
    from dataclasses import asdict

    from fidip.cli.output import write_report
    from fidip.cli.progress import phases
    from fidip.data.sources.conversion import convert

    with phases() as show:
        conversion = convert(source, out, files, lambda done, total: show(f"converting {name}", done, total))
    print_made(out, conversion.made)
    print_tally(conversion.tally)
    options = asdict(source)
    write_report(json, {"source": name, "out": out, "options": options, "files": files, **conversion.to_json()})
    if unreadable := conversion.tally.unreadable:
        others = f" and {len(unreadable) - 1} more" if len(unreadable) > 1 else ""
        raise FidipError(f"left out what could not be read: {unreadable[0]}{others}")


def print_made(out: Path, made: dict[str, Any]) -> None:
    """What a folder holds, in a few lines."""
    print(f"{made['images']} images, {made['people']} people in {out}: annotations.json")
    for what in ("keypoints", "domains", "postures"):
        print(f"  {what}: {', '.join(f'{count} {kind}' for kind, count in made[what].items() if count)}")
    print(f"  {made['sources']} sources, {made['subjects']} subjects")


def print_tally(tally: Tally) -> None:
    """What was changed and left out, by reason, with the first places."""
    for title, found in (("changed", tally.changed), ("left out", tally.left_out), ("to know", tally.remarks)):
        for why, places in found.items():
            more = ", …" if len(places) > NAMED else ""
            print(f"{title}: {why} ({len(places)}: {', '.join(places[:NAMED])}{more})")
    for problem in tally.unreadable:
        print(f"unreadable: {problem}")
