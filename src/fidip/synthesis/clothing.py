"""Clothes, diapers and hair as shells over a posed body.

A garment is a score over the surface of the reference body in its rest pose, in metres: positive under the cloth, zero
at its edge. Edges are waistlines, necklines and leg openings (planes) and places along a limb (sleeves, trouser legs).
The shell is the posed body smoothed and moved outwards; faces that its edge crosses are cut along it, so that hems are
straight however coarse the body. Each face carries the body part beneath it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fidip.synthesis.bodies.protocol import PARTS
from fidip.synthesis.surface import Reference, Scores, Surface, Vectors, vertex_normals
from fidip.synthesis.textures import Texture
from fidip.synthesis.world import Mesh

HIDDEN = 0.012
"""Metres under a garment's edge from which on the body beneath is left out, so that it cannot poke through."""

SMOOTHING = 8
"""Rounds of smoothing between the body and the cloth: wipes out navels and toes, keeps limbs."""


@dataclass(frozen=True, slots=True)
class Garment:
    """What a garment covers and how thick it is; lengths in metres, places along a limb as :class:`Reference` has them.

    ``None`` leaves a limb uncovered. ``hem`` is a height above the hips in shares of the torso's length, ``neck`` the
    height of the neckline above the shoulders in the same unit. ``opening`` lets the legs out through slanted planes
    (diapers and bodysuits) at that distance below the hip joints, in shares of the torso's length.
    """

    name: str
    hem: float | None = None
    neck: float | None = None
    sleeve: float | None = None
    leg: float | None = None
    waist: float | None = None
    opening: float | None = None
    foot: float | None = None  # shoes and socks: from here on along the leg
    thickness: float = 0.004
    wrinkles: float = 0.002
    repeats: float = 4.0  # of the texture over the atlas


