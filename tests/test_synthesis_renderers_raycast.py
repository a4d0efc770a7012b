from __future__ import annotations

import builtins
import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fidip.errors import MissingExtra
from fidip.synthesis.camera import Camera
from fidip.synthesis.colour import linear_from_srgb
from fidip.synthesis.renderers import RENDERERS
from fidip.synthesis.renderers.flat import render_flat
from fidip.synthesis.renderers.raycast import RaycastRenderer
from fidip.synthesis.world import Light, Mesh, Rendering, Scene
from shapes import GREY, above, floor, plain, plane, scene, sphere

VIEWS = [((64, 64), 0.0), ((97, 50), 0.7), ((41, 83), -2.1)]
GREY_LEVEL = float(linear_from_srgb(GREY[0, 0, :1])[0])
SUN = Light((0.0, 0.0, 1.0), (1.0, 1.0, 1.0), 0.0)

render = RaycastRenderer()


def veil(part: int, height: float = 0.3) -> Mesh:
    """A square of one half side whose left half (−x) is a hole."""
    texture = np.full((8, 8, 4), 200, dtype=np.uint8)
    texture[:, :4, 3] = 0
    return plane(
        np.array([[-0.5, -0.5, height], [0.5, -0.5, height], [0.5, 0.5, height], [-0.5, 0.5, height]]), texture, part
    )


def crowd(camera: Camera) -> Scene:
    meshes = (
        floor(4.0),
        sphere((0.1, 0.1, 0.2), 0.2, part=1, rings=24, skin=True),
        sphere((-0.2, 0.0, 0.1), 0.15, part=2, rings=24),
        veil(3),
    )
    lights = (Light((0.6, 0.0, 0.8), (2.0, 1.8, 1.5), 0.1), Light((-0.6, 0.48, 0.64), (0.3, 0.4, 0.6), 0.3))
    return scene(meshes, camera, lights, (0.4, 0.4, 0.5))


def oblique(size: tuple[int, int], roll: float) -> Camera:
    return Camera.looking_at(np.array([0.7, -1.2, 1.3]), np.array([0.0, 0.0, 0.1]), size, 0.7, roll)


@pytest.mark.parametrize(("size", "roll"), VIEWS)
def test_a_small_sphere_is_drawn_where_it_projects(size: tuple[int, int], roll: float) -> None:
    camera = Camera.looking_at(np.array([4.0, -6.0, 6.0]), np.array([0.0, 0.0, 0.1]), size, 0.14, roll)
    labels, colours = [], []
    y, x = np.mgrid[: size[1], : size[0]]
    for point in np.random.default_rng(1).uniform(-0.1, 0.1, (20, 3)):
        rendering = render(scene((sphere(tuple(point), 0.11, rings=24),), camera), 0)
        centre = camera.project(point)[:2]
        inside = rendering.mesh == 0
        labels.append(np.array([x[inside].mean(), y[inside].mean()]) - centre)
        colours.append(np.array([np.average(axis, weights=rendering.colour[..., 0] > 0) for axis in (x, y)]) - centre)
    for errors in (labels, colours):
        np.testing.assert_allclose(np.mean(errors, axis=0), 0, atol=0.05)
        np.testing.assert_allclose(errors, 0, atol=0.3)


def outline(rendering: Rendering) -> np.ndarray:
    """Pixels beside which the mesh changes, two pixels wide."""
    mesh = np.pad(rendering.mesh, 1, mode="edge")
    shifted = [
        mesh[1 + dy : mesh.shape[0] - 1 + dy, 1 + dx : mesh.shape[1] - 1 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)
    ]
    return np.any([s != rendering.mesh for s in shifted], axis=0)


@pytest.mark.parametrize(("size", "roll"), VIEWS)
def test_both_renderers_see_the_same(size: tuple[int, int], roll: float) -> None:
    world = crowd(oblique(size, roll))
    cast, flat = render(world, 0), render_flat(world, 0)
    inner = ~outline(flat)
    assert {0, 1, 2, 3} <= set(flat.mesh.ravel())
    assert inner.mean() > 0.5
    for name in ("part", "mesh"):
        np.testing.assert_array_equal(getattr(cast, name)[inner], getattr(flat, name)[inner])
        assert getattr(cast, name).dtype == getattr(flat, name).dtype
        assert (getattr(cast, name) != getattr(flat, name)).mean() < 0.005
    np.testing.assert_allclose(cast.depth[inner], flat.depth[inner], rtol=1e-4)


