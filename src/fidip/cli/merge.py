"""``fidip merge``: several labelled folders to one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro


def merge(
    annotations: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="ANNOTATIONS.json...")],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    images: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR...")] = (),
    duplicates: Literal["refuse", "drop", "keep"] = "refuse",
    files: Literal["copy", "link"] = "copy",
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Merge COCO keypoint files and their images into one folder, with ids from 1.

    Args:
        annotations: Two annotation files or more; their order decides the ids.
        out: A new folder.
        images: The folder of each file's images, in the same order; without it they lie beside their file.
        duplicates: Where one picture comes up twice: refuse, drop the later one with its labels, or keep both.
        files: copy the pictures or make hard links.
        json: Also write the report to this file.
    """
    from fidip.cli.convert import print_made, print_tally
    from fidip.cli.output import write_report
    from fidip.cli.progress import phases
    from fidip.data.merge import merge as merge_files

    with phases() as show:
        merged = merge_files(
            annotations, out, images, files, duplicates, lambda done, total: show("merging", done, total)
        )
    print_made(out, merged.made)
    for part in merged.files:
        print(f"  {part['taken']} of {part['images']} images from {part['file']}")
    print_tally(merged.tally)
    write_report(json, {"out": out, "duplicates": duplicates, **merged.to_json()})
