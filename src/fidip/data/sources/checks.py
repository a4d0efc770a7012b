"""What every converted label has to stand: keypoints and boxes inside the image, areas that can be true."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from fidip.annotations import Box, LabelledImage, Person
from fidip.coco import read_coco
from fidip.data.tally import Tally
from fidip.errors import DataWarning, ImageError
from fidip.geometry import Size
from fidip.images import read_image

EDGE = 1.0
"""Pixels by which a keypoint may lie outside: people click on the border, and the formats differ by half a pixel."""

SMALLEST_SIDE = 2.0
"""Pixels; the published loaders drop a box that is narrower inside its image."""

LARGEST_SHARE, SMALLEST_SHARE = 1.01, 0.1
"""Of its box a person can cover all (save for rounding) and hardly less than a tenth; evaluation holds the same."""


def read_annotations(path: Path, tally: Tally) -> list[LabelledImage]:
    """A COCO file whose known defects go into the tally instead of warnings. Raises ``DataError``."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        images = read_coco(path)
    for warning in caught:
        tally.change(str(warning.message).removeprefix(f"{path}: "), path.name)
    return images


def checked_person(person: Person, size: Size, tally: Tally, place: str, *, measured: bool = True) -> Person | None:
    """The person as the output will hold them, or ``None`` if nothing usable is left.

    Keypoints outside the image become unlabelled, the box is cut to the image, and an area that cannot be true is
    replaced by the box's; all of them are if the set has ``measured`` none. What was done goes into the tally.
    """
    keypoints = person.keypoints.copy()
    x, y, visibility = keypoints.T
    outside = (x < -EDGE) | (x > size[0] - 1 + EDGE) | (y < -EDGE) | (y > size[1] - 1 + EDGE)
    outside &= visibility > 0
    if outside.any():
        tally.change("keypoints outside the image made unlabelled", place)
        keypoints[outside] = 0.0
    if not keypoints[:, 2].any():
        tally.leave_out("no labelled keypoint", place)
        return None
    if person.box is None:
        tally.remark("no box: training makes one around the keypoints", place)
        return replace(person, keypoints=keypoints)
    box = cut_box(person.box, size)
    if box is None:
        tally.leave_out("the box lies outside the image", place)
        return None
    if box != person.box:
        tally.change("box cut to the image", place)
    if _keypoint_beyond(keypoints, box):
        tally.remark("a labelled keypoint lies outside the box", place)
    return replace(person, keypoints=keypoints, box=box, area=_true_area(person.area, box, tally, place, measured))


def cut_box(box: Box, size: Size) -> Box | None:
    """The part of a box inside its image; ``None`` if that is narrower than ``SMALLEST_SIDE``."""
    left, top = max(box[0], 0.0), max(box[1], 0.0)
    width, height = min(box[0] + box[2], float(size[0])) - left, min(box[1] + box[3], float(size[1])) - top
    if width < SMALLEST_SIDE or height < SMALLEST_SIDE:
        return None
    inside = left == box[0] and top == box[1] and box[0] + box[2] <= size[0] and box[1] + box[3] <= size[1]
    return box if inside else (left, top, width, height)


def image_problem(path: Path, size: Size) -> str | None:
    """Decode an image; what is wrong if it has another size than its label says.

    Raises:
        ImageError: it cannot be read.
    """
    height, width = read_image(path).shape[:2]
    return None if (width, height) == size else wrong_size((width, height), size)


def wrong_size(found: Size, labelled: Size) -> str:
    """The problem in words."""
    return f"the image is {found[0]} x {found[1]}, labelled as {labelled[0]} x {labelled[1]}"


def usable_image(path: Path, size: Size, tally: Tally, place: str) -> bool:
    """Whether an image can be decoded and has its label's size; if not, the tally says why."""
    try:
        problem = image_problem(path, size)
    except ImageError as error:
        tally.unreadable.append(str(error))
        return False
    if problem:
        tally.leave_out("the image has another size than its label", f"{place}: {problem}")
    return not problem


def _keypoint_beyond(keypoints: np.ndarray, box: Box) -> bool:
    x, y, visibility = keypoints.T
    inside = (x >= box[0] - EDGE) & (x <= box[0] + box[2] - 1 + EDGE)
    inside &= (y >= box[1] - EDGE) & (y <= box[1] + box[3] - 1 + EDGE)
    return bool((~inside & (visibility > 0)).any())


def _true_area(area: float | None, box: Box, tally: Tally, place: str, measured: bool) -> float:
    whole = box[2] * box[3]
    possible = area is not None and SMALLEST_SHARE * whole <= area <= LARGEST_SHARE * whole
    if measured and possible and area is not None:
        return area
    if area is None:
        tally.change("no area: the box's is taken", place)
    elif not possible:
        tally.change("an impossible area replaced by the box's", place)
    elif abs(area - whole) > (LARGEST_SHARE - 1) * whole:
        tally.change("an area that nobody measured replaced by the box's", place)
    return whole