def test_depth_and_shading_of_a_sphere_have_their_closed_form() -> None:
    camera = above((80, 60))
    centre, radius = np.array([0.1, -0.05, 0.2]), 0.4
    light = Light((0.0, 0.6, 0.8), (1.5, 1.5, 1.5), 0.0)
    world = scene((sphere(tuple(centre), radius, rings=128),), camera, (light,), (0.0, 0.0, 0.0))
    rendering = render(world, 0)
    y, x = np.mgrid[:60, :80]
    ray = np.stack([(x - 39.5) / camera.focal, (y - 29.5) / camera.focal, np.ones_like(x, float)], axis=-1)
    local = camera.to_camera(centre)
    a, b, c = (ray**2).sum(-1), ray @ local, local @ local - radius**2
    discriminant = b * b - a * c
    inside = discriminant > 0.05 * discriminant.max()
    expected = (b - np.sqrt(np.maximum(discriminant, 0))) / a
    np.testing.assert_allclose(rendering.depth[inside], expected[inside], atol=2e-3)
    assert (rendering.depth[discriminant < 0] == 0).all()
    normal = ((ray * expected[..., None]) @ camera.rotation + camera.position - centre) / radius
    lambert = GREY_LEVEL * 1.5 * np.maximum(normal @ np.array(light.direction), 0)
    lit = inside & (normal @ np.array(light.direction) > 0.15)
    np.testing.assert_allclose(rendering.colour[lit][:, 0], lambert[lit], rtol=0.03, atol=0.01)


def test_the_shadow_of_a_square_falls_where_geometry_says() -> None:
    direction = np.array([0.6, 0.0, 0.8])
    lid = plane(np.array([[-0.2, -0.1, 0.4], [0.2, -0.1, 0.4], [0.2, 0.1, 0.4], [-0.2, 0.1, 0.4]]))
    camera = above((120, 120), view=0.9)
    world = scene((floor(3.0), lid), camera, (Light(tuple(direction), (1, 1, 1), 0.0),), (0.0, 0.0, 0.0))
    rendering = render(world, 0)
    shift = -0.4 * direction[0] / direction[2]
    corners = np.array([[-0.2 + shift, -0.1, 0], [0.2 + shift, 0.1, 0]])
    (x1, y1, _), (x2, y2, _) = camera.project(corners)
    y, x = np.mgrid[:120, :120]
    ground = rendering.mesh == 0
    margin = 2.5  # the smoothing's reach
    ground &= ~outline(rendering)
    shadow = ground & (x > x1 + margin) & (x < x2 - margin) & (y > y2 + margin) & (y < y1 - margin)
    free = ground & ((x < x1 - margin) | (x > x2 + margin) | (y < y2 - margin) | (y > y1 + margin))
    assert shadow.sum() > 80
    assert rendering.colour[shadow].max() == 0
    np.testing.assert_allclose(rendering.colour[free], 0.8 * GREY_LEVEL, rtol=1e-4)


def test_a_wide_light_has_a_penumbra_of_its_width() -> None:
    angle = 0.2
    edge = plane(np.array([[-3.0, -3, 0.5], [0, -3, 0.5], [0, 3, 0.5], [-3, 3, 0.5]]))
    camera = Camera.looking_at(np.array([1.0, 0.0, 0.35]), np.array([0.0, 0.001, 0.0]), (100, 60), 0.9)
    world = scene((floor(4.0), edge), camera, (replace(SUN, angular_radius=angle),), (0.0, 0.0, 0.0))
    rendering = RaycastRenderer(shadow_rays=16)(world, 0)
    y, x = np.mgrid[:60, :100]
    ray = np.stack([(x - 49.5) / camera.focal, (y - 29.5) / camera.focal, np.ones_like(x, float)], axis=-1)
    place = ((ray * rendering.depth[..., None]) @ camera.rotation + camera.position)[..., 0]
    ground = (rendering.mesh == 0) & ~outline(rendering)
    # The share of the light's disc that the edge leaves free is a circle's segment.
    s = np.clip(place / (0.5 * np.tan(angle)), -1, 1)
    expected = 0.5 + (s * np.sqrt(1 - s**2) + np.arcsin(s)) / np.pi
    error = rendering.colour[..., 0] / GREY_LEVEL - expected
    inside = ground & (np.abs(place) < 0.15)
    assert inside.sum() > 200
    assert np.abs(error[inside]).mean() < 0.03
    assert abs(error[inside].mean()) < 0.015


