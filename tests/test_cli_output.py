from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fidip.cli.output import plain, write_report
from fidip.errors import StorageError


def test_numbers_of_every_kind_become_json(tmp_path) -> None:
    report = {
        "AP": np.float32(0.5),
        "ci95": (np.float64(0.25), float("nan")),
        "people": np.int64(3),
        "table": np.array([[1.0, np.inf], [2.0, 3.0]]),
        "file": Path("a") / "b",
        "none": None,
        "nested": {1: [True, "x"]},
    }
    file = tmp_path / "out.json"
    write_report(file, report)
    assert json.loads(file.read_text()) == {
        "AP": 0.5,
        "ci95": [0.25, None],
        "people": 3,
        "table": [[1.0, None], [2.0, 3.0]],
        "file": str(Path("a") / "b"),
        "none": None,
        "nested": {"1": [True, "x"]},
    }


def test_without_a_file_nothing_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_report(None, {"AP": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_named(tmp_path) -> None:
    with pytest.raises(StorageError, match=r"missing.out\.json"):
        write_report(tmp_path / "missing" / "out.json", {})


def test_plain_is_idempotent() -> None:
    once = plain({"a": np.arange(3), "b": (1.5, None)})
    assert plain(once) == once == {"a": [0, 1, 2], "b": [1.5, None]}
