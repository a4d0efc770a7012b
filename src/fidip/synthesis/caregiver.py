"""An adult's arm that reaches into the picture and touches the infant: what hides a part of a body most often."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fidip.annotations import FloatArray
from fidip.skeleton import COCO_17
from fidip.synthesis.anatomy import BACK_OF_HAND
from fidip.synthesis.bodies.protocol import PARTS
from fidip.synthesis.camera import Camera
from fidip.synthesis.surface import Surface, Vectors
from fidip.synthesis.textures import Texture
from fidip.synthesis.world import NO_PART, Mesh

ARM = ("left_upper_arm", "left_forearm", "left_hand")
DIRECTIONS = 24
SKIN_GAP = 0.004
"""Metres between the fingers and what they touch."""

GROWN = 1.5
"""Times the height of an infant: what is shorter is no adult."""

TOUCHED = ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
           "right_ankle", "left_wrist", "right_wrist")  # fmt: skip


def reaching_arm(
    rng: np.random.Generator, surface: Surface, skin: Texture, vertices: Vectors, keypoints: FloatArray, camera: Camera
) -> Mesh | None:
    """An arm from outside the picture whose fingers touch the body near one of its joints.

    It comes from a direction from which its shoulder does not show; where there is none, nobody reaches in (``None``),
    nor where the body model knows no adults, as those of a user's file.
    The arm is that of the average adult in its reference pose, elbow half bent; ``skin`` is in the body's atlas.
    """
    reference, infant = surface.references["adult"], surface.references["infant"]
    if np.ptp(reference.vertices[:, 2]) < GROWN * np.ptp(infant.vertices[:, 2]):
        return None
    own = np.isin(surface.face_parts, [PARTS.index(part) for part in ARM])
    corners, faces = np.unique(surface.face_uvs[own], return_inverse=True)
    rest = reference.vertices[surface.vertex_of_uv[corners]].astype(np.float64)
    shoulder = reference.keypoints[COCO_17.keypoints.index("left_shoulder")]
    fingers = rest[np.argmax(np.linalg.norm(rest - shoulder, axis=1))]
    reach = shoulder - fingers
    joint = keypoints[COCO_17.keypoints.index(TOUCHED[int(rng.integers(len(TOUCHED)))])]
    place = _top(vertices, joint) + np.array([0.0, 0.0, SKIN_GAP])
    rise = rng.uniform(0.35, 0.9)
    angles = rng.uniform(0, 2 * np.pi) + np.arange(DIRECTIONS) / DIRECTIONS * 2 * np.pi
    for angle in rng.permutation(angles):
        outwards = np.array([np.cos(angle), np.sin(angle), rise])
        turn = _turn(reach, outwards)
        if _in_frame(camera, place + turn.apply(reach)):
            continue
        placed = turn.apply(rest - fingers) + place
        normals = turn.apply(surface.normals(reference.vertices)[surface.vertex_of_uv[corners]])
        parts = np.full(int(own.sum()), NO_PART, np.int32)
        return Mesh(
            "arm", placed.astype(np.float32), normals.astype(np.float32), surface.uvs[corners],
            faces.reshape(-1, 3).astype(np.int32), parts, skin, skin=True,
        )  # fmt: skip
    return None


def _top(vertices: Vectors, near: FloatArray) -> NDArray[np.float64]:  # (3,)
    """The highest point of the body over a joint."""
    over = np.linalg.norm(vertices[:, :2] - near[:2].astype(np.float32), axis=1) < 0.03
    heights = np.where(over, vertices[:, 2], -np.inf) if over.any() else vertices[:, 2]
    return np.asarray(vertices[int(np.argmax(heights))], np.float64)


def _turn(reach: FloatArray, outwards: FloatArray) -> Rotation:
    """What brings the way from fingers to shoulder along ``outwards``, the back of the hand as far up as it goes."""
    wanted = np.stack([outwards / np.linalg.norm(outwards), [0.0, 0.0, 1.0]])
    given = np.stack([reach / np.linalg.norm(reach), BACK_OF_HAND])
    return Rotation.align_vectors(wanted, given, weights=[1e3, 1.0])[0]


def _in_frame(camera: Camera, point: FloatArray) -> bool:
    x, y, depth = camera.project(point)
    return bool(depth > 0 and -0.1 <= x / camera.size[0] <= 1.1 and -0.1 <= y / camera.size[1] <= 1.1)
