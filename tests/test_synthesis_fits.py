from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from fidip.errors import DataError
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.camera import Camera
from fidip.synthesis.fits import CAMERA_ROTATION, Fits, read_fits, write_fits


@pytest.fixture
def fits() -> Fits:
    body, generator = AnnyBody.load(), np.random.default_rng(0)
    return Fits(
        ids=np.array([7, 3]),
        image_ids=np.array([1, 1]),
        shape=generator.standard_normal((2, body.shape_size)).astype(np.float32),
        rotations=generator.standard_normal((2, len(body.bone_names), 3)).astype(np.float32),
        translation=np.array([[0, 1, 0], [0, 2, 0.5]], np.float32),
        focal=np.array([700.0, 900.0]),
        principal=np.array([[319.5, 239.5]] * 2),
        size=np.array([[640, 480]] * 2),
        camera_rotation=np.tile(CAMERA_ROTATION, (2, 1, 1)),
        camera_position=np.zeros((2, 3)),
        bone_names=body.bone_names,
        body="anny",
    )


def test_fits_come_back(tmp_path: Path, fits: Fits) -> None:
    write_fits(tmp_path / "fits.npz", fits)
    again = read_fits(tmp_path / "fits.npz")
    for field in fields(Fits):
        before, after = getattr(fits, field.name), getattr(again, field.name)
        assert np.array_equal(before, after), field.name
    assert len(again) == 2
    again.check("fits.npz", AnnyBody.load())


def test_no_fits_are_fits(tmp_path: Path, fits: Fits) -> None:
    arrays = {f.name: getattr(fits, f.name)[:0] for f in fields(Fits) if f.name not in ("bone_names", "body")}
    write_fits(tmp_path / "fits.npz", replace(fits, **arrays))
    assert len(read_fits(tmp_path / "fits.npz")) == 0


def test_the_camera_looks_along_y_with_z_up(fits: Fits) -> None:
    camera = fits.camera(1)
    expected = Camera.looking_at(np.zeros(3), np.array([0.0, 1.0, 0.0]), (640, 480), 2 * np.arctan(320 / 900))
    np.testing.assert_allclose(camera.rotation, expected.rotation, atol=1e-12)
    assert camera.focal == pytest.approx(expected.focal)
    x, y, depth = camera.project(np.array([0.2, 2.0, 0.5]))
    assert (x, y, depth) == pytest.approx((319.5 + 900 * 0.1, 239.5 - 900 * 0.25, 2.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rotations": np.zeros((2, 5, 3), np.float32)}, "rotations: expected the shape"),
        ({"shape": np.full((2, 48), np.nan, np.float32)}, "shape: expected finite numbers"),
        ({"ids": np.array([3, 3])}, "ids: an id stands there more than once"),
        ({"focal": np.array([0.0, 1.0])}, "focal: expected positive"),
        ({"camera_rotation": np.zeros((2, 3, 3))}, "camera_rotation: not rotations"),
        ({"camera_rotation": -np.tile(np.eye(3), (2, 1, 1))}, "camera_rotation: not rotations"),
        ({"shape": np.zeros(2, np.float32)}, "shape: expected the shape"),
        ({"body": 3}, "body: expected names"),
    ],
)
def test_what_is_no_fit_is_refused(tmp_path: Path, fits: Fits, change: dict[str, np.ndarray], message: str) -> None:
    write_fits(tmp_path / "fits.npz", replace(fits, **change))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        read_fits(tmp_path / "fits.npz")


def test_fits_of_another_body_are_refused(fits: Fits) -> None:
    other = replace(fits, bone_names=tuple(f"{name}x" for name in fits.bone_names))
    with pytest.raises(DataError, match="fits of another body"):
        other.check("fits.npz", AnnyBody.load())
