"""Procedural surfaces, all pure functions of a generator: fabrics and hair; floors and walls are in :mod:`grounds`.

Every texture is an (S, S, 4) RGBA array in sRGB uint8 whose left edge continues its right one and whose top continues
its bottom, so that it may be repeated; hair alone is cut off at its top.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

Texture = NDArray[np.uint8]  # (S, S, 4)
Field = NDArray[np.float32]  # (S, S)
Picture = NDArray[np.float32]  # (S, S, 3) in sRGB units, 0 to 255
Range = tuple[float, float]


class Palette(NamedTuple):
    """Where a bank draws its colours from: ranges of hue, saturation and value, all fractions of 1."""

    hue: Range
    saturation: Range
    value: Range


def noise(rng: np.random.Generator, size: int, falloff: float, stretch: Range = (1.0, 1.0)) -> Field:
    """Noise that repeats without a seam: mean 0, deviation 1, spectrum 1/f**falloff.

    ``stretch`` multiplies the frequencies along y and x: a large value draws the noise out along the other axis.
    """
    rows = scipy.fft.fftfreq(size).astype(np.float32)[:, None] * (size * stretch[0])
    columns = scipy.fft.rfftfreq(size).astype(np.float32)[None, :] * (size * stretch[1])
    radius = np.hypot(rows, columns)
    radius[0, 0] = 1
    spectrum = scipy.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32)) * radius ** np.float32(-falloff)
    spectrum[0, 0] = 0
    field = scipy.fft.irfft2(spectrum, s=(size, size))
    return np.asarray(field / max(float(field.std()), 1e-12), np.float32)


def draw_colour(rng: np.random.Generator, palette: Palette) -> NDArray[np.float32]:  # (3,)
    """One colour of a palette, in sRGB units."""
    hue, saturation, value = (rng.uniform(*bounds) for bounds in palette)
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32) * 255


def opaque(picture: NDArray[np.floating]) -> Texture:
    """A picture as a texture without holes."""
    alpha = np.full((*picture.shape[:2], 1), 255, np.uint8)
    return np.concatenate([np.clip(picture, 0, 255).astype(np.uint8), alpha], axis=2)


def mix(first: NDArray[np.float32], second: NDArray[np.float32], share: NDArray[Any]) -> Picture:
    """The second colour where the share is 1, the first where it is 0."""
    share = np.asarray(share, np.float32)[..., None]
    return np.asarray(first * (1 - share) + second * share, np.float32)


def grid(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of every texel."""
    y, x = np.mgrid[:size, :size]
    return y, x


def draw_period(rng: np.random.Generator, size: int, choices: tuple[int, ...]) -> int:
    """Texels of one repeat, of which one of ``choices`` fits into the texture."""
    return size // int(rng.choice(choices))


