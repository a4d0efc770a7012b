"""Where the camera stands: views as data, and a camera that holds a body in its frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray
from fidip.geometry import Size
from fidip.synthesis.camera import Camera

Range = tuple[float, float]
ROUNDS = 12
OVERHANG = 0.04
"""Share of the body's width or height that may leave the frame on a side."""

LOWEST_CAMERA = 0.12
"""Metres over the floor."""


@dataclass(frozen=True, slots=True)
class View:
    """One way of holding a camera. Angles in degrees; each range is drawn from evenly.

    ``elevation`` is over the horizon as the body sees the camera, 90 straight above; where ``eye_height`` is given (in
    metres) the camera stays at that height instead and the elevation follows from the distance. ``azimuth`` turns round
    the body, 0 in front of it. ``span`` is the share of the frame that the body's box fills, along the tighter side.
    """

    weight: float
    elevation: Range = (0.0, 0.0)
    azimuth: Range = (-180.0, 180.0)
    roll: Range = (-180.0, 180.0)
    field_of_view: Range = (35.0, 60.0)
    span: Range = (0.45, 0.9)
    eye_height: Range | None = None


def draw_view(rng: np.random.Generator, views: tuple[View, ...]) -> View:
    """One of several views, by weight."""
    weights = np.array([view.weight for view in views])
    return views[int(rng.choice(len(views), p=weights / weights.sum()))]


def draw_camera(
    rng: np.random.Generator,
    view: View,
    body: NDArray[np.floating],  # (N, 3) points of its surface
    size: Size,
    heading: float = 0.0,
) -> Camera:
    """A camera that holds the body as a view asks; ``heading`` (radians) is where the body's front points."""
    elevation, azimuth, roll, field = (
        np.radians(rng.uniform(*bounds)) for bounds in (view.elevation, view.azimuth, view.roll, view.field_of_view)
    )
    span, place = rng.uniform(*view.span), rng.random(2)
    eye_height = None if view.eye_height is None else rng.uniform(*view.eye_height)
    azimuth += heading
    points = np.asarray(body, np.float64)
    target = (points.min(0) + points.max(0)) / 2
    distance = float(np.ptp(points, axis=0).max()) / (span * np.tan(field / 2) * 2) + 0.1
    for _ in range(ROUNDS):
        if eye_height is not None:
            elevation = np.arcsin(np.clip((eye_height - target[2]) / distance, -0.7, 0.95))
        towards = np.array(
            [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
        )
        position = target + distance * towards
        position[2] = max(position[2], LOWEST_CAMERA)
        camera = Camera.looking_at(position, target, size, field, roll)
        target, distance = _corrected(camera, points, target, distance, span, place)
    return camera


def _corrected(
    camera: Camera, points: FloatArray, target: FloatArray, distance: float, span: float, place: FloatArray
) -> tuple[FloatArray, float]:
    """A better target and distance: the body's box at its wanted size and place in the frame."""
    depth = camera.to_camera(points)[:, 2]
    if depth.min() < 0.05:  # the camera stands too near to see the body as a whole
        return target, 1.5 * distance
    pixels = camera.project(points)[:, :2]
    low, high = pixels.min(0), pixels.max(0)
    frame, extent = np.array(camera.size), high - low
    room = np.maximum(frame - extent * (1 - 2 * OVERHANG), 0)  # how far the box may move
    wanted = (frame - 1) / 2 + (place - 0.5) * room
    offset = ((low + high) / 2 - wanted) * float(np.median(depth)) / camera.focal
    target = target + offset[0] * camera.rotation[0] + offset[1] * camera.rotation[1]
    return target, distance * float(np.clip((extent / frame).max() / span, 0.7, 1.5))
