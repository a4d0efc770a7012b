from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fidip.annotations import Domain
from fidip.cli import MISTAKE, SUCCESS, main
from fidip.coco import read_coco, write_coco
from fidip.evaluation.pose_distribution import distribution_of
from figures import figure_set


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tuple(
        figure_set(tmp_path / domain.name.lower(), 8, domain).file for domain in (Domain.SYNTHETIC, Domain.REAL)
    )


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def test_one_row_a_file_with_the_numbers_beside(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "poses.png", tmp_path / "poses.json"
    command = ["plot", "poses", *map(str, files), "--out", str(out), "--count", "6"]
    assert main([*command, "--json", str(report)]) == SUCCESS
    shown = capsys.readouterr().out
    for file, row in zip(files, json.loads(report.read_text())["files"], strict=True):
        expected = distribution_of(read_coco(file), 6, 0).diversity
        assert (row["file"], row["people"], row["usable"], row["drawn"]) == (str(file), 8, 8, 6)
        assert row["diversity"] == pytest.approx(expected)
        assert f"{file}: 6 of 8 people drawn, 8 usable, diversity {expected:.3f}\n" in shown
    one = tmp_path / "one.png"
    assert main(["plot", "poses", str(files[0]), "--out", str(one), "--count", "6"]) == SUCCESS
    assert pixels(out).shape[0] > 1.8 * pixels(one).shape[0]
    before = out.read_bytes()
    assert main(command) == SUCCESS
    assert out.read_bytes() == before
    assert main([*command, "--seed", "1"]) == SUCCESS
    assert out.read_bytes() != before


def test_pictures_are_shown_of_synthetic_people_only(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "poses.png"
    shares = []
    for file in files:
        assert main(["plot", "poses", str(file), "--out", str(out)]) == SUCCESS
        left = pixels(out)[:, : pixels(out).shape[1] // 2]
        shares.append(float((left.min(axis=2) < 150).mean()))
    assert shares[0] > 0.4  # a dark picture
    assert shares[1] < 0.2  # lines on white
    unknown = tmp_path / "unknown.json"  # says nothing of its domain, and its images lie elsewhere
    write_coco(unknown, [replace(image, domain=None) for image in read_coco(files[0])])
    assert main(["plot", "poses", str(unknown), "--out", str(out)]) == SUCCESS
    alone = tmp_path / "alone.json"
    alone.write_bytes(files[0].read_bytes())
    assert main(["plot", "poses", str(alone), "--out", str(out)]) == SUCCESS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["poses"], "name at least one COCO keypoint file"),
        (["poses", "{0}", "--count", "1"], "--count 1: at least two skeletons make a distribution"),
        (["poses", "{0}", "--seed", "-1"], "--seed -1: a seed is 0 or more"),
        (["poses", "{0}", "--out", "poses.pdf"], "poses.pdf: the picture is a PNG"),
        (["poses", "{0}", "none.json"], "none.json: no such file"),
        (["poses", "{0}", "{1}"], "empty.json: annotations: shows nobody whose shoulders and hips are all labelled"),
        (["faces", "{0}"], "poses"),
    ],
)
def test_mistakes_leave_no_picture(
    files: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    empty, out = tmp_path / "empty.json", tmp_path / "out.png"
    write_coco(empty, [replace(image, people=()) for image in read_coco(files[0])])
    places = [argument.format(files[0], empty) for argument in arguments]
    assert main(["plot", *places, *([] if "--out" in places else ["--out", str(out)])]) == MISTAKE
    assert message in capsys.readouterr().err
    assert not out.exists()
