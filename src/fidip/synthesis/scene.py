"""Everything random about an image, in one seeded draw: person, pose, clothes, surroundings, light, camera, sensor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fidip.annotations import FloatArray
from fidip.errors import RecipeError
from fidip.geometry import Size
from fidip.synthesis.appearance import NO_PICTURES, USERS, AssetBank, asset_bank
from fidip.synthesis.bodies.anny import OLDEST_INFANT
from fidip.synthesis.bodies.protocol import BodyModel, Population
from fidip.synthesis.camera import Camera
from fidip.synthesis.framing import View, draw_camera, draw_view
from fidip.synthesis.mending import draw_plausible_pose
from fidip.synthesis.people import draw_person
from fidip.synthesis.pictures import UserPictures
from fidip.synthesis.plausibility import Fault
from fidip.synthesis.poses import Resting
from fidip.synthesis.postures import POSTURE_NAMES, YEARS, Posture
from fidip.synthesis.sensor import Sensor, draw_night_sensor, draw_sensor
from fidip.synthesis.surface import Surface
from fidip.synthesis.surroundings import Person, Surroundings, draw_lights, draw_night_lights, draw_surroundings
from fidip.synthesis.world import Light, Scene


@dataclass(frozen=True, slots=True)
class SceneStyle:
    """The choices behind a kind of image, as data.

    A ``photographed`` scene has floor, walls, toys, light and a camera's sensor; the others show a body before a
    picture, as the published pipeline did.
    """

    population: Population
    renderer: str  # of RENDERERS
    bank: str  # of BANKS
    postures: dict[Posture, float]  # and how often
    views: tuple[View, ...]
    photographed: bool
    toys: int = 0  # at most
    nights: float = 0.0  # share of infrared pictures
    months: tuple[float, float] | None = None  # of age; None: the whole population

    def ages(self, posture: Posture) -> tuple[float, float]:
        """Between which of ``months`` infants take a posture; the second is not the larger where none does."""
        assert self.months is not None
        low, high = YEARS.get((self.population, posture), (0.0, OLDEST_INFANT / 12))
        return max(self.months[0], 12 * low), min(self.months[1], 12 * high)


LYING_TO_STANDING: dict[Posture, float] = {
    "supine": 0.32, "prone": 0.2, "side": 0.1, "sitting": 0.18, "crawling": 0.14, "standing": 0.06,
}  # fmt: skip
MOSTLY_UPRIGHT: dict[Posture, float] = {
    "standing": 0.35, "walking": 0.15, "sitting": 0.2, "supine": 0.18, "side": 0.12,
}  # fmt: skip

FROM_ABOVE = View(weight=0.6, elevation=(50, 89))
OBLIQUE = View(weight=0.4, elevation=(18, 55), roll=(-25, 25))
FROM_ANYWHERE = View(weight=1.0, elevation=(10, 89))
EYE_HEIGHT = View(weight=0.85, azimuth=(-85, 85), roll=(-7, 7), span=(0.55, 0.93), eye_height=(0.9, 1.9))
EYE_HEIGHT_BEHIND = View(weight=0.15, azimuth=(100, 260), roll=(-7, 7), span=(0.55, 0.93), eye_height=(1.2, 1.8))
OVER_ADULTS = View(weight=0.6, elevation=(30, 89))
LEVEL = View(weight=1.0, elevation=(-5, 30), azimuth=(-120, 120), roll=(-10, 10), span=(0.55, 0.93))

INFANT_PHOTO = SceneStyle(
    "infant", "raycast", "b", LYING_TO_STANDING, (FROM_ABOVE, OBLIQUE), photographed=True, toys=4, nights=0.08
)

SCENE_STYLES: dict[str, SceneStyle] = {
    "infant-flat": SceneStyle("infant", "flat", "a", LYING_TO_STANDING, (FROM_ANYWHERE,), photographed=False),
    "infant-photo": INFANT_PHOTO,
    "infant-monitor": replace(INFANT_PHOTO, nights=0.65),
    "adult-flat": SceneStyle("adult", "flat", "a", MOSTLY_UPRIGHT, (LEVEL, OVER_ADULTS), photographed=False),
    "adult-photo": SceneStyle(
        "adult", "raycast", "b", MOSTLY_UPRIGHT, (EYE_HEIGHT, EYE_HEIGHT_BEHIND, OVER_ADULTS), photographed=True, toys=2
    ),
}


def at_ages(style: SceneStyle, months: tuple[float, float]) -> SceneStyle:
    """A style whose infants are of these ages, in the postures that they take.

    Raises ``RecipeError`` where there are no such infants.
    """
    low, high = months
    if style.population != "infant" or not 0 <= low < high <= OLDEST_INFANT:
        problem = f"no {style.population} of these ages; infants are 0-{OLDEST_INFANT} months old"
        raise RecipeError(f"--age-months {low:g}-{high:g}: {problem}")
    aged = replace(style, months=months)
    able = {posture: weight for posture, weight in style.postures.items() if np.diff(aged.ages(posture)) > 0}
    return replace(aged, postures={posture: weight / sum(able.values()) for posture, weight in able.items()})


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A posed body in the world before it is dressed, and what is known of it."""

    shape: NDArray[np.float32]  # (S,)
    rotations: NDArray[np.float32]  # (J, 3)
    translation: NDArray[np.float32]  # (3,)
    vertices: NDArray[np.float32]  # (V, 3)
    joints: NDArray[np.float32]  # (J, 3)
    keypoints: FloatArray  # (K, 3)
    heading: float  # where its front points, as an angle in the plane of the floor
    posture: str | None = None
    years: float | None = None  # of age, where the body model knows it
    body_seed: int | None = None
    origin: str | None = None  # whose pose it is
    refused: tuple[tuple[Fault, ...], ...] = ()  # what was wrong with the poses drawn before this one


