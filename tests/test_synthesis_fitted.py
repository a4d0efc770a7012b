from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fidip.errors import DataError, RecipeError
from fidip.geometry import Size
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.fits import CAMERA_ROTATION, Fits, read_fits, write_fits
from fidip.synthesis.fitted import TURN, FittedBodies, as_fitted
from fidip.synthesis.generate import generate
from fidip.synthesis.poses import draw_pose
from fidip.synthesis.sample import Settings
from fidip.synthesis.scene import SCENE_STYLES

BODIES = 6
SIZE: Size = (64, 48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fits as fidip fit leaves them: the fourth, with id 40, is implausible."""
    out, body, rng = tmp_path_factory.mktemp("fits"), AnnyBody.load(), np.random.default_rng(0)
    rotations = np.stack([draw_pose(rng, "supine", body).rotations for _ in range(BODIES)])
    ids = 10 * np.arange(1, BODIES + 1)
    write_fits(out / "fits.npz", Fits(
        ids=ids, image_ids=ids, shape=np.stack([body.draw_shape(rng, "infant")[0].numpy() for _ in ids]),
        rotations=rotations, translation=np.tile(np.float32([0, 2, 0]), (BODIES, 1)), focal=np.full(BODIES, 500.0),
        principal=np.full((BODIES, 2), 100.0), size=np.full((BODIES, 2), 201), body="anny",
        camera_rotation=np.tile(CAMERA_ROTATION, (BODIES, 1, 1)), camera_position=np.zeros((BODIES, 3)),
        bone_names=body.bone_names,
    ))  # fmt: skip
    records = [{"id": int(one), "plausible": bool(one != 40)} for one in ids]
    (out / "fits.json").write_text(json.dumps({"fits": records}))
    return out


def test_plausible_fits_are_chosen_and_shown_in_turns(folder: Path) -> None:
    every = FittedBodies.open(folder, None, 3, None, seed=0)
    assert every.shown == tuple((row, turn) for row in (0, 1, 2, 4, 5) for turn in range(3))
    some = FittedBodies.open(folder, 2, 10, 7, seed=1)
    assert len(set(some.shown)) == 7
    assert len({row for row, _ in some.shown}) <= 2
    assert some == FittedBodies.open(folder, 2, 10, 7, seed=1)
    assert len({FittedBodies.open(folder, 2, 10, 7, seed=seed).shown for seed in range(5)}) > 1


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ((6, 10, None), "5 of 6 fits are plausible, 6 are asked for"),
        ((0, 10, None), "0 are asked for"),
        ((2, 0, None), "--rotations 0"),
        ((2, 3, 7), "--keep 7: 2 bodies in 3 turns make 6 images"),
        ((2, 3, 0), "--keep 0"),
    ],
)
def test_what_cannot_be_chosen_is_refused(folder: Path, choice: tuple[int, int, int | None], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        FittedBodies.open(folder, *choice, seed=0)


def test_other_folders_and_changed_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fits\.npz: no such file"):
        FittedBodies.open(tmp_path, None, 1, None, 0)
    (tmp_path / "fits.npz").write_bytes((folder / "fits.npz").read_bytes())
    (tmp_path / "fits.json").write_text('{"fits": [{"id": 10}]}')
    with pytest.raises(DataError, match=r"fits\.json: fits\[0\]: expected an id"):
        FittedBodies.open(tmp_path, None, 1, None, 0)
    opened = replace(FittedBodies.open(folder, None, 1, None, 0), sha256="0" * 64)
    with pytest.raises(DataError, match="has changed"):
        opened.subject(0, AnnyBody.load())


def test_fits_of_another_body_are_refused_before_anything_is_drawn(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "fits.json").write_bytes((folder / "fits.json").read_bytes())
    write_fits(tmp_path / "fits.npz", replace(read_fits(folder / "fits.npz"), body="smpl"))
    settings = Settings("infant-flat", 1, SIZE, seed=0, fitted=FittedBodies.open(tmp_path, 1, 1, None, 0))
    with pytest.raises(
        DataError, match=r"fits\.npz: body: fits of the body smpl, not anny; give --body smpl --body-file"
    ):
        generate(tmp_path / "set", settings)
    assert not (tmp_path / "set").exists()


def test_a_subject_is_the_fit_turned_about_its_root(folder: Path) -> None:
    body, every = AnnyBody.load(), FittedBodies.open(folder, None, 3, None, 0)
    as_it_is, turned = every.subject(0, body), every.subject(2, body)
    np.testing.assert_allclose(turned.rotations[0] - as_it_is.rotations[0], 2 * TURN, atol=1e-6)
    np.testing.assert_array_equal(turned.rotations[1:], as_it_is.rotations[1:])
    assert as_it_is.origin == turned.origin == "fit 10"
    again = body(torch.from_numpy(turned.shape)[None], torch.from_numpy(turned.rotations)[None], torch.zeros(1, 3))
    np.testing.assert_allclose(turned.keypoints, again.keypoints[0].numpy(), atol=1e-6)


def test_images_of_one_fit_are_relatives_and_look_along_its_camera(folder: Path, tmp_path: Path) -> None:
    fitted = FittedBodies.open(folder, 2, 2, None, seed=0)
    settings = Settings("infant-flat", len(fitted.shown), SIZE, seed=0, keep_ground_truth=True, fitted=fitted)
    images = generate(tmp_path / "set", settings)
    assert [image.subject for image in images] == [f"fit {10 * (row + 1)}" for row, _ in fitted.shown]
    assert images[0].origins & images[1].origins
    assert not images[0].origins & images[2].origins
    assert all(image.posture is None and image.body_seed is None for image in images)
    for image in images:
        with np.load(tmp_path / "set" / "truth" / f"{image.id:06d}.npz") as truth:
            forward = truth["camera_rotation"][2]
        assert forward[1] > np.cos(np.radians(12))  # y, as the fit's camera


def test_fitted_bodies_have_no_floor() -> None:
    with pytest.raises(RecipeError, match="no floor to lie on"):
        as_fitted(SCENE_STYLES["infant-photo"])
    with pytest.raises(RecipeError, match="population infant"):
        as_fitted(SCENE_STYLES["adult-flat"])
