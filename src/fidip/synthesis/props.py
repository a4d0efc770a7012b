"""What stands and lies round a body: floors, walls, blankets and toys, as small textured meshes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray
from fidip.synthesis.appearance import Ground
from fidip.synthesis.surface import Vectors, vertex_normals
from fidip.synthesis.textures import Texture
from fidip.synthesis.world import NO_PART, Mesh

FLOOR_DEPTH = 0.004
"""Metres that the floor lies below the height of contact, so that a blanket fits between."""

DRAPE_CELLS = 48


def mesh_of(
    name: str, vertices: NDArray[np.floating], uvs: NDArray[np.floating], faces: NDArray[np.integer], texture: Texture
) -> Mesh:
    """A mesh that belongs to no body, with normals worked out."""
    points, triangles = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    normals = vertex_normals(points, triangles)
    parts = np.full(len(triangles), NO_PART, np.int32)
    return Mesh(name, points, normals, np.asarray(uvs, np.float32), triangles, parts, texture)


def _sheet_faces(rows: int, columns: int) -> NDArray[np.int64]:  # of a grid of vertices, counter-clockwise
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    first = np.stack([corner, corner + 1, corner + columns + 1], 1)
    second = np.stack([corner, corner + columns + 1, corner + columns], 1)
    return np.concatenate([first, second])


def _height_field(
    name: str, across: FloatArray, along: FloatArray, height: FloatArray, texture: Texture, span: float
) -> Mesh:
    x, y = np.meshgrid(across, along)
    vertices = np.stack([x, y, height], -1).reshape(-1, 3)
    uvs = np.stack([x, y], -1).reshape(-1, 2) / span
    return mesh_of(name, vertices, uvs, _sheet_faces(len(along), len(across)), texture)


def moved(mesh: Mesh, angle: float, place: FloatArray) -> Mesh:
    """The same mesh turned about the z axis and carried by ``place`` (3,)."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    vertices = mesh.vertices @ turn.T + place
    return Mesh(
        mesh.name, vertices.astype(np.float32), (mesh.normals @ turn.T).astype(np.float32), mesh.uvs, mesh.faces,
        mesh.parts, mesh.texture, mesh.skin,
    )  # fmt: skip


def floor(rng: np.random.Generator, ground: Ground, extent: float) -> Mesh:
    """A floor of ``extent`` metres each way from the middle; cloth and grass are uneven."""
    soft = ground.kind in ("sheet", "quilt", "grass", "carpet")
    steps = 33 if soft else 2
    across = np.linspace(-extent, extent, steps)
    height = np.full((steps, steps), -FLOOR_DEPTH)
    if soft:
        height -= 0.008 * cv2.GaussianBlur(rng.random((steps, steps)), (0, 0), 1.0)
    plane = _height_field("floor", across, across, height, ground.texture, ground.span)
    return moved(plane, rng.uniform(0, 2 * np.pi), np.zeros(3))


def blanket(rng: np.random.Generator, texture: Texture, middle: FloatArray, reach: float) -> Mesh:
    """A cloth spread on the floor under a body round ``middle`` (3,), its edges not quite straight."""
    half = reach * rng.uniform(0.55, 1.1, 2)
    across, along = np.linspace(-half[0], half[0], 25), np.linspace(-half[1], half[1], 25)
    height = 0.0015 - 0.003 * rng.random((25, 25))
    cloth = _height_field("blanket", across, along, height, texture, rng.uniform(0.25, 0.6))
    vertices = cloth.vertices.copy()
    vertices[:, :2] += 0.02 * reach * np.sin(vertices[:, 1::-1] * 4 / reach + rng.uniform(0, 6, 2).astype(np.float32))
    cloth = Mesh(cloth.name, vertices, cloth.normals, cloth.uvs, cloth.faces, cloth.parts, texture)
    return moved(cloth, rng.uniform(0, 2 * np.pi), middle)


