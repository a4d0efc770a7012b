"""One labelled image: drawn until enough of the body shows, rendered, photographed, labelled, written."""

from __future__ import annotations

import io
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fidip.annotations import Domain, LabelledImage, Person
from fidip.coco import write_coco
from fidip.errors import RecipeError
from fidip.files import write_bytes
from fidip.geometry import Size
from fidip.images import encode_image
from fidip.synthesis.appearance import NO_PICTURES
from fidip.synthesis.bodies import BodyChoice
from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.fitted import FittedBodies, as_fitted
from fidip.synthesis.labels import project_labels, share_in_frame
from fidip.synthesis.pictures import UserPictures
from fidip.synthesis.prior_poses import PriorPoses
from fidip.synthesis.scene import SCENE_STYLES, DrawnScene, SceneStyle, Subject, at_ages, draw_scene, draw_subject
from fidip.synthesis.sensor import photograph
from fidip.synthesis.surface import surface_of
from fidip.synthesis.world import Renderer, Rendering

IMAGES, LABELS, TRUTH = "images", "labels", "truth"

REFUSED = "refused"
"""The field of an image that counts the draws before it, by what was wrong with them."""

LEAST_VISIBLE, LEAST_IN_FRAME, TRIES = 6, 0.7, 20
"""A draw with fewer visible keypoints, or a smaller share of the body in the frame, is drawn anew, so often."""

TURNED_AFTER = 2
"""Draws in which a fitted body is shown as it was chosen; after each so many more it is turned further."""

BUNDLED = BodyChoice()


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the bytes of a run."""

    style: str  # of SCENE_STYLES
    count: int
    size: Size  # width, height
    seed: int
    keep_ground_truth: bool = False
    months: tuple[float, float] | None = None  # of age; None: the whole population
    pictures: UserPictures = NO_PICTURES
    fitted: FittedBodies | None = None  # whom the images show, instead of drawn bodies
    body: BodyChoice = BUNDLED
    prior: PriorPoses | None = None  # where poses come from, instead of the sampler

    def to_json(self) -> dict[str, Any]:
        """The settings as plain JSON values; the user's pictures by their fingerprints."""
        return {
            "style": self.style,
            "count": self.count,
            "size": list(self.size),
            "seed": self.seed,
            "keep_ground_truth": self.keep_ground_truth,
            "age_months": None if self.months is None else list(self.months),
            "pictures": self.pictures.fingerprints(),
            "fits": None if self.fitted is None else self.fitted.to_json(),
            "body": {"name": self.body.name, "files": self.body.hashes()},
            "prior": None if self.prior is None else self.prior.to_json(),
        }

    @property
    def scene_style(self) -> SceneStyle:
        """The style with these ages. Raises ``RecipeError`` where nobody is of them."""
        style = SCENE_STYLES[self.style]
        if self.fitted is not None:
            return as_fitted(style)
        return style if self.months is None else at_ages(style, self.months)


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
    style = settings.scene_style
    salt = zlib.crc32(settings.style.encode())
    refused: Counter[str] = Counter()
    for attempt in range(TRIES):
        rng = np.random.default_rng([settings.seed, number, salt, attempt])
        subject = _subject(rng, settings, (number, attempt), body, style)
        refused.update(check for faults in subject.refused for check in {fault.check for fault in faults})
        drawn = draw_scene(rng, subject, surface_of(body), style, settings.size, settings.pictures)
        if share_in_frame(drawn.scene.camera, subject.vertices) < LEAST_IN_FRAME:
            refused["out of the frame"] += 1
            continue
        rendering = renderer(drawn.scene, int(rng.integers(2**31)))
        person = project_labels(drawn.scene.camera, subject.keypoints, rendering)
        if (person.keypoints[:, 2] == 2).sum() >= LEAST_VISIBLE:
            pixels = photograph(rendering.colour, drawn.sensor, rng)
            return Sample(_label(settings, number, drawn, person, refused), pixels, drawn, rendering)
        refused["hidden"] += 1
    raise RecipeError(
        f"image {number}: {TRIES} draws of {settings.style} at {settings.size[0]} x {settings.size[1]} pixels show too "
        "little of the body; choose a larger or squarer size"
    )


