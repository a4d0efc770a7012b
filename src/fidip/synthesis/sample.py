"""One labelled image: drawn until enough of the body shows, rendered, photographed, labelled, written."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import Domain, LabelledImage, Person
from fidip.coco import write_coco
from fidip.errors import RecipeError
from fidip.files import atomic_write
from fidip.geometry import Size
from fidip.images import write_image
from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.labels import project_labels, share_in_frame
from fidip.synthesis.scene import SCENE_STYLES, DrawnScene, draw_scene
from fidip.synthesis.sensor import photograph
from fidip.synthesis.world import Renderer, Rendering

IMAGES, LABELS, TRUTH = "images", "labels", "truth"

LEAST_VISIBLE, LEAST_IN_FRAME, TRIES = 8, 0.7, 20
"""A draw with fewer visible keypoints, or a smaller share of the body in the frame, is drawn anew, so often."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the bytes of a run."""

    style: str
    count: int
    size: Size
    seed: int
    keep_ground_truth: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image before it is written."""

    label: LabelledImage
    pixels: NDArray[np.uint8]  # (H, W, 3)
    drawn: DrawnScene
    rendering: Rendering


def make_sample(settings: Settings, number: int, body: BodyModel, renderer: Renderer) -> Sample:
    """The image of a number, drawn anew until enough of the body shows.

    Raises ``RecipeError`` after ``TRIES`` draws, which no style of ours comes near.
    """
    style = SCENE_STYLES[settings.style]
    salt = zlib.crc32(settings.style.encode())
    for attempt in range(TRIES):
        rng = np.random.default_rng([settings.seed, number, salt, attempt])
        drawn = draw_scene(rng, body, style, settings.size)
        if share_in_frame(drawn.scene.camera, drawn.vertices) < LEAST_IN_FRAME:
            continue
        rendering = renderer(drawn.scene, int(rng.integers(2**31)))
        person = project_labels(drawn.scene.camera, drawn.keypoints, rendering)
        if (person.keypoints[:, 2] == 2).sum() >= LEAST_VISIBLE:
            pixels = photograph(rendering.colour, drawn.sensor, rng)
            return Sample(_label(settings, number, drawn, person), pixels, drawn, rendering)
    raise RecipeError(
        f"image {number}: {TRIES} draws of {settings.style} at {settings.size[0]} x {settings.size[1]} pixels show too "
        "little of the body; choose a larger or squarer size"
    )


def _label(settings: Settings, number: int, drawn: DrawnScene, person: Person) -> LabelledImage:
    suffix = ".png" if drawn.sensor.jpeg_quality is None else ".jpg"
    person = replace(person, id=number + 1, keypoints=np.round(person.keypoints, 3))
    return LabelledImage(
        id=number + 1,
        file_name=_name(number) + suffix,
        width=settings.size[0],
        height=settings.size[1],
        people=(person,),
        domain=Domain.SYNTHETIC,
        posture=drawn.posture,
        body_seed=drawn.body_seed,
        extras={"style": settings.style, "renderer": SCENE_STYLES[settings.style].renderer, "scene": drawn.provenance},
    )


def write_sample(out: Path, settings: Settings, number: int, body: BodyModel, renderer: Renderer) -> None:
    """Write the image of a number, its ground truth if that is kept, and last its label. Raises as its parts do."""
    sample = make_sample(settings, number, body, renderer)
    write_image(out / IMAGES / sample.label.file_name, sample.pixels, sample.drawn.sensor.jpeg_quality)
    if settings.keep_ground_truth:
        with atomic_write(out / TRUTH / f"{_name(number)}.npz") as stream:
            np.savez_compressed(stream, allow_pickle=False, **_ground_truth(sample))
    write_coco(label_file(out, number), [sample.label])


def _ground_truth(sample: Sample) -> dict[str, Any]:
    """Everything known of an image: per pixel depth (metres) and part; of the body its parameters and joints."""
    camera, drawn = sample.drawn.scene.camera, sample.drawn
    return {
        "depth": sample.rendering.depth,
        "part": sample.rendering.part.astype(np.int8),
        "keypoints": drawn.keypoints,
        "joints": drawn.joints,
        "shape": drawn.shape,
        "rotations": drawn.pose.rotations,
        "translation": drawn.pose.translation,
        "camera_focal": np.float64(camera.focal),
        "camera_principal": np.array(camera.principal),
        "camera_rotation": camera.rotation,
        "camera_position": camera.position,
    }


def _name(number: int) -> str:
    return f"{number + 1:06d}"


def label_file(out: Path, number: int) -> Path:
    """Where the label of one image waits until all are there."""
    return out / LABELS / f"{_name(number)}.json"
