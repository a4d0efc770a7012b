from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from fidip.synthesis import appearance, surroundings
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.labels import share_in_frame
from fidip.synthesis.renderers.flat import render_flat
from fidip.synthesis.scene import SCENE_STYLES, DrawnScene, draw_scene, draw_subject
from fidip.synthesis.surface import surface_of
from fidip.synthesis.world import NO_PART

DRAWS = 5
SIZE = (80, 96)


@pytest.fixture(scope="module", autouse=True)
def _small_textures() -> Iterator[None]:
    """Banks of coarse textures: here nobody looks at them."""
    with pytest.MonkeyPatch.context() as small:
        for kind in ("SKIN", "CLOTH", "GROUND", "PICTURE"):
            small.setattr(appearance, f"{kind}_SIZE", 64)
        appearance.asset_bank.cache_clear()
        yield
    appearance.asset_bank.cache_clear()


@pytest.fixture(scope="module")
def drawn(_small_textures: None) -> dict[str, list[DrawnScene]]:
    return {name: [draw(name, n) for n in range(DRAWS)] for name in SCENE_STYLES}


def draw(name: str, number: int) -> DrawnScene:
    rng, body, style = np.random.default_rng([1, number]), AnnyBody.load(), SCENE_STYLES[name]
    return draw_scene(rng, draw_subject(rng, body, style), surface_of(body), style, SIZE)


def names(scene: DrawnScene) -> list[str]:
    return [mesh.name for mesh in scene.scene.meshes]


@pytest.mark.parametrize("style", SCENE_STYLES)
def test_nobody_is_undressed(style: str, drawn: dict[str, list[DrawnScene]]) -> None:
    wanted = {"diaper"} if SCENE_STYLES[style].population == "infant" else {"top", "trousers"}
    for scene in drawn[style]:
        assert wanted <= set(names(scene))
        for mesh in scene.scene.meshes:
            if mesh.name in wanted:
                assert len(mesh.faces) > 200


def test_many_diapers_can_be_seen(drawn: dict[str, list[DrawnScene]]) -> None:
    shown = []
    for scene in drawn["infant-flat"] + drawn["infant-photo"]:
        rendering = render_flat(scene.scene, 0)
        shown.append((rendering.mesh == names(scene).index("diaper")).any())
    assert np.mean(shown) >= 0.4


@pytest.mark.parametrize("style", SCENE_STYLES)
def test_scenes_are_sound(style: str, drawn: dict[str, list[DrawnScene]]) -> None:
    for scene in drawn[style]:
        assert scene.scene.background.shape == (SIZE[1], SIZE[0], 3)
        assert scene.scene.background.dtype == np.uint8
        for mesh in scene.scene.meshes:
            assert mesh.vertices.dtype == mesh.normals.dtype == mesh.uvs.dtype == np.float32
            assert mesh.faces.dtype == mesh.parts.dtype == np.int32
            assert len(mesh.parts) == len(mesh.faces)
            assert mesh.faces.min() >= 0
            assert mesh.faces.max() < len(mesh.vertices) == len(mesh.normals) == len(mesh.uvs)
            assert np.isfinite(mesh.vertices).all()
            assert np.isfinite(mesh.uvs).all()
            assert np.linalg.norm(mesh.normals, axis=1).max() < 1.001
        assert scene.subject.keypoints.shape == (17, 3)
        assert share_in_frame(scene.scene.camera, scene.subject.vertices) > 0.85
        assert json.loads(json.dumps(scene.provenance)) == scene.provenance


@pytest.mark.parametrize("style", SCENE_STYLES)
def test_photographs_have_surroundings_and_light_and_others_only_a_picture(
    style: str, drawn: dict[str, list[DrawnScene]]
) -> None:
    photographed = SCENE_STYLES[style].photographed
    for scene in drawn[style]:
        assert ("floor" in names(scene)) == photographed
        assert (len(scene.scene.lights) > 0) == photographed
        assert (scene.sensor.jpeg_quality is not None) == photographed
        assert any((mesh.parts == NO_PART).all() for mesh in scene.scene.meshes) == photographed
        for light in scene.scene.lights:
            assert np.linalg.norm(light.direction) == pytest.approx(1)
            assert light.direction[2] > 0


def test_the_same_generator_draws_the_same_scene_and_another_one_another(drawn: dict[str, list[DrawnScene]]) -> None:
    again = draw("infant-photo", 0)
    first, second = drawn["infant-photo"][:2]
    assert again.provenance == first.provenance
    assert again.subject.body_seed == first.subject.body_seed != second.subject.body_seed
    assert (again.subject.keypoints == first.subject.keypoints).all()
    for mesh, same in zip(first.scene.meshes, again.scene.meshes, strict=True):
        assert (mesh.vertices == same.vertices).all()
        assert mesh.texture is same.texture  # from the bank
    assert not np.array_equal(first.subject.shape, second.subject.shape)


def test_bodies_of_the_styles_come_from_their_populations(drawn: dict[str, list[DrawnScene]]) -> None:
    for name, scenes in drawn.items():
        for scene in scenes:
            thigh = np.linalg.norm(scene.subject.keypoints[11] - scene.subject.keypoints[13])
            assert (thigh > 0.27) == (SCENE_STYLES[name].population == "adult")
            assert np.quantile(scene.subject.vertices[:, 2], 0.02) == pytest.approx(0, abs=0.08)


def test_toys_do_not_touch_the_body(drawn: dict[str, list[DrawnScene]]) -> None:
    toys = {"ball", "block", "ring", "cushion"}
    for scene in drawn["infant-photo"]:
        if "occluder" in scene.provenance:
            continue
        for mesh in scene.scene.meshes:
            if mesh.name in toys:
                gaps = np.linalg.norm(scene.subject.vertices[::10, None, :2] - mesh.vertices[None, ::10, :2], axis=-1)
                assert gaps.min() > 0


def test_who_is_in_a_crib_lies_on_cloth_and_the_rest_of_the_scene_is_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "CRIB", 1.0)
    for number in range(3):
        scene = draw("infant-photo", number)
        assert "crib" in names(scene)
        assert scene.provenance["floor"] in surroundings.CRIB_FLOORS
        crib = scene.scene.meshes[names(scene).index("crib")]
        gaps = np.linalg.norm(scene.subject.vertices[::20, None, :2] - crib.vertices[None, ::6, :2], axis=-1)
        assert gaps.min() > 0.02  # nobody lies in the bars
    assert "crib" not in names(draw("adult-photo", 0))


def test_a_hand_is_the_only_thing_before_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "HAND", 1.0)
    scenes = [draw("infant-photo", number) for number in range(4)]
    assert any("arm" in names(scene) for scene in scenes)
    for scene in scenes:
        assert scene.provenance.get("occluder") == ("hand" if "arm" in names(scene) else None)
        assert "cover" not in names(scene)


def test_at_night_one_lamp_shines_from_the_camera_and_the_sensor_is_infrared(monkeypatch: pytest.MonkeyPatch) -> None:
    night = replace(SCENE_STYLES["infant-photo"], nights=1.0)
    monkeypatch.setitem(SCENE_STYLES, "infant-photo", night)
    scene = draw("infant-photo", 1)
    (light,) = scene.scene.lights
    towards = scene.scene.camera.position - scene.subject.vertices.mean(0)
    assert np.dot(light.direction, towards / np.linalg.norm(towards)) > 0.99
    assert scene.sensor.infrared
    assert scene.provenance["night"] is True
