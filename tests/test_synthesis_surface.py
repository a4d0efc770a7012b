from __future__ import annotations

import numpy as np
import pytest

from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.protocol import PARTS
from fidip.synthesis.surface import incidence, surface_of, vertex_normals

NOSE, LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST, LEFT_HIP, LEFT_KNEE, LEFT_ANKLE = 0, 5, 7, 9, 11, 13, 15


def sphere(rows: int = 24, columns: int = 48) -> tuple[np.ndarray, np.ndarray]:
    polar, azimuth = np.meshgrid(np.linspace(np.pi, 0, rows), np.arange(columns) * 2 * np.pi / columns, indexing="ij")
    points = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], -1)
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    a, b = row * columns + column, row * columns + (column + 1) % columns
    faces = np.concatenate(
        [np.stack(t, -1).reshape(-1, 3) for t in ((a, b, b + columns), (a, b + columns, a + columns))]
    )
    return points.reshape(-1, 3).astype(np.float32), faces


def test_normals_of_a_sphere_are_its_points() -> None:
    vertices, faces = sphere()
    inner = np.abs(vertices[:, 2]) < 0.98
    normals = vertex_normals(vertices, faces)
    assert np.abs(normals - vertices)[inner].max() < 0.02
    assert np.abs(normals - vertex_normals(vertices, faces, incidence(faces, len(vertices)))).max() < 1e-6


def test_a_vertex_without_faces_has_the_z_axis_as_normal() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], np.float32)
    assert vertex_normals(vertices, np.array([[0, 2, 1]])).tolist() == [[0, 0, -1]] * 3 + [[0, 0, 1]]


def test_the_surface_is_worked_out_once_and_unrolls_every_face() -> None:
    body = AnnyBody.load()
    surface = surface_of(body)
    assert surface_of(body) is surface
    assert (surface.vertex_of_uv[surface.face_uvs] == surface.faces).all()
    assert np.asarray(surface.neighbours.sum(1)).ravel() == pytest.approx(1, abs=1e-4)
    assert [mask.sum() > 50 for mask in surface.eyeballs] == [True, True]


def test_smoothing_keeps_planes_and_shrinks_detail() -> None:
    surface = surface_of(AnnyBody.load())
    vertices = surface.references["infant"].vertices
    constant = np.full((len(vertices), 3), 2.5, np.float32)
    assert surface.smooth(constant, 5) == pytest.approx(constant, abs=1e-4)
    rough = vertices + np.random.default_rng(0).normal(0, 0.003, vertices.shape).astype(np.float32)
    distance = [
        np.linalg.norm(surface.smooth(points, 3) - surface.smooth(vertices, 3), axis=1).mean() for points in (rough,)
    ]
    assert distance[0] < 0.5 * np.linalg.norm(rough - vertices, axis=1).mean()


@pytest.mark.parametrize("population", ["infant", "adult"])
def test_places_along_limbs_follow_the_joints(population: str) -> None:
    surface = surface_of(AnnyBody.load())
    reference = surface.references[population]  # type: ignore[index]
    for limb, joints in (("arm", (LEFT_ELBOW, LEFT_WRIST)), ("leg", (LEFT_KNEE, LEFT_ANKLE))):
        place = reference.limb[limb]
        for value, joint in enumerate(joints, start=1):
            near = np.linalg.norm(reference.vertices - reference.keypoints[joint], axis=1) < 0.04 * np.ptp(
                reference.vertices[:, 2]
            )
            assert place[near].mean() == pytest.approx(value, abs=0.2), (limb, value)
    head = surface.vertex_parts == PARTS.index("head")
    assert (reference.limb["arm"][head] == -1).all()
