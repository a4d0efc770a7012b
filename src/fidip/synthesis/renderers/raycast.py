"""Light, soft shadow and texture by casting rays with NVIDIA Warp, on the CPU or on a CUDA device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray
from fidip.synthesis.colour import LINEAR_OF_BYTE, linear_from_srgb
from fidip.synthesis.renderers import shading
from fidip.synthesis.renderers.rays import World, start_warp, wp
from fidip.synthesis.renderers.shading import Layers, View
from fidip.synthesis.world import Light, Mesh, Rendering, Scene, Triangles

AMBIENT_REACH = 0.15
"""Metres: ambient light is blocked by what is nearer, and looked at only this near to the body."""

BLOCK = 16
"""Sample directions differ among the pixels of each 4x4 block and repeat from block to block."""

R2_STEP = np.array([0.7548776662466927, 0.5698402909980532])


@dataclass(frozen=True, slots=True)
class RaycastRenderer:
    """Directional lights with soft shadows, ambient light that is dimmed near the body, skin that is shaded softly.

    Labels and light come from one ray through each pixel's centre. Where an outline passes, ``samples`` rays decide the
    colour. The same scene and seed give the same bytes on the same machine and device.
    """

    samples: int = 4
    shadow_rays: int = 1  # per light and pixel, before smoothing
    ambient_rays: int = 1  # per pixel near the body, before smoothing
    device: str = "cpu"  # or "cuda"

    def __call__(self, scene: Scene, seed: int) -> Rendering:
        """Render one scene. Raises ``StorageError`` if the compiled kernels cannot be kept."""
        start_warp()
        width, height = scene.camera.size
        world, trees = self._world(scene)
        view = self._view(scene, seed)
        layers = self._layers(scene)
        pixels = width * height
        records: list[Any] = [
            wp.array([record], dtype=kind, device=self.device)
            for record, kind in ((world, World), (view, View), (layers, Layers))
        ]
        wp.launch(shading.see, pixels, inputs=records, device=self.device)
        wp.launch(shading.smooth, pixels, inputs=records[1:], device=self.device)
        wp.launch(shading.finish, pixels, inputs=records, device=self.device)
        rendering = Rendering(
            colour=layers.colour.numpy().reshape(height, width, 3),
            depth=layers.depth.numpy().reshape(height, width),
            part=layers.part.numpy().reshape(height, width),
            mesh=layers.mesh.numpy().reshape(height, width),
        )
        del trees  # they had to live until the kernels were done
        return rendering

    def _array(self, values: NDArray[Any], dtype: Any) -> Any:
        return wp.array(np.ascontiguousarray(values), dtype=dtype, device=self.device)

    def _world(self, scene: Scene) -> tuple[Any, list[Any]]:
        """The scene on the device, and the search trees that it points to."""
        pierced = [mesh.has_holes for mesh in scene.meshes]
        order = np.argsort(pierced, kind="stable")
        triangles = Triangles.of(tuple(scene.meshes[i] for i in order))
        solid_faces = sum(len(mesh.faces) for mesh, holes in zip(scene.meshes, pierced, strict=True) if not holes)
        levels, texels = _texture_levels(scene.meshes)
        low, high = _body_boxes(triangles)
        world = World()
        world.vertices = self._array(triangles.vertices, wp.vec3)
        trees = [
            wp.Mesh(world.vertices, self._array(faces.ravel(), wp.int32)) if len(faces) else None
            for faces in (triangles.faces[:solid_faces], triangles.faces[solid_faces:])
        ]
        world.solid, world.pierced = (wp.uint64(tree.id if tree else 0) for tree in trees)
        world.solid_faces = solid_faces
        world.normals = self._array(triangles.normals, wp.vec3)
        world.uvs = self._array(triangles.uvs, wp.vec2)
        world.faces = self._array(triangles.faces, wp.vec3i)
        world.meshes = self._array(order[triangles.meshes].astype(np.int32), wp.int32)
        world.parts = self._array(triangles.parts, wp.int32)
        world.skin = self._array(np.array([mesh.skin for mesh in scene.meshes], dtype=np.int32), wp.int32)
        world.levels = self._array(levels, wp.vec3i)
        world.texels = self._array(texels, wp.uint32)
        world.linear = self._array(LINEAR_OF_BYTE, wp.float32)
        lights = scene.lights
        world.light_directions = self._array(_rows([light.direction for light in lights]), wp.vec3)
        world.light_colours = self._array(_rows([light.colour for light in lights]), wp.vec3)
        world.ambient = wp.vec3(*scene.ambient)
        world.body_low, world.body_high = self._array(low, wp.vec3), self._array(high, wp.vec3)
        world.reach = AMBIENT_REACH
        return world, trees

    def _view(self, scene: Scene, seed: int) -> Any:
        camera, random = scene.camera, np.random.default_rng(seed)
        right, down, forward = camera.rotation / np.array([[camera.focal], [camera.focal], [1.0]])
        view = View()
        view.eye = wp.vec3(*camera.position)
        view.right, view.down = wp.vec3(*right), wp.vec3(*down)
        view.corner = wp.vec3(*(forward - camera.principal[0] * right - camera.principal[1] * down))
        view.width, view.height = camera.size
        view.focal = camera.focal
        view.samples, view.shadow_rays, view.ambient_rays = self.samples, self.shadow_rays, self.ambient_rays
        towards = [_towards(light, _spread_points(BLOCK * self.shadow_rays, random)) for light in scene.lights]
        view.towards_light = self._array(
            np.array(towards, np.float32).reshape(-1, BLOCK * self.shadow_rays, 3), wp.vec3
        )
        view.hemisphere = self._array(_cosine_weighted(_spread_points(BLOCK * self.ambient_rays, random)), wp.vec3)
        return view

    def _layers(self, scene: Scene) -> Any:
        pixels = scene.camera.size[0] * scene.camera.size[1]
        layers = Layers()
        layers.background = self._array(linear_from_srgb(scene.background).reshape(-1, 3), wp.vec3)
        layers.depth = wp.empty(pixels, dtype=wp.float32, device=self.device)
        for name in ("part", "mesh"):
            setattr(layers, name, wp.empty(pixels, dtype=wp.int32, device=self.device))
        for name in ("position", "normal", "albedo", "light", "share", "smooth_share", "colour"):
            setattr(layers, name, wp.empty(pixels, dtype=wp.vec3, device=self.device))
        return layers


def _spread_points(count: int, random: np.random.Generator) -> FloatArray:  # (N, 2)
    """Points spread evenly over the unit disc: an R2 sequence (Roberts 2018), shifted at random."""
    square = (random.random(2) + np.arange(count)[:, None] * R2_STEP) % 1.0
    radius, angle = np.sqrt(square[:, 0]), 2 * np.pi * square[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _towards(light: Light, disc: FloatArray) -> FloatArray:  # (N, 2) -> (N, 3)
    """Unit directions towards the points of a light's disc."""
    middle = np.array(light.direction)
    side = np.cross(middle, np.eye(3)[np.argmin(np.abs(middle))])
    side /= np.linalg.norm(side)
    rays: FloatArray = middle + np.tan(light.angular_radius) * (disc @ np.stack([side, np.cross(middle, side)]))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return rays


