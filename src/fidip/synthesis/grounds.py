"""Procedural floors and walls, as repeatable as every texture."""

from __future__ import annotations

import cv2
import numpy as np

from fidip.synthesis.textures import (
    Palette,
    Pattern,
    Picture,
    Texture,
    checks,
    dots,
    draw_colour,
    grid,
    mix,
    motifs,
    noise,
    opaque,
    plain,
    stripes,
    tartan,
)


def wood(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """Planks with grain."""
    planks = int(rng.choice((4, 8)))
    width = size // planks
    y, x = grid(size)
    row = y // width
    seams = (x + rng.integers(size, size=planks)[row]) % size
    grain = 0.06 * noise(rng, size, 1.1, (1.0, 12.0)) + 0.03 * noise(rng, size, 0.4, (1.0, 30.0))
    shade = 1 + grain + rng.normal(0, 0.07, (planks, 2))[row, (seams > size // 2).astype(int)]
    gaps = (y % width < 2) | (seams % (size // 2) < 2)
    return np.asarray(draw_colour(rng, palette) * (shade * np.where(gaps, 0.55, 1))[..., None], np.float32)


def tiles(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """Square tiles with joints."""
    count = int(rng.choice((2, 4)))
    width = size // count
    y, x = grid(size)
    shade = 1 + rng.normal(0, 0.04, (count, count))[y // width, x // width] + 0.03 * noise(rng, size, 1.3)
    joints = (y % width < 4) | (x % width < 4)
    stone = draw_colour(rng, palette) * shade.astype(np.float32)[..., None]
    return mix(stone, draw_colour(rng, palette), joints)


def carpet(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """Short pile, sometimes with a woven figure."""
    pile = 1 + 0.13 * noise(rng, size, 0.15) + 0.05 * noise(rng, size, 1.4)
    figure = plain if rng.random() < 0.5 else tartan if rng.random() < 0.5 else dots
    return figure(rng, size, palette) * pile[..., None]


def grass(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """A lawn."""
    green = np.array([rng.uniform(60, 105), rng.uniform(95, 125), rng.uniform(40, 65)], np.float32)
    blades = 1 + 0.22 * noise(rng, size, 0.5, (1.0, 1.6)) + 0.12 * noise(rng, size, 1.5)
    flowers = noise(rng, size, 0.1) > 4.0
    return mix(
        green * blades[..., None],
        draw_colour(rng, palette),
        cv2.dilate(flowers.astype(np.float32), np.ones((3, 3), np.uint8)),
    )


def foam(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """A play mat of four coloured squares that interlock."""
    y, x = grid(size)
    half = size // 2
    teeth = (10 * np.sign(np.sin(2 * np.pi * 6 * x / size))).astype(int), (10 * np.sign(np.sin(12 * np.pi * y / size)))
    colours = np.stack([draw_colour(rng, palette) for _ in range(4)])
    index = ((y + teeth[0]) // half % 2) * 2 + ((x + teeth[1].astype(int)) // half % 2)
    return np.asarray(colours[index] * (1 + 0.03 * noise(rng, size, 0.3))[..., None], np.float32)


def quilt(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """Patchwork: squares of different cloth, stitched."""
    count = 4
    width = size // count
    picture = np.empty((size, size, 3), np.float32)
    patterns = (plain, stripes, dots, checks)
    for index in range(count * count):
        row, column = divmod(index, count)
        patch = patterns[int(rng.integers(len(patterns)))](rng, width, palette)
        picture[row * width : (row + 1) * width, column * width : (column + 1) * width] = patch
    y, x = grid(size)
    edge = np.minimum(np.minimum(y % width, width - y % width), np.minimum(x % width, width - x % width))
    return picture * np.clip(0.75 + 0.25 * edge / (0.15 * width), 0, 1).astype(np.float32)[..., None]


def sheet(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """A bed sheet with creases, plain or printed."""
    ground = (plain, plain, stripes, dots, motifs, checks)[int(rng.integers(6))](rng, size, palette)
    way = (1.0, 2.2) if rng.random() < 0.5 else (2.2, 1.0)
    folds = noise(rng, size, 2.2, way) + 0.5 * np.tanh(3 * noise(rng, size, 2.4, way))
    return ground * (1 + 0.06 * folds + 0.02 * noise(rng, size, 0.6))[..., None]


def plaster(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """A painted or concrete wall."""
    return draw_colour(rng, palette) * (1 + 0.03 * noise(rng, size, 1.2) + 0.02 * noise(rng, size, 0.1))[..., None]


def bricks(rng: np.random.Generator, size: int, palette: Palette) -> Picture:
    """Courses of bricks."""
    y, x = grid(size)
    height, width = size // 8, size // 4
    row = y // height
    column = ((x + row % 2 * width // 2) // width) % 4
    joints = (y % height < 4) | ((x + row % 2 * width // 2) % width < 4)
    shade = 1 + rng.normal(0, 0.1, (8, 4))[row, column] + 0.06 * noise(rng, size, 0.8)
    return mix(draw_colour(rng, palette) * shade.astype(np.float32)[..., None], draw_colour(rng, palette), joints)


GROUNDS: dict[str, tuple[Pattern, float]] = {
    "wood": (wood, 1.0),
    "tiles": (tiles, 1.2),
    "carpet": (carpet, 0.8),
    "grass": (grass, 1.0),
    "foam": (foam, 0.6),
    "quilt": (quilt, 0.7),
    "sheet": (sheet, 0.8),
    "plaster": (plaster, 2.0),
    "bricks": (bricks, 1.0),
}
"""Floors and walls: the painter and how many metres one repeat spans."""


def ground(rng: np.random.Generator, size: int, kind: str, palette: Palette) -> Texture:
    """A floor or a wall."""
    return opaque(GROUNDS[kind][0](rng, size, palette))