def wall(ground: Ground, place: FloatArray, facing: FloatArray, width: float, height: float) -> Mesh:
    """An upright wall that stands on the floor at ``place`` and looks along ``facing``; both (2,)."""
    along = np.array([-facing[1], facing[0]])
    ends = np.stack([place - along * width / 2, place + along * width / 2])
    vertices = np.array([[*ends[i], z] for z in (-FLOOR_DEPTH, height) for i in (0, 1)])
    uvs = np.array([[u, v] for v in (0, height) for u in (0, width)]) / ground.span
    return mesh_of("wall", vertices, uvs, np.array([[0, 1, 3], [0, 3, 2]]), ground.texture)


def drape(rng: np.random.Generator, body: Vectors, box: tuple[float, float, float, float], texture: Texture) -> Mesh:
    """A blanket laid over whatever of a body lies in a rectangle of the floor (x from, y from, x to, y to)."""
    across, along = np.linspace(box[0], box[2], DRAPE_CELLS), np.linspace(box[1], box[3], DRAPE_CELLS)
    top = np.zeros((DRAPE_CELLS, DRAPE_CELLS), np.float32)
    column = np.round((body[:, 0] - box[0]) / (box[2] - box[0]) * (DRAPE_CELLS - 1)).astype(int)
    row = np.round((body[:, 1] - box[1]) / (box[3] - box[1]) * (DRAPE_CELLS - 1)).astype(int)
    over = (column >= 0) & (column < DRAPE_CELLS) & (row >= 0) & (row < DRAPE_CELLS)
    np.maximum.at(top, (row[over], column[over]), body[over, 2])
    # Cloth spans what lies between two heights: close the gaps, then let it sag and stay above the body.
    top = np.asarray(cv2.dilate(top, np.ones((3, 3), np.uint8)), np.float32)
    sagging = cv2.GaussianBlur(cv2.dilate(top, np.ones((5, 5), np.uint8)), (0, 0), 2.5)
    folds = 0.004 * cv2.GaussianBlur(rng.standard_normal(top.shape).astype(np.float32), (0, 0), 1.5) * 3
    height = np.maximum(top, sagging) + 0.008 + folds
    return _height_field("cover", across, along, height.astype(np.float64), texture, rng.uniform(0.2, 0.5))


def ball(texture: Texture, radius: float) -> Mesh:
    """A ball that lies on the floor at the origin."""
    v, u = np.meshgrid(np.linspace(0, 1, 13), np.linspace(0, 1, 21), indexing="ij")
    polar, azimuth = np.pi * (1 - v), 2 * np.pi * u
    points = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], -1)
    vertices = points.reshape(-1, 3) * radius + np.array([0, 0, radius])
    mesh = mesh_of("ball", vertices, np.stack([u, v], -1).reshape(-1, 2), _sheet_faces(13, 21), texture)
    normals = (mesh.vertices - np.array([0, 0, radius], np.float32)) / np.float32(radius)
    return Mesh(mesh.name, mesh.vertices, normals, mesh.uvs, mesh.faces, mesh.parts, texture)


def block(texture: Texture, sides: FloatArray) -> Mesh:
    """A box that lies on the floor at the origin; ``sides`` (3,) in metres."""
    vertices: list[FloatArray] = []
    uvs: list[FloatArray] = []
    faces: list[NDArray[np.int64]] = []
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
    for axis in range(3):
        for sign in (-1, 1):
            corners = np.insert(square * (1, sign), axis, sign / 2, axis=1)
            if axis == 1:
                corners = corners[::-1]
            faces.append(np.array([[0, 1, 2], [0, 2, 3]]) + 4 * len(vertices))
            vertices.append(corners * sides + np.array([0, 0, sides[2] / 2]))
            uvs.append((square + 0.5) * 0.5)
    return mesh_of("block", np.concatenate(vertices), np.concatenate(uvs), np.concatenate(faces), texture)


