"""What painters and tailors need to know of a body's surface, worked out once per body model."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from fidip.synthesis.bodies.protocol import PARTS, BodyModel, Population

Vectors = NDArray[np.float32]  # (..., 3)
Scores = NDArray[np.float32]  # (V,)
REFERENCE_DRAWS = 8
"""How many bodies of a population are averaged into its reference body."""


def incidence(faces: NDArray[np.integer], vertices: int) -> scipy.sparse.csr_matrix:  # (F, 3) -> (V, F)
    """Which faces lie round which vertex."""
    columns = np.repeat(np.arange(len(faces)), 3)
    ones = np.ones(faces.size, np.float32)
    return scipy.sparse.csr_matrix((ones, (faces.ravel(), columns)), shape=(vertices, len(faces)))


def vertex_normals(
    vertices: Vectors,  # (V, 3)
    faces: NDArray[np.integer],  # (F, 3)
    around: scipy.sparse.csr_matrix | None = None,  # (V, F) the faces' incidence, where it is known
) -> Vectors:  # (V, 3)
    """Unit normals, each the mean of the faces around a vertex weighted by their area; no face: the z axis."""
    first = vertices[faces[:, 0]]
    (ax, ay, az), (bx, by, bz) = (vertices[faces[:, corner]].T - first.T for corner in (1, 2))
    of_face = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)
    summed = (incidence(faces, len(vertices)) if around is None else around) @ of_face
    length = np.sqrt(np.einsum("vi,vi->v", summed, summed))[:, None]
    up = np.array([0, 0, 1], np.float32)
    return np.asarray(np.where(length > 1e-12, summed / np.maximum(length, 1e-12), up), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The average body of a population in its rest pose: where everything on the surface is when it stands straight."""

    vertices: Vectors  # (V, 3) metres
    keypoints: Vectors  # (K, 3)
    limb: dict[str, Scores]  # "arm", "leg": place along the limb, 0 at its root, 1 and 2 at its joints, −1 elsewhere


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """A body's topology: its texture atlas unrolled, its neighbours, the part that each vertex belongs to."""

    faces: NDArray[np.int32]  # (F, 3)
    face_parts: NDArray[np.int32]  # (F,)
    uvs: NDArray[np.float32]  # (U, 2)
    face_uvs: NDArray[np.int32]  # (F, 3)
    vertex_of_uv: NDArray[np.int32]  # (U,) a vertex on a seam has several places in the atlas
    vertex_parts: NDArray[np.int32]  # (V,)
    neighbours: scipy.sparse.csr_matrix  # (V, V) rows sum to one
    around: scipy.sparse.csr_matrix  # (V, F) incidence
    eyeballs: tuple[NDArray[np.bool_], ...]  # (F,) faces of each eyeball, left first; none if the body has no eyes
    references: dict[Population, Reference]

    def normals(self, vertices: Vectors) -> Vectors:  # (V, 3) -> (V, 3)
        """Unit normals of the body's surface, or of a shell over it."""
        return vertex_normals(vertices, self.faces, self.around)

    def smooth(self, vertices: NDArray[np.float32], steps: int) -> NDArray[np.float32]:  # (V, …) -> (V, …)
        """Move every vertex most of the way to the middle of its neighbours, several times."""
        for _ in range(steps):
            vertices = 0.25 * vertices + 0.75 * (self.neighbours @ vertices)
        return vertices


def surface_of(body: BodyModel) -> Surface:
    """The surface of a body model, worked out once."""
    if body not in _SURFACES:
        _SURFACES[body] = _surface(body)
    return _SURFACES[body]


_SURFACES: WeakKeyDictionary[BodyModel, Surface] = WeakKeyDictionary()


def _surface(body: BodyModel) -> Surface:
    V = len(body.bone_weights(""))  # every bone's name starts with nothing
    vertex_of_uv = np.zeros(len(body.uvs), np.int32)
    vertex_of_uv[body.face_uvs.ravel()] = body.faces.ravel()
    vertex_parts = np.zeros(V, np.int32)
    vertex_parts[body.faces.ravel()] = np.repeat(body.face_parts, 3)
    pairs = np.concatenate([body.faces[:, [i, (i + 1) % 3]] for i in range(3)])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    links = scipy.sparse.csr_matrix((np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])), shape=(V, V))
    links.data[:] = 1
    degree = np.maximum(np.asarray(links.sum(1)).ravel(), 1)
    neighbours = (scipy.sparse.diags((1 / degree).astype(np.float32)) @ links).tocsr()
    eyes = [name for name in ("eye.L", "eye.R") if name in body.bone_names]
    eyeballs = tuple(body.bone_weights(name)[body.faces].min(1) > 0.5 for name in eyes)
    populations: tuple[Population, ...] = ("infant", "adult")
    references = {name: _reference(body, name, vertex_parts) for name in populations}
    return Surface(
        body.faces,
        body.face_parts,
        body.uvs,
        body.face_uvs,
        vertex_of_uv,
        vertex_parts,
        neighbours,
        incidence(body.faces, V),
        eyeballs,
        references,
    )


def _reference(body: BodyModel, population: Population, vertex_parts: NDArray[np.int32]) -> Reference:
    generator = np.random.default_rng(0)
    shape = torch.stack([body.draw_shape(generator, population)[0] for _ in range(REFERENCE_DRAWS)]).mean(
        0, keepdim=True
    )
    with torch.no_grad():
        posed = body.stance(shape)
    vertices, keypoints = (array[0].numpy().astype(np.float32) for array in (posed.vertices, posed.keypoints))
    limb = {name: np.full(len(vertices), -1, np.float32) for name in ("arm", "leg")}
    for side, offset in (("left", 0), ("right", 1)):
        for name, parts, joints in (
            ("arm", ("upper_arm", "forearm", "hand"), (5, 7, 9)),
            ("leg", ("thigh", "shin", "foot"), (11, 13, 15)),
        ):
            own = np.isin(vertex_parts, [PARTS.index(f"{side}_{part}") for part in parts])
            limb[name][own] = _along(vertices[own], keypoints[[joint + offset for joint in joints]])
    return Reference(vertices, keypoints, limb)


def _along(points: Vectors, chain: Vectors) -> Scores:  # (N, 3), (3, 3) -> (N,)
    """Place along a limb of two bones: 0 at its root, 1 at the elbow or knee, 2 at the wrist or ankle."""
    upper, lower = chain[1] - chain[0], chain[2] - chain[1]
    before = (points - chain[0]) @ upper / (upper @ upper)
    after = 1 + (points - chain[1]) @ lower / (lower @ lower)
    return np.asarray(np.where(before < 1, before, np.maximum(after, 1.0)), np.float32)
