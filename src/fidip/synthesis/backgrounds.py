"""Pictures to put behind a body: rooms, gardens, cloth and clutter, drawn from nothing but a generator."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from fidip.synthesis.grounds import GROUNDS
from fidip.synthesis.textures import FABRICS, Palette, Picture, draw_colour, noise

ANY_COLOUR = Palette((0.0, 1.0), (0.1, 0.8), (0.25, 1.0))
FURNITURE = Palette((0.03, 0.12), (0.1, 0.6), (0.25, 0.9))
PAINT = Palette((0.0, 1.0), (0.02, 0.3), (0.55, 0.97))


def _ramp(top: NDArray[np.float32], bottom: NDArray[np.float32], height: int, width: int) -> Picture:
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    return np.broadcast_to(top * (1 - share) + bottom * share, (height, width, 3)).copy()


def _fill(picture: Picture, outline: NDArray[np.floating], colour: NDArray[np.float32]) -> None:
    cv2.fillPoly(picture, [np.round(outline).astype(np.int32)], colour.tolist(), cv2.LINE_AA)


def _box(x: float, y: float, width: float, height: float) -> NDArray[np.float64]:
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def _receding(rng: np.random.Generator, size: int, rows: int) -> Picture:
    """A textured ground seen in perspective, ``rows`` high."""
    pattern = GROUNDS[str(rng.choice(("wood", "tiles", "carpet", "quilt")))][0]
    flat = pattern(rng, 256, FURNITURE if rng.random() < 0.6 else ANY_COLOUR)
    flat = np.tile(flat, (2, 3, 1))
    height, width = flat.shape[:2]
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    spread = rng.uniform(0.3, 1.2) * size
    target = np.array([[0, 0], [size, 0], [size + spread, rows], [-spread, rows]], np.float32)
    return np.asarray(
        cv2.warpPerspective(flat, cv2.getPerspectiveTransform(source, target), (size, rows), flags=cv2.INTER_AREA)
    )


def room(rng: np.random.Generator, size: int) -> Picture:
    """A wall, a floor, furniture, frames and a window."""
    horizon = int(size * rng.uniform(0.25, 0.65))
    paint = draw_colour(rng, PAINT)
    picture = np.concatenate(
        [_ramp(paint * rng.uniform(0.8, 1), paint, horizon, size), _receding(rng, size, size - horizon)]
    )
    for _ in range(rng.integers(1, 4)):  # frames and windows
        width, height = rng.uniform(0.08, 0.35, 2) * size
        x, y = rng.uniform(-0.05, 0.9) * size, rng.uniform(-0.1, 0.6) * horizon
        _fill(picture, _box(x - 6, y - 6, width + 12, height + 12), draw_colour(rng, FURNITURE))
        glass = draw_colour(rng, ANY_COLOUR) if rng.random() < 0.6 else np.full(3, 245, np.float32)
        _fill(picture, _box(x, y, width, height), glass)
    for _ in range(rng.integers(2, 6)):  # furniture with doors and legs
        width, height = rng.uniform(0.1, 0.45) * size, rng.uniform(0.1, 0.5) * size
        x, base = rng.uniform(-0.2, 0.95) * size, horizon + rng.uniform(0.0, 0.25) * size
        colour = draw_colour(rng, FURNITURE if rng.random() < 0.6 else ANY_COLOUR)
        _fill(picture, _box(x + 8, base, width, 10), colour * 0.3)
        _fill(picture, _box(x, base - height, width, height), colour)
        for part in range(int(rng.integers(1, 5))):
            inner = _box(x + 4, base - height + 4 + part * height / 5, width - 8, height / 5 - 4)
            _fill(picture, inner, colour * rng.uniform(0.75, 1.2))
    return picture


def garden(rng: np.random.Generator, size: int) -> Picture:
    """Sky, trees, a lawn or a path."""
    horizon = int(size * rng.uniform(0.2, 0.6))
    sky = _ramp(
        draw_colour(rng, Palette((0.52, 0.62), (0.2, 0.6), (0.7, 1))), np.full(3, 240, np.float32), horizon, size
    )
    lawn = np.tile(GROUNDS["grass"][0](rng, 256, ANY_COLOUR), (2, 2, 1))
    lawn = np.asarray(cv2.resize(lawn, (size, 2 * size), interpolation=cv2.INTER_AREA), np.float32)[: size - horizon]
    picture = np.concatenate([sky, lawn * np.linspace(0.8, 1.1, size - horizon, dtype=np.float32)[:, None, None]])
    leaves = 1 + 0.25 * noise(rng, size, 0.6)[..., None]
    for _ in range(rng.integers(3, 9)):
        x, width, height = rng.uniform(0, size), rng.uniform(0.05, 0.25) * size, rng.uniform(0.1, 0.5) * size
        green = draw_colour(rng, Palette((0.2, 0.38), (0.3, 0.7), (0.2, 0.6)))
        _fill(picture, _box(x - 4, horizon - height * 0.5, 8, height * 0.6), np.array([80, 60, 45], np.float32))
        mask = np.zeros((size, size), np.float32)
        for _ in range(7):
            centre = (int(x + rng.normal(0, width * 0.5)), int(horizon - height * rng.uniform(0.3, 1.0)))
            cv2.circle(mask, centre, int(width * rng.uniform(0.25, 0.6)), 1.0, -1, cv2.LINE_AA)
        picture = picture * (1 - mask[..., None]) + green * leaves * mask[..., None]
    return np.asarray(picture, np.float32)


def cloth(rng: np.random.Generator, size: int) -> Picture:
    """A blanket or sheet from above, with creases and another cloth across it."""
    picture: Picture = np.empty((size, size, 3), np.float32)
    for layer in range(int(rng.integers(1, 4))):
        pattern = FABRICS[str(rng.choice(list(FABRICS)))](rng, 256, ANY_COLOUR)
        tiled = np.tile(pattern, (3, 3, 1))
        angle, zoom = rng.uniform(0, 360), rng.uniform(0.7, 1.6)
        turn = cv2.getRotationMatrix2D((384, 384), angle, zoom)
        turn = turn + np.array([[0, 0, size / 2 - 384]])
        mirrored = cv2.BORDER_REFLECT
        warped = np.asarray(
            cv2.warpAffine(tiled, turn, (size, size), flags=cv2.INTER_AREA, borderMode=mirrored), np.float32
        )
        if layer == 0:
            picture = warped
            continue
        mask = np.zeros((size, size), np.float32)
        centre, corners = rng.uniform(0, size, 2), cv2.boxPoints(((0, 0), tuple(rng.uniform(0.3, 1, 2) * size), angle))
        cv2.fillPoly(mask, [np.round(corners + centre).astype(np.int32)], 1.0, cv2.LINE_AA)
        picture = picture * (1 - mask[..., None]) + warped * mask[..., None]
    creases = np.exp(-6 * np.abs(noise(rng, size, 1.8))) - np.exp(-6 * np.abs(noise(rng, size, 1.8)))
    return np.asarray(picture * (1 + 0.14 * creases + 0.08 * noise(rng, size, 1.8))[..., None], np.float32)


def clutter(rng: np.random.Generator, size: int) -> Picture:
    """Overlapping shapes of all colours: toys, cushions, shelves."""
    picture = _ramp(draw_colour(rng, ANY_COLOUR), draw_colour(rng, ANY_COLOUR), size, size)
    for _ in range(rng.integers(15, 40)):
        colour = draw_colour(rng, ANY_COLOUR)
        centre, axes = rng.uniform(0, size, 2), rng.uniform(0.02, 0.2, 2) * size
        if rng.random() < 0.5:
            box = (tuple(centre), tuple(axes * 2), rng.uniform(0, 180))
            cv2.ellipse(picture, box, colour.tolist(), -1, cv2.LINE_AA)
        else:
            corners = rng.integers(3, 7)
            turn = np.sort(rng.uniform(0, 2 * np.pi, corners))
            _fill(picture, centre + np.stack([np.cos(turn), np.sin(turn)], 1) * axes.max(), colour)
    return picture * (1 + 0.08 * noise(rng, size, 1.3))[..., None]


def out_of_focus(rng: np.random.Generator, size: int) -> Picture:
    """Soft patches of light."""
    scene = (room, clutter, garden)[int(rng.integers(3))](rng, size)
    return np.asarray(cv2.GaussianBlur(scene, (0, 0), float(rng.uniform(4, 12))))


PICTURES: dict[str, Callable[[np.random.Generator, int], Picture]] = {
    "room": room,
    "garden": garden,
    "cloth": cloth,
    "clutter": clutter,
    "out-of-focus": out_of_focus,
}


def background(rng: np.random.Generator, size: int, kind: str) -> NDArray[np.uint8]:  # (S, S, 3)
    """A picture of a kind, with a fall of light across it."""
    picture = PICTURES[kind](rng, size)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
    light = 1 + strength * (np.cos(angle) * x + np.sin(angle) * y)
    return np.asarray(np.clip(picture * light[..., None], 0, 255), np.uint8)