def ring(texture: Texture, radius: float, tube: float) -> Mesh:
    """A ring, as of a stacking toy or a teether, that lies on the floor at the origin."""
    v, u = np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 25), indexing="ij")
    around, turn = 2 * np.pi * v, 2 * np.pi * u
    distance = radius + tube * np.cos(around)
    points = np.stack([distance * np.cos(turn), distance * np.sin(turn), tube * (1 + np.sin(around))], -1)
    return mesh_of("ring", points.reshape(-1, 3), np.stack([4 * u, v], -1).reshape(-1, 2), _sheet_faces(9, 25), texture)


def _rods(starts: FloatArray, ends: FloatArray, radius: float) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Six-sided rods between points (N, 3): vertices, texture coordinates in metres, faces; their ends stay open."""
    axis = ends - starts
    length = np.linalg.norm(axis, axis=1, keepdims=True)
    axis = axis / length
    helper = np.where(np.abs(axis[:, 2:]) > 0.7, np.array([[1.0, 0, 0]]), np.array([[0, 0, 1.0]]))
    side = np.cross(axis, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(axis, side)
    angles = 2 * np.pi * np.arange(6) / 6
    round_it = radius * (np.cos(angles)[:, None, None] * side + np.sin(angles)[:, None, None] * other)  # (6, N, 3)
    vertices = np.stack([starts + round_it, ends + round_it]).transpose(2, 0, 1, 3).reshape(-1, 3)  # rod, end, corner
    along = np.stack([np.zeros_like(length), length], 1).repeat(6, axis=1).reshape(-1)
    around = np.tile(np.arange(6) / 6 * 2 * np.pi * radius, 2 * len(starts))
    corner = np.arange(6)
    one = np.stack([corner, (corner + 1) % 6, 6 + (corner + 1) % 6], 1)
    two = np.stack([corner, 6 + (corner + 1) % 6, 6 + corner], 1)
    faces = np.concatenate([one, two])[None] + 12 * np.arange(len(starts))[:, None, None]
    return vertices, np.stack([around, along], 1), faces.reshape(-1, 3)


def crib(rng: np.random.Generator, texture: Texture, middle: FloatArray, half: FloatArray) -> Mesh:
    """Bars and rails round a mattress of half the sides ``half`` (2,) metres whose middle is ``middle`` (3,)."""
    spacing, height = rng.uniform(0.055, 0.085), rng.uniform(0.35, 0.6)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    starts, ends = [], []
    for first, second in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        count = max(int(np.linalg.norm(second - first) / spacing), 2)
        for share in np.arange(count) / count:
            x, y = first + share * (second - first)
            starts.append((x, y, -FLOOR_DEPTH))
            ends.append((x, y, height))
    bars = _rods(np.array(starts), np.array(ends), rng.uniform(0.005, 0.01))
    top = np.column_stack([corners, np.full(4, height)])
    rails = _rods(top, np.roll(top, -1, axis=0), rng.uniform(0.012, 0.02))
    vertices, uvs, faces = (
        np.concatenate([bars[0], rails[0]]),
        np.concatenate([bars[1], rails[1]]),
        np.concatenate([bars[2], rails[2] + len(bars[0])]),
    )
    return moved(mesh_of("crib", vertices, uvs / 0.3, faces, texture), rng.uniform(0, 2 * np.pi), middle)


def toy(rng: np.random.Generator, texture: Texture, size: float) -> Mesh:
    """A ball, a block, a ring or a cushion about ``size`` metres across."""
    kind = rng.integers(4)
    if kind == 0:
        return ball(texture, size / 2)
    if kind == 1:
        return block(texture, size * rng.uniform(0.5, 1.1, 3))
    if kind == 2:
        return ring(texture, size * 0.4, size * rng.uniform(0.08, 0.14))
    cushion = ball(texture, size * 0.7)
    flat = np.array([1, rng.uniform(0.6, 1), 0.35], np.float32)
    normals = cushion.normals / flat
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Mesh("cushion", cushion.vertices * flat, normals, cushion.uvs, cushion.faces, cushion.parts, texture)
