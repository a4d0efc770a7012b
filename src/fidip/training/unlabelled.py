"""Photos without labels as something to learn from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from fidip.annotations import LabelledImage, Person
from fidip.coco import read_coco
from fidip.errors import DataError
from fidip.images import image_size, photos_in
from fidip.skeleton import COCO_17, Skeleton
from fidip.training.inputs import LabelledSet


def read_unlabelled(folder: Path | str, boxes: Path | None = None, skeleton: Skeleton = COCO_17) -> LabelledSet:
    """The photos of a folder, each with one person who fills it, or with those of a COCO file, joined by file name.

    Of ``boxes`` the boxes alone are taken, whatever keypoints it holds (it may be what ``fidip predict`` wrote); photos
    that it does not name are taken whole, and those in which it names nobody are left out.

    Raises:
        DataError: no such folder, no photo in it, or the file cannot be read or names a photo twice.
        ImageError: a photo cannot be opened.
    """
    folder = Path(folder)
    paths = photos_in(folder)
    entries: dict[str, LabelledImage] = {}
    for entry in read_coco(boxes, skeleton) if boxes else ():
        name = Path(entry.file_name).name
        if name in entries:
            raise DataError(boxes or "", "images", f"two images are named {name}; photos are joined by name")
        entries[name] = entry
    nobody = np.zeros((len(skeleton), 3))
    images: list[LabelledImage] = []
    kept: list[Path] = []
    for path in paths:
        width, height = image_size(path)
        people: tuple[Person, ...] = (Person(nobody, box=(0.0, 0.0, float(width), float(height))),)
        found = entries.get(path.name)
        if found is not None:
            people = tuple(replace(person, keypoints=nobody) for person in found.people if person.box is not None)
            width, height = found.width, found.height  # compared with the photo when it is read
        if people:
            images.append(LabelledImage(len(images) + 1, path.name, width, height, people))
            kept.append(path)
    if not images:
        raise DataError(
            boxes or folder, "annotations", f"nobody has a box in the photos of {folder}; leave out the file"
        )
    return LabelledSet(boxes or folder, images, kept)