def test_holes_let_rays_and_light_through() -> None:
    camera = above((90, 90), view=0.9)
    world = scene((floor(3.0, part=7), veil(3, height=0.2)), camera, (SUN,), (0.0, 0.0, 0.0))
    rendering = render(world, 0)
    x, y, _ = camera.project(np.array([-0.25, 0.0, 0.0])).round().astype(int)
    assert rendering.part[y, x] == 7
    assert rendering.colour[y, x] == pytest.approx([GREY_LEVEL] * 3, rel=1e-4)
    x, y, _ = camera.project(np.array([0.25, 0.0, 0.2])).round().astype(int)
    assert rendering.part[y, x] == 3
    low = Camera.looking_at(np.array([1.5, 0.0, 0.1]), np.array([0.25, 0.0, 0.0]), (60, 60), 0.3)
    under = render(replace(world, camera=low, background=np.zeros((60, 60, 3), np.uint8)), 0)
    x, y, _ = low.project(np.array([0.25, 0.0, 0.0])).round().astype(int)
    assert under.part[y, x] == 7
    assert under.colour[y, x].max() == 0  # in the shadow of the half that is no hole


def test_texels_are_looked_up_exactly_and_averaged_from_afar() -> None:
    rng = np.random.default_rng(5)
    texture = np.concatenate([rng.integers(0, 256, (8, 8, 3)), np.full((8, 8, 1), 255)], axis=2).astype(np.uint8)
    corners = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    rotation, eye = np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 1.0])
    camera = Camera(8.0, (3.5, 3.5), (8, 8), rotation, eye)
    near = render(scene((plane(corners, texture),), camera, (SUN,), (0.0, 0.0, 0.0)), 0)
    np.testing.assert_allclose(near.colour, linear_from_srgb(texture[..., :3]), atol=1e-5)
    fine = np.zeros((256, 256, 4), dtype=np.uint8)
    fine[::2, ::2] = fine[1::2, 1::2] = 255
    fine[..., 3] = 255
    far = render(scene((plane(corners, fine),), camera, (SUN,), (0.0, 0.0, 0.0)), 0)
    assert np.ptp(far.colour[1:-1, 1:-1]) < 0.02  # no aliasing of a board of 32 fields a pixel


def test_outlines_are_anti_aliased_and_labels_are_not() -> None:
    camera = above((64, 64))
    world = scene((sphere((0.03, 0.02, 0.0), 0.5, part=2),), camera, (), (1.0, 1.0, 1.0))
    hard, soft = RaycastRenderer(samples=1)(world, 0), RaycastRenderer(samples=16)(world, 0)
    np.testing.assert_array_equal(hard.part, soft.part)
    edge = outline(hard)
    np.testing.assert_allclose(hard.colour[~edge], soft.colour[~edge], atol=0.01)
    between = (soft.colour[..., 0] > 0.05) & (soft.colour[..., 0] < 0.6 * soft.colour[..., 0].max())
    assert between[edge].mean() > 0.2
    y, x = np.mgrid[:64, :64]
    middle = camera.project(np.array([0.03, 0.02, 0.0]))
    distance = np.hypot(x - middle[0], y - middle[1])
    radius = np.sqrt(hard.mesh.size * (hard.mesh == 0).mean() / np.pi)
    coverage = np.clip(radius + 0.5 - distance, 0, 1)
    brightness = soft.colour[..., 0] / np.median(soft.colour[..., 0][coverage == 1][-40:])
    assert np.abs(np.minimum(brightness, 1) - coverage)[edge & (coverage < 0.9)].mean() < 0.12


