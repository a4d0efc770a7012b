from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fidip.cli import MISTAKE, SUCCESS, main
from fidip.synthesis.anatomy import bone_rotations
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.fit_bodies import CPU, FIT_BODIES
from fidip.synthesis.fits import CAMERA_ROTATION, Fits, write_fits
from fidip.synthesis.postures import draw_angles
from fidip.synthesis.priors import read_prior

COUNT = 20


def rotations(posture: str, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    names = AnnyBody.load().bone_names
    return np.array([bone_rotations(draw_angles(generator, posture, "infant")[0], names) for _ in range(COUNT)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Fits of sitting infants; half of them are not plausible, and these are supine."""
    body, N = AnnyBody.load(), 2 * COUNT
    turned = np.concatenate([rotations("sitting", 0), rotations("supine", 1)])
    fits = Fits(
        np.arange(1, N + 1), np.ones(N, int), np.zeros((N, body.shape_size), np.float32), turned,
        np.zeros((N, 3), np.float32), np.full(N, 700.0), np.full((N, 2), 99.5), np.full((N, 2), 200),
        np.tile(CAMERA_ROTATION, (N, 1, 1)), np.zeros((N, 3)), body.bone_names, "anny",
    )  # fmt: skip
    (tmp_path / "fits").mkdir()
    write_fits(tmp_path / "fits" / "fits.npz", fits)
    record = {"fits": [{"id": i, "plausible": i <= COUNT} for i in range(1, N + 1)]}
    (tmp_path / "fits" / "fits.json").write_text(json.dumps(record))
    return tmp_path / "fits"


def energies(prior: Path, posture: str) -> np.ndarray:
    _, view = FIT_BODIES["anny"](CPU, torch.float64)
    poses = np.array([view.pose(each) for each in rotations(posture, 9)])
    return read_prior(prior).energy(poses)


def test_a_prior_is_learnt_from_plausible_fits(tmp_path: Path, folder: Path, capsys) -> None:
    out, report = tmp_path / "prior.npz", tmp_path / "report.json"
    assert main(["prior", str(folder), "--out", str(out), "--components", "2", "--json", str(report)]) == SUCCESS
    assert f"4 Gaussians, half of them mirror images, from {COUNT} poses" in capsys.readouterr().out
    written = json.loads(report.read_text())
    assert (written["poses"], written["components"]) == (COUNT, 4)
    assert np.median(energies(out, "sitting")) + 20 < np.median(energies(out, "supine"))
    everything = tmp_path / "all.npz"
    assert main(["prior", str(folder), "--out", str(everything), "--all"]) == SUCCESS
    assert np.median(energies(everything, "supine")) < np.median(energies(out, "supine")) - 20


def test_the_same_fits_give_the_same_prior(tmp_path: Path, folder: Path) -> None:
    for name in ("a", "b"):
        assert main(["prior", str(folder), "--out", str(tmp_path / f"{name}.npz"), "--seed", "3"]) == SUCCESS
    one, other = (read_prior(tmp_path / f"{name}.npz") for name in ("a", "b"))
    np.testing.assert_array_equal(one.covariances, other.covariances)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--components", "0"], "--components 0: between 1 and 128"),
        (["--components", "1000"], "--components 1000: between 1 and 128"),
        (["--seed", "-1"], "--seed -1: a seed is 0 or more"),
    ],
)
def test_strange_options_are_refused(tmp_path: Path, folder: Path, options: list[str], words: str, capsys) -> None:
    assert main(["prior", str(folder), "--out", str(tmp_path / "p.npz"), *options]) == MISTAKE
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert not (tmp_path / "p.npz").exists()


def test_what_is_no_folder_of_fits_is_refused(tmp_path: Path, folder: Path, capsys) -> None:
    out = ["--out", str(tmp_path / "p.npz")]
    assert main(["prior", str(tmp_path / "nothing"), *out]) == MISTAKE
    assert "fits.npz: no such file" in capsys.readouterr().err
    (folder / "fits.json").unlink()
    assert main(["prior", str(folder), *out]) == MISTAKE
    assert "fits.json: no such file" in capsys.readouterr().err
    assert main(["prior", str(folder), *out, "--all"]) == SUCCESS
    (folder / "fits.json").write_text(json.dumps({"fits": [{"id": 1, "plausible": True}]}))
    (tmp_path / "p.npz").unlink()
    assert main(["prior", str(folder), *out]) == MISTAKE
    assert "1 plausible fits: a prior needs at least 6" in capsys.readouterr().err
    assert not (tmp_path / "p.npz").exists()
    (folder / "fits.npz").write_bytes(b"PK")
    assert main(["prior", str(folder), *out]) == MISTAKE
    assert "not the fits.npz of fidip fit" in capsys.readouterr().err