@dataclass(frozen=True, slots=True, eq=False)
class DrawnScene:
    """A scene, the sensor that is to photograph it, whom it shows and what was chosen."""

    scene: Scene
    sensor: Sensor
    subject: Subject
    provenance: dict[str, Any]  # plain JSON values


def draw_subject(rng: np.random.Generator, body: BodyModel, style: SceneStyle) -> Subject:
    """Draw somebody of a style, in a plausible pose at rest on the floor."""
    body_seed = int(rng.integers(2**31))
    posture = draw_posture(rng, style)
    shape, age = draw_shape(np.random.default_rng(body_seed), body, style, posture)
    resting, refused = draw_plausible_pose(rng, posture, body, shape, style.population)
    return resting_subject(resting, shape.numpy(), years=age, body_seed=body_seed, refused=refused)


def resting_subject(resting: Resting, shape: NDArray[np.float32], **known: Any) -> Subject:  # (S,)
    """Somebody who was laid on the floor, and what else is known of it (fields of ``Subject``)."""
    keypoints = resting.keypoints.astype(np.float64)
    return Subject(
        shape=shape,
        rotations=resting.pose.rotations,
        translation=resting.pose.translation,
        vertices=resting.vertices,
        joints=resting.joints,
        keypoints=keypoints,
        heading=_heading(keypoints),
        posture=POSTURE_NAMES[resting.pose.posture],
        **known,
    )


def draw_posture(rng: np.random.Generator, style: SceneStyle) -> Posture:
    """One of a style's postures, by weight."""
    return list(style.postures)[int(rng.choice(len(style.postures), p=list(style.postures.values())))]


def draw_scene(
    rng: np.random.Generator, subject: Subject, surface: Surface, style: SceneStyle, size: Size,
    pictures: UserPictures = NO_PICTURES,
) -> DrawnScene:  # fmt: skip
    """Draw one image's scene round somebody.

    ``surface`` is that of the body, ``size`` is (width, height), ``pictures`` are what the user adds to the asset bank.
    """
    bank = asset_bank(style.bank, surface, pictures)
    vertices = subject.vertices
    clothed = draw_person(rng, surface, style.population, vertices, bank)
    points = vertices[::15].astype(np.float64)  # enough to find the body's bounds
    camera = draw_camera(rng, draw_view(rng, style.views), points, size, subject.heading)
    around, lights, ambient, sensor = Surroundings(), NO_LIGHTS, (1.0, 1.0, 1.0), Sensor.clean()
    if style.photographed:
        person = Person(style.population, vertices, subject.keypoints, points.min(0), points.max(0))
        around = draw_surroundings(rng, person, surface, camera, bank, style.toys)
        if style.nights and rng.random() < style.nights:
            lights, ambient = draw_night_lights(rng, camera.position - points.mean(0))
            sensor = draw_night_sensor(rng)
        else:
            lights, ambient = draw_lights(rng)
            sensor = draw_sensor(rng)
    picture = _draw_picture(rng, bank, around)
    background = _crop(rng, bank.pictures[picture], size)
    scene = Scene((*clothed.meshes, *around.meshes), camera, lights, ambient, background)
    choices = {**clothed.choices, **around.choices, "background": picture}
    choices |= {"bank": bank.name, "lights": len(lights), "night": sensor.infrared}
    provenance = {**choices, "camera": _camera_record(camera)}
    return DrawnScene(scene, sensor, subject, provenance)


def draw_shape(
    rng: np.random.Generator, body: BodyModel, style: SceneStyle, posture: Posture
) -> tuple[torch.Tensor, float | None]:  # (S,), years
    """Somebody of an age in which a posture is taken."""
    if style.months is not None:
        return body.draw_shape(rng, style.population, months=style.ages(posture))
    return body.draw_shape(rng, style.population, YEARS.get((style.population, posture)))


NO_LIGHTS: tuple[Light, ...] = ()


def _heading(keypoints: NDArray[np.floating]) -> float:  # (K, 3)
    """Where the body's front points, as an angle in the plane of the floor."""
    left = keypoints[[5, 11]].mean(0) - keypoints[[6, 12]].mean(0)
    return float(np.arctan2(-left[0], left[1]))


def _draw_picture(rng: np.random.Generator, bank: AssetBank, around: Surroundings) -> int:
    """Which picture shows behind everything: a garden over grass, none over other floors, the user's over all."""
    floor = around.choices.get("floor")
    fitting = [
        index
        for index, kind in enumerate(bank.picture_kinds)
        if floor is None or kind == USERS or (kind == "garden") == (floor == "grass")
    ]
    return fitting[int(rng.integers(len(fitting)))]


def _crop(rng: np.random.Generator, picture: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:  # (H, W, 3)
    """A random part of a picture at the wanted size, mirrored half of the time."""
    height, width = picture.shape[:2]
    scale = min(width / size[0], height / size[1]) * rng.uniform(0.6, 1.0)
    taken = max(int(size[0] * scale), 1), max(int(size[1] * scale), 1)
    x, y = (int(rng.integers(full - part + 1)) for full, part in ((width, taken[0]), (height, taken[1])))
    part = picture[y : y + taken[1], x : x + taken[0]]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    way = cv2.INTER_AREA if taken[0] > size[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(part), size, interpolation=way), np.uint8)


def _camera_record(camera: Camera) -> dict[str, Any]:
    return {
        "focal": round(camera.focal, 3),
        "position": [round(float(value), 5) for value in camera.position],
        "rotation": [round(float(value), 6) for value in camera.rotation.ravel()],
    }
