"""Photos on disk in, poses and pictures on disk out."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fidip.annotations import Box, LabelledImage, Person
from fidip.coco import write_coco, write_results
from fidip.drawing import draw_people
from fidip.errors import DataError, DataWarning, ImageError
from fidip.geometry import clip_box
from fidip.images import image_size, read_image, write_image
from fidip.inference.predictor import Predictor
from fidip.networks.estimation import SEEN
from fidip.skeleton import SKELETONS

LONGEST_OVERLAY = 1600
"""Pixels: larger photos are drawn on a reduced copy, where the lines stay readable and the files small."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to look at: its place, its record (id and size) and the boxes to look into, if they are known.

    Boxes from a detector bring its scores; those of a truth file count as certain.
    """

    path: Path
    record: LabelledImage
    boxes: tuple[Box, ...] | None = None
    box_scores: tuple[float, ...] = ()


def plan_photos(
    paths: Sequence[Path], truth: Sequence[LabelledImage] | None, truth_file: Path | None
) -> tuple[list[Photo], list[ImageError]]:
    """Give every photo its id and its boxes; whatever cannot be opened is left out, and its error returned.

    Without a file of boxes the ids count from 1. With one, photos are joined to its images by file name and carry their
    ids; an image in which nobody has a box is looked at as a whole. Boxes outside their image are left out with a
    ``DataWarning``.

    Raises:
        DataError: two photos share a file name, a photo is not in the file or twice, or has another size there.
    """
    repeated = next((name for name, count in Counter(path.name for path in paths).items() if count > 1), None)
    if repeated is not None:
        raise DataError(repeated, "", "two photos have this file name; rename one, since results are joined by name")
    known: dict[str, list[LabelledImage]] = {}
    for image in truth or ():
        known.setdefault(Path(image.file_name).name, []).append(image)
    photos, unread = [], []
    for number, path in enumerate(paths, start=1):
        entry = None if truth is None else _entry(path, known.get(path.name, []), truth_file)
        try:
            size = image_size(path)
        except ImageError as error:
            unread.append(error)
            continue
        if entry is None:
            photos.append(Photo(path, LabelledImage(number, path.name, *size)))
        elif size == (entry.width, entry.height):
            photos.append(_with_boxes(path, entry, truth_file))
        else:
            problem = f"{path.name} is {entry.width}x{entry.height} there, but the photo is {size[0]}x{size[1]}"
            raise DataError(truth_file or "", "images", problem)
    return photos, unread


def predict_photos(
    predictor: Predictor, photos: Sequence[Photo], overlays: Path
) -> Iterator[tuple[Photo, list[Person] | ImageError]]:
    """Look at one photo after another and draw an overlay of each; a photo that cannot be read yields its error."""
    skeleton = SKELETONS[predictor.net.card.skeleton]
    for photo in photos:
        try:
            image = read_image(photo.path)
        except ImageError as error:
            yield photo, error
            continue
        people = predictor(image, photo.boxes)
        if photo.boxes is not None:
            scored = zip(people, photo.box_scores, strict=True)
            people = [replace(person, score=(person.score or 0.0) * score) for person, score in scored]
        write_image(overlays / f"{photo.path.name}.png", draw_people(*_reduced(image, people), skeleton, SEEN))
        yield photo, people


def write_predictions(folder: Path, people: Mapping[int, Sequence[Person]], photos: Sequence[Photo]) -> None:
    """Write ``results.json`` (COCO results) and ``predictions.json`` (an annotation file that labelling tools open).

    In the annotation file a keypoint of a confidence above 0.2 counts as visible, any other as occluded; beside them
    stand the confidences as ``keypoint_scores``.
    """
    write_results(folder / "results.json", people)
    labelled = [
        replace(photo.record, people=tuple(_as_label(person) for person in people[photo.record.id]))
        for photo in photos
        if photo.record.id in people
    ]
    write_coco(folder / "predictions.json", labelled)


def _entry(path: Path, named: Sequence[LabelledImage], truth_file: Path | None) -> LabelledImage:
    """The one image of the truth file that has the photo's name."""
    if not named:
        raise DataError(truth_file or "", "images", f"no image is named {path.name}; add it, or leave out the photo")
    if len(named) > 1:
        problem = f"{len(named)} images are named {path.name}; rename them, since photos are joined by name"
        raise DataError(truth_file or "", "images", problem)
    return named[0]


def _with_boxes(path: Path, image: LabelledImage, truth_file: Path | None) -> Photo:
    given = [person for person in image.people if person.box is not None and not person.crowd]
    boxed = [person for person in given if person.box and clip_box(person.box, (image.width, image.height))]
    if len(boxed) < len(given):
        problem = f"{len(given) - len(boxed)} boxes of {image.file_name} have no pixel in the image, left out"
        warnings.warn(f"{truth_file}: {problem}", DataWarning, stacklevel=3)
    boxes = tuple(person.box for person in boxed if person.box is not None)
    scores = tuple(1.0 if person.score is None else person.score for person in boxed)
    return Photo(path, image, boxes or None, scores)


def _reduced(image: NDArray[np.uint8], people: Sequence[Person]) -> tuple[NDArray[np.uint8], list[Person]]:
    height, width = image.shape[:2]
    factor = min(1.0, LONGEST_OVERLAY / max(width, height))
    if factor == 1.0:
        return image, list(people)
    small = cv2.resize(image, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    # Pixel centres: the first pixel of the small picture covers 1/factor pixels of the large one.
    moved = [(person, (person.keypoints[:, :2] + 0.5) * factor - 0.5) for person in people]
    reduced = [replace(p, keypoints=np.column_stack([xy, p.keypoints[:, 2]]), box=None) for p, xy in moved]
    return np.asarray(small, dtype=np.uint8), reduced


def _as_label(person: Person) -> Person:
    scores = person.keypoints[:, 2]
    keypoints = np.column_stack([person.keypoints[:, :2], np.where(scores > SEEN, 2.0, 1.0)])
    return replace(person, keypoints=keypoints, extras={"keypoint_scores": [round(float(s), 6) for s in scores]})
