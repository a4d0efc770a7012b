"""SyRIP (Huang et al. 2021): photos of infants and rendered ones, each with one hand-labelled infant.

Layout: ``annotations/SUBSET/person_keypoints_{train,validate}_infant.json`` (SUBSET is 200R, 1000S, validate100, …), or
the same files straight in ``annotations/``; pictures in ``images/train_infant`` and ``images/validate_infant``.
Known of the released files, and handled here: ids from 0, one constant ``area`` for all or the box's, ``num_keypoints``
always 17, deleted keypoints at (−45, −45), boxes that leave the image, sources missing from ``validate100``, and one
video under several addresses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath

from fidip.annotations import LabelledImage
from fidip.coco import DELETED
from fidip.data.folder import Picture
from fidip.data.sources.checks import checked_person, read_annotations, usable_image
from fidip.data.sources.conversion import Progress
from fidip.data.tally import Tally
from fidip.errors import DataError, ImageError, RecipeError
from fidip.fields import Fields
from fidip.files import read_json, safe_join
from fidip.images import image_size

ANNOTATIONS = re.compile(r"person_keypoints_(\w+)\.json")
BOOKKEEPING = ("frame_id", "nframes", "is_labeled")
"""Fields of the labelling tool that say the same of every image."""
YOUTUBE = re.compile(r"(?:https?://)?(?:www\.|m\.)?(?:youtube\.com/watch\?(?:.*&)?v=|youtu\.be/)([\w-]{11})")


@dataclass(frozen=True, slots=True)
class Syrip:
    """A SyRIP folder and the subsets wanted of it; none named means the only one there is."""

    folder: Path
    subsets: tuple[str, ...] = ()

    def pictures(self, tally: Tally, progress: Progress) -> Iterator[Picture]:
        """See :class:`~fidip.data.sources.conversion.Source`. A unit is an image."""
        found = subset_files(self.folder)
        # What reading puts right is told with its places by label_defects instead.
        read = {file: read_annotations(file, Tally()) for name in self._chosen(found) for file in found[name]}
        names = {file: name for name, files in found.items() for file in files}
        sources = _known_sources([file for files in found.values() for file in files], tally)
        total, done = sum(map(len, read.values())), 0
        seen: set[Path] = set()
        for file, images in read.items():
            for what, place in label_defects(file):
                tally.change(what, place)
            for image, path in _joined(self.folder, file, images, tally):
                done += 1
                progress(done, total)
                place = f"{names[file]}/{image.file_name}"
                if path is None:
                    tally.leave_out("the picture is not there", place)
                elif path in seen:
                    tally.leave_out("the picture is already in another chosen subset", place)
                elif usable_image(path, (image.width, image.height), tally, place):
                    seen.add(path)
                    yield from _picture(image, path, names[file], sources, tally)

    def _chosen(self, found: dict[str, list[Path]]) -> tuple[str, ...]:
        there = ", ".join(found)
        if not self.subsets and len(found) > 1:
            raise RecipeError(f"{self.folder} holds several subsets; choose with --subset: {there}")
        missing = [name for name in self.subsets if name not in found]
        if missing:
            raise RecipeError(f"{self.folder} has no subset {missing[0]}; choose of {there}")
        return tuple(dict.fromkeys(self.subsets)) or tuple(found)


def subset_files(folder: Path) -> dict[str, list[Path]]:
    """The annotation files of each subset, by name in alphabetical order.

    Raises:
        DataError: there are none.
    """
    root = folder / "annotations"
    found: dict[str, list[Path]] = {}
    for file in sorted([*root.glob("person_keypoints_*.json"), *root.glob("*/person_keypoints_*.json")]):
        if match := ANNOTATIONS.fullmatch(file.name):
            found.setdefault(match[1] if file.parent == root else file.parent.name, []).append(file)
    if not found:
        problem = "no person_keypoints_*.json in annotations/ here; name the folder that holds annotations/ and images/"
        raise DataError(folder, "", problem)
    return dict(sorted(found.items()))


def published_name(set_name: str, id: int) -> str:
    """The file that the published loader opens for an id, whatever ``file_name`` says."""
    return f"test{id}.jpg" if set_name.startswith("validate") else f"train{id:05d}.jpg"


def one_address(source: str) -> str:
    """A video's address without time stamp and other variants, so that frames of one video share one source."""
    match = YOUTUBE.match(source.strip())
    return f"https://www.youtube.com/watch?v={match[1]}" if match else source.strip()


