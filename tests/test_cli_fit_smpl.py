"""The commands about fits with a body of the user's."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fidip.cli.fit as module
from fidip.cli import MISTAKE, SUCCESS, main
from fidip.coco import write_coco
from fidip.images import read_image
from fidip.smpl_joints import BONES
from fidip.synthesis.fits import read_fits, write_fits
from fidip.synthesis.priors import DEFAULT_PRIOR, read_prior
from smpl_cases import converted, smpl_cases, some_poses, write_body
from test_synthesis_published_priors import mixture

COUNT = 6


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Poses, the converted body, and files that are none or are for others."""
    folder = tmp_path_factory.mktemp("smpl")
    (folder / "prior.npz").write_bytes(DEFAULT_PRIOR.read_bytes())
    (folder / "smil_web.pkl").write_bytes(b"")
    (folder / "gmm_08.pkl").write_bytes(pickle.dumps(mixture(), 2))
    (folder / "short.pkl").write_bytes(pickle.dumps(mixture() | {"means": np.zeros((8, 63))}))
    write_coco(folder / "poses.json", [case.image for case in smpl_cases(2, seed=3)])
    write_body(folder / "body.npz")
    return folder


def fit_arguments(files: Path, out: Path) -> list[str]:
    body = ["--body", "smpl", "--body-file", str(files / "body.npz")]
    return ["fit", str(files / "poses.json"), "--out", str(out), *body]


def test_a_users_body_is_fitted_drawn_and_recorded(files: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert main(fit_arguments(files, out)) == SUCCESS
    fits = read_fits(out / "fits.npz")
    assert (fits.body, fits.bone_names, fits.ids.tolist()) == ("smpl", BONES, [10, 20])
    record = json.loads((out / "fits.json").read_text())
    assert (record["settings"]["body"], record["settings"]["body_file"]) == ("smpl", "body.npz")
    assert max(fit["reprojection_torso"] for fit in record["fits"]) < 0.02
    assert all(fit["plausible"] for fit in record["fits"])
    for name in ("10", "20"):
        white = (read_image(out / "overlays" / f"{name}.png") == 255).all(2).mean()
        assert 0.2 < white < 0.95
    assert (out / "index.html").read_text().count("<figure") == 2
    images = ["synth", str(tmp_path / "images"), "--fits", str(out), "--renderer", "flat", "--size", "64"]
    assert main(images) == MISTAKE
    error = capsys.readouterr().err
    assert "fits of the body smpl, not anny; give --body smpl --body-file" in error
    assert error.count("\n") == 1
    np.savez(tmp_path / "other.npz", **converted() | {"source_sha256": np.array("1" * 64)})
    assert main([*images, "--body", "smpl", "--body-file", str(tmp_path / "other.npz")]) == MISTAKE
    assert "fits.json: settings.body_sha256: the fits are of another file than" in capsys.readouterr().err
    assert not (tmp_path / "images").exists()
    assert main([*images, "--rotations", "1", "--body", "smpl", "--body-file", str(files / "body.npz")]) == SUCCESS
    assert len(list((tmp_path / "images" / "images").iterdir())) == 2


def test_a_published_mixture_and_a_prior_of_ones_own_decide_the_poses(files: Path, tmp_path: Path, monkeypatch) -> None:
    """``fidip prior`` learns from fits without the body's file."""
    monkeypatch.setattr(module, "_draw", lambda *_: None)
    arguments = fit_arguments(files, tmp_path / "first")
    assert main([*arguments, "--prior", str(files / "gmm_08.pkl")]) == SUCCESS
    assert json.loads((tmp_path / "first" / "fits.json").read_text())["settings"]["prior"] == "gmm_08.pkl"
    first = read_fits(tmp_path / "first" / "fits.npz")
    rows = np.zeros(COUNT, int)
    names = ("shape", "translation", "focal", "principal", "size", "camera_rotation", "camera_position", "image_ids")
    many = replace(first, ids=np.arange(COUNT), **{name: getattr(first, name)[rows] for name in names})
    rotations = np.concatenate([np.zeros((COUNT, 3)), some_poses(5, COUNT)], 1).reshape(COUNT, 24, 3)
    (tmp_path / "many").mkdir()
    write_fits(tmp_path / "many" / "fits.npz", replace(many, rotations=rotations.astype(np.float32)))
    learnt = tmp_path / "learnt.npz"
    assert main(["prior", str(tmp_path / "many"), "--out", str(learnt), "--all"]) == SUCCESS
    assert read_prior(learnt).means.shape == (2, 69)
    assert main([*fit_arguments(files, tmp_path / "second"), "--prior", str(learnt)]) == SUCCESS
    second = read_fits(tmp_path / "second" / "fits.npz")
    assert not np.allclose(first.rotations, second.rotations, atol=0.05)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--body", "smpl"], "the body smpl needs a file: convert yours with fidip convert-body"),
        (["--body-file", "body.npz"], "the body anny is bundled and takes no file"),
        (["--body", "smpl", "--body-file", "smil_web.pkl"], "convert it once: fidip convert-body smil_web.pkl"),
        (["--body", "smpl", "--body-file", "none.npz"], "none.npz: no such file"),
        (["--body", "smpl", "--body-file", "prior.npz"], "prior.npz"),
        (["--body", "smpl", "--body-file", "body.npz", "--prior", "prior.npz"], "over 36 numbers"),
        (["--prior", "gmm_08.pkl"], "over 69 numbers (left_hip_x, …), the body's poses are 36"),
        (["--body", "smpl", "--body-file", "body.npz", "--prior", "short.pkl"], "means: has the shape (8, 63)"),
    ],
)
def test_wrong_files_are_one_line_and_leave_nothing(
    files: Path, tmp_path: Path, monkeypatch, options: list[str], words: str, capsys
) -> None:
    monkeypatch.chdir(files)
    assert main(["fit", str(files / "poses.json"), "--out", str(tmp_path / "out"), *options]) == MISTAKE
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_fits_of_two_bodies_give_no_prior(files: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(module, "_draw", lambda *_: None)
    assert main(fit_arguments(files, tmp_path / "smpl")) == SUCCESS
    assert main(["fit", str(files / "poses.json"), "--out", str(tmp_path / "anny")]) == SUCCESS
    folders = [str(tmp_path / name) for name in ("anny", "smpl")]
    assert main(["prior", *folders, "--out", str(tmp_path / "prior.npz"), "--all"]) == MISTAKE
    error = capsys.readouterr().err
    assert f"fits of another body than those in {tmp_path / 'anny'}; learn a prior for each body" in error
    assert error.count("\n") == 1
