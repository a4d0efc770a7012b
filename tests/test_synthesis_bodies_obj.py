"""OBJ files as programs write them, and as they should not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fidip.errors import DataError
from fidip.synthesis.bodies.obj import read_obj, uvs_of_faces

HEAD = """mtllib x.mtl
o body
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0.1 0.2
vt 0.3 0.4 0
vt 0.5 0.6
vt 0.7 1.00001
vn 0 0 1
"""


def test_polygons_normals_comments_and_counting_backwards(tmp_path: Path) -> None:
    file = tmp_path / "a.obj"
    file.write_text(HEAD + "s off\nf 1/1 2/2 3/3 4/4 # a square\nf -4/-1/1 -3/-2/1 -2/-3/1\n")
    layout = read_obj(file)
    assert layout.vertices == 4
    np.testing.assert_array_equal(layout.faces, [[0, 1, 2], [0, 2, 3], [0, 1, 2]])
    np.testing.assert_array_equal(layout.face_uvs, [[0, 1, 2], [0, 2, 3], [3, 2, 1]])
    np.testing.assert_allclose(layout.uvs, [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 1]], atol=1e-7)


def test_places_are_found_whichever_corner_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "a.obj"
    file.write_text(HEAD + "f 1/1 2/2 3/3\n")
    layout = read_obj(file)
    np.testing.assert_array_equal(uvs_of_faces(layout, np.array([[1, 2, 0], [2, 0, 1]])), [[1, 2, 0], [2, 0, 1]])
    with pytest.raises(ValueError, match="has no face of the vertices 2, 1, 0"):  # turned inside out
        uvs_of_faces(layout, np.array([[2, 1, 0]]))


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("f 1/1 2/2\n", "line 12: a face has three corners or more"),
        ("f 1/1 2/2 5/3\n", "line 12: '5' is no vertex of the 4 listed before"),
        ("f 1/1 2/2 3/9\n", "line 12: '9' is no texture coordinate of the 4 listed before"),
        ("f 1/1 2/2 0/3\n", "line 12: '0' is no vertex"),
        ("f 1/1 2/2 -5/3\n", "line 12: '-5' is no vertex"),
        ("f 1/1 2/2 x/3\n", "line 12: 'x' is no vertex"),
        ("f 1 2 3\n", "line 12: the corner '1' has no texture coordinate"),
        ("f 1//1 2//1 3//1\n", "line 12: the corner '1//1' has no texture coordinate"),
        ("vt 0.5\n", "line 12: a texture coordinate has two numbers"),
        ("vt a 0\n", "line 12: 'a' is not a number"),
        ("vt nan 0\n", "line 12: the texture coordinate nan, 0 lies outside the unit square"),
        ("vt 1.5 0\n", "line 12: the texture coordinate 1.5, 0 lies outside the unit square"),
        ("", "holds no faces"),
    ],
)
def test_what_an_obj_does_not_say_is_named_by_its_line(tmp_path: Path, lines: str, problem: str) -> None:
    file = tmp_path / "a.obj"
    file.write_text(HEAD + lines)
    with pytest.raises(DataError, match=rf"a.obj: {problem}"):
        read_obj(file)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_obj(tmp_path / "none.obj")
    (tmp_path / "b.obj").write_bytes(bytes(range(256)) * 10)
    with pytest.raises(DataError, match="holds no faces"):
        read_obj(tmp_path / "b.obj")
