from __future__ import annotations

import numpy as np
import pytest

from fidip.synthesis.camera import Camera
from fidip.synthesis.colour import linear_from_srgb
from fidip.synthesis.renderers.flat import render_flat
from fidip.synthesis.world import Mesh, Rendering, Scene
from shapes import above, floor, plain, plane, scene, sphere

VIEWS = [((64, 64), 0.0), ((97, 50), 0.7), ((41, 83), -2.1)]


def triangle(corners: np.ndarray, texture: np.ndarray) -> Mesh:
    mesh = plane(np.vstack([corners, corners[:1]]), texture)
    return Mesh("triangle", mesh.vertices, mesh.normals, mesh.uvs, mesh.faces[:1], mesh.parts[:1], texture)


@pytest.mark.parametrize(("size", "roll"), VIEWS)
def test_a_small_sphere_is_drawn_where_it_projects(size: tuple[int, int], roll: float) -> None:
    # From afar the outline of a sphere is a circle about the image of its centre.
    camera = Camera.looking_at(np.array([4.0, -6.0, 6.0]), np.array([0.0, 0.0, 0.1]), size, 0.14, roll)
    errors = []
    for point in np.random.default_rng(1).uniform(-0.1, 0.1, (20, 3)):
        rendering = render_flat(scene((sphere(tuple(point), 0.11, rings=24),), camera), 0)
        y, x = np.nonzero(rendering.mesh == 0)
        errors.append(np.array([x.mean(), y.mean()]) - camera.project(point)[:2])
    np.testing.assert_allclose(np.mean(errors, axis=0), 0, atol=0.05)
    np.testing.assert_allclose(errors, 0, atol=0.3)


def test_coverage_is_the_set_of_centres_inside_the_projected_triangle() -> None:
    camera = above((90, 70), roll=0.5)
    rng = np.random.default_rng(3)
    for _ in range(20):
        corners = np.column_stack([rng.uniform(-0.8, 0.8, (3, 2)), rng.uniform(-0.5, 1.0, 3)])
        covered = render_flat(scene((triangle(corners, plain(255, 0, 0)),), camera), 0).mesh == 0
        p = camera.project(corners)[:, :2]
        x, y = np.meshgrid(np.arange(90), np.arange(70))
        sides = [
            (p[j, 0] - p[i, 0]) * (y - p[i, 1]) - (p[j, 1] - p[i, 1]) * (x - p[i, 0])
            for i, j in ((0, 1), (1, 2), (2, 0))
        ]
        expected = np.all([s > 0 for s in sides], axis=0) | np.all([s < 0 for s in sides], axis=0)
        np.testing.assert_array_equal(covered, expected)


def test_the_depth_of_a_sphere_is_its_closed_form() -> None:
    camera = above((80, 60))
    rendering = render_flat(scene((sphere((0.1, -0.05, 0.2), 0.4, rings=256),), camera), 0)
    y, x = np.mgrid[:60, :80]
    ray = np.stack([(x - 39.5) / camera.focal, (y - 29.5) / camera.focal, np.ones_like(x, float)], axis=-1)
    centre = camera.to_camera(np.array([0.1, -0.05, 0.2]))
    a, b, c = (ray**2).sum(-1), ray @ centre, centre @ centre - 0.16
    discriminant = b * b - a * c
    inside = discriminant > 0.02 * discriminant.max()  # away from the outline, where polygons fall short
    expected = (b - np.sqrt(np.maximum(discriminant, 0))) / a
    np.testing.assert_allclose(rendering.depth[inside], expected[inside], atol=2e-3)
    assert (rendering.depth[discriminant < 0] == 0).all()
    assert (rendering.mesh[discriminant < 0] == -1).all()


def test_a_closed_mesh_has_no_gaps() -> None:
    rendering = render_flat(
        scene((floor(5.0, texture=plain(9, 9, 9)), sphere((0, 0, 0.3), 0.3, 4)), above((128, 128))), 0
    )
    y, x = np.mgrid[:128, :128]
    distance = np.hypot(x - 63.5, y - 63.5)
    radius = np.sqrt((rendering.part == 4).sum() / np.pi)
    assert radius > 10
    assert (rendering.part[distance < radius - 1] == 4).all()
    assert (rendering.mesh >= 0).all()


def checkerboard() -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.concatenate([rng.integers(0, 256, (8, 8, 3)), np.full((8, 8, 1), 255)], axis=2).astype(np.uint8)