def garment_score(garment: Garment, surface: Surface, reference: Reference) -> Scores:  # (V,)
    """Metres inside a garment's edge, for every vertex; negative outside."""
    vertices, keypoints = reference.vertices, reference.keypoints
    hips, shoulders = keypoints[11:13].mean(0), keypoints[5:7].mean(0)
    torso = float(np.linalg.norm(shoulders - hips))
    height = vertices[:, 2] - hips[2]
    arm, leg = reference.limb["arm"], reference.limb["leg"]
    arm_length = float(np.linalg.norm(keypoints[7] - keypoints[5]))
    leg_length = float(np.linalg.norm(keypoints[13] - keypoints[11]))
    on_arm, on_leg = arm > -1, leg > -1
    head = surface.vertex_parts == PARTS.index("head")
    if garment.foot is not None:
        return np.where(on_leg, (leg - garment.foot) * leg_length, -1).astype(np.float32)
    limits = [np.full(len(vertices), 1.0, np.float32)]
    if garment.neck is not None:
        back = np.clip((vertices[:, 1] - shoulders[1]) / torso, -0.5, 0.5)  # the nape is higher than the throat
        collar = shoulders[2] + torso * (garment.neck + 0.25 * back) - vertices[:, 2]
        limits += [collar, np.where(head, -0.02, 1.0)]
    if garment.sleeve is None:
        limits.append(np.where(on_arm, -1.0, 1.0))
    else:
        limits.append(np.where(on_arm, (garment.sleeve - arm) * arm_length, 1.0))
    if garment.waist is not None:
        limits.append(np.where(on_arm, -1.0, torso * garment.waist - height))
    if garment.hem is not None:
        limits.append(np.where(on_arm, 1.0, height - torso * garment.hem))
    if garment.leg is not None:
        limits.append(np.where(on_leg, (garment.leg - leg) * leg_length, 1.0))
    if garment.opening is not None:
        for hip in keypoints[11:13]:
            out = np.sign(hip[0] - hips[0])
            direction = np.array([0.62 * out, 0.0, -0.78], np.float32)
            depth = torso * garment.opening - (vertices - hip) @ direction
            limits.append(np.where((vertices[:, 0] - hips[0]) * out > 0, depth, 1.0))
    return np.asarray(np.minimum.reduce(limits), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A mesh trimmed to where a score is positive. Its corners lie on the old mesh's corners or edges."""

    faces: NDArray[np.int32]  # (F', 3)
    first: NDArray[np.int64]  # (C,) old corner
    second: NDArray[np.int64]  # (C,) the edge's other end, the same for a corner that was kept
    shares: NDArray[np.float32]  # (C,) of the second
    sources: NDArray[np.int64]  # (F',) the face that each comes from

    def carry(self, values: NDArray[np.float32], rows: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """Values (N, D) of the old corners at the new ones (C, D); ``rows`` says where an old corner's value stands."""
        first, second = (self.first, self.second) if rows is None else (rows[self.first], rows[self.second])
        start = values[first]
        return np.asarray(start + (values[second] - start) * self.shares[:, None], np.float32)


def cut_where_positive(faces: NDArray[np.integer], score: Scores) -> Cut:  # (F, 3), (N,)
    """Keep the part of a mesh on which a score, linear in each face, is positive."""
    inside = (score > 0)[faces]
    count = inside[:, 0].astype(np.int8) + inside[:, 1] + inside[:, 2]
    whole, one, two = (np.flatnonzero(count == corners) for corners in (3, 1, 2))

    def turned(chosen: NDArray[np.intp], odd: NDArray[np.bool_]) -> NDArray[np.int64]:
        order = (odd[chosen].argmax(1)[:, None] + np.arange(3)) % 3
        return np.take_along_axis(faces[chosen], order, 1).astype(np.int64)

    tip, stump = turned(one, inside), turned(two, ~inside)  # the odd corner comes first
    pairs = np.concatenate([tip[:, [0, 1]], tip[:, [0, 2]], stump[:, [0, 1]], stump[:, [0, 2]]])
    ends = score[pairs]
    a, b, c, d = np.split(len(score) + np.arange(len(pairs)), np.cumsum([len(one), len(one), len(two)]))
    rows = [faces[whole], np.stack([tip[:, 0], a, b], 1)]
    rows += [np.stack([c, stump[:, 1], stump[:, 2]], 1), np.stack([c, stump[:, 2], d], 1)]
    kept = np.concatenate(rows)
    used = np.zeros(len(score) + len(pairs), bool)
    used[kept] = True
    old = np.flatnonzero(used[: len(score)])
    return Cut(
        faces=(np.cumsum(used, dtype=np.int32) - 1)[kept],
        first=np.concatenate([old, pairs[:, 0]]),
        second=np.concatenate([old, pairs[:, 1]]),
        shares=np.concatenate([np.zeros(len(old)), ends[:, 0] / (ends[:, 0] - ends[:, 1])]).astype(np.float32),
        sources=np.concatenate([whole, one, two, two]),
    )


def any_corner(mask: NDArray[np.bool_], faces: NDArray[np.integer]) -> NDArray[np.bool_]:  # (N,), (F, 3) -> (F,)
    """Which faces have a corner in a mask."""
    first, second, third = mask[faces].T
    return np.asarray(first | second | third, bool)


class Tailor:
    """Puts shells on one posed body, each over those before it."""

    def __init__(self, surface: Surface, reference: Reference, vertices: Vectors) -> None:
        self._surface, self._reference = surface, reference
        self._body, self.body_normals = vertices, surface.normals(vertices)
        self._smooth = surface.smooth(vertices, SMOOTHING)
        self._normals = surface.normals(self._smooth)
        # How far smoothing has sunk below the body: at hems, where skin shows, cloth starts from the body's own height,
        # further in from about that height, without its detail.
        self._sunk = np.maximum(np.einsum("vi,vi->v", vertices - self._smooth, self._normals), 0)
        self._about = surface.smooth(self._sunk, SMOOTHING)
        self._level = np.zeros(len(vertices), np.float32)
        self.bare = np.ones(len(surface.faces), bool)

    def dress(self, garment: Garment, texture: Texture, rng: np.random.Generator) -> Mesh:
        """Put one garment on."""
        score = garment_score(garment, self._surface, self._reference)
        inner = np.clip(score / 0.03, 0, 1)
        ground = np.maximum(self._level, self._sunk + inner * (self._about - self._sunk))
        swell = np.clip(0.5 + score / 0.02, 0, 1)
        height = ground + garment.thickness * swell
        surface_points = self._smooth + self._normals * (height + garment.wrinkles * swell * self._folds(rng))[:, None]
        mesh = self.shell(garment.name, score, surface_points, texture, garment.repeats)
        self._level = np.where(score > -0.01, np.maximum(self._level, height), self._level)
        self.bare &= any_corner(score < HIDDEN, self._surface.faces)
        return mesh

    def grow_hair(self, hairline: float, texture: Texture, thickness: float) -> Mesh:
        """Put hair on the scalp; see :func:`scalp`."""
        score, uvs = scalp(self._surface, self._reference, hairline)
        height = 0.001 + thickness * np.clip(score / 0.03, 0, 1)
        points = self._body + self.body_normals * height[:, None]
        return self.shell("hair", score, points, texture, 1.0, uvs)

    def shell(
        self, name: str, score: Scores, points: Vectors, texture: Texture, repeats: float,
        uvs: NDArray[np.float32] | None = None,
    ) -> Mesh:  # fmt: skip
        """The part of a surface on which a score is positive, as a mesh."""
        surface = self._surface
        touched = np.flatnonzero(any_corner(score > 0, surface.faces))
        worn = np.zeros(len(points), bool)
        worn[surface.faces[touched]] = True
        places = np.cumsum(worn, dtype=np.int32) - 1
        normals = np.zeros_like(points)
        normals[worn] = vertex_normals(points[worn], places[surface.faces[touched]])
        cut = cut_where_positive(surface.face_uvs[touched], score[surface.vertex_of_uv])
        of_vertex = surface.vertex_of_uv
        return Mesh(
            name=name,
            vertices=cut.carry(points, of_vertex),
            normals=cut.carry(normals, of_vertex),
            uvs=cut.carry((surface.uvs if uvs is None else uvs) * np.float32(repeats)),
            faces=cut.faces,
            parts=surface.face_parts[touched][cut.sources],
            texture=texture,
        )

    def _folds(self, rng: np.random.Generator) -> Scores:
        """Waves over the rest pose, in [−1, 1]."""
        scale = float(np.ptp(self._reference.vertices[:, 2]))
        waves = rng.normal(0, 9 / scale, (4, 3)).astype(np.float32)
        phases = rng.uniform(0, 2 * np.pi, 4).astype(np.float32)
        return np.asarray(np.sin(2 * np.pi * (self._reference.vertices @ waves.T) + phases).mean(1), np.float32)


def scalp(surface: Surface, reference: Reference, hairline: float) -> tuple[Scores, NDArray[np.float32]]:
    """Metres inside the hairline for every vertex, and places (U, 2) along it and away from it towards the crown.

    ``hairline`` moves the forehead's line: 0 an ordinary one, −1 the bald crown of a newborn.
    """
    keypoints, vertices = reference.keypoints, reference.vertices
    eyes, ears = keypoints[1:3].mean(0), keypoints[3:5].mean(0)
    head = surface.vertex_parts == PARTS.index("head")
    crown = vertices[head, 2].max()
    tall = crown - eyes[2]
    back = (vertices[:, 1] - eyes[1]) / max(float(ears[1] - eyes[1]), 1e-3)  # 0 at the eyes, 1 at the ears
    line = eyes[2] + tall * (
        0.52 - 0.25 * hairline - np.interp(back, [0, 0.6, 1.0, 1.5, 2.5], [0, 0.1, 0.2, 0.85, 1.3])
    )
    score = np.where(head, vertices[:, 2] - line, -1).astype(np.float32)
    # Strands mirror left and right, so that no seam runs down the back of the head.
    along = 3 * np.arctan2(np.abs(vertices[:, 0] - ears[0]), ears[1] - vertices[:, 1]) / np.pi
    away = np.clip(score / tall, 0.005, 0.98)
    uvs = np.stack([along, away], 1).astype(np.float32)[surface.vertex_of_uv]
    return score, uvs
