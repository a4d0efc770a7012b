"""Where the camera stands: views as data, and a camera that holds a body in its frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray
from fidip.geometry import Size
from fidip.synthesis.camera import Camera

Range = tuple[float, float]
AIMING_ROUNDS, SHIFTING_ROUNDS = 4, 4
OVERHANG = 0.04
"""Share of the body's width or height that may leave the frame on a side."""

LOWEST_CAMERA, NEAREST = 0.12, 0.05
"""Metres over the floor and before the body."""


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
    span, place = rng.uniform(*view.span), rng.beta(2, 2, 2)
    eye_height = None if view.eye_height is None else rng.uniform(*view.eye_height)
    azimuth += heading
    points = np.asarray(body, np.float64)
    middle = (points.min(0) + points.max(0)) / 2
    distance = float(np.ptp(points, axis=0).max()) / (span * np.tan(field / 2) * 2) + 0.1
    for _ in range(AIMING_ROUNDS):
        if eye_height is not None:
            elevation = np.arcsin(np.clip((eye_height - middle[2]) / distance, -0.5, 0.5))
        level = np.array([np.cos(azimuth), np.sin(azimuth), 0.0]) * np.cos(elevation)
        position = middle + distance * (level + np.array([0.0, 0.0, np.sin(elevation)]))
        camera = Camera.looking_at(position, middle, size, field, roll)
        distance *= _nearness(camera, points, span)
    for _ in range(SHIFTING_ROUNDS):  # from here on the camera keeps its direction
        camera = _shifted(camera, points, span, place)
    return camera


def _nearness(camera: Camera, points: FloatArray, span: float) -> float:
    """How much too near the camera stands: the body's box over its wanted size, within reason."""
    if camera.to_camera(points)[:, 2].min() < NEAREST:
        return 1.5
    extent = np.ptp(camera.project(points)[:, :2], axis=0) / camera.size
    return float(np.clip(extent.max() / span, 0.7, 1.5))


def _shifted(camera: Camera, points: FloatArray, span: float, place: FloatArray) -> Camera:
    """The camera carried along its own axes, so that the body's box has its wanted size and place in the frame."""
    depth = float(np.median(camera.to_camera(points)[:, 2]))
    pixels = camera.project(points)[:, :2]
    low, high = pixels.min(0), pixels.max(0)
    frame = np.array(camera.size)
    room = np.maximum(frame - (high - low) * (1 - 2 * OVERHANG), 0)  # how far the box may move
    wanted = (frame - 1) / 2 + (place - 0.5) * room
    across, down = ((low + high) / 2 - wanted) * depth / camera.focal
    back = depth * (_nearness(camera, points, span) - 1)
    position = camera.position + np.array([across, down, -back]) @ camera.rotation
    position[2] = max(position[2], LOWEST_CAMERA)
    return replace(camera, position=position)
