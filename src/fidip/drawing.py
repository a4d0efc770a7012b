"""Poses drawn on pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray, Person
from fidip.geometry import box_around
from fidip.images import RGBImage
from fidip.skeleton import COCO_17, Skeleton

Color = tuple[int, int, int]
Side = Literal["left", "right", "center"]

PALETTE: dict[Side, Color] = {"left": (213, 94, 0), "right": (86, 180, 233), "center": (240, 228, 66)}
"""Vermillion, sky blue and yellow of Okabe and Ito's set, told apart with every common kind of colour blindness."""

OUTLINE: Color = (0, 0, 0)
FAINT_BELOW = 0.2
"""Confidence below which COCO rescoring ignores a keypoint (SimpleBaseline's validation)."""

_FAINT = 0.35  # opacity
_SHIFT = 4  # OpenCV draws in sixteenths of a pixel


@dataclass(frozen=True, slots=True)
class _Pen:
    """How wide one person's limbs are and how large the keypoints, in pixels."""

    width: int
    radius: float

    @classmethod
    def for_person(cls, person: Person, drawn: NDArray[np.bool_], image_size: tuple[int, ...]) -> _Pen:
        box = person.box or box_around(person.keypoints[drawn, :2])
        width = max(1, round(0.012 * min(2 * max(image_size), max(box[2], box[3]))))
        return cls(width, max(2.0, 1.3 * width))


def draw_people(
    image: RGBImage,  # (H, W, 3)
    people: Sequence[Person],
    skeleton: Skeleton = COCO_17,
    faint_below: float = FAINT_BELOW,
) -> RGBImage:
    """A copy of the image with every pose drawn on it; the subject's left, right and middle have a colour each.

    Of a label (a person without a score) the keypoints that carry one are drawn, occluded ones as a ring round a dark
    middle. Of a prediction all are drawn; keypoints with a confidence below ``faint_below``, and limbs that end in one,
    are faint.
    """
    faint: list[Callable[[RGBImage], None]] = []
    strong: list[Callable[[RGBImage], None]] = []
    sides = keypoint_sides(skeleton)
    for person in people:
        points, values = person.keypoints[:, :2], person.keypoints[:, 2]
        drawn = np.isfinite(points).all(axis=1) & (person.labelled if person.score is None else np.isfinite(values))
        if not drawn.any():
            continue
        pen = _Pen.for_person(person, drawn, image.shape[:2])
        sure = drawn & ((values >= faint_below) if person.score is not None else True)
        hollow = drawn & (values == 1) & (person.score is None)
        for a, b in skeleton.limbs:
            if drawn[a] and drawn[b]:
                color = PALETTE[_side_of_limb(sides[a], sides[b])]
                (strong if sure[a] and sure[b] else faint).append(partial(_limb, points[[a, b]], color, pen))
        for k in np.flatnonzero(drawn):
            color = PALETTE[sides[k]]
            (strong if sure[k] else faint).append(partial(_keypoint, points[k], color, pen, bool(hollow[k])))
    canvas = image.copy()
    if faint:
        for stroke in faint:
            stroke(canvas)
        canvas = np.asarray(cv2.addWeighted(canvas, _FAINT, image, 1 - _FAINT, 0), dtype=np.uint8)
    for stroke in strong:
        stroke(canvas)
    return canvas


def keypoint_sides(skeleton: Skeleton) -> tuple[Side, ...]:  # (K,)
    """The subject's side on which each keypoint lies: the first of a flip pair is the left one."""
    sides: list[Side] = ["center"] * len(skeleton)
    for left, right in skeleton.flip_pairs:
        sides[left], sides[right] = "left", "right"
    return tuple(sides)


def _side_of_limb(a: Side, b: Side) -> Side:
    """A limb from the middle to a side belongs to that side; one from side to side to the middle."""
    if a == b or b == "center":
        return a
    return b if a == "center" else "center"


def _fixed(points: FloatArray, size: tuple[int, ...]) -> NDArray[np.int32]:
    """OpenCV's fixed-point coordinates; points far outside the picture are moved to where 32 bits can hold them."""
    limit = 8 * max(size)
    return np.asarray(np.round(np.clip(points, -limit, limit) * (1 << _SHIFT)), dtype=np.int32)


def _limb(ends: FloatArray, color: Color, pen: _Pen, canvas: RGBImage) -> None:  # (2, 2)
    a, b = _fixed(ends, canvas.shape[:2]).tolist()
    for stroke, width in ((OUTLINE, pen.width + 2), (color, pen.width)):
        cv2.line(canvas, a, b, stroke, width, cv2.LINE_AA, _SHIFT)


def _keypoint(point: FloatArray, color: Color, pen: _Pen, hollow: bool, canvas: RGBImage) -> None:  # (2,)
    center = _fixed(point, canvas.shape[:2]).tolist()
    radius = round(pen.radius * (1 << _SHIFT))
    ring = max(1, pen.width // 2) if hollow else cv2.FILLED
    strokes = ((OUTLINE, radius + (1 << _SHIFT), cv2.FILLED), (color, radius, ring))
    for stroke, size, thickness in strokes:
        cv2.circle(canvas, center, size, stroke, thickness, cv2.LINE_AA, _SHIFT)
