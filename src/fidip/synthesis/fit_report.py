"""Pictures of fits: the body over its image and from its side, and a page that shows them all."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray, Person
from fidip.drawing import draw_people
from fidip.images import RGBImage, encode_image
from fidip.synthesis.bodies.protocol import BodyModel
from fidip.synthesis.fit_people import Fit, Subject, Unfit, posed
from fidip.synthesis.fits import Fits

LONGEST, THUMBNAIL = 800, 200
"""Pixels of the longer side of an overlay and of a picture on the page."""

MOST_CARDS = 400

BODY_COLOUR = np.array([205.0, 180.0, 160.0])
LIGHT = np.array([-0.35, -0.5, -0.79])  # where it comes from, in the camera's frame
OPACITY = 0.75
MARGIN = 0.25
"""Of the person's box, shown around it on the page."""


def overlay(image: RGBImage | None, subject: Subject, fits: Fits, index: int, body: BodyModel) -> RGBImage:
    """The fitted body over its image, or over white, with the labelled keypoints on it; not larger than ``LONGEST``."""
    width, height = subject.image.width, subject.image.height
    factor = min(1.0, LONGEST / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    canvas = np.full((size[1], size[0], 3), 255, np.uint8)
    if image is not None:
        canvas = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    vertices, _ = posed(body, fits, index)
    camera = fits.camera(index)
    projected = camera.project(vertices)
    projected[:, :2] = scaled_points(projected[:, :2], factor)
    drawn = draw_body(canvas, projected, camera.to_camera(vertices), body.faces)
    mixed = np.asarray(cv2.addWeighted(drawn, OPACITY, canvas, 1 - OPACITY, 0), np.uint8)
    return draw_people(mixed, [scaled_person(subject.person, factor)])


def from_the_side(fits: Fits, index: int, body: BodyModel, side: int = THUMBNAIL) -> RGBImage:  # (side, side, 3)
    """The fitted body as somebody to the camera's right would see it, without perspective: where depth was guessed."""
    vertices, _ = posed(body, fits, index)
    local = fits.camera(index).to_camera(vertices)
    turned = np.stack([local[:, 2], local[:, 1], -local[:, 0]], 1)
    low, high = turned.min(0), turned.max(0)
    scale = 0.9 * side / max(high[0] - low[0], high[1] - low[1])
    pixels = (turned[:, :2] - (low + high)[:2] / 2) * scale + (side - 1) / 2
    canvas = np.full((side, side, 3), 255, np.uint8)
    return draw_body(canvas, np.concatenate([pixels, turned[:, 2:]], 1), turned, body.faces)


def draw_body(
    canvas: RGBImage,  # (H, W, 3)
    projected: FloatArray,  # (V, 3) pixels and depth
    local: FloatArray,  # (V, 3) in the camera's frame
    faces: NDArray[np.int32],  # (F, 3)
) -> RGBImage:
    """A copy with a shaded body on it: faces that look at the camera, painted from the farthest to the nearest."""
    corners = local[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    flat = projected[faces]
    (ax, ay), (bx, by) = ((flat[:, corner, :2] - flat[:, 0, :2]).T for corner in (1, 2))
    with np.errstate(invalid="ignore"):
        seen = np.flatnonzero(ax * by - ay * bx < 0)  # their corners run clockwise in the picture
    shade = 0.45 + 0.55 * np.clip(normals[seen] @ LIGHT, 0, 1)
    order = seen[np.argsort(-flat[seen, :, 2].mean(1))]
    shades = dict(zip(seen.tolist(), shade.tolist(), strict=True))
    limit = 8 * max(canvas.shape)
    points = np.round(np.clip(projected[:, :2], -limit, limit) * 16).astype(np.int32)
    out = canvas.copy()
    for face in order.tolist():
        cv2.fillConvexPoly(out, points[faces[face]], (BODY_COLOUR * shades[face]).tolist(), cv2.LINE_8, 4)
    return out


def scaled_points(points: FloatArray, factor: float) -> FloatArray:  # (N, 2)
    """Where points of an image lie in the image scaled by a factor: pixels' centres are whole numbers in both."""
    return np.asarray((points + 0.5) * factor - 0.5)


def scaled_person(person: Person, factor: float) -> Person:
    """A person's keypoints in the scaled image."""
    keypoints = np.concatenate([scaled_points(person.keypoints[:, :2], factor), person.keypoints[:, 2:]], 1)
    return Person(keypoints)


def thumbnail(picture: RGBImage, person: Person, factor: float) -> RGBImage:
    """The part of an overlay around a person, ``THUMBNAIL`` pixels high and wide at most."""
    points = scaled_points(person.keypoints[person.labelled, :2], factor)
    low, high = points.min(0), points.max(0)
    around = MARGIN * (high - low).max() + 4
    height, width = picture.shape[:2]
    left, top = (int(np.clip(value, 0, size - 1)) for value, size in zip(low - around, (width, height), strict=True))
    right, bottom = (int(np.clip(value, 1, size)) for value, size in zip(high + around, (width, height), strict=True))
    part = picture[top : max(bottom, top + 1), left : max(right, left + 1)]
    scale = THUMBNAIL / max(part.shape[:2])
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    return np.asarray(cv2.resize(np.ascontiguousarray(part), size, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True, slots=True)
class Card:
    """One fit on the page: what is said of it, and JPEGs of it over its image and from the side."""

    fit: Fit
    pictures: tuple[bytes, bytes]


def draw_card(
    image: RGBImage | None, subject: Subject, fits: Fits, index: int, fit: Fit, body: BodyModel
) -> tuple[RGBImage, Card]:
    """The overlay of one fit and its card."""
    picture = overlay(image, subject, fits, index, body)
    factor = picture.shape[1] / subject.image.width
    shown = (thumbnail(picture, subject.person, factor), from_the_side(fits, index, body))
    front, side = (encode_image(each, ".jpg", 80) for each in shown)
    return picture, Card(fit, (front, side))


def contact_sheet(title: str, cards: Sequence[Card], unfit: Sequence[Unfit]) -> str:
    """One page that needs nothing beside it: the doubtful fits first, then the others."""
    ordered = sorted(cards, key=lambda card: (card.fit.plausible, -card.fit.reprojection_torso))[:MOST_CARDS]
    plausible = sum(card.fit.plausible for card in cards)
    lead = f"{len(cards)} fits, {plausible} of them plausible. Left: over the image; right: from its side."
    if len(cards) > MOST_CARDS:
        lead += f" The {MOST_CARDS} most doubtful are shown."
    left_out = "".join(f"<li>{_words(f'{each.file_name}, id {each.id}: {each.reason}')}</li>" for each in unfit)
    missing = f"<h2>Not fitted</h2><ul>{left_out}</ul>" if unfit else ""
    return PAGE.format(
        title=_words(title),
        lead=_words(lead),
        cards="".join(map(_card, ordered)),
        missing=missing,
    )


def _card(card: Card) -> str:
    fit = card.fit
    front, side = (base64.b64encode(data).decode() for data in card.pictures)
    reasons = "".join(f"<li>{_words(reason)}</li>" for reason in fit.reasons)
    name = _words(f"{fit.file_name}, id {fit.id}")
    return (
        f'<figure class="{"good" if fit.plausible else "bad"}"><div>'
        f'<img src="data:image/jpeg;base64,{front}" alt="fit over {name}">'
        f'<img src="data:image/jpeg;base64,{side}" alt="the same from the side"></div>'
        f"<figcaption>{name}: {fit.reprojection_torso:.1%}<ul>{reasons}</ul></figcaption></figure>"
    )


def _words(text: str) -> str:
    return html.escape(text)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff }}
main {{ display: flex; flex-wrap: wrap; gap: 1rem }}
figure {{ margin: 0; padding: .5rem; width: 26rem; border: 1px solid #ccc; border-left: .4rem solid #2a7f62 }}
figure.bad {{ border-left-color: #d55e00 }}
img {{ max-width: 49%; max-height: 200px }}
ul {{ margin: .2rem 0; padding-left: 1.2rem }}
</style></head><body><h1>{title}</h1><p>{lead}</p><main>{cards}</main>{missing}</body></html>
"""
