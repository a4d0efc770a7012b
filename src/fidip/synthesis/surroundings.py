"""Floor, walls, toys, covers and light round a person: what makes an image look taken somewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fidip.annotations import FloatArray
from fidip.synthesis import props
from fidip.synthesis.appearance import AssetBank, Ground
from fidip.synthesis.bodies.protocol import Population
from fidip.synthesis.camera import Camera
from fidip.synthesis.caregiver import reaching_arm
from fidip.synthesis.surface import Surface, Vectors
from fidip.synthesis.textures import Texture
from fidip.synthesis.world import Light, Mesh

LIGHT_COLOURS = np.array([[1.0, 0.82, 0.62], [1.0, 0.93, 0.82], [1.0, 1.0, 1.0], [0.88, 0.94, 1.0]])
"""Lamp, evening sun, noon, overcast sky: linear RGB."""


NURSERY_FLOORS = ("sheet", "quilt", "foam")
"""What adults do not stand on."""


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """What the surroundings need to know of the person they are put round."""

    population: Population
    vertices: Vectors  # (V, 3)
    keypoints: FloatArray  # (K, 3)
    low: FloatArray  # (3,) corners of the box round it
    high: FloatArray

    @property
    def middle(self) -> FloatArray:  # (3,)
        """The point of the floor under the middle of the box."""
        return np.array([*(self.low + self.high)[:2] / 2, 0.0])

    @property
    def size(self) -> float:
        """The longest side of the box."""
        return float((self.high - self.low).max())


@dataclass(slots=True, eq=False)
class Surroundings:
    """Meshes round a person, and what was chosen."""

    meshes: list[Mesh] = field(default_factory=list)
    choices: dict[str, Any] = field(default_factory=dict)


CRIB, HAND = 0.14, 0.14
"""How often an infant lies or sits in a crib, and how often somebody's hand is at it."""

CRIB_FLOORS = ("sheet", "quilt")
"""Cloth already: nobody spreads a blanket on it."""


def draw_surroundings(
    rng: np.random.Generator, person: Person, surface: Surface, camera: Camera, bank: AssetBank, toys: int
) -> Surroundings:
    """A place for a person to be in, as far as the camera sees it."""
    around = Surroundings()
    infant = person.population == "infant"
    in_crib = infant and bool(rng.random() < CRIB)
    fitting = [
        index
        for index, kind in enumerate(bank.floor_kinds)
        if (kind in CRIB_FLOORS if in_crib else infant or kind not in NURSERY_FLOORS)
    ]
    ground = bank.floors[fitting[int(rng.integers(len(fitting)))]]
    around.choices["floor"] = ground.kind
    around.meshes.append(props.floor(rng, ground, 2.5 if infant else 9.0))
    if infant and ground.kind not in CRIB_FLOORS and rng.random() < 0.5:
        around.meshes.append(
            props.blanket(rng, _cloth(rng, bank), person.middle, float((person.high - person.low)[:2].max()))
        )
        around.choices["blanket"] = True
    if in_crib:
        _add_crib(rng, around, person, bank)
    _add_walls(rng, around, person, camera, bank, ground)
    _add_toys(rng, around, person, bank, toys)
    if infant and rng.random() < HAND:
        _add_hand(rng, around, person, surface, camera, bank)
    else:
        _add_occluders(rng, around, person, camera, bank)
    return around


def _cloth(rng: np.random.Generator, bank: AssetBank) -> Texture:
    return bank.fabrics[int(rng.integers(len(bank.fabrics)))]


def _add_crib(rng: np.random.Generator, around: Surroundings, person: Person, bank: AssetBank) -> None:
    """Bars round the mattress, painted or of wood, with some room round the body."""
    woods = [index for index, kind in enumerate(bank.floor_kinds) if kind == "wood"]
    painted = rng.random() < 0.5 or not woods
    shelf = bank.diapers if painted else [bank.floors[index].texture for index in woods]
    half = person.size * rng.uniform(0.62, 0.95) * np.array([1.0, rng.uniform(0.75, 1.0)])
    around.meshes.append(props.crib(rng, shelf[int(rng.integers(len(shelf)))], person.middle, half))
    around.choices["crib"] = True


def _add_hand(
    rng: np.random.Generator, around: Surroundings, person: Person, surface: Surface, camera: Camera, bank: AssetBank
) -> None:
    """Somebody's hand at the infant."""
    skin = bank.skins[int(rng.integers(len(bank.skins)))]
    arm = reaching_arm(rng, surface, skin, person.vertices, person.keypoints, camera)
    if arm is not None:
        around.meshes.append(arm)
        around.choices["occluder"] = "hand"


