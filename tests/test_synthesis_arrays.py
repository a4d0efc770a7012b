from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

import fidip.synthesis.arrays as module
from fidip.errors import DataError
from fidip.synthesis.arrays import finite, read_arrays, write_arrays


def test_arrays_come_back(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", {"x": np.arange(3), "names": np.array(["ä", "b"])})
    back = read_arrays(tmp_path / "a.npz", ("names", "x"), "a test")
    assert back["names"].tolist() == ["ä", "b"]
    assert back["x"].tolist() == [0, 1, 2]


def test_missing_arrays_and_files_are_named(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", {"x": np.arange(3)})
    with pytest.raises(DataError, match="y: missing: not a test"):
        read_arrays(tmp_path / "a.npz", ("x", "y"), "a test")
    with pytest.raises(DataError, match="no such file"):
        read_arrays(tmp_path / "b.npz", ("x",), "a test")
    with pytest.raises(DataError, match="a folder, not a file"):
        read_arrays(tmp_path, ("x",), "a test")


@pytest.mark.parametrize("length", [0, 1, 30, 100, 150])
def test_damaged_files_are_refused(tmp_path: Path, length: int) -> None:
    file = tmp_path / "a.npz"
    write_arrays(file, {"x": np.arange(3)})
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(DataError, match="not a test"):
        read_arrays(file, ("x",), "a test")


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    with (tmp_path / "a.npz").open("wb") as stream:
        np.savez(stream, x=np.array([Bomb()], dtype=object))
    with pytest.raises(DataError, match="damaged"):
        read_arrays(tmp_path / "a.npz", ("x",), "a test")
    assert not (tmp_path / "ran").exists()


def test_files_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(2 << 20))
    assert (tmp_path / "a.npz").stat().st_size < 10_000
    with pytest.raises(DataError, match="unpacks to 2097152 bytes"):
        read_arrays(tmp_path / "a.npz", ("x",), "a test")


@pytest.mark.parametrize("array", [np.zeros(2), np.array([1, 2, np.inf]), np.array(["a", "b", "c"]), np.zeros((3, 1))])
def test_only_finite_numbers_of_the_shape_pass(array: np.ndarray) -> None:
    assert finite("f", "x", np.arange(3), (3,)).dtype == np.float64
    with pytest.raises(DataError, match="f: x: expected"):
        finite("f", "x", array, (3,))