def test_ambient_light_is_dimmed_between_body_and_floor_only_near_the_body() -> None:
    camera = above((100, 100), view=1.2)
    body = sphere((0.0, 0.0, 0.12), 0.12, part=1, rings=32)
    toy = replace(sphere((0.7, 0.0, 0.12), 0.12, rings=32))
    many = RaycastRenderer(ambient_rays=16)
    rendering = many(scene((floor(3.0), body, toy), camera, (), (1.0, 1.0, 1.0)), 0)
    open_floor = rendering.colour[5, 5, 0]
    assert open_floor == pytest.approx(GREY_LEVEL, rel=1e-4)
    beside_body = camera.project(np.array([0.0, 0.15, 0.0])).round().astype(int)
    assert rendering.colour[beside_body[1], beside_body[0], 0] < 0.95 * open_floor
    beside_toy = camera.project(np.array([0.7, 0.15, 0.0])).round().astype(int)
    assert rendering.colour[beside_toy[1], beside_toy[0], 0] == pytest.approx(open_floor, rel=1e-4)


def test_skin_takes_light_beyond_the_terminator() -> None:
    camera = above((60, 60), view=0.5)
    light = Light((1.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.0)
    stone, skin = (
        render(scene((sphere((0, 0, 0), 0.3, 1, skin=skin),), camera, (light,), (0.0, 0.0, 0.0)), 0)
        for skin in (False, True)
    )
    dark = stone.colour[30, 27, 0], skin.colour[30, 27, 0]
    assert dark[0] == pytest.approx(0, abs=1e-3)
    assert dark[1] > 0.02


def test_same_scene_and_seed_give_the_same_bytes_also_in_another_process() -> None:
    world = crowd(oblique((48, 40), 0.2))
    first, second, other = render(world, 3), RaycastRenderer()(world, 3), render(world, 4)
    assert first.colour.tobytes() == second.colour.tobytes()
    assert first.colour.tobytes() != other.colour.tobytes()
    np.testing.assert_array_equal(first.part, other.part)
    program = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1])\n"
        "from test_synthesis_renderers_raycast import crowd, oblique, render\n"
        "print(hashlib.sha256(render(crowd(oblique((48, 40), 0.2)), 3).colour.tobytes()).hexdigest())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent)], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [hashlib.sha256(first.colour.tobytes()).hexdigest()]
    assert run.stderr == ""  # Warp starts without a word


def test_background_shows_where_nothing_is_hit_also_without_meshes_and_lights() -> None:
    background = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    rendering = render(Scene((), above((30, 20)), (), (0, 0, 0), background), 0)
    np.testing.assert_array_equal(rendering.colour, linear_from_srgb(background))
    assert (rendering.part == -1).all()
    assert (rendering.mesh == -1).all()
    assert (rendering.depth == 0).all()


def test_a_scene_of_nothing_but_holes_shows_the_background() -> None:
    rendering = render(scene((floor(1.0, texture=np.zeros((4, 4, 4), np.uint8)),), above((20, 20)), (SUN,)), 0)
    assert (rendering.mesh == -1).all()


def test_renderers_are_made_by_name() -> None:
    world = scene((floor(1.0, texture=plain(255, 255, 255)),), above((8, 8)), (SUN,), (0.0, 0.0, 0.0))
    for make in RENDERERS.values():
        np.testing.assert_allclose(make()(world, 0).colour, 1.0, atol=1e-5)


def test_without_warp_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_warp(name: str, *rest: Any, **options: Any) -> Any:
        if name == "warp":
            raise ImportError(name)
        return real(name, *rest, **options)

    for module in [name for name in sys.modules if name.startswith("fidip.synthesis.renderers.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", without_warp)
    with pytest.raises(MissingExtra, match=r"pip install 'fidip\[synthesis\]'"):
        RENDERERS["raycast"]()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    program = (
        "from fidip.errors import StorageError\n"
        "from fidip.synthesis.renderers.rays import start_warp\n"
        "try:\n    start_warp()\nexcept StorageError as error:\n    print(error)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "WARP_CACHE_PATH"}
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, env=environment | {"FIDIP_CACHE": str(tmp_path / "file")},
    )  # fmt: skip
    assert run.stdout.startswith(str(tmp_path / "file" / "kernels"))
    assert "cannot be written" in run.stdout
