"""``fidip convert-body``: a user's SMPL or SMIL file as a body for synthesis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def convert_body(
    body: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="BODY.pkl")],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="BODY.npz")],
    uv_template: Annotated[Path | None, tyro.conf.arg(metavar="FILE.obj")] = None,
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Convert your SMPL or SMIL file, once, to a body for synthesis and fitting.

    Nothing that the pickle says is run: it is read by a process of its own with limits on memory and time, and refused
    where it asks for anything but arrays. The converted body stays under the licence of the file.

    Args:
        body: A pickle of SMPL or SMIL with 24 joints and 6890 vertices.
        out: Where the converted body goes.
        uv_template: The OBJ of SMPL's UV layout, for textures that were drawn for it; without it front and back of the
            body are laid out side by side.
        json: Also write what was converted to this file.
    """
    from fidip.cli.output import write_report
    from fidip.synthesis.bodies.smpl_files import convert_body as convert

    arrays = convert(body, out, uv_template)
    report = {
        "body": body,
        "out": out,
        "vertices": len(arrays["template"]),
        "faces": len(arrays["faces"]),
        "shape_size": len(arrays["basis"]),
        "uv_layout": str(arrays["uv_layout"]),
        "source_sha256": str(arrays["source_sha256"]),
    }
    shapes, layout = report["shape_size"], report["uv_layout"]
    print(f"{out}: {report['vertices']} vertices, {shapes} shape coefficients, texture layout {layout}")
    write_report(json, report)
