"""A posture's pose, laid to rest on the floor: z is up, the floor z = 0; where a body heads is the scene's choice."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fidip.synthesis.anatomy import bone_rotations
from fidip.synthesis.bodies.protocol import BodyModel, Population
from fidip.synthesis.postures import POSTURE_NAMES, POSTURES, Posture, draw_angles

__all__ = [
    "POSTURES",
    "POSTURE_NAMES",
    "Pose",
    "Posture",
    "Resting",
    "area_vectors",
    "centre_of_mass",
    "draw_pose",
    "rest_on_floor",
]

SETTLED: dict[Posture, float] = {
    "supine": 25.0, "prone": 25.0, "side": 30.0, "sitting": 25.0, "crawling": 20.0, "standing": 0.0, "walking": 0.0,
}  # fmt: skip
"""How far, in degrees, a stiff body may tilt until it rests; beyond it the posture would be another one."""


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """How one body lies or stands in the world."""

    posture: Posture
    population: Population
    rotations: NDArray[np.float32]  # (J, 3) axis-angle in radians, the root's first
    translation: NDArray[np.float32]  # (3,) of the root joint, metres


@dataclass(frozen=True, slots=True, eq=False)
class Resting:
    """A body that has been laid down: its pose and, in the world, everything that a scene needs of it."""

    pose: Pose
    vertices: NDArray[np.float32]  # (V, 3)
    joints: NDArray[np.float32]  # (J, 3)
    keypoints: NDArray[np.float32]  # (K, 3)
    tilt: float  # degrees from the pose as it was drawn


def draw_pose(
    generator: np.random.Generator, posture: Posture, body: BodyModel, population: Population = "infant"
) -> Pose:
    """A pose of a posture, every joint within its limits, the root joint still at the origin.

    Raises ``ValueError`` where a population does not take a posture.
    """
    angles, lean = draw_angles(generator, posture, population)
    root = Rotation.from_euler("x", lean, degrees=True)
    if posture == "side":
        root = Rotation.from_euler("y", generator.choice((-1, 1)) * generator.uniform(75, 105), degrees=True) * root
    rotations = bone_rotations(angles, body.bone_names)
    rotations[0] = root.as_rotvec()
    return Pose(posture, population, rotations, np.zeros(3, np.float32))


def rest_on_floor(
    body: BodyModel,
    shape: torch.Tensor,  # (S,)
    pose: Pose,
) -> Resting:
    """Let a stiff body tilt into balance and put it on the floor, centred over the origin.

    It rests on the lowest half hundredth of its surface, so that soft parts press in by some millimetres. Balance is a
    minimum of the height of its centre over that support, searched within ``SETTLED``.
    """
    with torch.no_grad():
        inputs = (shape[None], torch.from_numpy(pose.rotations)[None], torch.zeros(1, 3, dtype=shape.dtype))
        posed = body(*inputs)
    vertices = posed.vertices[0].numpy()
    normals = area_vectors(vertices, body.faces)
    centre, patches = centre_of_mass(vertices, body.faces, normals), _patches(vertices, body.faces, normals)
    tilt = _balance(patches - centre, SETTLED[pose.posture])
    turn = Rotation.from_rotvec(np.array([*tilt, 0.0]))
    matrix = turn.as_matrix()
    middle = matrix @ centre
    floor = _support((patches @ matrix.T)[:, 2])
    translation = np.array([-middle[0], -middle[1], -floor])
    rotations = pose.rotations.copy()
    rotations[0] = (turn * Rotation.from_rotvec(pose.rotations[0])).as_rotvec()
    vertices, joints, keypoints = (
        (points @ matrix.T + translation).astype(np.float32)
        for points in (vertices, posed.joints[0].numpy(), posed.keypoints[0].numpy())
    )
    placed = replace(pose, rotations=rotations, translation=translation.astype(np.float32))
    return Resting(placed, vertices, joints, keypoints, float(np.degrees(np.hypot(*tilt))))


def area_vectors(vertices: NDArray[np.floating], faces: NDArray[np.int32]) -> NDArray[np.float64]:  # (F, 3)
    """Outward normals of the faces, twice as long as the faces are large."""
    x, y, z = np.ascontiguousarray(vertices.T, dtype=np.float64)
    first, second, third = faces.T
    ux, uy, uz = x[second] - x[first], y[second] - y[first], z[second] - z[first]
    vx, vy, vz = x[third] - x[first], y[third] - y[first], z[third] - z[first]
    return np.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], 1)


def centre_of_mass(
    vertices: NDArray[np.floating],  # (V, 3)
    faces: NDArray[np.int32],
    normals: NDArray[np.float64],  # (F, 3) as area_vectors
) -> NDArray[np.float64]:  # (3,)
    """Of the closed surface, filled evenly: the sum of the tetrahedra between the faces and the origin."""
    middles = (vertices[faces[:, 0]] + vertices[faces[:, 1]] + vertices[faces[:, 2]]) / 3
    volumes = np.einsum("fi,fi->f", normals, middles)
    return np.asarray(0.75 * volumes @ middles / volumes.sum())


def _patches(
    vertices: NDArray[np.floating], faces: NDArray[np.int32], normals: NDArray[np.float64]
) -> NDArray[np.float64]:  # (PATCHES, 3)
    """Points all over the surface, each for an equal share of it."""
    areas = np.cumsum(np.sqrt(np.einsum("fi,fi->f", normals, normals)))
    chosen = np.searchsorted(areas, (np.arange(PATCHES) + 0.5) / PATCHES * areas[-1])
    return np.asarray(vertices[faces[chosen]].mean(1), dtype=np.float64)


PATCHES = 3000
PRESSED = 15  # as many patches, half a hundredth of the surface, lie below the floor


def _support(heights: NDArray[np.float64]) -> float:
    return float(np.partition(heights, PRESSED)[PRESSED])


def _balance(points: NDArray[np.float64], most: float) -> NDArray[np.float64]:  # (2,) radians about x and y
    """The tilt, near none, at which the centre (the origin) lies lowest over the support: a compass search."""

    def height(tilt: NDArray[np.float64]) -> float:
        angle = np.hypot(*tilt)
        sine = np.sin(angle) / angle if angle else 1.0
        upwards = np.array([-tilt[1] * sine, tilt[0] * sine, np.cos(angle)])  # last row of the turn's matrix
        return -_support(points @ upwards)

    tilt, step = np.zeros(2), np.radians(min(8.0, most))
    lowest = height(tilt)
    while step > np.radians(0.5):
        trials = [tilt + step * np.array(way) for way in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        heights = [height(trial) if np.hypot(*trial) <= np.radians(most) else np.inf for trial in trials]
        best = int(np.argmin(heights))
        if heights[best] < lowest - 1e-5:
            tilt, lowest = trials[best], heights[best]
        else:
            step /= 2
    return tilt
