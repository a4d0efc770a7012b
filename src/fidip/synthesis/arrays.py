"""Named arrays in one npz file, read without running what it says and written whole."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fidip.errors import DataError
from fidip.files import unreadable, write_bytes

MAX_BYTES = 1 << 30
"""Of all arrays together, unpacked: a small file cannot fill the memory."""


def read_arrays(path: Path | str, names: Sequence[str], what: str) -> dict[str, NDArray[Any]]:
    """The arrays of an npz by name; ``what`` says what the file should have been, and its remedy.

    Raises ``DataError`` where the file is missing, is no npz, lacks an array, or holds objects or too much.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, EOFError) as error:
        raise DataError(path, "", f"not {what}") from error
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if size > MAX_BYTES:
        raise DataError(path, "", f"unpacks to {size} bytes, more than {MAX_BYTES}: not {what}")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in names if name not in file.files]
            if missing:
                raise DataError(path, missing[0], f"missing: not {what}")
            return {name: np.asarray(file[name]) for name in names}
    except DataError:
        raise
    except Exception as error:  # a damaged archive raises whatever its parsing stumbles on
        raise DataError(path, "", f"damaged: not {what}") from error


def write_arrays(path: Path | str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as a compressed npz, atomically. Raises ``StorageError``."""
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    write_bytes(path, stream.getvalue())


def finite(path: Path | str, name: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """An array of finite numbers of a shape. Raises ``DataError``."""
    if array.shape != shape:
        raise DataError(path, name, f"expected the shape {shape}, found {array.shape}")
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise DataError(path, name, f"expected finite numbers, found {array.dtype} with others among them")
    return array.astype(np.float64)
