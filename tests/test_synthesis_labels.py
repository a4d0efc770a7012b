from __future__ import annotations

import numpy as np
import pytest
import torch

from fidip.skeleton import COCO_17
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.protocol import KEYPOINT_PARTS, PARTS
from fidip.synthesis.camera import Camera
from fidip.synthesis.labels import project_labels, share_in_frame, silhouette_box, standing_length
from fidip.synthesis.renderers.flat import render_flat
from fidip.synthesis.world import Mesh, Rendering
from shapes import above, floor, plane, scene, sphere

NAMES = COCO_17.keypoints
LEFT = [i for i, name in enumerate(NAMES) if name.startswith("left")]
RIGHT = [i for i, name in enumerate(NAMES) if name.startswith("right")]


def standing(population: str, seed: int = 0) -> tuple[Mesh, np.ndarray]:
    """A body in its rest pose (facing −y, its left at +x) and its keypoints."""
    body = AnnyBody.load()
    with torch.no_grad():
        rest = body.rest(body.draw_shape(np.random.default_rng(seed), population)[0][None])  # type: ignore[arg-type]
    vertices = rest.vertices[0].numpy()
    V = len(vertices)
    mesh = Mesh(
        "skin", vertices, np.zeros((V, 3), np.float32), np.zeros((V, 2), np.float32), body.faces, body.face_parts,
        np.full((1, 1, 4), 255, np.uint8),
    )  # fmt: skip
    return mesh, rest.keypoints[0].numpy().astype(np.float64)


