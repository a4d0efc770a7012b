"""The commands ``fidip convert …`` from typing to files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fidip.cli import MISTAKE, SUCCESS, main
from fidip.training.inputs import LabelledSet
from source_folders import coco_folder, standing_joints, surreal_clip
from test_data_sources_mini_rgbd import mini_rgbd
from test_data_sources_syrip import syrip_folder


def surreal_folder(root: Path) -> Path:
    for n in range(3):
        surreal_clip(root / f"{n:02d}_01_c0001", np.repeat(standing_joints()[None], 4, 0))
    return root


@pytest.mark.parametrize(
    ("name", "make", "options", "images"),
    [
        ("syrip", syrip_folder, ["--subset", "1000S", "validate500"], 5),
        ("mini-rgbd", mini_rgbd, ["--every", "3", "--sequences", "01", "--hips", "none"], 2),
        ("surreal", surreal_folder, ["--frames", "2", "--count", "5", "--seed", "4", "--hips", "joints"], 5),
        ("coco", lambda root: coco_folder(root, {1: 2, 2: 1}), ["--crop", "--count", "2", "--min-keypoints", "3"], 2),
        ("coco", lambda root: coco_folder(root, {1: 2, 2: 1}), ["--files", "link", "--split", "val2017"], 2),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_convert_writes_a_folder_and_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, make, options: list[str], images: int
) -> None:
    source, out, report = make(tmp_path / "in"), tmp_path / "out", tmp_path / "report.json"
    assert main(["convert", name, str(source), str(out), *options, "--json", str(report)]) == SUCCESS
    assert len(LabelledSet.read(out / "annotations.json").images) == images
    written = json.loads(report.read_text())
    assert (written["source"], written["images"], written["unreadable"]) == (name, images, [])
    assert written["options"]["folder"] == str(source)
    printed, error = capsys.readouterr()
    assert printed.startswith(f"{images} images, ")
    assert all(f": {why} (" in printed for kind in ("changed", "left_out", "remarks") for why in written[kind])
    assert error == ""


def test_convert_prestage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco, surreal, out = (
        coco_folder(tmp_path / "coco", {1: 2, 2: 2}),
        surreal_folder(tmp_path / "surreal"),
        tmp_path / "o",
    )
    sizes = ["--real", "3", "--synthetic", "2"]
    assert main(["convert", "prestage", str(coco), str(surreal), str(out), *sizes]) == SUCCESS
    assert len(LabelledSet.read(out / "synthetic.json").images) == 2
    assert main(["convert", "prestage", str(coco), str(surreal), str(tmp_path / "x")]) == MISTAKE
    assert "2000 pictures wanted, but only 3 clips are here" in capsys.readouterr().err


def test_what_could_not_be_read_is_named_and_the_rest_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = mini_rgbd(tmp_path / "in", ("01",), frames=3), tmp_path / "out"
    (source / "01/joints_2Ddep/syn_joints_2Ddep_00001.txt").write_text("1 2 3\n")
    assert main(["convert", "mini-rgbd", str(source), str(out)]) == MISTAKE
    printed, error = capsys.readouterr()
    assert "syn_joints_2Ddep_00001.txt: line 1: expected x, y, depth and joint id" in printed
    assert error.startswith("fidip: left out what could not be read: ")
    assert error.count("\n") == 1
    assert len(LabelledSet.read(out / "annotations.json").images) == 2


def test_the_group_helps_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "--help"]) == SUCCESS
    shown = capsys.readouterr().out
    assert "convert syrip" in shown
    assert "Measure predicted poses" not in shown
    assert main(["convert"]) == MISTAKE
    assert "'convert' needs one more word; choose one of convert coco, convert mini-rgbd" in capsys.readouterr().err
    assert main(["convert", "mpii"]) == MISTAKE
    assert "no 'convert mpii'; choose one of convert coco" in capsys.readouterr().err
