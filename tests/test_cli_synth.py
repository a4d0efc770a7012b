from __future__ import annotations

import json
from pathlib import Path

import pytest

from fidip.cli import MISTAKE, SUCCESS, main
from fidip.cli.synth import parse_size
from fidip.errors import RecipeError


@pytest.mark.parametrize(("text", "size"), [("256", (256, 256)), ("640x480", (640, 480)), (" 64X32 ", (64, 32))])
def test_sizes_are_pixels_or_width_and_height(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "256x", "-5", "1e3", "256x256x3"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="give pixels such as 256"):
        parse_size(text)


def test_synth_writes_a_folder_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, report = tmp_path / "out", tmp_path / "report.json"
    options = ["--population", "adult", "--renderer", "flat", "--size", "64", "--seed", "2", "--json", str(report)]
    assert main(["synth", str(out), "--count", "2", *options]) == SUCCESS
    assert "2 images" in capsys.readouterr().out
    assert json.loads((out / "annotations.json").read_text())["images"][0]["style"] == "adult-flat"
    written = json.loads(report.read_text())
    assert (written["images"], written["people"], written["renderer"]) == (2, 2, "flat")


def test_synth_refuses_a_folder_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_text("x")
    assert main(["synth", str(tmp_path), "--count", "1", "--renderer", "flat"]) == MISTAKE
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "not empty" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--count", "1", "--vary", "5"], "add --fits DIR"),
        (["--fits", "somewhere", "--prior", "default"], "leave out --prior or --fits"),
        (["--count", "1", "--prior", "default", "--population", "adult"], "priors are of infants"),
        (["--count", "1", "--prior", "missing.npz"], "missing.npz"),
    ],
)
def test_sources_of_poses_that_do_not_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["synth", str(tmp_path / "out"), "--renderer", "flat", *options]) == MISTAKE
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "out").exists()


def test_synth_draws_from_a_prior(tmp_path: Path) -> None:
    options = ["--renderer", "flat", "--size", "64", "--prior", "default", "--age-months", "0-4"]
    assert main(["synth", str(tmp_path / "out"), "--count", "2", *options]) == SUCCESS
    images = json.loads((tmp_path / "out" / "annotations.json").read_text())["images"]
    assert all(image["posture"] and image["age_months"] <= 4 for image in images)