def label_defects(file: Path) -> Iterator[tuple[str, str]]:
    """What reading an annotation file puts right in silence, and where."""
    for fields in Fields.of(file, "", read_json(file)).objects("annotations"):
        values = fields.values.get("keypoints")
        if not isinstance(values, list):
            continue
        points = list(zip(values[::3], values[1::3], values[2::3], strict=False))
        deleted = [x == y == DELETED for x, y, _ in points]
        labelled = sum(v != 0 and not gone for (_, _, v), gone in zip(points, deleted, strict=True))
        place = f"{file.parent.name} {fields.where}"
        if any(deleted):
            yield "deleted keypoints at (-45, -45) made unlabelled", place
        if fields.values.get("num_keypoints", labelled) != labelled:
            yield "num_keypoints recounted", place


def _picture(image: LabelledImage, path: Path, subset: str, sources: dict[str, str], tally: Tally) -> Iterator[Picture]:
    place = f"{subset}/{image.file_name}"
    size = (image.width, image.height)
    checked = [checked_person(person, size, tally, place, measured=False) for person in image.people]
    people = tuple(person for person in checked if person is not None)
    if not people:
        if not image.people:
            tally.leave_out("nobody is labelled", place)
        return
    source = one_address(image.source or "")
    if source != (image.source or ""):
        tally.change("time stamps taken off the address of a video", place)
    if not source and (source := sources.get(_identity(image), "")):
        tally.change("source taken from another subset's file", place)
    if not source:
        tally.remark("no source is known, so a leak by it cannot be seen", place)
    if image.domain is None:
        tally.remark("is_synthetic is not given", place)
    extras = {key: value for key, value in image.extras.items() if key not in BOOKKEEPING}
    extras |= {"subset": subset, "original_id": image.id}
    bare = tuple(replace(p, extras={k: v for k, v in p.extras.items() if v not in ([], [[]])}) for p in people)
    yield Picture(replace(image, file_name=path.name, people=bare, source=source or None, extras=extras), path)


def _identity(image: LabelledImage) -> str:
    """What the subsets agree on: the first 200 of ``validate700`` were ``train00001.jpg`` and so on before."""
    return str(image.extras.get("original_file_name") or image.file_name)


def _original_name(image: LabelledImage) -> str:
    """Its last part: what stands before it is somebody's disk."""
    return PurePosixPath(_identity(image).replace("\\", "/")).name or image.file_name


def _known_sources(files: list[Path], tally: Tally) -> dict[str, str]:
    """Sources by identity, of every subset that is there, wanted or not."""
    images: list[LabelledImage] = []
    for file in files:
        try:
            images += read_annotations(file, Tally())
        except DataError as error:  # a wanted subset has been read before
            tally.remark("a subset that was not asked for cannot be read, so it gives no sources", str(error))
    return {_identity(image): one_address(image.source) for image in reversed(images) if image.source}


def _joined(
    folder: Path, file: Path, images: list[LabelledImage], tally: Tally
) -> list[tuple[LabelledImage, Path | None]]:
    """Every image with its picture.

    File names, ids and original file names disagree between releases (``test0.jpg`` of ``validate700`` is another image
    than that of ``validate500``), so for each annotation file the rule is taken under which most pictures are there in
    the labelled size.
    """
    match = ANNOTATIONS.fullmatch(file.name)
    set_name = match[1] if match else ""
    root = folder / "images"
    home = (root / set_name, root)
    everywhere = (*home, *sorted(path for path in root.glob("*") if path.is_dir() and path != home[0]))
    rules: dict[str, tuple[Callable[[LabelledImage], str], tuple[Path, ...]]] = {
        "file_name": (lambda image: image.file_name, home),
        "id, as the published loader does": (lambda image: published_name(set_name, image.id), home),
        "original_file_name": (_original_name, everywhere),
    }
    size_of = cache(_size_or_none)

    def fits(joined: list[tuple[LabelledImage, Path | None]]) -> int:
        return sum(path is not None and size_of(path) == (image.width, image.height) for image, path in joined)

    found = {rule: [(image, _first(places, name(image))) for image in images] for rule, (name, places) in rules.items()}
    best = max(found, key=lambda rule: fits(found[rule]))  # the first of equals
    if best != "file_name":
        tally.change(f"pictures joined by {best}, which fits more of them than file_name", file.parent.name)
    return found[best]


def _first(places: tuple[Path, ...], name: str) -> Path | None:
    return next((path for path in (safe_join(place, name) for place in places) if path.is_file()), None)


def _size_or_none(path: Path) -> tuple[int, int] | None:
    try:
        return image_size(path)
    except ImageError:
        return None
