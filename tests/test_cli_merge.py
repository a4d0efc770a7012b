"""``fidip merge`` from typing to files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fidip.annotations import Domain
from fidip.cli import MISTAKE, SUCCESS, main
from fidip.training.inputs import LabelledSet
from test_data_merge import labelled_folder


def test_merge_writes_a_folder_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = labelled_folder(tmp_path / "a", ["1.png", "2.png"], Domain.REAL, 0)
    second = labelled_folder(tmp_path / "b", ["1.png"], Domain.SYNTHETIC, 10)
    shutil.copy(tmp_path / "a/images/2.png", tmp_path / "b/images/1.png")
    out, report = tmp_path / "out", tmp_path / "report.json"
    assert main(["merge", str(first), str(second), "--out", str(out)]) == MISTAKE
    assert "choose --duplicates drop or keep" in capsys.readouterr().err
    options = ["--duplicates", "keep", "--files", "link", "--json", str(report)]
    folders = ["--images", str(tmp_path / "a/images"), str(tmp_path / "b/images")]
    assert main(["merge", str(first), str(second), "--out", str(out), *folders, *options]) == SUCCESS
    assert len(LabelledSet.read(out / "annotations.json").images) == 3
    written = json.loads(report.read_text())
    assert written["domains"] == {"real": 2, "synthetic": 1}
    assert [part["file"] for part in written["files"]] == [str(first), str(second)]
    printed = capsys.readouterr().out
    assert "2 of 2 images from" in printed
    assert "to know: the same picture as an earlier one, kept (1:" in printed
