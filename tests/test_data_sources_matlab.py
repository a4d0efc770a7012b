"""MATLAB files that nobody vouches for."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from fidip.data.sources import matlab
from fidip.data.sources.matlab import read_arrays
from fidip.errors import DataError


@pytest.mark.parametrize("compressed", [True, False])
def test_numbers_come_back_and_others_are_not_touched(tmp_path: Path, compressed: bool) -> None:
    file = tmp_path / "a.mat"
    points = np.random.default_rng(0).normal(size=(2, 24, 3)).astype(np.float32)
    texts = np.array(["x", "yy"], dtype=object)
    savemat(file, {"points": points, "texts": texts, "more": np.eye(3)}, do_compression=compressed)
    arrays = read_arrays(file, ("points", "absent"))
    assert list(arrays) == ["points"]
    assert np.array_equal(arrays["points"], points)


def test_what_is_no_array_of_numbers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.mat"
    savemat(file, {"s": {"a": 1}, "c": np.array(["x"], dtype=object), "bad": np.array([1, np.inf]), "big": np.eye(9)})
    for name, problem in (("s", "found a struct"), ("c", "found a cell"), ("bad", "not finite numbers")):
        with pytest.raises(DataError, match=problem) as caught:
            read_arrays(file, (name,))
        assert str(caught.value).startswith(f"{file}: {name}: ")
    monkeypatch.setattr(matlab, "MOST_ELEMENTS", 80)
    with pytest.raises(DataError, match="big: an array of 9 x 9 is too large"):
        read_arrays(file, ("big",))


def test_other_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.mat"
    with pytest.raises(DataError, match="no such file"):
        read_arrays(file, ("x",))
    for content in (b"", b"\x89HDF\r\n\x1a\n" + bytes(300), b"hello" * 100, bytes(200)):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.mat: "):
            read_arrays(file, ("x",))


@pytest.mark.parametrize("compressed", [True, False])
def test_damaged_files_give_numbers_or_data_errors(tmp_path: Path, compressed: bool) -> None:
    file, generator = tmp_path / "a.mat", random.Random(0)
    savemat(file, {"x": np.arange(48.0).reshape(2, 24), "y": np.eye(4)}, do_compression=compressed)
    whole, refused = file.read_bytes(), 0
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(generator.choice([1, 3])):
            data[generator.randrange(120, len(data))] = generator.randrange(256)
        file.write_bytes(data[: generator.randrange(len(data))] if generator.random() < 0.3 else data)
        try:
            arrays = read_arrays(file, ("x", "y"))
        except DataError:
            refused += 1
        else:
            assert all(np.isfinite(values).all() for values in arrays.values())
    assert refused > 100
