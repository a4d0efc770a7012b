from __future__ import annotations

import numpy as np
import pytest

from fidip.synthesis.colour import linear_from_srgb, srgb_from_linear
from fidip.synthesis.sensor import LUMINANCE, Sensor, draw_night_sensor, draw_sensor, photograph


def flat_field(level: float, size: tuple[int, int] = (200, 300)) -> np.ndarray:
    return np.full((size[1], size[0], 3), level, dtype=np.float32)


def develop(light: np.ndarray, sensor: Sensor, seed: int = 0) -> np.ndarray:
    return photograph(light, sensor, np.random.default_rng(seed))


def test_srgb_follows_its_standard_and_every_byte_comes_back() -> None:
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(srgb_from_linear(linear_from_srgb(every)), every)
    assert linear_from_srgb(np.uint8([0, 255])) == pytest.approx([0, 1])
    assert linear_from_srgb(np.uint8([188]))[0] == pytest.approx(0.5029, abs=1e-4)  # a well-known half
    np.testing.assert_array_equal(srgb_from_linear(np.array([-1.0, 2.0])), [0, 255])


def test_the_clean_sensor_gives_textures_back_exactly() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(develop(linear_from_srgb(picture), Sensor.clean()), picture)


def test_same_generator_same_bytes() -> None:
    light = np.random.default_rng(0).gamma(2, 0.3, (40, 50, 3)).astype(np.float32)
    sensor = draw_sensor(np.random.default_rng(5))
    assert sensor == draw_sensor(np.random.default_rng(5))
    np.testing.assert_array_equal(develop(light, sensor, 3), develop(light, sensor, 3))
    assert (develop(light, sensor, 3) != develop(light, sensor, 4)).any()


def test_exposure_brings_the_geometric_mean_to_middle_grey_whatever_the_light() -> None:
    light = np.exp(np.random.default_rng(0).normal(-1, 0.3, (60, 60, 1))).astype(np.float32) * np.ones(3, np.float32)
    sensor = Sensor(middle_grey=0.2)
    bright, dim = develop(light * 30, sensor), develop(light, sensor)
    assert np.abs(bright.astype(int) - dim).max() <= 1
    assert np.exp(np.log(linear_from_srgb(dim) @ LUMINANCE).mean()) == pytest.approx(0.2, rel=0.02)


def test_noise_has_the_variance_of_its_electrons() -> None:
    sensor = Sensor(full_well=1000, read_noise=5)
    for level in (0.1, 0.5):
        read = linear_from_srgb(develop(flat_field(level), sensor))
        assert read.mean() == pytest.approx(level, rel=0.01)
        assert read.std() == pytest.approx(np.sqrt(level / 1000 + 25e-6), rel=0.05)


def test_blur_spreads_a_point_as_far_as_it_says_and_keeps_its_light() -> None:
    y, x = np.mgrid[:121, :161]
    for sensor, strength, across, along in (
        (Sensor(defocus=4 / 161), 80, 16.0, 16.0),
        (Sensor(motion=24 / 161), 20, 24**2 / 12, 0.0),
        (Sensor(motion=24 / 161, motion_angle=np.pi / 2), 20, 0.0, 24**2 / 12),
    ):
        light = flat_field(0.0, (161, 121))
        light[60, 80] = strength
        spread = linear_from_srgb(develop(light, sensor))[..., 0].astype(float)
        total = spread.sum()
        assert total == pytest.approx(strength, rel=0.02)
        assert ((x - 80) * spread).sum() / total == pytest.approx(0, abs=0.1)
        assert ((x - 80) ** 2 * spread).sum() / total == pytest.approx(across, rel=0.05, abs=0.3)
        assert ((y - 60) ** 2 * spread).sum() / total == pytest.approx(along, rel=0.05, abs=0.3)


def test_blur_is_a_share_of_the_image() -> None:
    step = np.zeros((64, 64, 3), dtype=np.float32)
    step[:, 32:] = 0.5
    sensor = Sensor(defocus=2 / 64)
    small = develop(step, sensor)[32, :, 0].astype(int)
    large = develop(np.kron(step, np.ones((4, 4, 1), np.float32)), sensor)[128, :, 0].reshape(64, 4).mean(axis=1)
    assert np.abs(small - large).max() < 4


def test_vignetting_darkens_the_corners_by_its_share_and_spares_the_middle() -> None:
    read = linear_from_srgb(develop(flat_field(0.5, (101, 81)), Sensor(vignetting=0.4)))
    assert read[40, 50] == pytest.approx([0.5] * 3, abs=0.005)
    assert read[0, 0] == pytest.approx([0.3] * 3, abs=0.005)


def test_white_balance_multiplies_the_channels() -> None:
    read = linear_from_srgb(develop(flat_field(0.3, (4, 4)), Sensor(white_balance=(1.2, 1.0, 0.8))))
    assert read[0, 0] == pytest.approx([0.36, 0.3, 0.24], abs=0.005)


def test_the_tone_curve_rises_and_holds_highlights_that_would_clip() -> None:
    levels = np.linspace(0, 8, 100, dtype=np.float32)[None, :, None] * np.ones(3, np.float32)
    curve = develop(levels, Sensor(filmic=1.0))[0, :, 0].astype(int)
    assert (np.diff(curve) >= 0).all()
    assert curve[0] == 0
    assert (curve < 255).sum() > 2 * (develop(levels, Sensor())[0, :, 0] < 255).sum()


def test_drawn_sensors_keep_pictures_recognisable() -> None:
    y, x = np.mgrid[:64, :64] / 63
    light = np.stack([0.2 + 0.6 * x, 0.2 + 0.6 * y, 0.5 + 0 * x], axis=2).astype(np.float32)
    for seed in range(40):
        sensor = draw_sensor(np.random.default_rng(seed))
        picture = develop(light, sensor)
        assert sensor.jpeg_quality is not None
        assert 40 < picture.mean() < 215
        assert np.corrcoef(picture[..., 0].ravel(), x.ravel())[0, 1] > 0.7


def test_infrared_is_grey_and_its_noise_too() -> None:
    light = np.random.default_rng(0).gamma(2, 0.3, (40, 50, 3)).astype(np.float32)
    sensor = draw_night_sensor(np.random.default_rng(5))
    picture = develop(light, sensor).astype(int)
    assert np.ptp(picture, axis=2).max() == 0
    assert picture.std() > 5


def test_infrared_tells_red_from_blue_and_less_between_dark_and_bright() -> None:
    red, blue = (np.tile(np.float32(colour), (8, 8, 1)) for colour in ((0.4, 0, 0), (0, 0, 0.4)))
    night = Sensor(infrared=True)
    assert develop(red, night).mean() > 2 * develop(blue, night).mean()
    by_day, by_night = (
        develop(flat_field(0.4, (8, 8)), sensor).mean() / develop(flat_field(0.04, (8, 8)), sensor).mean()
        for sensor in (Sensor.clean(), night)
    )
    assert by_night < 0.8 * by_day
