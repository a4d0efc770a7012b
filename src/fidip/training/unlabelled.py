"""Photos and films without labels as something to learn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from fidip.annotations import LabelledImage, Person
from fidip.coco import read_coco
from fidip.data.video import FILM_SUFFIXES, Films, choose_frames, frame_name
from fidip.errors import DataError
from fidip.geometry import Size
from fidip.images import PHOTO_SUFFIXES, image_size
from fidip.skeleton import COCO_17, Skeleton
from fidip.training.inputs import LabelledSet

EVERY = 1.0
"""Seconds of a film for each of which one frame is taken."""


def read_unlabelled(
    place: Path | str,
    boxes: Path | None = None,
    skeleton: Skeleton = COCO_17,
    every: float = EVERY,
    tick: Callable[[], None] = lambda: None,
) -> LabelledSet:
    """The photos and films of a folder, or one film; one person fills each picture, or a COCO file says who is where.

    Of ``boxes`` the boxes alone are taken, whatever keypoints it holds (it may be what ``fidip predict`` wrote), joined
    by file name; photos that it does not name are taken whole, and those in which it names nobody are left out.

    Of a film the sharpest frame of every so many seconds is taken, or, where ``boxes`` names frames of it as
    ``frame_name`` does, those. All are of one source, the film's name. ``tick`` is called for each frame looked at.

    Raises:
        DataError: no such place, no photo or film in it, or the file cannot be read or names a photo twice.
        ImageError: a photo or film cannot be opened.
    """
    place = Path(place)
    if not 0 < every < float("inf"):
        raise DataError(place, "", f"a frame every {every:g} seconds; give a number above 0")
    photos, films = _pictures_in(place)
    entries = _by_name(boxes, skeleton) if boxes else {}
    pictures = [(path, "", image_size(path)) for path in photos]
    frames: dict[Path, list[int]] = {}
    for film in films:
        named = _named_frames(film, entries)
        frames[film], size = (sorted(named), None) if named else choose_frames(film, every, tick=tick)
        pictures += [(film / frame_name(film, n), film.name, size or named[n]) for n in frames[film]]
    nobody = np.zeros((len(skeleton), 3))
    images: list[LabelledImage] = []
    kept: list[Path] = []
    for path, source, found_size in pictures:
        size = found_size
        people: tuple[Person, ...] = (Person(nobody, box=(0.0, 0.0, float(size[0]), float(size[1]))),)
        found = entries.get(path.name)
        if found is not None:
            people = tuple(replace(person, keypoints=nobody) for person in found.people if person.box is not None)
            size = (found.width, found.height)  # compared with the picture when it is read
        if people:
            images.append(LabelledImage(len(images) + 1, path.name, *size, people, source=source or None))
            kept.append(path)
    if not images:
        raise DataError(
            boxes or place, "annotations", f"nobody has a box in the pictures of {place}; leave out the file"
        )
    return LabelledSet(boxes or place, images, kept, Films(frames) if frames else None)


def is_film(place: Path) -> bool:
    """Whether this is a file that is a film by its suffix."""
    return place.is_file() and place.suffix.lower() in FILM_SUFFIXES


def _pictures_in(place: Path) -> tuple[list[Path], list[Path]]:
    """Photos and films, each in the order of their names; hidden files are none."""
    if is_film(place):
        return [], [place]
    if not place.is_dir():
        kinds = ", ".join(FILM_SUFFIXES)
        raise DataError(place, "", f"no such folder; name a folder of photos or films, or one film ({kinds})")
    files = sorted(path for path in place.iterdir() if path.is_file() and not path.name.startswith("."))
    photos, films = (
        [path for path in files if path.suffix.lower() in suffixes] for suffixes in (PHOTO_SUFFIXES, FILM_SUFFIXES)
    )
    if not photos and not films:
        raise DataError(place, "", f"no photo or film in this folder ({', '.join(PHOTO_SUFFIXES + FILM_SUFFIXES)})")
    return photos, films


def _by_name(boxes: Path, skeleton: Skeleton) -> dict[str, LabelledImage]:
    entries: dict[str, LabelledImage] = {}
    for entry in read_coco(boxes, skeleton):
        name = Path(entry.file_name).name
        if name in entries:
            raise DataError(boxes, "images", f"two images are named {name}; photos are joined by name")
        entries[name] = entry
    return entries


def _named_frames(film: Path, entries: Mapping[str, LabelledImage]) -> dict[int, Size]:
    """The frames of a film that a file of boxes names, and their sizes."""
    found = {}
    for name, entry in entries.items():
        digits = name.removeprefix(f"{film.name}-").removesuffix(".png")
        if digits.isascii() and digits.isdigit() and name == frame_name(film, int(digits)):
            found[int(digits)] = (entry.width, entry.height)
    return found