def plain(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """One colour."""
    return np.broadcast_to(draw_colour(rng, palette), (size, size, 3)).copy()


def stripes(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """Parallel bands of two colours and sometimes a thin third."""
    y, x = grid(size)
    along = y if rng.random() < 0.6 else x
    period = draw_period(rng, size, (4, 8, 16))
    phase = (along % period) / period
    picture = mix(draw_colour(rng, palette), draw_colour(rng, palette), phase < rng.uniform(0.25, 0.6))
    if rng.random() < 0.4:
        picture = mix(picture, draw_colour(rng, palette), (phase > 0.75) & (phase < 0.85))
    return picture


def checks(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """Gingham: crossing half-transparent bands."""
    y, x = grid(size)
    period = draw_period(rng, size, (4, 8, 16))
    share = ((y % period) * 2 // period + (x % period) * 2 // period) / 2
    return mix(draw_colour(rng, palette), draw_colour(rng, palette), share)


def tartan(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """Several bands of different widths, the same along both axes."""
    period = draw_period(rng, size, (2, 4))
    line = np.broadcast_to(draw_colour(rng, palette), (period, 3)).copy()
    for _ in range(4):
        start, width = rng.integers(period), int(rng.integers(2, max(period // 5, 3)))
        line[(start + np.arange(width)) % period] = draw_colour(rng, palette)
    line = np.tile(line, (size // period, 1))
    return np.asarray((line[:, None] + line[None, :]) / 2, np.float32)


def dots(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """Discs on a staggered grid."""
    y, x = grid(size)
    period = draw_period(rng, size, (4, 8))
    staggered = (x + (y // period % 2) * (period // 2)) % period
    inside = np.hypot(staggered - period / 2, y % period - period / 2) < period * rng.uniform(0.15, 0.32)
    return mix(draw_colour(rng, palette), draw_colour(rng, palette), inside)


def _heart_height(turn: NDArray[np.float64]) -> NDArray[np.float64]:
    height: NDArray[np.float64] = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    return height


def _motif(kind: int, radius: float) -> NDArray[np.float64]:  # (N, 2)
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    if kind == 0:  # heart
        shape = np.stack([16 * np.sin(turn) ** 3, -_heart_height(turn)], 1) / 16
    elif kind == 1:  # star
        shape = np.stack([np.cos(turn), np.sin(turn)], 1) * (0.65 + 0.35 * np.cos(5 * turn))[:, None]
    elif kind == 2:  # leaf
        shape = np.stack([np.cos(turn), 0.4 * np.sin(turn)], 1)
    else:  # cloud
        shape = np.stack([np.cos(turn), 0.6 * np.sin(turn)], 1) * (0.85 + 0.15 * np.cos(6 * turn))[:, None]
    outline: NDArray[np.float64] = shape * radius
    return outline


def motifs(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """Hearts, stars, leaves or clouds scattered on a ground."""
    picture = plain(rng, size, palette)
    colours = [draw_colour(rng, palette) for _ in range(2)]
    kind, radius = int(rng.integers(4)), size * rng.uniform(0.025, 0.06)
    cells = int(size / (3.2 * radius))
    for index in range(cells * cells):
        angle = rng.uniform(0, 2 * np.pi)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = (np.array(divmod(index, cells)) + rng.uniform(0.35, 0.65, 2)) * size / cells
        outline = _motif(kind, radius) @ rotation.T + centre
        cv2.fillPoly(picture, [np.round(outline).astype(np.int32)], colours[index % 2].tolist(), cv2.LINE_AA)
    return picture


def melange(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """Two yarns spun together."""
    share = np.clip(0.5 + 0.35 * noise(rng, size, 0.4, (1.0, 3.0)), 0, 1)
    return mix(draw_colour(rng, palette), draw_colour(rng, palette), share)


def knit(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """Columns of stitches."""
    y, x = grid(size)
    period = draw_period(rng, size, (16, 32))
    column = (x % period) / period
    slant = np.abs(column - 0.5) * 2
    relief = np.abs(np.sin(np.pi * (y / (period * 0.5) + slant))) * np.sin(np.pi * column) ** 0.5
    return np.asarray(plain(rng, size, palette) * (0.72 + 0.35 * relief)[..., None], np.float32)


Pattern = Callable[[np.random.Generator, int, Palette], Picture]

FABRICS: dict[str, Pattern] = {
    "plain": plain,
    "stripes": stripes,
    "checks": checks,
    "tartan": tartan,
    "dots": dots,
    "motifs": motifs,
    "melange": melange,
    "knit": knit,
}


def fabric(rng: np.random.Generator, size: int, pattern: str, palette: Palette) -> Texture:
    """Cloth with a weave and soft folds of light."""
    picture = FABRICS[pattern](rng, size, palette)
    y, x = grid(size)
    weave = 1 - 0.05 * ((y % 4 < 1) | (x % 4 < 1))
    light = 1 + 0.05 * noise(rng, size, 1.6) + 0.025 * noise(rng, size, 0.2)
    return opaque(picture * (light * weave)[..., None])


def hair(rng: np.random.Generator, size: int, colour: NDArray[np.floating], density: float) -> Texture:
    """Strands that grow upwards from a ragged hairline at v = 0; ``density`` 0 leaves a few, 1 closes the coat."""
    strands = noise(rng, size, 0.5, (20.0, 1.0))
    height = 1 - (np.arange(size, dtype=np.float32)[:, None] + 0.5) / size
    ragged = 0.05 + 0.035 * noise(rng, size, 1.0, (1000.0, 1.0))
    closed = (height > ragged) & (strands > 2.5 - 5.5 * density * np.clip(0.6 + 2 * height, 0, 1))
    texture = opaque(np.asarray(colour, np.float32) * (1 + 0.22 * strands)[..., None])
    texture[..., 3] = np.where(closed, 255, 0)
    return texture
