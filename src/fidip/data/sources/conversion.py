"""Any data set to one COCO keypoint folder: the source yields pictures, the folder takes them as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fidip.data.folder import FileMode, Picture, summary, writing_folder
from fidip.data.tally import Tally
from fidip.errors import DataError

Progress = Callable[[int, int], None]
"""Told how many units of how many are done; what a unit is, the source knows."""


class Source(Protocol):
    """A data set in its original form, and which part of it is wanted."""

    @property
    def folder(self) -> Path:
        """Where it lies."""
        ...

    def pictures(self, tally: Tally, progress: Progress) -> Iterator[Picture]:
        """Its images one by one, in an order that depends on the files' names and the seed only.

        A file that cannot be read goes into the tally and costs its own image only.

        Raises:
            DataError: the folder is not of this form.
        """
        ...


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion made and what it changed on the way."""

    made: dict[str, Any]
    tally: Tally

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return self.made | self.tally.to_json()


def convert(
    source: Source, out: Path, files: FileMode = "copy", progress: Progress = lambda _done, _total: None
) -> Conversion:
    """Write a source as ``out/annotations.json`` and ``out/images/``.

    Raises:
        DataError: the folder is not of the source's form, or nothing in it can be used.
        StorageError: the output cannot be written; nothing is left behind.
    """
    tally = Tally()
    with writing_folder(out, files, source.folder) as labelled:
        for picture in source.pictures(tally, progress):
            name = labelled.add(picture)
            if files != "reference" and name != picture.record.file_name:
                tally.change("renamed, since another image has the name", f"{picture.record.file_name}: {name}")
        if not labelled.images:
            raise DataError(source.folder, "", f"no image can be used: {reasons(tally)}")
    return Conversion(summary(labelled.images), tally)


def reasons(tally: Tally) -> str:
    """Why things were left out, in one line."""
    counted = [f"{why} ({len(places)})" for why, places in tally.left_out.items()]
    first = [f"{len(tally.unreadable)} unreadable, the first {tally.unreadable[0]}"] if tally.unreadable else []
    return ", ".join(counted + first) or "nothing is in it"
