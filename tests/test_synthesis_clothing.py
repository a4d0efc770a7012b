from __future__ import annotations

import numpy as np
import pytest
import torch

from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.protocol import PARTS
from fidip.synthesis.clothing import HIDDEN, Garment, Tailor, cut_where_positive, garment_score
from fidip.synthesis.poses import draw_pose, rest_on_floor
from fidip.synthesis.surface import Surface, surface_of

WHITE = np.full((4, 4, 4), 255, np.uint8)
DIAPER = Garment("diaper", waist=0.3, opening=0.18, thickness=0.01, wrinkles=0.0)


def area(points: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (points[faces[:, corner]].astype(float) for corner in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


@pytest.fixture(scope="module")
def surface() -> Surface:
    return surface_of(AnnyBody.load())


def posed(posture: str = "supine", seed: int = 0) -> np.ndarray:
    body = AnnyBody.load()
    rng = np.random.default_rng(seed)
    shape = body.draw_shape(rng, "infant")[0]
    with torch.no_grad():
        return rest_on_floor(body, shape, draw_pose(rng, posture, body, "infant")).vertices  # type: ignore[arg-type]


@pytest.mark.parametrize(("slope", "offset"), [((1.0, 0.0), -0.3), ((0.4, 0.9), -0.55), ((-1.0, 2.0), 0.1)])
def test_a_cut_square_has_the_area_of_the_half_plane_in_it(slope: tuple[float, float], offset: float) -> None:
    steps = 13
    x, y = np.meshgrid(np.linspace(0, 1, steps), np.linspace(0, 1, steps))
    points = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1).astype(np.float32)
    corner = (np.arange(steps - 1)[:, None] * steps + np.arange(steps - 1)).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + steps + 1], 1),
            np.stack([corner, corner + steps + 1, corner + steps], 1),
        ]
    )
    score = (points[:, :2] @ np.array(slope) + offset).astype(np.float32)
    cut = cut_where_positive(faces, score)
    fine = np.stack(np.meshgrid((np.arange(1000) + 0.5) / 1000, (np.arange(1000) + 0.5) / 1000), -1)
    assert area(cut.carry(points), cut.faces) == pytest.approx(((fine @ np.array(slope) + offset) > 0).mean(), abs=2e-3)
    assert cut.carry(score[:, None]).min() > -1e-6
    assert len(np.unique(cut.faces)) == len(cut.first)  # no corner that nothing uses
    normals = np.cross(*(cut.carry(points)[cut.faces[:, k]] - cut.carry(points)[cut.faces[:, 0]] for k in (1, 2)))
    assert (normals[:, 2] >= 0).all()  # faces keep their side


def test_a_score_that_is_positive_everywhere_or_nowhere_keeps_all_or_nothing() -> None:
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    assert (cut_where_positive(faces, np.ones(4, np.float32)).faces == faces).all()
    assert len(cut_where_positive(faces, -np.ones(4, np.float32)).faces) == 0


def test_a_diaper_covers_the_hips_and_neither_knees_nor_chest(surface: Surface) -> None:
    reference = surface.references["infant"]
    score = garment_score(DIAPER, surface, reference)
    keypoints, vertices = reference.keypoints, reference.vertices
    hips = keypoints[11:13].mean(0)
    leg = np.linalg.norm(keypoints[13] - keypoints[11])
    near_hips = np.linalg.norm(vertices - hips, axis=1) < 0.45 * leg
    assert (score[near_hips] > 0).mean() > 0.9
    for joint in (0, 5, 6, 9, 10, 13, 14, 15, 16):
        near = np.linalg.norm(vertices - keypoints[joint], axis=1) < 0.2 * leg
        assert (score[near] < 0).all(), joint
    crotch = (
        (np.abs(vertices[:, 0] - hips[0]) < 0.1 * leg)
        & (vertices[:, 2] < hips[2])
        & (vertices[:, 2] > hips[2] - 0.5 * leg)
    )
    torso = surface.vertex_parts == PARTS.index("torso")
    assert (score[crotch & torso] > 0).all()


@pytest.mark.parametrize(("sleeve", "covered"), [(0.4, False), (1.9, True)])
def test_sleeves_end_where_they_are_told(surface: Surface, sleeve: float, covered: bool) -> None:
    reference = surface.references["adult"]
    score = garment_score(Garment("top", hem=0.0, neck=0.1, sleeve=sleeve), surface, reference)
    for elbow in (7, 8):
        near = np.linalg.norm(reference.vertices - reference.keypoints[elbow], axis=1) < 0.04
        assert (score[near] > 0).all() == covered
    assert (score[surface.vertex_parts == PARTS.index("head")] < 0).all()


def test_a_shell_lies_outside_the_body_and_carries_the_parts_beneath(surface: Surface) -> None:
    reference = surface.references["infant"]  # stands straight, so that no fold hides which side is out
    mesh = Tailor(surface, reference, reference.vertices).dress(DIAPER, WHITE, np.random.default_rng(0))
    middle, body_middle = mesh.vertices[mesh.faces].mean(1), reference.vertices[surface.faces].mean(1)
    normals = surface.normals(reference.vertices)
    heights = []
    for index in range(0, len(middle), 11):
        nearest = int(np.linalg.norm(reference.vertices - middle[index], axis=1).argmin())
        heights.append((middle[index] - reference.vertices[nearest]) @ normals[nearest])
        beneath = np.linalg.norm(body_middle - middle[index], axis=1).argsort()[:6]
        if abs(middle[index, 0]) > 0.015:  # the thighs touch
            assert mesh.parts[index] in surface.face_parts[beneath]
    assert np.quantile(heights, 0.05) > 0  # but for the fold between the legs
    assert np.median(heights) == pytest.approx(DIAPER.thickness, abs=0.005)
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1, abs=0.2)


def test_what_is_well_under_a_garment_is_left_out_and_nothing_else(surface: Surface) -> None:
    tailor = Tailor(surface, surface.references["infant"], posed())
    assert tailor.bare.all()
    tailor.dress(DIAPER, WHITE, np.random.default_rng(0))
    score = garment_score(DIAPER, surface, surface.references["infant"])
    deep = (score[surface.faces] >= HIDDEN).all(1)
    assert (tailor.bare == ~deep).all()
    assert 0.02 < deep.mean() < 0.3


def test_a_shirt_over_a_diaper_lies_over_it(surface: Surface) -> None:
    reference = surface.references["infant"]
    vertices = reference.vertices
    shirt = Garment("bodysuit", neck=0.1, sleeve=0.5, opening=0.3, thickness=0.004, wrinkles=0.0)
    alone = Tailor(surface, reference, vertices).dress(shirt, WHITE, np.random.default_rng(0))
    tailor = Tailor(surface, reference, vertices)
    tailor.dress(DIAPER, WHITE, np.random.default_rng(0))
    over = tailor.dress(shirt, WHITE, np.random.default_rng(0))
    assert over.faces.shape == alone.faces.shape
    moved = np.linalg.norm(over.vertices - alone.vertices, axis=1)
    assert DIAPER.thickness * 0.9 < moved.max() < DIAPER.thickness * 1.6
    outwards = np.einsum("vi,vi->v", over.vertices - alone.vertices, alone.normals)
    assert np.quantile(outwards, 0.02) > -1e-3  # but for the fold between the legs
    assert (moved < 1e-6).mean() > 0.3  # the chest wears no diaper
