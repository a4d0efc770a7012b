"""Several COCO keypoint files, each with its images, to one folder: ids from 1, names made unique, copies found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fidip.annotations import LabelledImage
from fidip.coco import image_paths, read_coco
from fidip.data.folder import FileMode, Picture, summary, writing_folder
from fidip.data.tally import Tally
from fidip.errors import DataError, RecipeError
from fidip.files import sha256_of
from fidip.images import image_size

Duplicates = Literal["refuse", "drop", "keep"]
"""What to do where one picture (the same bytes) comes up again: stop, leave the later one out, or keep both."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge made, of which files, and what it changed."""

    made: dict[str, Any]
    files: list[dict[str, Any]]
    tally: Tally

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return self.made | {"files": self.files} | self.tally.to_json()


def merge(
    annotations: Sequence[Path],
    out: Path,
    folders: Sequence[Path] = (),
    files: FileMode = "copy",
    duplicates: Duplicates = "refuse",
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Merged:
    """Write the images and people of several files, in the order given, to a new folder.

    Images lie beside their file, or in ``folders``, one for each file. Domains, postures, sources and subjects are
    kept; ids are given anew from 1.

    Raises:
        DataError: a file cannot be read, an image is missing or of another size than its label, or one picture comes
            up twice and duplicates are refused.
        StorageError: the output cannot be written; nothing is left behind.
    """
    if len(annotations) < 2:
        raise RecipeError("merge needs two files or more")
    if folders and len(folders) != len(annotations):
        raise RecipeError(f"--images names {len(folders)} folders for {len(annotations)} files; name one for each")
    sets = []
    for number, file in enumerate(annotations):
        images = read_coco(file)
        sets.append((file, images, image_paths(file, images, folders[number] if folders else None)))
    tally = Tally()
    _remark_shared_origins([(file, images) for file, images, _ in sets], tally)
    total, taken = sum(len(images) for _, images, _ in sets), Counter[Path]()
    with writing_folder(out, files) as labelled:
        for number, (file, picture) in enumerate(_pictures(sets, duplicates, tally), start=1):
            if picture is not None:
                name = labelled.add(picture)
                taken[file] += 1
                if name != picture.record.file_name:
                    tally.change("renamed, since another image has the name", f"{picture.record.file_name}: {name}")
            progress(number, total)
    parts = [{"file": file, "images": len(images), "taken": taken[file]} for file, images, _ in sets]
    return Merged(summary(labelled.images), parts, tally)


def _pictures(
    sets: list[tuple[Path, list[LabelledImage], list[Path]]], duplicates: Duplicates, tally: Tally
) -> Iterator[tuple[Path, Picture | None]]:
    """Every image of every file; nothing in the place of one that is dropped."""
    seen: dict[str, str] = {}
    for file, images, paths in sets:
        for image, path in zip(images, paths, strict=True):
            found = image_size(path)
            if found != (image.width, image.height):
                labelled = f"labelled as {image.width} x {image.height}"
                raise DataError(file, f"image {image.id}", f"{image.file_name} is {found[0]} x {found[1]}, {labelled}")
            place = f"{file}: {image.file_name}"
            digest = sha256_of(path)
            other = seen.get(digest)
            if other is None:
                seen[digest] = place
            elif duplicates == "refuse":
                problem = f"the same picture as {other}; take one out, or choose --duplicates drop or keep"
                raise DataError(file, f"image {image.id} ({image.file_name})", problem)
            elif duplicates == "drop":
                tally.leave_out("the same picture as an earlier one", f"{place} (as {other})")
                yield file, None
                continue
            else:
                tally.remark("the same picture as an earlier one, kept", f"{place} (as {other})")
            yield file, Picture(image, path)


def _remark_shared_origins(sets: list[tuple[Path, list[LabelledImage]]], tally: Tally) -> None:
    """Subjects, sources and bodies that more than one file names: related images, or names that clash."""
    first: dict[tuple[str, str], Path] = {}
    for file, images in sets:
        for kind, value in sorted({origin for image in images for origin in image.origins}):
            other = first.setdefault((kind, value), file)
            if other != file:
                tally.remark(f"the same {kind.replace('_', ' ')} in several files", f"{value}: {other} and {file}")