def _subject(
    rng: np.random.Generator, settings: Settings, draw: tuple[int, int], body: BodyModel, style: SceneStyle
) -> Subject:
    """Who is in the image of a number, at an attempt."""
    number, attempt = draw
    if settings.fitted is not None:
        return settings.fitted.subject(number, body, rng, attempt // TURNED_AFTER)
    if settings.prior is not None:
        return settings.prior.draw(rng, body, style)
    return draw_subject(rng, body, style)


def _label(
    settings: Settings, number: int, drawn: DrawnScene, person: Person, refused: Mapping[str, int]
) -> LabelledImage:
    subject = drawn.subject
    suffix = ".png" if drawn.sensor.jpeg_quality is None else ".jpg"
    person = replace(person, id=number + 1, keypoints=np.round(person.keypoints, 3))
    return LabelledImage(
        id=number + 1,
        file_name=_name(number) + suffix,
        width=settings.size[0],
        height=settings.size[1],
        people=(person,),
        domain=Domain.SYNTHETIC,
        posture=subject.posture,
        subject=subject.origin,
        body_seed=subject.body_seed,
        extras={
            "style": settings.style,
            "renderer": SCENE_STYLES[settings.style].renderer,
            "age_months": None if subject.years is None else round(12 * subject.years, 1),
            REFUSED: dict(sorted(refused.items())),
            "scene": drawn.provenance,
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One image as it goes to the disk, or first over a network to the machine that has the disk."""

    number: int
    files: Mapping[str, bytes]  # by their path in the set's folder
    label: LabelledImage


def encode_sample(settings: Settings, number: int, body: BodyModel, renderer: Renderer) -> Encoded:
    """The image of a number with all its files. Raises as :func:`make_sample`."""
    sample = make_sample(settings, number, body, renderer)
    image = sample.label.file_name
    files = {f"{IMAGES}/{image}": encode_image(sample.pixels, Path(image).suffix, sample.drawn.sensor.jpeg_quality)}
    if settings.keep_ground_truth:
        shown = sample.rendering
        pictures: dict[str, NDArray[np.uint8] | NDArray[np.uint16]] = {
            "mask": _mask(shown), "parts": _parts(shown), "depth": _millimetres(shown),
        }  # fmt: skip
        files |= {f"{TRUTH}/{_name(number)}_{kind}.png": _png(pixels) for kind, pixels in pictures.items()}
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=False, **_ground_truth(sample))
        files[f"{TRUTH}/{_name(number)}.npz"] = stream.getvalue()
    return Encoded(number, files, sample.label)


def write_encoded(out: Path, encoded: Encoded) -> None:
    """Write the files of an image and last its label, which says that the others are there."""
    for name, data in encoded.files.items():
        write_bytes(out / name, data)
    write_coco(label_file(out, encoded.number), [encoded.label])


def _ground_truth(sample: Sample) -> dict[str, Any]:
    """What is known of body and camera besides the image; metres, radians."""
    camera, subject = sample.drawn.scene.camera, sample.drawn.subject
    return {
        "keypoints": subject.keypoints,
        "joints": subject.joints,
        "shape": subject.shape,
        "rotations": subject.rotations,
        "translation": subject.translation,
        "camera_focal": np.float64(camera.focal),
        "camera_principal": np.array(camera.principal),
        "camera_rotation": camera.rotation,
        "camera_position": camera.position,
    }


def _mask(rendering: Rendering) -> NDArray[np.uint8]:  # (H, W) 255 where the body or its clothes show
    return np.where(rendering.part >= 0, np.uint8(255), np.uint8(0))


def _parts(rendering: Rendering) -> NDArray[np.uint8]:  # (H, W) 0 for what is no body, else 1 + the index in PARTS
    return (rendering.part + 1).astype(np.uint8)


def _millimetres(rendering: Rendering) -> NDArray[np.uint16]:  # (H, W) 0 where nothing was hit
    return np.clip(np.round(1000 * rendering.depth), 0, 65535).astype(np.uint16)


def _png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """A grey picture of 8 or 16 bits."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def _name(number: int) -> str:
    return f"{number + 1:06d}"


def label_file(out: Path, number: int) -> Path:
    """Where the label of one image waits until all are there."""
    return out / LABELS / f"{_name(number)}.json"
