from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from fidip.skeleton import COCO_17
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.protocol import Population
from fidip.synthesis.poses import (
    POSTURES,
    SETTLED,
    Posture,
    Resting,
    area_vectors,
    centre_of_mass,
    draw_pose,
    rest_on_floor,
)

ALL = [(population, posture) for population, postures in POSTURES.items() for posture in postures]
BOX = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 2.0) for z in (0.0, 3.0)])
BOX_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4],
     [1, 5, 7], [1, 7, 3]], dtype=np.int32,
)  # fmt: skip


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody.load()


def laid(body: AnnyBody, population: Population, posture: Posture, seed: int) -> tuple[Resting, torch.Tensor]:
    """A body that came to rest within the tilt that it is allowed."""
    generator = np.random.default_rng(seed)
    while True:
        shape = body.draw_shape(generator, population)[0]
        resting = rest_on_floor(body, shape, draw_pose(generator, posture, body, population))
        if resting.tilt < 0.9 * SETTLED[posture] or not SETTLED[posture]:
            return resting, shape


@pytest.mark.parametrize(("population", "posture"), ALL)
def test_a_body_rests_on_the_floor_over_the_origin(body: AnnyBody, population: Population, posture: Posture) -> None:
    resting, shape = laid(body, population, posture, 1)
    pose, vertices = resting.pose, resting.vertices
    size = 0.65 if population == "infant" else 1.7
    assert -0.06 * size < vertices[:, 2].min() <= 0
    assert np.mean(vertices[:, 2] < 0) < 0.12  # hands have many vertices
    centre = centre_of_mass(vertices, body.faces, area_vectors(vertices, body.faces))
    np.testing.assert_allclose(centre[:2], 0, atol=1e-3)
    again = body(shape[None], torch.from_numpy(pose.rotations)[None], torch.from_numpy(pose.translation)[None])
    for mine, theirs in (
        (vertices, again.vertices), (resting.joints, again.joints), (resting.keypoints, again.keypoints)
    ):  # fmt: skip
        np.testing.assert_allclose(mine, theirs[0].numpy(), atol=1e-4)


@pytest.mark.parametrize(("population", "posture"), [("infant", "supine"), ("infant", "prone"), ("adult", "supine")])
def test_the_lying_bear_their_weight(body: AnnyBody, population: Population, posture: Posture) -> None:
    """The centre of mass is over the hull of what touches the floor, as for anything that lies still."""
    for seed in range(3):
        vertices = laid(body, population, posture, seed)[0].vertices
        touching = vertices[vertices[:, 2] < 0.012 * (0.65 if population == "infant" else 1.7)][:, :2]
        outside = ConvexHull(touching).equations[:, 2].max()  # of the origin, where the centre is
        assert outside < 0.02


@pytest.mark.parametrize(
    ("posture", "face", "crown"),
    [("supine", 1, 0), ("prone", -1, 0), ("sitting", 0, 1), ("standing", 0, 1), ("crawling", -1, 0)],
)
def test_postures_are_what_they_are_called(body: AnnyBody, posture: Posture, face: int, crown: int) -> None:
    """Which way chest and crown go: +1 up, −1 down, 0 neither."""
    for seed in range(3):
        resting, _ = laid(body, "infant", posture, seed)
        turn = Rotation.from_rotvec(resting.pose.rotations[0]).as_matrix()
        chest, up = -turn[2, 1], turn[2, 2]
        for value, sign in ((chest, face), (up, crown)):
            if sign:
                assert value * sign > 0.6, (posture, seed)
            else:
                assert abs(value) < 0.7, (posture, seed)
        points = dict(zip(COCO_17.keypoints, resting.keypoints, strict=True))
        if posture == "standing":
            assert points["nose"][2] > points["left_hip"][2] > points["left_ankle"][2] > 0
        if posture == "crawling":
            assert points["left_hip"][2] > points["left_knee"][2] + 0.05
            assert points["left_shoulder"][2] > points["left_wrist"][2] + 0.05


def test_the_side_lying_show_one_shoulder_to_the_sky(body: AnnyBody) -> None:
    sides = []
    for seed in range(8):
        resting, _ = laid(body, "infant", "side", seed)
        sides.append(Rotation.from_rotvec(resting.pose.rotations[0]).as_matrix()[2, 0])
    assert min(np.abs(sides)) > 0.6
    assert len(set(np.sign(sides))) == 2


def test_standing_soles_are_level(body: AnnyBody) -> None:
    for population in ("infant", "adult"):
        vertices = laid(body, population, "standing", 2)[0].vertices
        lows = [vertices[body.bone_weights(f"foot.{side}") > 0.9][:, 2].min() for side in "LR"]
        assert np.abs(lows).max() < 0.03
        ends = [vertices[body.bone_weights(bone) > 0.9][:, 2].min() for bone in ("toe1", "toe5")]
        assert np.abs(ends).max() < 0.03


def test_the_upright_do_not_tilt_and_the_others_stay_within_bounds(body: AnnyBody) -> None:
    for population, posture in ALL:
        generator = np.random.default_rng(4)
        shape = body.draw_shape(generator, population)[0]
        drawn = draw_pose(generator, posture, body, population)
        resting = rest_on_floor(body, shape, drawn)
        pose, tilt = resting.pose, resting.tilt
        turn = Rotation.from_rotvec(pose.rotations[0]) * Rotation.from_rotvec(drawn.rotations[0]).inv()
        assert np.degrees(turn.magnitude()) == pytest.approx(tilt, abs=0.05)
        assert tilt <= SETTLED[posture] + 1e-6
        np.testing.assert_array_equal(pose.rotations[1:], drawn.rotations[1:])


def test_a_pose_depends_on_the_generator_alone(body: AnnyBody) -> None:
    first, again = (draw_pose(np.random.default_rng([2, 9]), "prone", body) for _ in range(2))
    np.testing.assert_array_equal(first.rotations, again.rotations)
    assert not np.array_equal(first.rotations, draw_pose(np.random.default_rng([2, 10]), "prone", body).rotations)


def test_areas_and_centre_of_a_box() -> None:
    normals = area_vectors(BOX, BOX_FACES)
    assert np.linalg.norm(normals, axis=1).sum() / 2 == pytest.approx(2 * (2 + 3 + 6))
    np.testing.assert_allclose(normals.sum(0), 0, atol=1e-12)
    np.testing.assert_allclose(centre_of_mass(BOX + 5, BOX_FACES, normals), (5.5, 6, 6.5))
