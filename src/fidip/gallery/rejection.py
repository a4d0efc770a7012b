"""Synthetic images that a person has rejected are set aside, with their labels, and can be put back.

``rejected.json`` in the folder says which; it is written first, then the folder is made to agree with it: labels
go to ``rejected/annotations.json``, pictures and ground truth to ``rejected/images`` and ``rejected/truth``. The steps
are ordered so that after a kill at any moment

- every label stands in ``annotations.json`` or in ``rejected/annotations.json``, or in both;
- every file is in one of its two places, and in the first while ``annotations.json`` names its image;
- the same steps, gone through again, come to the same end.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fidip.annotations import LabelledImage
from fidip.coco import read_coco, write_coco
from fidip.errors import DataError, RecipeError
from fidip.fields import Fields
from fidip.files import (
    move_file,
    read_json,
    remove_stale_temporaries,
    safe_join,
    storage_error,
    write_json,
)
from fidip.platform import locked

ANNOTATIONS, IMAGES, TRUTH = "annotations.json", "images", "truth"

MADE_HERE = "synth.json"
"""What ``fidip synth`` writes first. Other folders are somebody's data: nothing in them is moved."""

DECISIONS, ASIDE = "rejected.json", "rejected"


ById = dict[int, LabelledImage]


@dataclass(frozen=True, slots=True, eq=False)
class Sorted:
    """The images of a folder as a person has sorted them, each part by id."""

    kept: tuple[LabelledImage, ...]
    rejected: tuple[LabelledImage, ...]

    @property
    def rejected_ids(self) -> frozenset[int]:
        """The ids of the rejected."""
        return frozenset(image.id for image in self.rejected)


def can_reject(folder: Path) -> bool:
    """Whether images of a folder may be set aside: ``fidip synth`` made and finished it."""
    return (folder / MADE_HERE).is_file() and (folder / ANNOTATIONS).is_file()


def decide(folder: Path, reject: Collection[int] = (), restore: Collection[int] = ()) -> Sorted:
    """Set images aside and put others back, by their ids; without ids, complete what was interrupted.

    Raises:
        RecipeError: the folder was not made by ``fidip synth``, or has no image of an id.
        DataError: one of its files is damaged.
        StorageError: it cannot be written to; the same call goes on where this one stopped.
    """
    if not can_reject(folder):
        raise RecipeError(f"{folder}: only images in a finished folder of fidip synth can be rejected")
    if both := set(reject) & set(restore):
        raise RecipeError(f"image {min(both)} is to be rejected and restored at once; choose one")
    try:
        with locked(folder / MADE_HERE):
            remove_stale_temporaries(folder)
            return _decide(folder, set(reject), set(restore))
    except OSError as error:
        raise storage_error(folder, error) from error


def _decide(folder: Path, reject: set[int], restore: set[int]) -> Sorted:
    kept = {image.id: image for image in read_coco(folder / ANNOTATIONS)}
    aside = _read_aside(folder)
    before = _read_decisions(folder, aside | kept)
    if before is None:
        before = set(aside) - set(kept)
    unknown = (reject | restore) - set(aside | kept)
    if unknown:
        raise RecipeError(f"{folder}: no image has the id {min(unknown)}")
    rejected = (before | reject) - restore
    if rejected != before:
        write_json(folder / DECISIONS, {"rejected": sorted(rejected)})
    return _settle(folder, kept, aside, rejected)


def _settle(folder: Path, kept: ById, aside: ById, rejected: set[int]) -> Sorted:
    """Make labels and files agree with what is rejected."""
    everything = sorted((aside | kept).values(), key=lambda image: image.id)
    result = Sorted(
        tuple(image for image in everything if image.id not in rejected),
        tuple(image for image in everything if image.id in rejected),
    )
    back = [image for image in aside.values() if image.id not in rejected]
    if not rejected <= set(aside):  # a label must not leave one file before it is in the other
        _write_aside(folder, [*result.rejected, *back])
    for source, target in _files(folder, back):
        move_file(target, source)
    if set(kept) != {image.id for image in result.kept}:
        write_coco(folder / ANNOTATIONS, result.kept)
    for source, target in _files(folder, result.rejected):  # only now does nobody look for them in their old place
        move_file(source, target)
    if back and rejected:
        _write_aside(folder, result.rejected)
    if not rejected:
        _remove_aside(folder)
    return result


def _read_aside(folder: Path) -> ById:
    file = folder / ASIDE / ANNOTATIONS
    return {image.id: image for image in read_coco(file)} if file.exists() else {}


def _write_aside(folder: Path, images: Collection[LabelledImage]) -> None:
    (folder / ASIDE).mkdir(exist_ok=True)
    remove_stale_temporaries(folder / ASIDE)
    write_coco(folder / ASIDE / ANNOTATIONS, sorted(images, key=lambda image: image.id))


def _remove_aside(folder: Path) -> None:
    """Leave no trace where nothing is rejected; what else somebody keeps in the folder stays."""
    (folder / ASIDE / ANNOTATIONS).unlink(missing_ok=True)
    for name in (f"{ASIDE}/{IMAGES}", f"{ASIDE}/{TRUTH}", ASIDE):
        with suppress(OSError):  # missing, or not empty
            (folder / name).rmdir()
    (folder / DECISIONS).unlink(missing_ok=True)


def _read_decisions(folder: Path, everything: Collection[int]) -> set[int] | None:
    file = folder / DECISIONS
    if not file.exists():
        return None
    fields = Fields.of(file, "", read_json(file))
    values: Any = fields.values.get("rejected")
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise fields.error("rejected", "expected a list of image ids")
    unknown = set(values) - set(everything)
    if unknown:
        problem = f"no image of this folder has the id {min(unknown)}; take it out of the list"
        raise DataError(file, "rejected", problem)
    return set(values)


def _files(folder: Path, images: Collection[LabelledImage]) -> Iterator[tuple[Path, Path]]:
    """Where the files of images stand in the set, and where when they are set aside."""
    for image in images:
        yield (safe_join(folder / IMAGES, image.file_name), safe_join(folder / ASIDE / IMAGES, image.file_name))
    stems = {Path(image.file_name).stem for image in images}
    places = [folder / TRUTH, folder / ASIDE / TRUTH]
    names = {entry.name for place in places if place.is_dir() for entry in place.iterdir()}
    for name in sorted(names):
        if re.split(r"[._]", name, maxsplit=1)[0] in stems:  # 000012.npz, 000012_mask.png
            yield places[0] / name, places[1] / name
