"""What a renderer is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fidip.synthesis.camera import Camera

NO_PART = -1
"""The part id of everything that is no body: floor, toys, background."""


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
    texture: NDArray[np.uint8]  # (S, S, 4) RGBA; alpha below one half is a hole
    skin: bool = False


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
