"""From linear radiance to a photograph: lens, exposure, noise, white balance and tone curve, in a camera's order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fidip.synthesis.colour import srgb_from_linear

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
"""Shares of linear sRGB in luminance (ITU-R BT.709)."""

INFRARED = np.array([0.75, 0.2, 0.05], dtype=np.float32)
"""Shares of linear sRGB in what a sensor takes for infrared: the longest waves that a texture knows of."""

INFRARED_FLATNESS = 0.75
"""Dyes, hair and skin of all tones differ less in infrared than to the eye: an exponent of the level."""

LEAST_BLUR = 0.15
"""Standard deviation in pixels under which a blur changes nothing that 8 bits could show."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """One camera and one exposure. Lengths are shares of the image's longer side, so that size changes nothing.

    ``clean`` is the ideal one: what leaves it is the sRGB encoding of the radiance.
    """

    middle_grey: float | None = None  # linear level to which the picture's geometric mean is exposed; None: as it is
    vignetting: float = 0.0  # share of the light lost in the corners
    defocus: float = 0.0  # standard deviation of the blur
    motion: float = 0.0  # length of the smear
    motion_angle: float = 0.0  # radians
    full_well: float = np.inf  # electrons at level 1: the fewer, the more shot noise
    read_noise: float = 0.0  # electrons
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)  # gains of red, green, blue
    filmic: float = 0.0  # share of the filmic tone curve, from 0 (none) to 1
    infrared: bool = False  # the grey picture of a baby monitor at night
    jpeg_quality: int | None = None  # for whoever writes the file; None: lossless

    @classmethod
    def clean(cls) -> Sensor:
        """No lens, no noise, no curve, lossless."""
        return cls()


def draw_sensor(rng: np.random.Generator) -> Sensor:
    """A camera of a telephone or a baby monitor, in good light or bad."""
    warmth, tint = rng.normal(0, 0.07), rng.normal(0, 0.02)
    return Sensor(
        middle_grey=float(0.17 * 2 ** rng.normal(0, 0.35)),
        vignetting=float(rng.uniform(0, 0.3)),
        defocus=float(abs(rng.normal(0, 0.0016))),
        motion=float(rng.exponential(0.006)) if rng.random() < 0.25 else 0.0,
        motion_angle=float(rng.uniform(0, np.pi)),
        full_well=float(np.exp(rng.uniform(np.log(600), np.log(20000)))),
        read_noise=float(rng.uniform(1, 8)),
        white_balance=(float(np.exp(warmth)), float(np.exp(tint)), float(np.exp(-warmth))),
        filmic=float(rng.uniform(0.4, 1.0)),
        jpeg_quality=int(rng.integers(55, 96)),
    )


def draw_night_sensor(rng: np.random.Generator) -> Sensor:
    """A baby monitor at night: infrared from lamps round its own lens, little light and much noise."""
    return replace(
        draw_sensor(rng),
        vignetting=float(rng.uniform(0.4, 0.9)),
        full_well=float(np.exp(rng.uniform(np.log(300), np.log(2500)))),
        read_noise=float(rng.uniform(2, 10)),
        white_balance=(1.0, 1.0, 1.0),
        infrared=True,
    )


def photograph(
    radiance: NDArray[np.float32],  # (H, W, 3) linear RGB, unbounded
    sensor: Sensor,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:  # (H, W, 3) sRGB
    """The picture that a sensor takes; ``rng`` makes its noise. Compression is left to whoever writes the file."""
    light = np.maximum(radiance, 0).astype(np.float32)
    if sensor.infrared:
        light = np.repeat((light @ INFRARED)[..., None] ** np.float32(INFRARED_FLATNESS), 3, axis=2)
    light = _through_lens(light, sensor)
    if sensor.middle_grey is not None:
        geometric_mean = np.exp(np.log(light @ LUMINANCE + 1e-3).mean())
        light *= np.float32(sensor.middle_grey / geometric_mean)
    light = _with_noise(light, sensor, rng) * np.array(sensor.white_balance, dtype=np.float32)
    if sensor.filmic:
        light = light + sensor.filmic * (_filmic(light) - light)
    return srgb_from_linear(light)


def _through_lens(light: NDArray[np.float32], sensor: Sensor) -> NDArray[np.float32]:
    height, width = light.shape[:2]
    side = max(height, width)
    if sensor.motion * side / np.sqrt(12) > LEAST_BLUR:
        smear = _line(sensor.motion * side, sensor.motion_angle)
        light = np.asarray(cv2.filter2D(light, -1, smear, borderType=cv2.BORDER_REFLECT_101), dtype=np.float32)
    if (deviation := sensor.defocus * side) > LEAST_BLUR:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), deviation, borderType=cv2.BORDER_REFLECT_101), np.float32)
    if sensor.vignetting:
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]  # the corners are at distance √2 from the middle
        light *= (1 - sensor.vignetting * ((x**2 + y**2) / 2) ** 2)[..., None].astype(np.float32)
    return light


def _line(length: float, angle: float) -> NDArray[np.float32]:
    """A kernel that smears along a line: points on it, each spread over its four nearest pixels."""
    half = int(np.ceil(length / 2))
    points = 64 + 4 * half
    along = ((np.arange(points) + 0.5) / points - 0.5) * length
    kernel = np.zeros((2 * half + 3, 2 * half + 3), dtype=np.float32)
    x, y = half + 1 + along * np.cos(angle), half + 1 - along * np.sin(angle)
    left, above = np.floor(x).astype(int), np.floor(y).astype(int)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (1 - abs(y - above - row)) * (1 - abs(x - left - column))
        np.add.at(kernel, (above + row, left + column), weight / points)
    return kernel


def _with_noise(light: NDArray[np.float32], sensor: Sensor, rng: np.random.Generator) -> NDArray[np.float32]:
    """Photons arrive at random (Poisson, here its normal limit), and reading them out adds electrons of its own."""
    if np.isinf(sensor.full_well):
        return light
    electrons = light * np.float32(sensor.full_well)
    deviation = np.sqrt(electrons + np.float32(sensor.read_noise**2)) / np.float32(sensor.full_well)
    shape = (*light.shape[:2], 1) if sensor.infrared else light.shape
    noise = rng.standard_normal(shape, dtype=np.float32)
    noisy: NDArray[np.float32] = np.maximum(light + deviation * noise, np.float32(0))
    return noisy


def _filmic(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Narkowicz' 2015 fit of the ACES curve, at the exposure of its reference."""
    level = 0.6 * light
    return (level * (2.51 * level + 0.03) / (level * (2.43 * level + 0.59) + 0.14)).astype(np.float32, copy=False)
