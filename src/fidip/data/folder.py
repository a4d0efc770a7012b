"""A set of labelled images as one folder: ``annotations.json`` and ``images/``, written as the images come.

Every file is written whole or not at all. ``annotations.json`` comes last: a folder without it is no data set, and
what a failed run has written is removed again. Where a set holds both domains, ``real.json`` and ``synthetic.json``
beside it hold one each, because training takes one file a domain.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np

from fidip.annotations import Domain, LabelledImage
from fidip.coco import write_coco
from fidip.errors import ImageError, RecipeError, StorageError
from fidip.files import atomic_write, new_folder, safe_join, storage_error, unreadable, write_bytes

FileMode = Literal["copy", "link", "reference"]
"""How a file becomes an image of the set: its bytes are copied, a hard link is made, or it stays where it is."""


class Picture(NamedTuple):
    """One image of a set to come: its record, whose id is not yet given, and a file or the bytes of one."""

    record: LabelledImage
    content: Path | bytes


class LabelledFolder:
    """The folder being written. ``images`` are the records so far, with ids from 1."""

    def __init__(self, folder: Path, mode: FileMode, root: Path | None) -> None:
        self.folder, self.images = folder, list[LabelledImage]()
        self._mode, self._root = mode, None if root is None else root.resolve()
        self._taken: set[str] = set()
        self._made: set[Path] = set()

    def add(self, picture: Picture) -> str:
        """Write an image and note its record. Returns the name that it got, another one if its own was taken.

        Raises:
            DataError: the name leads out of the folder, or the file cannot be read.
            RecipeError: an image that has no file of its own cannot be referenced.
            StorageError: it cannot be written.
        """
        name = self._reference(picture) if self._mode == "reference" else self._written(picture)
        people = tuple(replace(person, id=None) for person in picture.record.people)
        self.images.append(replace(picture.record, id=len(self.images) + 1, file_name=name, people=people))
        return name

    def _reference(self, picture: Picture) -> str:
        if isinstance(picture.content, bytes) or self._root is None:
            raise RecipeError("--files reference: these images are cut out or decoded and have no file to refer to")
        return picture.content.resolve().relative_to(self._root).as_posix()

    def _written(self, picture: Picture) -> str:
        name = self._free(picture.record.file_name)
        target = safe_join(self.folder / "images", name)
        self._taken.add(name.casefold())
        if target.parent not in self._made:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise storage_error(target.parent, error) from error
            self._made.add(target.parent)
        if isinstance(picture.content, bytes):
            write_bytes(target, picture.content)
        elif self._mode == "link":
            _link(picture.content, target)
        else:
            _copy(picture.content, target)
        return name

    def _free(self, name: str) -> str:
        """The name, with a number if another image has it: names that differ in case only are one on many disks."""
        path, number = PurePosixPath(name), 1
        while name.casefold() in self._taken:
            number += 1
            name = path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
        return name


@contextmanager
def writing_folder(out: Path, mode: FileMode = "copy", root: Path | None = None) -> Iterator[LabelledFolder]:
    """Write a new folder of labelled images; ``root`` is what references are relative to.

    Raises:
        StorageError: there is something in the folder already, or it cannot be written; nothing is left behind.
    """
    existed = out.exists()
    folder = new_folder(out)
    labelled = LabelledFolder(folder, mode, root)
    try:
        yield labelled
        for domain in Domain:
            part = [image for image in labelled.images if image.domain is domain]
            if 0 < len(part) < len(labelled.images):
                write_coco(folder / f"{domain.name.lower()}.json", part)
        write_coco(folder / "annotations.json", labelled.images)
    except BaseException:
        _remove(folder, existed)
        raise


def summary(images: list[LabelledImage]) -> dict[str, Any]:
    """What a set holds, in numbers."""
    people = [person for image in images for person in image.people]
    visibility = np.bincount(
        np.concatenate([np.zeros(0, dtype=np.int64), *(p.keypoints[:, 2].astype(np.int64) for p in people)]),
        minlength=3,
    )
    domains = Counter("unknown" if image.domain is None else image.domain.name.lower() for image in images)
    return {
        "images": len(images),
        "people": len(people),
        "keypoints": dict(zip(("unlabelled", "occluded", "visible"), visibility.tolist(), strict=True)),
        "domains": dict(sorted(domains.items())),
        "postures": dict(sorted(Counter(image.posture or "unknown" for image in images).items())),
        "sources": len({image.source for image in images} - {None, ""}),
        "subjects": len({image.subject for image in images} - {None, ""}),
    }


def _copy(source: Path, target: Path) -> None:
    try:
        stream = source.open("rb")
    except OSError as error:
        raise ImageError(source, unreadable(source, error).problem) from error
    with stream, atomic_write(target) as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        problem = f"no link to {source} can be made ({error.strerror}); use --files copy"
        raise StorageError(f"{target}: {problem}") from error


def _remove(folder: Path, existed: bool) -> None:
    """Remove what was written to a folder that was new or empty."""
    shutil.rmtree(folder / "images", ignore_errors=True)
    with suppress(OSError):
        for name in ("annotations.json", "real.json", "synthetic.json"):
            (folder / name).unlink(missing_ok=True)
        if not existed:
            folder.rmdir()
