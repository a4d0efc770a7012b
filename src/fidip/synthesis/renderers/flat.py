"""An unlit z-buffer: every pixel has the colour of the nearest texture, as in the published pipeline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray
from fidip.synthesis.camera import Camera
from fidip.synthesis.colour import linear_from_srgb
from fidip.synthesis.world import NO_PART, OPAQUE, Mesh, Rendering, Scene, Triangles

NEAR = 0.01
"""Metres in front of the optical centre from which on surfaces are seen."""

BAND_PIXELS = 1 << 18
"""The image is drawn in bands of whole rows with about this many pixels, to bound the memory."""

EDGE = 1e-9
"""Barycentric slack at the edges, so that rounding opens no gap between two triangles that share one."""


def render_flat(scene: Scene, seed: int) -> Rendering:  # noqa: ARG001 - a renderer; nothing is random here
    """Draw a scene without light: ``colour`` is the albedo, or the background where nothing is hit."""
    width, height = scene.camera.size
    triangles = Triangles.of(scene.meshes)
    depth = np.zeros((height, width), dtype=np.float32)
    face = np.full((height, width), -1, dtype=np.int64)
    uv = np.zeros((height, width, 2))
    projected = _project(triangles, scene.camera)
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        candidates = _without_holes(_cover(projected, top, bottom), triangles, scene.meshes)
        pixels, nearest = _nearest(candidates, width, top, bottom)
        depth.flat[pixels] = nearest.depth
        face.flat[pixels] = nearest.face
        uv.reshape(-1, 2)[pixels] = _uv(nearest, triangles)
    hit = face >= 0
    part = np.where(hit, np.append(triangles.parts, NO_PART)[face], NO_PART).astype(np.int32)
    mesh = np.where(hit, np.append(triangles.meshes, -1)[face], -1).astype(np.int32)
    colour = linear_from_srgb(scene.background)
    for index, source in enumerate(scene.meshes):
        shown = np.flatnonzero(mesh == index)
        colour.reshape(-1, 3)[shown] = _sample(source.texture, uv.reshape(-1, 2)[shown])[:, :3]
    return Rendering(colour, depth, part, mesh)


@dataclass(frozen=True, slots=True, eq=False)
class _Projected:
    """The triangles that may cover a pixel's centre.

    A row of ``planes[t]`` applied to (x, y, 1) gives a barycentric coordinate of the pixel's ray, divided by its depth:
    all three are linear in the image, also for triangles that reach behind the camera (Olano and Greer 1997).
    """

    face: NDArray[np.int64]  # (T,)
    planes: FloatArray  # (T, 3, 3)
    low: NDArray[np.int64]  # (T, 2) first column and row
    high: NDArray[np.int64]  # (T, 2) last column and row, inclusive


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """Pairs of a pixel and a triangle that covers its centre."""

    x: NDArray[np.int64]  # (N,)
    y: NDArray[np.int64]  # (N,)
    face: NDArray[np.int64]  # (N,)
    depth: FloatArray  # (N,)
    barycentric: FloatArray  # (3, N) perspective-correct

    def take(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> _Candidates:
        return _Candidates(
            self.x[index], self.y[index], self.face[index], self.depth[index], self.barycentric[:, index]
        )


def _project(triangles: Triangles, camera: Camera) -> _Projected:
    local = camera.to_camera(triangles.vertices)
    depth = local[:, 2]
    scaled = np.stack([camera.focal * local[:, i] + camera.principal[i] * depth for i in (0, 1)] + [depth], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = scaled[:, :2] / depth[:, None]
    faces = triangles.faces.astype(np.int64)
    behind = depth[faces] < NEAR
    low = np.min([pixels[faces[:, i]] for i in range(3)], axis=0)
    high = np.max([pixels[faces[:, i]] for i in range(3)], axis=0)
    crossing = behind.any(axis=1)
    low[crossing], high[crossing] = _clipped_bounds(scaled[faces[crossing]])
    # One millionth of a pixel keeps centres that lie on an outline.
    first = np.clip(np.ceil(low - 1e-6), 0, camera.size)
    last = np.clip(np.floor(high + 1e-6), -1, np.array(camera.size) - 1)
    kept = np.flatnonzero((first <= last).all(axis=1) & ~behind.all(axis=1))
    a, b, c = (scaled[faces[kept, i]] for i in range(3))
    planes = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)
    volume = np.einsum("ti,ti->t", a, planes[:, 0])
    seen = volume != 0  # zero: no area, or seen from its edge
    kept, planes = kept[seen], planes[seen] / volume[seen, None, None]
    return _Projected(kept, planes, first[kept].astype(np.int64), last[kept].astype(np.int64))


def _clipped_bounds(corners: FloatArray) -> tuple[FloatArray, FloatArray]:  # (T, 3, 3) scaled -> (T, 2), (T, 2)
    """Image bounds of what lies beyond the near plane of triangles that cross it."""
    ahead = corners[:, [1, 2, 0]]
    with np.errstate(divide="ignore", invalid="ignore"):
        step = (NEAR - corners[..., 2:]) / (ahead[..., 2:] - corners[..., 2:])
        cuts = (corners + step * (ahead - corners))[..., :2] / NEAR
        points = corners[..., :2] / corners[..., 2:]
    points[corners[..., 2] < NEAR] = np.nan
    cuts[((step < 0) | (step > 1) | ~np.isfinite(step))[..., 0]] = np.nan
    both = np.concatenate([points, cuts], axis=1)
    return np.fmin.reduce(both, axis=1, initial=np.inf), np.fmax.reduce(both, axis=1, initial=-np.inf)


def _cover(projected: _Projected, top: int, bottom: int) -> _Candidates:
    """Every pixel of the rows ``top … bottom − 1`` with every triangle that covers its centre."""
    first = np.maximum(projected.low[:, 1], top)
    rows = np.maximum(np.minimum(projected.high[:, 1], bottom - 1) - first + 1, 0)
    columns = projected.high[:, 0] - projected.low[:, 0] + 1
    counts = rows * columns
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    row, column = np.divmod(place, np.repeat(columns, counts))
    x, y = np.repeat(projected.low[:, 0], counts) + column, np.repeat(first, counts) + row
    planes = projected.planes
    a, b, c = (
        np.repeat(planes[:, i, 0], counts) * x
        + np.repeat(planes[:, i, 1], counts) * y
        + np.repeat(planes[:, i, 2], counts)
        for i in range(3)
    )
    total = a + b + c  # one over the depth
    least = -EDGE * total
    inside = np.flatnonzero((a >= least) & (b >= least) & (c >= least) & (total > 0) & (total <= 1 / NEAR))
    depth = 1 / total[inside]
    barycentric = np.stack([a[inside], b[inside], c[inside]]) * depth
    face = np.repeat(projected.face, counts)[inside]
    return _Candidates(x[inside], y[inside], face, depth, barycentric)


def _without_holes(candidates: _Candidates, triangles: Triangles, meshes: tuple[Mesh, ...]) -> _Candidates:
    holes = np.zeros(len(candidates.x), dtype=bool)
    mesh_of = triangles.meshes[candidates.face]
    for index, mesh in enumerate(meshes):
        if mesh.has_holes:
            own = np.flatnonzero(mesh_of == index)
            uv = _uv(candidates.take(own), triangles)
            holes[own] = _sample(mesh.texture, uv)[:, 3] < OPAQUE
    return candidates.take(~holes)


def _nearest(candidates: _Candidates, width: int, top: int, bottom: int) -> tuple[NDArray[np.intp], _Candidates]:
    """The pixels of a band that are covered, as flat indices, and the nearest candidate of each."""
    pixel = (candidates.y - top) * width + candidates.x
    # The bits of a positive float32 sort like its value: depth above, index below, one minimum finds both.
    key = candidates.depth.astype(np.float32).view(np.uint32).astype(np.uint64) << np.uint64(32)
    key |= np.arange(len(pixel), dtype=np.uint64)
    nothing = np.iinfo(np.uint64).max
    buffer = np.full((bottom - top) * width, nothing)
    np.minimum.at(buffer, pixel, key)
    covered = np.flatnonzero(buffer != nothing)
    winner = (buffer[covered] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return covered + top * width, candidates.take(winner)


def _uv(candidates: _Candidates, triangles: Triangles) -> FloatArray:  # (N, 2)
    corners = triangles.faces[candidates.face]
    weights = candidates.barycentric
    a, b, c = (weights[i, :, None] * triangles.uvs[corners[:, i]] for i in range(3))
    return a + b + c


def _sample(texture: NDArray[np.uint8], uv: FloatArray) -> NDArray[np.float32]:  # (N, 2) -> (N, 4)
    """Bilinear, repeating lookup: colour in linear light, mixed there, and alpha in [0, 255]."""
    height, width = texture.shape[:2]
    texels = np.ascontiguousarray(texture).view(np.uint32).ravel()
    x = (uv[:, 0] - np.floor(uv[:, 0])) * width - 0.5
    y = (1 - (uv[:, 1] - np.floor(uv[:, 1]))) * height - 0.5
    left, above = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    across, down = (x - left).astype(np.float32), (y - above).astype(np.float32)
    columns = left % width, (left + 1) % width
    rows = above % height * width, (above + 1) % height * width
    mixed = np.zeros((len(uv), 4), dtype=np.float32)
    for row, vertical in zip(rows, (1 - down, down), strict=True):
        for column, horizontal in zip(columns, (1 - across, across), strict=True):
            rgba = texels[row + column].view(np.uint8).reshape(-1, 4)
            weight = (vertical * horizontal)[:, None]
            mixed[:, :3] += weight * linear_from_srgb(rgba[:, :3])
            mixed[:, 3:] += weight * rgba[:, 3:]
    return mixed
