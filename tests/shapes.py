"""Small scenes of known geometry for the tests of the renderers and of the labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fidip.synthesis.camera import Camera
from fidip.synthesis.world import NO_PART, Light, Mesh, Scene

GREY = np.full((1, 1, 4), 188, dtype=np.uint8) | np.array([0, 0, 0, 255], dtype=np.uint8)


def plain(red: int, green: int, blue: int) -> NDArray[np.uint8]:
    """A texture of one colour."""
    return np.array([[[red, green, blue, 255]]], dtype=np.uint8)


def sphere(
    centre: tuple[float, float, float],
    radius: float,
    part: int = NO_PART,
    texture: NDArray[np.uint8] = GREY,
    rings: int = 64,
    skin: bool = False,
) -> Mesh:
    """A sphere of 4 · rings² triangles; u runs round the z axis, v from the south pole to the north pole."""
    v, u = np.meshgrid(np.linspace(0, 1, rings + 1), np.linspace(0, 1, 2 * rings + 1), indexing="ij")
    polar, azimuth = np.pi * (1 - v.ravel()), 2 * np.pi * u.ravel()
    normals = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1)
    row, column = (index.ravel() for index in np.mgrid[:rings, : 2 * rings])
    a = row * (2 * rings + 1) + column
    b, c, d = a + 1, a + 2 * rings + 1, a + 2 * rings + 2
    faces = np.concatenate([np.stack([a, b, d], axis=1), np.stack([a, d, c], axis=1)])
    return Mesh(
        "sphere",
        (np.array(centre) + radius * normals).astype(np.float32),
        normals.astype(np.float32),
        np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float32),
        faces.astype(np.int32),
        np.full(len(faces), part, dtype=np.int32),
        texture,
        skin,
    )


def plane(
    corners: NDArray[np.floating],
    texture: NDArray[np.uint8] = GREY,
    part: int = NO_PART,
    repeats: float = 1.0,
) -> Mesh:
    """A parallelogram (4, 3), in order; its corners have (u, v) = (0, 0), (r, 0), (r, r), (0, r)."""
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    normal = normal / np.linalg.norm(normal)
    return Mesh(
        "plane",
        corners.astype(np.float32),
        np.tile(normal, (4, 1)).astype(np.float32),
        np.array([[0, 0], [repeats, 0], [repeats, repeats], [0, repeats]], dtype=np.float32),
        np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32),
        np.full(2, part, dtype=np.int32),
        texture,
    )


def floor(half: float = 3.0, height: float = 0.0, texture: NDArray[np.uint8] = GREY, part: int = NO_PART) -> Mesh:
    """A square of the given half side about the origin, facing up."""
    corners = np.array([[-half, -half, height], [half, -half, height], [half, half, height], [-half, half, height]])
    return plane(corners, texture, part)


def scene(
    meshes: tuple[Mesh, ...],
    camera: Camera,
    lights: tuple[Light, ...] = (),
    ambient: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Scene:
    """A scene on a black background."""
    width, height = camera.size
    return Scene(meshes, camera, lights, ambient, np.zeros((height, width, 3), dtype=np.uint8))


def above(size: tuple[int, int] = (64, 64), distance: float = 2.0, view: float = 0.8, roll: float = 0.0) -> Camera:
    """A camera that looks straight down at the origin."""
    return Camera.looking_at(np.array([0.0, 0.0, distance]), np.zeros(3), size, view, roll)
