"""What a renderer is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fidip.synthesis.camera import Camera

NO_PART = -1
"""The part id of everything that is no body: floor, toys, background."""

OPAQUE = 128
"""The least alpha of a texel that is no hole. Between texels alpha is interpolated, so holes have smooth edges."""


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A textured triangle mesh in the world (metres, z up).

    ``parts`` gives each face the body part that it shows; clothes carry the part that they cover, everything else
    ``NO_PART``. ``texture`` is sRGB uint8 and repeats beyond [0, 1]; v = 0 is its lowest row. ``skin`` asks for the
    soft shading of skin.
    """

    name: str
    vertices: NDArray[np.float32]  # (V, 3)
    normals: NDArray[np.float32]  # (V, 3) of unit length
    uvs: NDArray[np.float32]  # (V, 2)
    faces: NDArray[np.int32]  # (F, 3)
    parts: NDArray[np.int32]  # (F,)
    texture: NDArray[np.uint8]  # (S, S, 4) RGBA; alpha below OPAQUE is a hole
    skin: bool = False

    @property
    def has_holes(self) -> bool:
        """Whether any texel is a hole."""
        # OPAQUE is the highest bit of a byte, so one AND over whole texels finds out; much faster than a strided look.
        common = np.bitwise_and.reduce(np.ascontiguousarray(self.texture).view(np.uint32), axis=None)
        return bool(np.atleast_1d(common).view(np.uint8)[3] < OPAQUE)


@dataclass(frozen=True, slots=True, eq=False)
class Triangles:
    """All triangles of a scene in one list; ``meshes`` says which mesh each comes from."""

    vertices: NDArray[np.float32]  # (V, 3)
    normals: NDArray[np.float32]  # (V, 3)
    uvs: NDArray[np.float32]  # (V, 2)
    faces: NDArray[np.int32]  # (F, 3)
    parts: NDArray[np.int32]  # (F,)
    meshes: NDArray[np.int32]  # (F,)

    @classmethod
    def of(cls, meshes: tuple[Mesh, ...]) -> Triangles:
        """Join meshes; there may be none."""
        firsts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
        faces = [mesh.faces + first for mesh, first in zip(meshes, firsts, strict=False)]
        return cls(
            np.concatenate([np.empty((0, 3)), *(mesh.vertices for mesh in meshes)]).astype(np.float32),
            np.concatenate([np.empty((0, 3)), *(mesh.normals for mesh in meshes)]).astype(np.float32),
            np.concatenate([np.empty((0, 2)), *(mesh.uvs for mesh in meshes)]).astype(np.float32),
            np.concatenate([np.empty((0, 3), int), *faces]).astype(np.int32),
            np.concatenate([np.empty(0, int), *(mesh.parts for mesh in meshes)]).astype(np.int32),
            np.repeat(np.arange(len(meshes), dtype=np.int32), [len(mesh.faces) for mesh in meshes]),
        )


@dataclass(frozen=True, slots=True)
class Light:
    """A distant light: unit direction towards it, linear RGB, angular radius in radians (soft shadows)."""

    direction: tuple[float, float, float]
    colour: tuple[float, float, float]
    angular_radius: float


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Everything that an image shows; drawn by one seed elsewhere, rendered here without further choices.

    ``background`` fills the pixels that hit no mesh: sRGB uint8 of the camera's size.
    """

    meshes: tuple[Mesh, ...]
    camera: Camera
    lights: tuple[Light, ...]
    ambient: tuple[float, float, float]  # linear RGB
    background: NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """A picture and, for every pixel, what the ray through its centre met first."""

    colour: NDArray[np.float32]  # (H, W, 3) linear RGB, unbounded
    depth: NDArray[np.float32]  # (H, W) metres along the optical axis; 0 where nothing was hit
    part: NDArray[np.int32]  # (H, W) body part, or NO_PART
    mesh: NDArray[np.int32]  # (H, W) index into the scene's meshes, −1 where nothing was hit


class Renderer(Protocol):
    """Turns a scene into pixels. ``seed`` decides the noise of sampled shadows and nothing else."""

    def __call__(self, scene: Scene, seed: int) -> Rendering:
        """Render one scene at its camera's size."""
        ...
