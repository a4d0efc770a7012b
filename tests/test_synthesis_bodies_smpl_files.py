"""From a user's pickle to the npz that is read: what fits is kept to the bit, what does not is named."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from body_files import TO_SMPL, Ch, forged, humanoid
from fidip.errors import DataError, RecipeError, StorageError
from fidip.files import sha256_of
from fidip.synthesis.bodies import load_body
from fidip.synthesis.bodies.smpl_files import PICKLED, body_arrays, convert_body, read_body


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A forged pickle and what it was converted to."""
    folder = tmp_path_factory.mktemp("bodies")
    (folder / "smil.pkl").write_bytes(forged())
    convert_body(folder / "smil.pkl", folder / "smil.npz")
    return folder


def changed(folder: Path, **changes: Any) -> Path:
    """The converted body with other arrays; ``None`` leaves one out."""
    with np.load(folder / "smil.npz", allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files} | changes
    file = folder / "changed.npz"
    np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
    return file


def test_a_pickle_becomes_a_body_once_and_for_all(folder: Path) -> None:
    body = load_body("smpl", folder / "smil.npz")
    expected = humanoid()
    rest = body(torch.zeros(1, 10), torch.zeros(1, 24, 3), torch.zeros(1, 3))
    root = expected["J_regressor"][0] @ expected["v_template"]
    np.testing.assert_allclose(rest.vertices[0].numpy() @ TO_SMPL.T, expected["v_template"] - root, atol=1e-6)
    np.testing.assert_array_equal(body.faces, expected["f"])
    assert str(read_body(folder / "smil.npz")["source_sha256"]) == sha256_of(folder / "smil.pkl")
    before = (folder / "smil.npz").read_bytes()
    convert_body(folder / "smil.pkl", folder / "again.npz")
    assert (folder / "again.npz").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("v_template", np.zeros((6889, 3)), r"v_template: has the shape \(6889, 3\), where \(6890, 3\) is expected"),
        ("v_template", humanoid()["v_template"] * 100, "v_template: the body measures .*; SMPL and SMIL are in metres"),
        ("v_template", humanoid()["v_template"][:, [0, 2, 1]], "does not stand along .y with its left at .x"),
        ("v_template", humanoid()["v_template"] * [-1, 1, 1], "does not stand along .y with its left at .x"),
        ("shapedirs", np.zeros((6890, 3, 0)), r"shapedirs: has the shape \(6890, 3, 0\), where \(6890, 3, any\)"),
        ("posedirs", np.zeros((6890, 3, 459), np.float32), "posedirs: .* 459"),
        ("posedirs", np.full((6890, 3, 207), np.nan, np.float32), "posedirs: holds a value that is not finite"),
        ("weights", np.zeros((6890, 24)), "weights: the bones' shares of a vertex do not sum to one"),
        ("f", np.full((4, 3), 6890), "f: holds a value that is no index from 0 to 6889"),
        ("f", np.zeros((4, 3)), "f: holds a value that is no index"),
        ("kintree_table", np.zeros((2, 24), int), "kintree_table: its bones hang together in another way"),
        ("J_regressor", np.zeros((55, 10475)), r"J_regressor: has the shape \(55, 10475\)"),
        ("J_regressor", "text", "J_regressor: "),
    ],
)
def test_arrays_that_do_not_fit_are_named(name: str, value: Any, problem: str) -> None:
    with pytest.raises(DataError, match=f"smil.pkl: {problem}" if problem.startswith(name) else problem):
        body_arrays(humanoid() | {name: value}, "smil.pkl")


