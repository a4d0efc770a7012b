"""Typed access to the fields of a JSON document; every error names the file and the place in it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from fidip.annotations import FloatArray
from fidip.errors import DataError

MAX_INTEGER = 2**53
"""Larger integers do not survive every JSON reader."""


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object, the file it came from and its place there, such as ``annotations[17]``.

    Every method raises ``DataError`` when the field is missing or of another kind.
    """

    path: Path
    where: str
    values: dict[str, Any]

    @classmethod
    def of(cls, path: Path, where: str, value: object) -> Fields:
        """Check that a value is an object."""
        if not isinstance(value, dict):
            raise DataError(path, where, f"expected an object, found {type(value).__name__}")
        return cls(path, where, value)

    def __contains__(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(key) is not None

    def error(self, key: str, problem: str) -> DataError:
        """The error that a field has a problem."""
        return DataError(self.path, self.place(key), problem)

    def place(self, key: str) -> str:
        """Where a field stands in the file."""
        return f"{self.where}.{key}" if self.where else key

    def objects(self, key: str) -> Iterator[Fields]:
        """The objects of a list, each knowing its place."""
        if key not in self.values:
            raise self.error(key, "missing")
        if not isinstance(self.values[key], list):
            raise self.error(key, f"expected a list, found {type(self.values[key]).__name__}")
        for i, value in enumerate(self.values[key]):
            yield Fields.of(self.path, f"{self.place(key)}[{i}]", value)

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number."""
        value = self.values.get(key, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise self.error(key, f"expected a whole number, found {self._found(key)}")
        return value

    def number(self, key: str) -> float:
        """A finite number."""
        value = self.values.get(key)
        if not _is_number(value):
            raise self.error(key, f"expected a finite number, found {self._found(key)}")
        return float(value)

    def numbers(self, key: str, count: int) -> FloatArray:  # (count,)
        """A list of so many finite numbers."""
        value = self.values.get(key)
        if not isinstance(value, list):
            raise self.error(key, f"expected {count} numbers, found {self._found(key)}")
        if len(value) != count:
            raise self.error(key, f"expected {count} numbers, found {len(value)}")
        for i, number in enumerate(value):
            if not _is_number(number):
                raise self.error(f"{key}[{i}]", f"expected a finite number, found {number!r:.40}")
        return np.array(value, dtype=np.float64)

    def text(self, key: str) -> str:
        """A string."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self.error(key, f"expected text, found {self._found(key)}")
        return value

    def optional_text(self, key: str) -> str | None:
        """A string, or nothing."""
        return self.text(key) if key in self else None

    def flag(self, key: str) -> bool | None:
        """True, false, 1, 0, or nothing."""
        value = self.values.get(key)
        if value not in (None, True, False):
            raise self.error(key, f"expected true or false, found {self._found(key)}")
        return None if value is None else bool(value)

    def others(self, known: frozenset[str]) -> dict[str, Any]:
        """The fields that nobody reads."""
        return {key: value for key, value in self.values.items() if key not in known}

    def _found(self, key: str) -> str:
        return f"{self.values[key]!r:.40}" if key in self.values else "nothing"


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the floats
        return False
