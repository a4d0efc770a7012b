from __future__ import annotations

import json
from pathlib import Path

import pytest

from body_files import forged
from fidip.cli import MISTAKE, SUCCESS, main
from fidip.synthesis.bodies import load_body


def test_a_pickle_is_converted_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out, report = tmp_path / "smil.pkl", tmp_path / "smil.npz", tmp_path / "report.json"
    source.write_bytes(forged(protocol=4))
    assert main(["convert-body", str(source), "--out", str(out), "--json", str(report)]) == SUCCESS
    assert f"{out}: 6890 vertices, 10 shape coefficients, texture layout plain" in capsys.readouterr().out
    written = json.loads(report.read_text())
    assert (written["vertices"], written["shape_size"], written["uv_layout"]) == (6890, 10, "plain")
    assert load_body("smpl", out).shape_size == 10


def test_mistakes_are_one_line_and_leave_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "smil.pkl", tmp_path / "smil.npz"
    source.write_bytes(b"cos\nsystem\n(S'touch " + str(out).encode() + b"'\ntR.")
    assert main(["convert-body", str(source), "--out", str(out)]) == MISTAKE
    error = capsys.readouterr().err
    assert error == f"fidip: {source}: asks for os.system, which no file of this kind needs; do not trust it\n"
    source.write_bytes(forged())
    assert main(["convert-body", str(source), "--out", str(out), "--uv-template", str(source)]) == MISTAKE
    error = capsys.readouterr().err
    assert error.startswith(f"fidip: {source}: ")
    assert error.count("\n") == 1
    assert not out.exists()