def test_a_pickle_that_is_none_writes_nothing(tmp_path: Path) -> None:
    file, out = tmp_path / "smil.pkl", tmp_path / "smil.npz"
    cases = {
        forged(posedirs=None): "posedirs: is missing; the file holds v_template",
        forged(weights=Ch(A=1)): "weights: holds an object of chumpy.ch.Ch, which has no value",
        pickle.dumps({"v_template": print}): "asks for builtins.print",
        b"": "damaged, cut short, or no pickle",
    }
    for content, problem in cases.items():
        file.write_bytes(content)
        with pytest.raises(DataError, match=f"smil.pkl: {problem}"):
            convert_body(file, out)
    file.write_bytes(forged())
    with pytest.raises(RecipeError, match=r"body.pt: a converted body is an npz"):
        convert_body(file, tmp_path / "body.pt")
    with pytest.raises(StorageError, match="its folder does not exist"):
        convert_body(file, tmp_path / "none" / "body.npz")
    assert [entry.name for entry in tmp_path.iterdir()] == ["smil.pkl"]
    named = file.rename(tmp_path / "smil.npz")
    with pytest.raises(RecipeError, match="give the converted body another name"):
        convert_body(named, named)


def test_converted_bodies_that_are_damaged_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"smil.pkl: a pickle, .* fidip convert-body smil.pkl --out smil.npz"):
        read_body(folder / "smil.pkl")
    with pytest.raises(DataError, match="no such file"):
        read_body(folder / "none.npz")
    whole, file = (folder / "smil.npz").read_bytes(), folder / "cut.npz"
    for content in (b"", b"PK\x03\x04", whole[:5000], whole[:-30], whole[:100_000] + bytes(1000) + whole[101_000:]):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"cut.npz: no npz of a body, or damaged"):
            read_body(file)
    np.savez(file, template=np.array([{"x": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"cut.npz: no npz of a body, or damaged"):
        read_body(file)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"skin": None}, "skin: is missing"),
        ({"basis": np.zeros((10, 6890, 2))}, "basis: has the shape"),
        ({"basis": np.zeros((3, 6890, 3))}, "its arrays do not belong together"),
        ({"joint_template": np.full((24, 3), np.inf)}, "joint_template: holds a value that is not finite"),
        ({"template": np.zeros((6890, 3), complex)}, "template: holds values of the type complex128"),
        ({"face_uvs": np.full((len(humanoid()["f"]), 3), 10**6)}, "face_uvs: holds a value that is no index"),
        ({"uv_layout": np.array(3)}, "uv_layout: holds values of the type"),
    ],
)
def test_converted_bodies_with_other_arrays_are_refused(folder: Path, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=rf"changed.npz: {problem}"):
        read_body(changed(folder, **changes))


def obj(folder: Path, lines: list[str], vertices: int = 6890) -> Path:
    file = folder / "template.obj"
    file.write_text("\n".join(["# forged", *["v 0 0 0"] * vertices, "vt 0 0", "vt 1 0", "vt 0.5 1", *lines]))
    return file


def test_a_template_gives_every_corner_its_place(folder: Path) -> None:
    faces = humanoid()["f"].astype(int)
    turned = [np.roll(face, n % 3) for n, face in enumerate(faces)]  # OBJ files begin faces where they like
    lines = [" ".join(["f", *(f"{v + 1}/{v % 3 + 1}" for v in face)]) for face in turned]
    file = obj(folder, lines)
    arrays = convert_body(folder / "smil.pkl", folder / "smil-uv.npz", file)
    np.testing.assert_array_equal(arrays["face_uvs"], faces % 3)
    np.testing.assert_array_equal(arrays["uvs"], [[0, 0], [1, 0], [0.5, 1]])
    assert str(read_body(folder / "smil-uv.npz")["uv_layout"]) == "smpl"
    with pytest.raises(DataError, match=r"template.obj: has no face of the vertices .*; give the UV template of SMPL"):
        convert_body(folder / "smil.pkl", folder / "other.npz", obj(folder, lines[:-1]))
    with pytest.raises(DataError, match=r"template.obj: has 6889 vertices, where SMPL's template has 6890"):
        convert_body(folder / "smil.pkl", folder / "other.npz", obj(folder, ["f 1/1 2/2 3/3"], 6889))
    assert not (folder / "other.npz").exists()


def test_what_is_converted_is_all_that_is_asked_of_a_pickle() -> None:
    assert set(PICKLED) == set(humanoid())
