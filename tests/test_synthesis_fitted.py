from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fidip.errors import DataError, DataWarning, RecipeError
from fidip.geometry import Size
from fidip.synthesis import sample
from fidip.synthesis.bodies import BodyChoice
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.camera import Camera
from fidip.synthesis.fits import CAMERA_ROTATION, Fits, read_fits, write_fits
from fidip.synthesis.fitted import TURN, FittedBodies, as_fitted
from fidip.synthesis.generate import generate
from fidip.synthesis.poses import draw_pose
from fidip.synthesis.renderers import RENDERERS
from fidip.synthesis.sample import Settings, make_sample
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
        opened.subject(0, AnnyBody.load(), np.random.default_rng(0))


def test_fits_of_another_body_are_refused_before_anything_is_drawn(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "fits.json").write_bytes((folder / "fits.json").read_bytes())
    write_fits(tmp_path / "fits.npz", replace(read_fits(folder / "fits.npz"), body="smpl"))
    settings = Settings("infant-flat", 1, SIZE, seed=0, fitted=FittedBodies.open(tmp_path, 1, 1, None, 0))
    with pytest.raises(
        DataError, match=r"fits\.npz: body: fits of the body smpl, not anny; give --body smpl --body-file"
    ):
        generate(tmp_path / "set", settings)
    assert not (tmp_path / "set").exists()


def test_a_body_of_which_too_little_is_seen_is_turned_further(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first turns are said to show nothing: the image is made all the same, of the same fit."""
    settings = Settings("infant-flat", 1, SIZE, seed=0, fitted=FittedBodies.open(folder, 1, 1, None, 0))
    body, asked = AnnyBody.load(), []

    def share(camera: Camera, vertices: np.ndarray) -> float:
        asked.append(vertices)
        return 0.0 if len(asked) <= 5 else 1.0

    monkeypatch.setattr(sample, "share_in_frame", share)
    made = make_sample(settings, 0, body, RENDERERS["flat"]())
    turned = np.stack([np.asarray(each) for each in asked])
    assert len({array.tobytes() for array in turned}) >= 3
    assert made.drawn.subject.origin == settings.fitted.subject(0, body, np.random.default_rng(0)).origin


def test_a_subject_is_the_fit_turned_about_its_root(folder: Path) -> None:
    body, every = AnnyBody.load(), FittedBodies.open(folder, None, 3, None, 0)
    as_it_is, turned = (every.subject(number, body, np.random.default_rng(0)) for number in (0, 2))
    np.testing.assert_allclose(turned.rotations[0] - as_it_is.rotations[0], 2 * TURN, atol=1e-6)
    np.testing.assert_array_equal(turned.rotations[1:], as_it_is.rotations[1:])
    assert as_it_is.origin == turned.origin == "fit 10"
    further = every.subject(0, body, np.random.default_rng(0), further=2)
    np.testing.assert_array_equal(further.rotations, turned.rotations)
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


def test_the_cameras_of_a_style_are_kept_where_there_is_a_floor() -> None:
    assert as_fitted(SCENE_STYLES["infant-photo"]) is SCENE_STYLES["infant-photo"]
    assert len(as_fitted(SCENE_STYLES["infant-flat"]).views) == 1
    with pytest.raises(RecipeError, match="population infant"):
        as_fitted(SCENE_STYLES["adult-flat"])


def told(folder: Path, out: Path, posture: str | None) -> Path:
    """The same fits, all said to show a posture."""
    out.mkdir()
    (out / "fits.npz").write_bytes((folder / "fits.npz").read_bytes())
    record = json.loads((folder / "fits.json").read_text())
    (out / "fits.json").write_text(json.dumps({"fits": [one | {"posture": posture} for one in record["fits"]]}))
    return out


def test_on_a_floor_fits_rest_in_their_posture_with_their_own_joints(folder: Path, tmp_path: Path) -> None:
    lying = FittedBodies.open(told(folder, tmp_path / "told", "Supine"), None, 2, None, 0, floor=BodyChoice())
    assert len(lying.shown) == 2 * (BODIES - 1)
    fits, body = read_fits(folder / "fits.npz"), AnnyBody.load()
    for number, (row, _) in enumerate(lying.shown):
        subject = lying.subject(number, body, np.random.default_rng(0))
        assert subject.posture == "Supine"
        assert subject.origin == f"fit {10 * (row + 1)}"
        np.testing.assert_array_equal(subject.rotations[1:], fits.rotations[row, 1:])
        assert -0.03 < subject.vertices[:, 2].min() < 0
        shoulders, hips = subject.keypoints[5:7, 2].mean(), subject.keypoints[11:13, 2].mean()
        assert abs(shoulders - hips) < 0.1  # lies
    assert lying.to_json()["lying"].keys() == {"0", "1", "2", "4", "5"}


def test_fits_that_can_be_laid_in_no_way_are_named_and_left_out(folder: Path, tmp_path: Path) -> None:
    wrong = told(folder, tmp_path / "wrong", "Supine")
    record = json.loads((wrong / "fits.json").read_text())
    record["fits"][0]["posture"] = "Standing"  # with the legs of somebody who lies
    (wrong / "fits.json").write_text(json.dumps(record))
    with pytest.warns(
        DataWarning, match=r"fits\.npz: fit 10 can be laid on a floor in no way, left out: out of balance"
    ):
        lying = FittedBodies.open(wrong, None, 1, None, 0, floor=BodyChoice())
    assert {row for row, _ in lying.shown} == {1, 2, 4, 5}
    assert lying.to_json()["not_laid"].keys() == {"10"}
    with (
        pytest.warns(DataWarning, match="fit 10"),
        pytest.raises(RecipeError, match="4 of 5 plausible fits can be laid on a floor, 5 are asked for"),
    ):
        FittedBodies.open(wrong, 5, 1, None, 0, floor=BodyChoice())


def test_noise_makes_every_image_of_a_fit_another(folder: Path, tmp_path: Path) -> None:
    varied = FittedBodies.open(folder, 1, 3, None, seed=0).varied(8)
    settings = Settings("infant-flat", 3, SIZE, seed=0, keep_ground_truth=True, fitted=varied)
    generate(tmp_path / "one", settings)
    generate(tmp_path / "two", settings, 2)
    poses = []
    for number in range(1, 4):
        name = f"truth/{number:06d}.npz"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        with np.load(tmp_path / "one" / name) as truth:
            poses.append(truth["rotations"][1:])
    assert min(np.abs(poses[first] - poses[second]).max() for first, second in ((0, 1), (0, 2), (1, 2))) > 0.05


@pytest.mark.parametrize("degrees", [0.0, -3.0, 50.0, float("nan")])
def test_noise_beyond_reason_is_refused(folder: Path, degrees: float) -> None:
    with pytest.raises(RecipeError, match="--vary"):
        FittedBodies.open(folder, 1, 1, None, 0).varied(degrees)
