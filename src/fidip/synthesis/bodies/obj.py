"""Texture layouts from Wavefront OBJ files: which place in the picture each corner of each face shows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fidip.errors import DataError
from fidip.files import unreadable

MAX_BYTES = 64 << 20
SLACK = 1e-4
"""How far outside the unit square rounding may put a texture coordinate."""

Corner = tuple[int, int]
"""Indices of a vertex and of a texture coordinate."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Texture coordinates of a mesh; v = 0 is the lowest row of the picture."""

    vertices: int
    uvs: NDArray[np.float32]  # (U, 2) in the unit square
    faces: NDArray[np.int32]  # (F, 3) indices of vertices
    face_uvs: NDArray[np.int32]  # (F, 3) indices into uvs


def read_obj(path: Path | str) -> Layout:
    """The lines ``v``, ``vt`` and ``f`` of an OBJ file; polygons are cut into fans of triangles.

    Raises:
        DataError: the file cannot be read, or a line of these kinds does not say what it should; ``where`` is the line.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(path, "", f"larger than {MAX_BYTES >> 20} MiB, as no template of a body is")
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    vertices = 0
    uvs: list[tuple[float, float]] = []
    triangles: list[tuple[Corner, Corner, Corner]] = []
    for number, line in enumerate(lines, start=1):
        kind, *words = line.split("#")[0].split() or [""]
        try:
            if kind == "v":
                vertices += 1
            elif kind == "vt":
                uvs.append(_uv(words))
            elif kind == "f":
                corners = [_corner(word, vertices, len(uvs)) for word in words]
                if len(corners) < 3:
                    raise ValueError("a face has three corners or more")
                triangles += [(corners[0], b, c) for b, c in pairwise(corners[1:])]
        except ValueError as error:
            raise DataError(path, f"line {number}", f"{error}") from error
    if not triangles:
        raise DataError(path, "", "holds no faces (lines that begin with f); export the mesh with its faces")
    pairs = np.array(triangles, np.int32)  # (F, 3, 2)
    return Layout(vertices, np.array(uvs, np.float32).clip(0, 1), pairs[..., 0], pairs[..., 1])


def uvs_of_faces(
    layout: Layout,
    faces: NDArray[np.integer],  # (F, 3)
) -> NDArray[np.int32]:  # (F, 3)
    """Texture coordinates of a body's own faces, whichever corner the layout begins them with.

    Raises:
        ValueError: the layout lacks one of the faces; the message names it.
    """
    known = {
        tuple(np.roll(face, -turn).tolist()): np.roll(uv, -turn)
        for face, uv in zip(layout.faces, layout.face_uvs, strict=True)
        for turn in range(3)
    }
    for number, face in enumerate(faces.tolist()):
        if tuple(face) not in known:
            raise ValueError(f"has no face of the vertices {face[0]}, {face[1]}, {face[2]} (face {number} of the body)")
    return np.array([known[tuple(face)] for face in faces.tolist()], np.int32)


def _uv(words: list[str]) -> tuple[float, float]:
    if len(words) < 2:
        raise ValueError("a texture coordinate has two numbers")
    u, v = (_number(word) for word in words[:2])
    if not (-SLACK <= u <= 1 + SLACK and -SLACK <= v <= 1 + SLACK):
        raise ValueError(f"the texture coordinate {u:g}, {v:g} lies outside the unit square")
    return u, v


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{word!r} is not a number") from None


def _corner(word: str, vertices: int, uvs: int) -> Corner:
    vertex, _, rest = word.partition("/")
    uv = rest.partition("/")[0]
    if not uv:
        raise ValueError(f"the corner {word!r} has no texture coordinate; export the mesh with its UV map")
    return _index(vertex, vertices, "vertex"), _index(uv, uvs, "texture coordinate")


def _index(word: str, count: int, what: str) -> int:
    """From 0; the file counts from 1, or backwards from what it has listed so far."""
    digits = word.removeprefix("-")
    index = int(word) if digits.isdecimal() and len(digits) < 10 else 0
    place = index - 1 if index > 0 else count + index
    if index == 0 or not 0 <= place < count:
        raise ValueError(f"{word!r} is no {what} of the {count} listed before")
    return place
