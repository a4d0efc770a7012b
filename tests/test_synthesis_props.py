from __future__ import annotations

import numpy as np
import pytest

from fidip.synthesis import props
from fidip.synthesis.appearance import Ground
from fidip.synthesis.world import NO_PART, Mesh

CLOTH = np.full((8, 8, 4), 255, np.uint8)
GROUND = Ground("sheet", CLOTH, 0.8)


def outward_share(mesh: Mesh, centre: np.ndarray) -> float:
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    real = np.linalg.norm(normals, axis=1) > 1e-9
    return float((np.einsum("fi,fi->f", normals, corners.mean(1) - centre) > 0)[real].mean())


def volume(mesh: Mesh) -> float:
    a, b, c = (mesh.vertices[mesh.faces[:, corner]].astype(float) for corner in range(3))
    return float(np.einsum("fi,fi->f", a, np.cross(b, c)).sum() / 6)


def test_a_ball_and_a_block_are_closed_stand_on_the_floor_and_face_outwards() -> None:
    ball, block = props.ball(CLOTH, 0.1), props.block(CLOTH, np.array([0.1, 0.2, 0.3]))
    assert volume(ball) == pytest.approx(4 / 3 * np.pi * 0.1**3, rel=0.08)
    assert volume(block) == pytest.approx(0.1 * 0.2 * 0.3, rel=1e-3)
    for mesh, middle in ((ball, 0.1), (block, 0.15)):
        assert mesh.vertices[:, 2].min() == pytest.approx(0, abs=1e-6)
        assert outward_share(mesh, np.array([0, 0, middle])) == 1
        assert (mesh.parts == NO_PART).all()


def test_a_ring_has_the_volume_of_a_torus() -> None:
    assert volume(props.ring(CLOTH, 0.1, 0.02)) == pytest.approx(2 * np.pi**2 * 0.1 * 0.02**2, rel=0.12)


@pytest.mark.parametrize("seed", range(12))
def test_toys_are_as_large_as_asked_and_their_normals_agree_with_their_faces(seed: int) -> None:
    mesh = props.toy(np.random.default_rng(seed), CLOTH, 0.1)
    assert 0.03 < np.ptp(mesh.vertices, axis=0).max() < 0.16
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1, abs=1e-3)
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.einsum("fi,fi->f", normals, mesh.normals[mesh.faces].mean(1)) >= -1e-9).all()


def test_a_crib_has_bars_all_round_and_room_for_whoever_lies_in_it() -> None:
    half = np.array([0.5, 0.3])
    mesh = props.crib(np.random.default_rng(0), CLOTH, np.array([1.0, 2.0, 0.0]), half)
    local = mesh.vertices[:, :2] - (1.0, 2.0)
    assert (np.linalg.norm(local, axis=1) > 0.3 - 0.03).all()
    assert np.linalg.norm(local, axis=1).max() == pytest.approx(np.hypot(0.5, 0.3), abs=0.03)
    assert mesh.vertices[:, 2].min() == pytest.approx(-props.FLOOR_DEPTH, abs=0.02)
    assert 0.3 < mesh.vertices[:, 2].max() < 0.65
    around = np.sort(np.arctan2(*local.T))
    assert np.diff(np.append(around, around[0] + 2 * np.pi)).max() < 0.35  # nowhere a gap to fall through
    assert (mesh.parts == NO_PART).all()
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.einsum("fi,fi->f", normals, mesh.normals[mesh.faces].mean(1)) > 0).all()


def test_the_floor_lies_under_the_body_and_faces_up() -> None:
    mesh = props.floor(np.random.default_rng(0), GROUND, 2.0)
    assert mesh.vertices[:, 2].max() <= -props.FLOOR_DEPTH + 1e-6
    assert (mesh.normals[:, 2] > 0.9).all()
    assert np.ptp(mesh.uvs, axis=0) == pytest.approx(4.0 / 0.8, rel=1e-5)


def test_a_blanket_lies_between_floor_and_body() -> None:
    mesh = props.blanket(np.random.default_rng(0), CLOTH, np.array([0.5, -0.5, 0.0]), 0.6)
    assert mesh.vertices[:, 2].min() > -props.FLOOR_DEPTH
    assert mesh.vertices[:, 2].max() < 0.003
    assert mesh.vertices[:, :2].mean(0) == pytest.approx([0.5, -0.5], abs=0.05)


def test_a_wall_faces_the_way_it_is_told() -> None:
    mesh = props.wall(GROUND, np.array([0.0, 3.0]), np.array([0.0, -1.0]), 4.0, 2.5)
    assert mesh.normals == pytest.approx(np.tile([0, -1, 0], (4, 1)), abs=1e-6)
    assert mesh.vertices[:, 1] == pytest.approx(3.0)


def test_a_cover_lies_over_everything_beneath_it() -> None:
    rng = np.random.default_rng(0)
    legs = np.stack([rng.uniform(-0.1, 0.1, 3000), rng.uniform(0, 0.2, 3000), rng.uniform(0, 0.08, 3000)], 1)
    mesh = props.drape(rng, legs.astype(np.float32), (-0.15, -0.05, 0.15, 0.25), CLOTH)
    for point in legs[::50]:
        above = mesh.vertices[np.linalg.norm(mesh.vertices[:, :2] - point[:2], axis=1).argmin(), 2]
        assert above > point[2]
    assert (mesh.normals[:, 2] > 0).all()


def test_moving_turns_and_carries() -> None:
    mesh = props.block(CLOTH, np.array([0.2, 0.1, 0.1]))
    moved = props.moved(mesh, np.pi / 2, np.array([1.0, 2.0, 0.5]))
    assert np.ptp(moved.vertices, axis=0) == pytest.approx([0.1, 0.2, 0.1], abs=1e-6)
    assert moved.vertices.mean(0) == pytest.approx([1.0, 2.0, 0.55], abs=1e-6)
