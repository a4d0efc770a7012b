"""What a command reports to a program: one JSON object in a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fidip.files import write_json


def write_report(file: Path | None, report: Mapping[str, Any]) -> None:
    """Write a command's result where ``--json FILE`` asks for it; without a file do nothing.

    NumPy values become plain numbers and lists, paths become text; NaN and infinities, which JSON does not know, become
    null.

    Raises:
        StorageError: the file cannot be written; nothing is left half-written.
    """
    if file is not None:
        write_json(file, plain(report), indent=2)


def plain(value: Any) -> Any:
    """A value in the types of JSON."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