def _cosine_weighted(disc: FloatArray) -> FloatArray:  # (N, 2) -> (N, 3)
    """Directions about the z axis whose density is the cosine (Malley's method): the disc lifted to the hemisphere."""
    return np.column_stack([disc, np.sqrt(np.maximum(1 - (disc**2).sum(axis=1), 0))])


def _rows(vectors: list[tuple[float, float, float]]) -> NDArray[np.float32]:  # (N, 3), also for N = 0
    return np.array(vectors, dtype=np.float32).reshape(-1, 3)


def _body_boxes(triangles: Triangles) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lowest and highest corners (N, 3) of the boxes round the whole body and round each of its parts in the scene."""
    body = np.flatnonzero(triangles.parts >= 0)
    if not len(body):
        return _rows([]), _rows([])
    body = body[np.argsort(triangles.parts[body], kind="stable")]
    firsts = 3 * np.flatnonzero(np.diff(triangles.parts[body], prepend=-1))
    corners = triangles.vertices[triangles.faces[body].ravel()].T.copy()
    low = np.minimum.reduceat(corners, firsts, axis=1).T
    high = np.maximum.reduceat(corners, firsts, axis=1).T
    return np.vstack([low.min(axis=0), low]), np.vstack([high.max(axis=0), high])


def _texture_levels(meshes: tuple[Mesh, ...]) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """Every texture at its own size, a half, a quarter, …: (mesh, level) -> (first texel, width, height), all texels.

    A texture that several meshes share is stored once.
    """
    pyramids: dict[int, list[NDArray[np.uint8]]] = {}
    for mesh in meshes:
        if id(mesh.texture) not in pyramids:
            pyramids[id(mesh.texture)] = _pyramid(mesh.texture)
    depth = max((len(pyramid) for pyramid in pyramids.values()), default=1)
    places: dict[int, NDArray[np.int32]] = {}
    first = 0
    for key, pyramid in pyramids.items():
        rows = []
        for level in pyramid:
            rows.append((first, level.shape[1], level.shape[0]))
            first += level.shape[0] * level.shape[1]
        places[key] = np.array(rows + rows[-1:] * (depth - len(rows)), dtype=np.int32)
    levels = np.array([places[id(mesh.texture)] for mesh in meshes], dtype=np.int32).reshape(-1, depth, 3)
    flat = [level.reshape(-1, 4).view(np.uint32).ravel() for pyramid in pyramids.values() for level in pyramid]
    return levels, np.concatenate([np.empty(0, np.uint32), *flat])


def _pyramid(texture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    levels = [np.ascontiguousarray(texture)]
    while min(levels[-1].shape[:2]) >= 16:
        height, width = levels[-1].shape[:2]
        half = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        levels.append(half.astype(np.uint8, copy=False))
    return levels
