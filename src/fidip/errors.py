"""Every error that a user can cause, in one small tree.

::

    FidipError                  something the user can put right; one line that names the file, the place and the remedy
      + DataError               an annotation or result file does not say what it should
      + ImageError              an image cannot be read or is refused
      + WeightsError            a weights file or checkpoint is unreadable, or of another network
      + RecipeError             an experiment's settings contradict each other or the files given
      + TrainingError           training cannot go on (a loss that is not finite, …)
      + StorageError            a file cannot be written (disk full, no permission)
      + DownloadError           a file cannot be fetched, or is not the one it should be
      + MissingExtra            an optional package is needed; the message holds the pip line

The command line turns each of them into one line on standard error and exit code 2; anything else is a defect of ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class FidipError(Exception):
    """Something the user can put right. The message is one line that names the file and the remedy."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes whatever the constructor's parameters are."""
        return _rebuilt, (type(self), str(self), dict(self.__dict__))


def _rebuilt(kind: type[FidipError], message: str, fields: dict[str, Any]) -> FidipError:
    error = kind.__new__(kind, message)
    error.__dict__.update(fields)
    return error


class DataError(FidipError):
    """An annotation or result file does not say what it should.

    ``where`` is a path inside the file such as ``annotations[17].keypoints``.
    """

    def __init__(self, file: Path | str, where: str, problem: str) -> None:
        self.file, self.where, self.problem = str(file), where, problem
        super().__init__(f"{file}: {where}: {problem}" if where else f"{file}: {problem}")


class ImageError(FidipError):
    """An image cannot be read or is refused."""

    def __init__(self, file: Path | str, problem: str) -> None:
        self.file, self.problem = str(file), problem
        super().__init__(f"{file}: {problem}")


class WeightsError(FidipError):
    """A weights file or checkpoint is unreadable, or belongs to another network."""


class RecipeError(FidipError):
    """An experiment's settings contradict each other or the files given."""


class TrainingError(FidipError):
    """Training cannot go on."""


class StorageError(FidipError):
    """A file cannot be written."""


class DownloadError(FidipError):
    """A file cannot be fetched from the network, or what came is not the file it should be."""


class MissingExtra(FidipError):  # noqa: N818 - reads as the condition it names
    """An optional package is needed; the message holds the line that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"{purpose} needs the package {package}: pip install 'fidip[{extra}]'")


class DataWarning(UserWarning):
    """A file holds something suspicious that was read safely; the message says what was done."""