def facing(size: int) -> Camera:
    """One pixel is one eighth of the unit square at depth 1."""
    rotation = np.diag([1.0, -1.0, -1.0])
    return Camera(8.0, ((size - 1) / 2, (size - 1) / 2), (size, size), rotation, np.array([0.0, 0.0, 1.0]))


def test_texels_are_looked_up_exactly_and_repeat() -> None:
    texture = checkerboard()
    corners = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    colour = render_flat(scene((plane(corners, texture),), facing(8)), 0).colour
    np.testing.assert_allclose(colour, linear_from_srgb(texture[..., :3]), atol=1e-6)
    twice = render_flat(scene((plane(2 * corners, texture, repeats=2.0),), facing(16)), 0).colour
    np.testing.assert_allclose(twice, np.tile(linear_from_srgb(texture[..., :3]), (2, 2, 1)), atol=1e-6)


def test_texture_coordinates_are_correct_in_perspective() -> None:
    ramp = np.zeros((1, 256, 4), dtype=np.uint8)
    ramp[..., :3] = np.arange(256)[:, None]
    ramp[..., 3] = 255
    camera = Camera.looking_at(np.array([-1.2, 0.0, 0.4]), np.array([0.0, 0.0, 0.0]), (64, 64), 0.8)
    corners = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    rendering = render_flat(scene((plane(corners, ramp),), camera), 0)
    y, x = np.nonzero(rendering.mesh == 0)
    depth = rendering.depth[y, x]
    local = np.stack([(x - 31.5) / camera.focal, (y - 31.5) / camera.focal, np.ones(len(x))], axis=1) * depth[:, None]
    u = (local @ camera.rotation + camera.position)[:, 0] + 0.5
    inner = (u > 0.01) & (u < 0.99)
    expected = np.interp(u * 256 - 0.5, np.arange(256), linear_from_srgb(np.arange(256, dtype=np.uint8)))
    np.testing.assert_allclose(rendering.colour[y, x, 0][inner], expected[inner], atol=2e-3)


def test_holes_show_what_is_behind() -> None:
    texture = np.full((8, 8, 4), 255, dtype=np.uint8)
    texture[:, :4, 3] = 0
    corners = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    veil, wall = plane(corners, texture, part=3), plane(corners - [0, 0, 0.2], plain(10, 20, 30), part=5)
    rendering = render_flat(scene((veil, wall), facing(8)), 0)
    assert (rendering.part[:, 4:] == 3).all()
    assert (rendering.part[1:-1, 1:4] == 5).all()
    np.testing.assert_allclose(rendering.depth[1:-1, 1:4], 1.2, rtol=1e-5)


def test_what_reaches_behind_the_camera_is_drawn_up_to_the_horizon() -> None:
    camera = Camera.looking_at(np.array([0.0, 0.0, 1.0]), np.array([0.0, 2.0, 0.5]), (80, 60), 1.2, roll=0.2)
    rendering = render_flat(scene((floor(200.0),), camera), 0)
    y, x = np.mgrid[:60, :80]
    ray = np.stack([(x - 39.5) / camera.focal, (y - 29.5) / camera.focal, np.ones_like(x, float)], axis=-1)
    fall = (ray @ camera.rotation)[..., 2]
    with np.errstate(divide="ignore"):
        depth = -1 / fall
    seen = (fall < 0) & (depth < 150)
    assert 0.3 < seen.mean() < 0.9
    np.testing.assert_allclose(rendering.depth[seen], depth[seen], rtol=1e-5)
    assert (rendering.mesh[fall > 0] == -1).all()


def test_the_picture_does_not_depend_on_the_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    world = scene((floor(1.0), sphere((0, 0, 0.2), 0.2, 1)), above((50, 37)))
    whole = render_flat(world, 0)
    monkeypatch.setattr("fidip.synthesis.renderers.flat.BAND_PIXELS", 130)
    for name in ("colour", "depth", "part", "mesh"):
        np.testing.assert_array_equal(getattr(render_flat(world, 0), name), getattr(whole, name))


def test_background_shows_where_nothing_is_hit_also_without_meshes() -> None:
    background = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    empty = Scene((), above((30, 20)), (), (0, 0, 0), background)
    rendering: Rendering = render_flat(empty, 0)
    np.testing.assert_array_equal(rendering.colour, linear_from_srgb(background))
    assert (rendering.part == -1).all()
    assert (rendering.depth == 0).all()
    assert rendering.colour.dtype == rendering.depth.dtype == np.float32
    assert rendering.part.dtype == rendering.mesh.dtype == np.int32