def _add_walls(
    rng: np.random.Generator, around: Surroundings, person: Person, camera: Camera, bank: AssetBank, ground: Ground
) -> None:
    """A wall or a corner behind the person; outdoors and in large rooms a background picture shows instead."""
    if ground.kind == "grass" or rng.random() < 0.25:
        return
    away = person.middle[:2] - camera.position[:2]
    away /= max(float(np.linalg.norm(away)), 1e-6)
    size = person.size
    distance = size * rng.uniform(0.9, 2.2)
    texture = bank.walls[int(rng.integers(len(bank.walls)))]
    angle = rng.normal(0, 0.35)
    for turn in (angle, angle + np.pi / 2 * rng.choice((-1, 1)))[: 1 + int(rng.random() < 0.4)]:
        direction = np.array(
            [away[0] * np.cos(turn) - away[1] * np.sin(turn), away[0] * np.sin(turn) + away[1] * np.cos(turn)]
        )
        place = person.middle[:2] + direction * distance
        around.meshes.append(props.wall(texture, place, -direction, 12 * size, max(2.8, 2.3 * size)))
    around.choices["wall"] = texture.kind


def _add_toys(rng: np.random.Generator, around: Surroundings, person: Person, bank: AssetBank, most: int) -> None:
    """Things on the floor that do not touch the person."""
    size = person.size
    outline = person.vertices[::9, :2]
    for _ in range(int(rng.integers(most + 1))):
        width = rng.uniform(0.05, 0.16) if person.population == "infant" else rng.uniform(0.25, 0.7)
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.9) * size + width
        place = person.middle + distance * np.array([np.cos(angle), np.sin(angle), 0.0])
        if np.linalg.norm(outline - place[:2].astype(np.float32), axis=1).min() > 0.8 * width:
            around.meshes.append(
                props.moved(
                    props.toy(rng, bank.toys[int(rng.integers(len(bank.toys)))], width), rng.uniform(0, 6.3), place
                )
            )


def _add_occluders(
    rng: np.random.Generator, around: Surroundings, person: Person, camera: Camera, bank: AssetBank
) -> None:
    """Something held before a limb, or a blanket over the legs."""
    infant = person.population == "infant"
    if rng.random() < 0.25:
        limb = person.keypoints[int(rng.choice((7, 8, 9, 10, 13, 14, 15, 16)))]
        towards = camera.position - limb
        towards /= np.linalg.norm(towards)
        width = rng.uniform(0.05, 0.11) if infant else rng.uniform(0.15, 0.4)
        thing = props.toy(rng, bank.toys[int(rng.integers(len(bank.toys)))], width)
        middle = limb + towards * width * rng.uniform(0.5, 0.9) - np.array([0, 0, width / 2])
        middle[2] = max(middle[2], 0.0)
        around.meshes.append(props.moved(thing, rng.uniform(0, 2 * np.pi), middle))
        around.choices["occluder"] = thing.name
    elif infant and rng.random() < 0.12 and person.high[2] < 0.3:
        legs = person.keypoints[13:17, :2]
        margin = rng.uniform(0.03, 0.10)
        low, high = legs.min(0) - margin, legs.max(0) + margin
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        around.meshes.append(props.drape(rng, person.vertices, box, _cloth(rng, bank)))
        around.choices["occluder"] = "cover"


def draw_lights(rng: np.random.Generator) -> tuple[tuple[Light, ...], tuple[float, float, float]]:
    """One light, sometimes two, and what comes from all sides; together they light a white surface to about 1."""
    kind = int(rng.integers(len(LIGHT_COLOURS)))
    share = rng.uniform(0.35, 0.75)  # of the lights in all that arrives
    exposure = rng.uniform(0.8, 1.25)
    lights = [_light(rng, LIGHT_COLOURS[kind] * share * exposure * 1.3, (30, 80))]
    if rng.random() < 0.3:
        other = LIGHT_COLOURS[int(rng.integers(len(LIGHT_COLOURS)))]
        lights.append(_light(rng, other * rng.uniform(0.15, 0.4) * exposure, (15, 70)))
    tint = LIGHT_COLOURS[kind] * 0.4 + LIGHT_COLOURS[int(rng.integers(len(LIGHT_COLOURS)))] * 0.6
    red, green, blue = tint * (1 - share) * exposure * 1.2
    return tuple(lights), (float(red), float(green), float(blue))


def draw_night_lights(
    rng: np.random.Generator, towards_camera: FloatArray
) -> tuple[tuple[Light, ...], tuple[float, float, float]]:
    """The lamps round the lens of a baby monitor, and little else."""
    x, y, z = (float(value) for value in towards_camera / np.linalg.norm(towards_camera))
    level, dark = float(rng.uniform(0.7, 1.1)), float(rng.uniform(0.05, 0.2))
    return (Light((x, y, z), (level, level, level), float(rng.uniform(0.02, 0.06))),), (dark, dark, dark)


def _light(rng: np.random.Generator, colour: FloatArray, elevation: tuple[float, float]) -> Light:
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(*elevation))
    direction = (np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height))
    x, y, z = (float(value) for value in direction)
    red, green, blue = (float(value) for value in colour)
    return Light((x, y, z), (red, green, blue), float(rng.uniform(0.03, 0.14)))
