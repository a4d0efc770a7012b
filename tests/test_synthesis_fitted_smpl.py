"""Images of fitted bodies of a user's file: dressed, or painted with the user's textures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fidip.annotations import LabelledImage
from fidip.errors import DataError, RecipeError
from fidip.files import sha256_of
from fidip.geometry import Size
from fidip.images import read_image, write_image
from fidip.synthesis.bodies import BodyChoice
from fidip.synthesis.camera import Camera
from fidip.synthesis.fitted import FittedBodies
from fidip.synthesis.generate import generate
from fidip.synthesis.pictures import UserPictures
from fidip.synthesis.sample import Settings
from fidip.synthesis.surface import surface_of
from smpl_cases import converted, write_body, write_fits_folder

COUNT, SIZE, TEXELS = 4, (240, 200), 512


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("painted")
    write_body(folder / "plain.npz")
    write_body(folder / "smpl.npz", layout="smpl")
    write_fits_folder(folder / "fits", COUNT)
    return folder


def settings_of(files: Path, body: str, pictures: Path | None = None, size: Size = SIZE) -> Settings:
    fitted = FittedBodies.open(files / "fits", None, 1, None, seed=0)
    choice = BodyChoice.open("smpl", files / f"{body}.npz")
    return Settings(
        "infant-flat", COUNT, size, seed=5, keep_ground_truth=True, fitted=fitted, body=choice,
        pictures=UserPictures.open(None, None, pictures),
    )  # fmt: skip


def marks() -> dict[int, tuple[int, int, int]]:
    """Three vertices on the front of the body, one on the nose and one on either side of the trunk, and colours."""
    template = converted()["template"]
    trunk = np.argmax(converted()["skin"], 1) == 6  # spine2
    front = np.where(trunk & (template[:, 1] < 0), template[:, 1], np.inf)
    half = np.ptp(template[trunk, 0]) / 4
    left, right = (int(np.argmin(front + 9 * np.abs(template[:, 0] - side * half))) for side in (1, -1))
    return {332: (255, 0, 0), left: (0, 255, 0), right: (0, 0, 255)}


def paint(folder: Path, name: str) -> Path:
    """A texture that is black but for a spot where its layout puts each mark."""
    y, x = np.mgrid[:TEXELS, :TEXELS]
    picture = np.zeros((TEXELS, TEXELS, 3), np.uint8)
    for vertex, colour in marks().items():
        u, v = converted()["uvs"][vertex]  # the front's place of this vertex
        picture[np.hypot(x + 0.5 - u * TEXELS, TEXELS - (y + 0.5) - v * TEXELS) < 7] = colour
    folder.mkdir(exist_ok=True)
    write_image(folder / name, picture)
    return folder


def truth_of(out: Path, image: LabelledImage) -> tuple[dict[str, np.ndarray], Camera]:
    with np.load(out / "truth" / f"{image.id:06d}.npz") as stored:
        truth = {name: stored[name] for name in stored.files}
    x, y = truth["camera_principal"].tolist()
    size = (image.width, image.height)
    return truth, Camera(float(truth["camera_focal"]), (x, y), size, truth["camera_rotation"], truth["camera_position"])


def posed(settings: Settings, truth: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:  # (V, 3), (K, 3)
    body = settings.body.load()
    shape, rotations, translation = (torch.from_numpy(truth[x])[None] for x in ("shape", "rotations", "translation"))
    result = body(shape, rotations, translation)
    return result.vertices[0].numpy().astype(float), result.keypoints[0].numpy().astype(float)


def test_a_texture_shows_where_its_layout_says(files: Path, tmp_path: Path) -> None:
    settings = settings_of(files, "smpl", paint(tmp_path / "maps", "marks.png"))
    images = generate(tmp_path / "set", settings)
    seen = 0
    for image in images:
        truth, camera = truth_of(tmp_path / "set", image)
        vertices, _ = posed(settings, truth)
        pixels = read_image(tmp_path / "set" / "images" / image.file_name).astype(int)
        body = read_image(tmp_path / "set" / "truth" / f"{image.id:06d}_mask.png")[..., 0] > 0
        for vertex, colour in marks().items():
            own, others = np.flatnonzero(colour)[0], np.flatnonzero(np.array(colour) == 0)
            spot = body & (pixels[..., own] > 120) & (pixels[..., others] < 60).all(-1)
            if spot.sum() < 4:
                continue
            seen += 1
            place = np.argwhere(spot).mean(0)[::-1]
            assert np.linalg.norm(place - camera.project(vertices[vertex])[:2]) < 2.5
    assert seen >= 2 * COUNT
    assert {image.extras["scene"]["body_texture"] for image in images} == {"maps/marks.png"}
    assert all("clothes" not in image.extras["scene"] for image in images)


def test_a_painted_body_is_nothing_but_its_texture(files: Path, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    write_image(tmp_path / "maps" / "one.png", np.full((64, 32, 3), (10, 200, 90), np.uint8))
    images = generate(tmp_path / "set", settings_of(files, "smpl", tmp_path / "maps"))
    for image in images:
        mask = read_image(tmp_path / "set" / "truth" / f"{image.id:06d}_mask.png")[..., 0] > 0
        assert mask.mean() > 0.02
        assert (
            np.abs(read_image(tmp_path / "set" / "images" / image.file_name)[mask].astype(int) - (10, 200, 90)).max()
            <= 1
        )


@pytest.mark.parametrize("body", ["plain", "smpl"])
def test_a_body_without_textures_is_dressed_and_its_labels_are_its_keypoints(
    files: Path, tmp_path: Path, body: str
) -> None:
    settings = settings_of(files, body, size=(96, 80))
    for image in generate(tmp_path / "set", settings):
        truth, camera = truth_of(tmp_path / "set", image)
        keypoints = image.people[0].keypoints
        labelled = keypoints[:, 2] > 0
        _, joints = posed(settings, truth)
        np.testing.assert_allclose(keypoints[labelled, :2], camera.project(joints)[labelled, :2], atol=0.01)
        assert labelled.sum() >= 6
        assert "diaper" in image.extras["scene"]["clothes"]
        assert image.people[0].area > 0.02 * 96 * 80


def test_the_number_of_workers_changes_no_byte_and_the_file_is_on_record(files: Path, tmp_path: Path) -> None:
    for kind in ("infant", "clothing"):
        (tmp_path / "maps").mkdir(exist_ok=True)
        paint(tmp_path / "maps" / kind, "a.png")
        paint(tmp_path / "maps" / kind, "b.png")
    settings = replace(settings_of(files, "smpl", tmp_path / "maps", size=(64, 64)), seed=6)
    images = generate(tmp_path / "one", settings, 1)
    generate(tmp_path / "two", settings, 2)
    ones, twos = (sorted(p for p in (tmp_path / run).rglob("*") if p.is_file()) for run in ("one", "two"))
    assert [path.name for path in ones] == [path.name for path in twos]
    assert [path.read_bytes() for path in ones] == [path.read_bytes() for path in twos]
    assert {image.extras["scene"]["body_texture"].partition("/")[0] for image in images} == {"infant", "clothing"}
    digest = sha256_of(files / "smpl.npz")
    for name in ("synth.json", "manifest.json"):
        assert digest in (tmp_path / "one" / name).read_text()


def test_what_does_not_belong_together_is_refused_before_anything_is_written(files: Path, tmp_path: Path) -> None:
    out, maps = tmp_path / "set", paint(tmp_path / "maps", "marks.png")
    good = settings_of(files, "smpl")
    with pytest.raises(RecipeError, match=r"maps: textures in SMPL's layout .* --uv-template"):
        generate(out, settings_of(files, "plain", maps))
    with pytest.raises(RecipeError, match=r"maps: textures in SMPL's layout .* not the bundled one"):
        generate(out, replace(settings_of(files, "smpl", maps), fitted=None, body=BodyChoice()))
    with pytest.raises(RecipeError, match=r"--body smpl: .* add --fits DIR"):
        generate(out, replace(good, fitted=None))
    with pytest.raises(DataError, match=r"fits of the body smpl, not anny"):
        generate(out, replace(good, body=BodyChoice()))
    with pytest.raises(DataError, match=r"smpl\.npz: has changed since the run began"):
        generate(out, replace(good, body=replace(good.body, sha256="0" * 64)))
    recorded = write_fits_folder(tmp_path / "fits", COUNT, body_sha256="0" * 64)
    with pytest.raises(
        DataError, match=r"fits\.json: settings\.body_sha256: the fits are of another file than .*smpl\.npz"
    ):
        generate(out, replace(good, fitted=FittedBodies.open(recorded, None, 1, None, 0)))
    np.savez(tmp_path / "small.npz", **converted() | {name: converted()[name][:5] for name in ("basis", "joint_basis")})
    with pytest.raises(DataError, match=r"fits\.npz: bone_names: fits of another body"):
        generate(out, replace(good, body=BodyChoice.open("smpl", tmp_path / "small.npz")))
    assert not out.exists()


def test_clothes_are_cut_on_a_body_whose_arms_are_half_lowered(files: Path) -> None:
    """Whatever the arms of the file's template do: here they hang; stretched out, they come down as far."""
    body = BodyChoice.open("smpl", files / "plain.npz").load()
    shape = torch.zeros(1, body.shape_size)
    flat = torch.zeros(1, len(body.bone_names), 3)
    rest = body(shape, flat, torch.zeros(1, 3)).joints[0]
    for side in ("left", "right"):
        shoulder, elbow = (body.bone_names.index(f"{side}_{joint}") for joint in ("shoulder", "elbow"))
        arm = (body.stance(shape).joints[0, elbow] - body.stance(shape).joints[0, shoulder]).numpy()
        before = (rest[elbow] - rest[shoulder]).numpy()
        slope, was = (np.arctan2(-each[2], abs(each[0])) for each in (arm, before))
        assert slope == pytest.approx(max(was, np.pi / 4), abs=1e-5)
        assert arm[0] * before[0] > 0
    assert surface_of(body).eyeballs == ()


def test_fits_of_a_file_are_laid_on_a_floor(files: Path) -> None:
    choice = BodyChoice.open("smpl", files / "smpl.npz")
    lying = FittedBodies.open(files / "fits", None, 1, None, 0, floor=choice)
    body = choice.load()
    for number in range(COUNT):
        subject = lying.subject(number, body, np.random.default_rng(0))
        shape, rotations, translation = (
            torch.from_numpy(array)[None] for array in (subject.shape, subject.rotations, subject.translation)
        )
        again = body(shape, rotations, translation)
        np.testing.assert_allclose(subject.vertices, again.vertices[0].numpy(), atol=1e-4)
        heights = subject.vertices[:, 2]
        assert -0.03 < heights.min() <= 0
        assert np.median(heights) < 0.5 * np.ptp(subject.vertices, axis=0).max()
        assert subject.posture is not None
