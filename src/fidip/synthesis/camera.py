"""A pinhole camera in a world with z up, in metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray
from fidip.geometry import Size


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """Intrinsics in pixels and the rigid map from the world to the camera's frame (x right, y down, z forward).

    A point at the camera-frame position (X, Y, Z) has its image at ``focal · X/Z + principal[0]`` and
    ``focal · Y/Z + principal[1]``; integer coordinates are pixel centres, so the middle of the image is
    ``((W − 1)/2, (H − 1)/2)``.
    """

    focal: float  # pixels
    principal: tuple[float, float]  # pixels
    size: Size
    rotation: FloatArray  # (3, 3) world -> camera
    position: FloatArray  # (3,) of the optical centre, in the world

    @classmethod
    def looking_at(
        cls, position: FloatArray, target: FloatArray, size: Size, field_of_view: float, roll: float = 0.0
    ) -> Camera:
        """A camera at ``position`` aimed at ``target``; angles in radians.

        ``field_of_view`` spans the longer side of the image. With ``roll = 0`` the world's z axis points up in the
        image; looking straight down, the world's y axis does.
        """
        forward = (target - position) / np.linalg.norm(target - position)
        up = np.array([0.0, 0.0, 1.0]) if abs(forward[2]) < 0.999 else np.array([0.0, 1.0, 0.0])
        right = np.cross(forward, up)
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        cos, sin = np.cos(roll), np.sin(roll)
        rotation = np.stack([cos * right + sin * down, -sin * right + cos * down, forward])
        focal = max(size) / 2 / np.tan(field_of_view / 2)
        return cls(float(focal), ((size[0] - 1) / 2, (size[1] - 1) / 2), size, rotation, np.asarray(position, float))

    def to_camera(self, points: NDArray[np.floating]) -> FloatArray:  # (..., 3) -> (..., 3)
        """World points in the camera's frame; the last coordinate is the depth in metres."""
        return (np.asarray(points, dtype=np.float64) - self.position) @ self.rotation.T

    def project(self, points: NDArray[np.floating]) -> FloatArray:  # (..., 3) -> (..., 3)
        """World points as pixel x, pixel y and depth in metres (not positive: behind the camera)."""
        local = self.to_camera(points)
        depth = local[..., 2:]
        pixels = self.focal * local[..., :2] / np.where(depth > 0, depth, np.nan) + np.array(self.principal)
        return np.concatenate([pixels, depth], axis=-1)
