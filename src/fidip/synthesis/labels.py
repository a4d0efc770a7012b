"""Labels of a rendered person: keypoints by projection, visibility by what the rays met, box and area by silhouette."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import Box, FloatArray, Person
from fidip.skeleton import COCO_17
from fidip.synthesis.bodies.protocol import KEYPOINT_PARTS, PARTS
from fidip.synthesis.camera import Camera
from fidip.synthesis.world import Rendering

JOINT_DEPTHS = {"shoulder": 0.15, "hip": 0.17, "elbow": 0.09, "wrist": 0.09, "knee": 0.10, "ankle": 0.10}
"""How far under the surface a visible joint may lie, in shares of :func:`standing_length`; deeper is the far side.

Naked and standing, the bundled bodies reach 0.15 at the hips, 0.12 at the shoulders and 0.06 at elbows and knees while
these are on the near side; the far hip and shoulder in profile lie 0.18 deep and more.
"""

FACE_DEPTH = 0.18
"""The same for nose, eyes and ears, which lie on the skin, in distances between the ears.

From the side or behind, a hidden eye or nose is at least 0.23 deep, a visible ear at most 0.13.
"""

NEIGHBOURHOOD = 1
"""Pixels around a keypoint that are searched as well, so that ears and ankles on the outline are not lost."""


def project_labels(camera: Camera, keypoints: FloatArray, rendering: Rendering) -> Person:  # (K, 3) in the world
    """The label of the person whose ``keypoints`` (COCO order, metres) were rendered.

    A keypoint is visible (2) if the first thing that a ray through its pixel or a neighbouring one meets is a part that
    it lies on (``KEYPOINT_PARTS``; clothes count as the part that they cover) and it lies no deeper under that surface
    than ``JOINT_DEPTHS`` or ``FACE_DEPTH`` allow; otherwise it is occluded (1). Outside the image it is unlabelled:
    (0, 0, 0). The box is the tight bound of the body's pixels, x2 − x1 + 1 wide; the area counts them. A body that no
    pixel shows has no box and area 0.
    """
    projected = camera.project(keypoints)
    width, height = camera.size
    x, y, depth = projected.T
    with np.errstate(invalid="ignore"):
        inside = (depth > 0) & (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    labels = np.zeros((len(keypoints), 3))
    allowed = allowed_depths(keypoints)
    for k in np.flatnonzero(inside):
        parts, depths = _seen_near(rendering, x[k], y[k])
        own = np.isin(parts, [PARTS.index(part) for part in KEYPOINT_PARTS[k]])
        visible = (own & (depth[k] - depths <= allowed[k])).any()
        labels[k] = (x[k], y[k], 2 if visible else 1)
    silhouette = rendering.part >= 0
    return Person(labels, box=silhouette_box(silhouette), area=float(silhouette.sum()))


def allowed_depths(keypoints: FloatArray) -> FloatArray:  # (K, 3) -> (K,) metres
    """How deep under the surface each keypoint may lie and still be visible."""
    face = FACE_DEPTH * np.linalg.norm(keypoints[_LEFT["ear"]] - keypoints[_LEFT["ear"] + 1])
    length = standing_length(keypoints)
    kinds = (name.rpartition("_")[2] for name in COCO_17.keypoints)
    return np.array([JOINT_DEPTHS[kind] * length if kind in JOINT_DEPTHS else face for kind in kinds])


def _seen_near(rendering: Rendering, x: float, y: float) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    column, row = round(x), round(y)
    rows = slice(max(row - NEIGHBOURHOOD, 0), row + NEIGHBOURHOOD + 1)
    columns = slice(max(column - NEIGHBOURHOOD, 0), column + NEIGHBOURHOOD + 1)
    return rendering.part[rows, columns].ravel(), rendering.depth[rows, columns].ravel()


def silhouette_box(silhouette: NDArray[np.bool_]) -> Box | None:  # (H, W)
    """The tight box of the true pixels: x and y of the first ones, width and height counted in pixels."""
    columns, rows = np.flatnonzero(silhouette.any(axis=0)), np.flatnonzero(silhouette.any(axis=1))
    if not len(columns):
        return None
    x, y = float(columns[0]), float(rows[0])
    return (x, y, float(columns[-1] - x + 1), float(rows[-1] - y + 1))


def share_in_frame(camera: Camera, points: NDArray[np.floating]) -> float:  # (N, 3) in the world
    """The share of points, such as a body's vertices, that project into the image."""
    x, y, depth = camera.project(points).T
    with np.errstate(invalid="ignore"):
        inside = (depth > 0) & (np.abs(x - (camera.size[0] - 1) / 2) <= camera.size[0] / 2)
        inside &= np.abs(y - (camera.size[1] - 1) / 2) <= camera.size[1] / 2
    return float(inside.mean())


def standing_length(keypoints: FloatArray) -> float:  # (K, 3) -> metres
    """Roughly the body's height in any pose: the bones from the ears to the ankles, end to end."""
    middle = {name: (keypoints[left] + keypoints[left + 1]) / 2 for name, left in _LEFT.items()}
    trunk = np.linalg.norm(middle["ear"] - middle["shoulder"]) + np.linalg.norm(middle["shoulder"] - middle["hip"])
    legs = [
        np.linalg.norm(keypoints[_LEFT[a] + side] - keypoints[_LEFT[b] + side])
        for a, b in (("hip", "knee"), ("knee", "ankle"))
        for side in (0, 1)
    ]
    return float(trunk + sum(legs) / 2)


_LEFT = {name: COCO_17.keypoints.index(f"left_{name}") for name in ("ear", "shoulder", "hip", "knee", "ankle")}
