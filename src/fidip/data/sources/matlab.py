"""Numbers from MATLAB files, which are never trusted: headers are looked at before anything is unpacked."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, whosmat

from fidip.errors import DataError
from fidip.files import unreadable

NUMBERS = frozenset(
    ("double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "logical")
)
MOST_ELEMENTS = 1 << 24
"""Of one array: far more than any of SURREAL's, far less than what would fill the memory."""


def read_arrays(file: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """The named arrays of numbers that a MATLAB file (version 7 or older) holds; others are not unpacked.

    Raises:
        DataError: the file cannot be read, or a named variable is no array of finite numbers of a sane size.
    """
    try:
        with file.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scipy's remarks on repeated names
            heads = {name: (shape, kind) for name, shape, kind in whosmat(stream) if name in names}
            for name, (shape, kind) in heads.items():
                if kind not in NUMBERS:
                    raise DataError(file, name, f"expected numbers, found a {kind}")
                if np.prod([float(side) for side in shape]) > MOST_ELEMENTS:
                    raise DataError(file, name, f"an array of {' x '.join(map(str, shape))} is too large")
            stream.seek(0)
            arrays = loadmat(stream, variable_names=list(heads)) if heads else {}
    except DataError:
        raise
    except OSError as error:
        raise unreadable(file, error) from error
    except NotImplementedError as error:
        raise DataError(file, "", "a MATLAB 7.3 file; save it anew with -v7") from error
    except Exception as error:  # the parser raises whatever it stumbles on
        problem = " ".join(str(error).split()) or type(error).__name__
        raise DataError(file, "", f"damaged or no MATLAB file: {problem}") from error
    for name in heads:
        if not isinstance(arrays.get(name), np.ndarray) or not np.isfinite(arrays[name]).all():
            raise DataError(file, name, "holds values that are not finite numbers")
    return {name: arrays[name] for name in heads}
