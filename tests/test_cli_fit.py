from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.fitting_cases import SIZE, cases

import fidip.cli.fit as module
from fidip.cli import MISTAKE, SUCCESS, main
from fidip.cli.fit import parse_focal
from fidip.coco import write_coco
from fidip.errors import RecipeError
from fidip.images import read_image, write_image
from fidip.synthesis.fits import read_fits


@pytest.fixture(scope="module")
def images():
    first, second = (case.image for case in cases("sitting", "supine", seed=2))
    return [replace(first, posture="Sitting"), second]


@pytest.fixture
def poses(tmp_path: Path, images) -> Path:
    write_coco(tmp_path / "poses.json", images)
    return tmp_path / "poses.json"


def test_fit_writes_arrays_a_record_pictures_and_a_page(tmp_path: Path, poses: Path, capsys) -> None:
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "1.png", np.full((SIZE[1], SIZE[0], 3), (0, 0, 200), np.uint8))
    out, report = tmp_path / "out", tmp_path / "report.json"
    assert main(["fit", str(poses), "--out", str(out), "--json", str(report)]) == SUCCESS
    assert sorted(p.name for p in out.iterdir()) == ["fits.json", "fits.npz", "index.html", "overlays"]
    record = json.loads((out / "fits.json").read_text())
    assert [fit["id"] for fit in record["fits"]] == [10, 20]
    first = record["fits"][0]
    assert [fit["posture"] for fit in record["fits"]] == ["Sitting", None]
    assert first.keys() == {
        "id", "image_id", "file_name", "reprojection_torso", "plausible", "reasons", "energy", "seconds", "posture"
    }  # fmt: skip
    assert {"data", "pose", "shape", "bend", "total"} <= first["energy"].keys()
    assert record["settings"]["focal"] == "optimise"
    assert record["settings"]["stages"][-1]["weights"]["data"] == 35.0
    assert record["versions"].keys() == {"fidip", "torch", "numpy"}
    assert read_fits(out / "fits.npz").ids.tolist() == [10, 20]
    blue = (read_image(out / "overlays" / "10.png") == (0, 0, 200)).all(2).mean()
    white = (read_image(out / "overlays" / "20.png") == 255).all(2).mean()
    assert min(blue, white) > 0.3
    assert (out / "index.html").read_text().count("<figure") == 2
    summary = json.loads(report.read_text())
    assert (summary["fits"], summary["not_fitted"]) == (2, 0)
    assert "2 fits in" in capsys.readouterr().out


def test_the_same_poses_in_another_order_give_the_same_bodies(tmp_path: Path, images, monkeypatch) -> None:
    monkeypatch.setattr(module, "_draw", lambda *_: None)
    for name, order in (("a", images), ("b", images[::-1])):
        write_coco(tmp_path / f"{name}.json", order)
        assert main(["fit", str(tmp_path / f"{name}.json"), "--out", str(tmp_path / name)]) == SUCCESS
    one, other = (read_fits(tmp_path / name / "fits.npz") for name in ("a", "b"))
    assert one.ids.tolist() == other.ids.tolist()[::-1]
    np.testing.assert_allclose(one.rotations, other.rotations[::-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one.translation, other.translation[::-1], rtol=1e-5, atol=1e-6)


def test_who_is_not_fitted_is_named(tmp_path: Path, poses: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(module, "_draw", lambda *_: None)
    document = json.loads(poses.read_text())
    document["annotations"][1]["keypoints"][9:] = [0] * 42
    poses.write_text(json.dumps(document))
    assert main(["fit", str(poses), "--out", str(tmp_path / "out"), "--focal", "800"]) == SUCCESS
    assert "not fitted: 2.png, id 20: 3 labelled keypoints, at least 7 are needed" in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "fits.json").read_text())
    assert [each["id"] for each in record["not_fitted"]] == [20]
    assert read_fits(tmp_path / "out" / "fits.npz").focal.tolist() == pytest.approx([800.0])


def spoilt(poses: Path, change) -> Path:
    document = json.loads(poses.read_text())
    change(document)
    poses.write_text(json.dumps(document))
    return poses


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["annotations"][0].update(keypoints=[1] * 48), "expected 51 numbers, found 48"),
        (lambda d: d["categories"][0].update(keypoints=d["categories"][0]["keypoints"][:16]), "another skeleton"),
        (lambda d: d.update(annotations=[]), "no people in this file"),
        (lambda d: d["annotations"][0]["keypoints"].__setitem__(0, float("nan")), "NaN is not a number"),
        (lambda d: d["images"][0].pop("width"), "width"),
        (lambda d: [a.update(iscrowd=1) for a in d["annotations"]], "nobody can be fitted: 1.png, id 10: a crowd"),
    ],
)  # fmt: skip
def test_bad_poses_are_one_line_and_leave_nothing(tmp_path: Path, poses: Path, change, words: str, capsys) -> None:
    spoilt(poses, change)
    assert main(["fit", str(poses), "--out", str(tmp_path / "out")]) == MISTAKE
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert "poses.json" in error
    assert not (tmp_path / "out").exists()


def test_missing_files_used_folders_and_strange_options_are_refused(tmp_path: Path, poses: Path, capsys) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main(["fit", str(tmp_path / "none.json"), *out]) == MISTAKE
    assert "no such file" in capsys.readouterr().err
    assert main(["fit", str(poses), "--out", str(tmp_path)]) == MISTAKE
    assert "not empty" in capsys.readouterr().err
    assert main(["fit", str(poses), *out, "--prior", str(poses)]) == MISTAKE
    assert "not a pose prior" in capsys.readouterr().err
    assert main(["fit", str(poses), *out, "--focal", "wide"]) == MISTAKE
    assert "--focal wide: give pixels such as 1200" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "0", "-5", "nan", "inf", "1e9", "Guess", "12px"])
def test_only_focal_lengths_are_taken(text: str) -> None:
    assert parse_focal("1200.5") == 1200.5
    assert (parse_focal("guess"), parse_focal("optimise")) == ("guess", "optimise")
    with pytest.raises(RecipeError, match="guess, or optimise"):
        parse_focal(text)


def test_a_run_that_ends_in_the_middle_leaves_no_record(tmp_path: Path, poses: Path, monkeypatch, capsys) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_draw", killed)
    assert main(["fit", str(poses), "--out", str(tmp_path / "out")]) != SUCCESS
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["fits.npz"]
    assert len(read_fits(tmp_path / "out" / "fits.npz")) == 2


def test_images_that_are_not_the_annotated_ones_are_drawn_as_white(tmp_path: Path, poses: Path, images, capsys) -> None:
    from fidip.synthesis.fit_people import subjects

    folder = tmp_path / "images"
    folder.mkdir()
    first, second = subjects(images)[0]
    write_image(folder / "1.png", np.zeros((10, 10, 3), np.uint8))
    (folder / "2.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="10 x 10 pixels, 640 x 480 in"):
        assert module._image(module._Found(poses, None), first) is None
    with pytest.warns(UserWarning, match="drawn on white"):
        assert module._image(module._Found(poses, None), second) is None
    assert module._image(module._Found(poses, tmp_path), first) is None