def seen_from(mesh: Mesh, azimuth: float, size: tuple[int, int] = (160, 200)) -> Camera:
    """Degrees: −90 is in front, 0 at the body's left."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    middle, height = (low + high) / 2, high[2] - low[2]
    angle = np.radians(azimuth)
    return Camera.looking_at(middle + 4 * height * np.array([np.cos(angle), np.sin(angle), 0.1]), middle, size, 0.3)


def visibility(mesh: Mesh, keypoints: np.ndarray, azimuth: float, *others: Mesh) -> np.ndarray:
    camera = seen_from(mesh, azimuth)
    person = project_labels(camera, keypoints, render_flat(scene((mesh, *others), camera), 0))
    return person.keypoints[:, 2]


@pytest.mark.parametrize("population", ["infant", "adult"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_naked_body_hides_what_anatomy_says(population: str, seed: int) -> None:
    mesh, keypoints = standing(population, seed)
    front, back = visibility(mesh, keypoints, -90), visibility(mesh, keypoints, 90)
    assert (front == 2).all()
    assert [NAMES[i] for i in np.flatnonzero(back != 2)] == ["nose", "left_eye", "right_eye"]
    # From one side the nose is seen; the far eye, ear, shoulder and hip are not.
    for azimuth, near, far in ((0, LEFT, RIGHT), (180, RIGHT, LEFT)):
        profile = visibility(mesh, keypoints, azimuth)
        assert profile[0] == 2
        assert (profile[near] == 2).all()
        assert (profile[[i for i in far if NAMES[i].split("_")[1] in ("eye", "ear", "shoulder", "hip")]] == 1).all()


def test_keypoints_keep_their_place_whether_hidden_or_not() -> None:
    mesh, keypoints = standing("infant")
    camera = seen_from(mesh, 0)
    person = project_labels(camera, keypoints, render_flat(scene((mesh,), camera), 0))
    assert set(person.keypoints[:, 2]) == {1, 2}
    np.testing.assert_allclose(person.keypoints[:, :2], camera.project(keypoints)[:, :2])


def test_clothes_show_what_they_cover_and_a_screen_hides_it() -> None:
    mesh, keypoints = standing("infant")
    hips = keypoints[[11, 12]].mean(axis=0)
    low, high = hips + np.array([-0.15, -0.075, -0.06]), hips + np.array([0.15, -0.075, 0.08])
    corners = np.array([low, [high[0], low[1], low[2]], high, [low[0], low[1], high[2]]])
    cloth, screen = plane(corners, part=PARTS.index("torso")), plane(corners)
    assert (visibility(mesh, keypoints, -90, cloth)[[11, 12]] == 2).all()
    hidden = visibility(mesh, keypoints, -90, screen)
    assert (hidden[[11, 12]] == 1).all()
    assert (hidden[:9] == 2).all()


def test_a_limb_before_the_trunk_hides_it() -> None:
    mesh, keypoints = standing("infant")
    arm = sphere(tuple(keypoints[11] + [0, -0.15, 0]), 0.05, PARTS.index("left_forearm"))
    assert visibility(mesh, keypoints, -90, arm)[11] == 1


def test_outside_the_image_is_unlabelled() -> None:
    mesh, keypoints = standing("infant")
    whole = seen_from(mesh, -90)
    half = Camera(whole.focal, whole.principal, (160, 100), whole.rotation, whole.position)
    person = project_labels(half, keypoints, render_flat(scene((mesh,), half), 0))
    y = whole.project(keypoints)[:, 1]
    assert (person.keypoints[y >= 99.5] == 0).all()
    assert (person.keypoints[y < 99.5, 2] > 0).all()
    behind = Camera(
        whole.focal, whole.principal, whole.size, np.diag([-1.0, 1.0, -1.0]) @ whole.rotation, whole.position
    )
    lost = project_labels(behind, keypoints, render_flat(scene((mesh,), behind), 0))
    assert (lost.keypoints == 0).all()
    assert lost.box is None
    assert lost.area == 0


def test_a_keypoint_one_pixel_off_its_part_is_seen_unless_something_is_before_it() -> None:
    camera = above((21, 21))
    part, depth = np.full((21, 21), -1, np.int32), np.full((21, 21), 2.3, np.float32)  # a floor behind it
    rendering = Rendering(np.zeros((21, 21, 3), np.float32), depth, part, part)
    keypoints = np.random.default_rng(0).normal(0, 0.2, (17, 3)) * [1, 1, 0.01]
    keypoints[9] = 0  # the left wrist, in the middle pixel
    part[11, 11], depth[11, 11] = PARTS.index("left_hand"), 2.0
    assert KEYPOINT_PARTS[9] == ("left_forearm", "left_hand")
    assert project_labels(camera, keypoints, rendering).keypoints[9] == pytest.approx([10, 10, 2])
    depth[10, 10] = 1.9  # a toy
    assert project_labels(camera, keypoints, rendering).keypoints[9] == pytest.approx([10, 10, 1])
    depth[10, 10], part[11, 11], part[12, 12] = 2.3, -1, PARTS.index("left_hand")
    assert project_labels(camera, keypoints, rendering).keypoints[9] == pytest.approx([10, 10, 1])


def test_box_and_area_are_those_of_the_silhouette() -> None:
    silhouette = np.zeros((30, 40), bool)
    silhouette[4:9, 7] = silhouette[6, 7:20] = True
    assert silhouette_box(silhouette) == (7, 4, 13, 5)
    assert silhouette_box(np.zeros((3, 3), bool)) is None
    mesh, keypoints = standing("infant")
    camera = seen_from(mesh, -90)
    rendering = render_flat(scene((mesh, floor(3.0, height=float(mesh.vertices[:, 2].min()))), camera), 0)
    person = project_labels(camera, keypoints, rendering)
    assert person.area == (rendering.part >= 0).sum()
    x, y, w, h = person.box  # type: ignore[misc]
    extent = camera.project(mesh.vertices)[:, :2]
    np.testing.assert_allclose([x, y], extent.min(axis=0), atol=1)
    np.testing.assert_allclose([x + w - 1, y + h - 1], extent.max(axis=0), atol=1)


def test_share_in_frame_counts_points_up_to_the_picture_edge() -> None:
    camera = above((11, 11))
    at = np.array([[-0.5, 0], [-0.51, 0], [10.49, 10], [10.51, 10], [5, 5], [5, -3]])
    local = np.column_stack([(at - 5) / camera.focal, np.ones(6)])
    points = local @ camera.rotation + camera.position
    assert share_in_frame(camera, points) == pytest.approx(0.5)
    assert share_in_frame(camera, points + np.array([0, 0, 5])) == 0  # behind the camera


def test_standing_length_is_the_same_in_every_pose() -> None:
    body = AnnyBody.load()
    shape = body.draw_shape(np.random.default_rng(0), "infant")[0][None]
    rotations = torch.zeros(1, len(body.bone_names), 3)
    straight = standing_length(body.keypoints(shape, rotations, torch.zeros(1, 3))[0].numpy().astype(float))
    for name in ("upperleg01.L", "lowerleg01.R", "upperarm01.L"):
        rotations[0, body.bone_names.index(name)] = torch.tensor([1.0, 0.0, 0.2])
    bent = standing_length(body.keypoints(shape, rotations, torch.ones(1, 3))[0].numpy().astype(float))
    assert bent == pytest.approx(straight, rel=0.06)
