"""What a pickle may hold: inert pieces that keep what they are given, and their way to plain values and arrays.

A part of :mod:`fidip.pickles`. Nothing here imports or calls what a file names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUMPY = "chumpy"

DTYPES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})
"""Types of arrays: numbers only."""

MAX_DENSE_BYTES = 1 << 30
MAX_DEPTH = 32
MAX_ITEMS = 200_000


class Refused(Exception):  # noqa: N818 - reads as what happened
    """A pickle that is not read. ``where`` is a path inside it."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(where, problem)
        self.where, self.problem = where[:80], problem


def shown(value: object) -> str:
    """A value of a stranger's file on one line of ASCII."""
    if isinstance(value, str):
        text = value if value.isascii() and value.isprintable() else ascii(value)
    else:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


class Inert:
    """An object of some class: keeps the state that it is given."""

    origin = "object"
    plain = False  # whether its attributes are wanted as a dictionary
    state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class Array(Inert):
    """An array as its shape, type and bytes, none of them checked yet."""

    origin = "numpy.ndarray"
    axes: object = None  # how they are turned after that, in protocol 5


class Dtype(Inert):
    """The type of an array."""

    origin = "numpy.dtype"

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = code


class Csc(Inert):
    """A sparse matrix by columns."""

    origin = "scipy.sparse.csc_matrix"


class Csr(Inert):
    """A sparse matrix by rows."""

    origin = "scipy.sparse.csr_matrix"


class Coo(Inert):
    """A sparse matrix by places."""

    origin = "scipy.sparse.coo_matrix"


class Function:
    """A function that a file may call; it takes no state, so a file cannot change it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        """Call it."""
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise Refused("", "sets the state of a function; do not trust it")


def reconstruct(kind: object, *_: object) -> Array:
    """NumPy's way to begin an array, whose state follows."""
    if kind is not Array:
        raise Refused("", f"asks for an array of the class {shown(kind)}")
    return Array()


def from_buffer(data: object, dtype: object, shape: object, order: object, axes: object = None) -> Array:
    """NumPy's way to write an array in protocol 5."""
    if order not in ("C", "F", "K"):
        raise Refused("", f"holds an array in the order {shown(order)}")
    array = Array()
    array.state, array.axes = (1, shape, dtype, order == "F", data), axes if order == "K" else None
    return array


def scalar(dtype: object, data: object) -> Array:
    """NumPy's way to write one number."""
    array = Array()
    array.state = (1, (), dtype, False, data)
    return array


def flatten(value: object, keys: Collection[str] | None) -> tuple[Any, list[NDArray[Any]]]:
    """A tree for JSON, in which ``{"array": "a3"}`` stands for an array and ``{"dict": …}`` for a dictionary.

    Raises:
        Refused: something in it has no plain value, or ``keys`` are missing.
    """
    if keys is not None:
        content = value.state if isinstance(value, Inert) and value.plain else value
        if not isinstance(content, dict):
            raise Refused("", f"holds {_called(value)} where a dictionary with {', '.join(keys)} is expected")
        for key in keys:
            if key not in content:
                held = ", ".join(shown(name) for name in list(content)[:20]) or "nothing"
                raise Refused(shown(key), f"is missing; the file holds {held}")
        value = {key: content[key] for key in keys}
    flattening = _Flattening()
    return flattening.tree(value, "", 0), flattening.arrays


class _Flattening:
    def __init__(self) -> None:
        self.arrays: list[NDArray[Any]] = []
        self.places: dict[int, str] = {}  # of pieces that became arrays, by identity
        self.items = 0
        self.dense_bytes = 0

    def tree(self, value: object, where: str, depth: int) -> Any:
        self.items += 1
        if depth > MAX_DEPTH or self.items > MAX_ITEMS:
            raise Refused(where, "nested too deeply or too often for data; do not trust it")
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list | tuple | set | frozenset):
            return [self.tree(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
        if isinstance(value, Inert) and value.plain:
            return self.tree({} if value.state is None else value.state, where, depth + 1)
        if isinstance(value, dict):
            return {"dict": {self._key(key, where): self._item(value, key, where, depth) for key in value}}
        if id(value) not in self.places:
            self.places[id(value)] = f"a{len(self.arrays)}"
            self.arrays.append(self._array(value, where))
        return {"array": self.places[id(value)]}

    def _key(self, key: object, where: str) -> str:
        if not isinstance(key, str):
            raise Refused(where, f"holds a dictionary with {_called(key)} as a key, where only text is expected")
        return key

    def _item(self, value: dict[Any, Any], key: object, where: str, depth: int) -> Any:
        return self.tree(value[key], f"{where}.{shown(key)}" if where else shown(key), depth + 1)

    def _array(self, value: object, where: str, depth: int = 0) -> NDArray[Any]:
        if depth > MAX_DEPTH:
            raise Refused(where, "nested too deeply for data; do not trust it")
        if isinstance(value, Array):
            return _dense(value, where)
        if isinstance(value, Csc | Csr | Coo):
            return self._from_sparse(value, where)
        if isinstance(value, int | float):
            return np.asarray(value, np.float64)
        state = value.state if isinstance(value, Inert) and value.origin.startswith(CHUMPY) else None
        name = value.origin.rpartition(".")[2] if isinstance(value, Inert) else ""
        if isinstance(state, dict) and name == "Ch" and "x" in state:
            return self._array(state["x"], where, depth + 1)
        if isinstance(state, dict) and name == "Select" and {"a", "idxs"} <= state.keys():
            return self._selected(state, where, depth)
        raise Refused(where, f"holds {_called(value)}, which has no value of its own in the file")

    def _selected(self, state: dict[Any, Any], where: str, depth: int) -> NDArray[Any]:
        """``chumpy``'s choice of elements of another array, as in SMPL files cut down to ten shape coefficients."""
        array = self._array(state["a"], where, depth + 1).ravel()
        chosen = self._array(state["idxs"], where, depth + 1)
        if chosen.dtype.kind not in "iu" or (chosen.size and not 0 <= chosen.min() <= chosen.max() < array.size):
            raise Refused(where, "selects elements that its array does not have")
        shape = _shape(state.get("preferred_shape", chosen.shape), where)
        if math.prod(shape) != chosen.size:
            raise Refused(where, f"selects {chosen.size} elements for the shape {shape}")
        return np.asarray(array[chosen.ravel()].reshape(shape))

    def _from_sparse(self, matrix: Csc | Csr | Coo, where: str) -> NDArray[np.float64]:
        state = matrix.state
        if not isinstance(state, dict):
            raise Refused(where, "holds a sparse matrix without content")
        shape = _shape(state.get("_shape", state.get("shape")), where)
        self.dense_bytes += 8 * math.prod(shape)
        if len(shape) != 2 or self.dense_bytes > MAX_DENSE_BYTES:
            raise Refused(where, f"holds a sparse matrix of the shape {shape}, which is not one of this kind of file")
        values = self._array(state.get("data"), where).ravel()
        if isinstance(matrix, Coo):
            rows, columns = (
                self._array(place, where).ravel()
                for place in state.get("coords") or (state.get("row"), state.get("col"))
            )
        else:
            by_rows = isinstance(matrix, Csr)
            minor = self._array(state.get("indices"), where).ravel()
            major = _unrolled(self._array(state.get("indptr"), where).ravel(), shape[0 if by_rows else 1], where)
            rows, columns = (major, minor) if by_rows else (minor, major)
        for place, size in ((rows, shape[0]), (columns, shape[1])):
            inside = place.dtype.kind in "iu" and (not place.size or 0 <= place.min() <= place.max() < size)
            if len(place) != len(values) or not inside:
                raise Refused(where, "holds a sparse matrix whose indices do not fit it")
        dense = np.zeros(shape)
        np.add.at(dense, (rows, columns), values)
        return dense


def _unrolled(starts: NDArray[Any], count: int, where: str) -> NDArray[np.int64]:
    """The row, or column, of each stored value."""
    fits = starts.dtype.kind in "iu" and len(starts) == count + 1 and starts[0] == 0
    ends = starts.astype(np.int64)
    lengths = ends[1:] - ends[:-1]
    if not fits or (lengths < 0).any() or lengths.sum() > MAX_DENSE_BYTES // 8:
        raise Refused(where, "holds a sparse matrix whose rows do not fit it")
    return np.repeat(np.arange(count), lengths)


def _dense(array: Array, where: str) -> NDArray[Any]:
    if not (isinstance(array.state, tuple) and len(array.state) == 5):
        raise Refused(where, "holds an array without content")
    _, shape, dtype, fortran, data = array.state
    code = dtype.code if isinstance(dtype, Dtype) else None
    if not (isinstance(code, str) and code in DTYPES):
        raise Refused(where, f"holds an array of the type {shown(code)}, where numbers are expected")
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "|"
    if order not in ("<", ">", "|", "="):
        raise Refused(where, f"holds an array in the byte order {shown(order)}")
    whole = _shape(shape, where)
    content = data.encode("latin-1") if isinstance(data, str) else data
    stored = np.dtype(f"{order}{code}")
    if not isinstance(content, bytes | bytearray) or len(content) != math.prod(whole) * stored.itemsize:
        held = f"{len(content)} bytes" if isinstance(content, bytes | bytearray) else _called(data)
        raise Refused(where, f"says it is an array of the shape {whole}, but holds {held}")
    flat = np.frombuffer(content, stored).astype(stored.newbyteorder("="))
    placed = flat.reshape(whole, order="F" if fortran else "C")
    if array.axes is None:
        return placed
    axes = _shape(array.axes, where)
    if sorted(axes) != list(range(len(whole))):
        raise Refused(where, f"holds an array with the axes {axes} of {len(whole)}")
    return placed.transpose(axes)


def _shape(shape: object, where: str) -> tuple[int, ...]:
    fits = isinstance(shape, tuple | list) and len(shape) <= 8 and all(type(n) is int and 0 <= n < 2**48 for n in shape)
    if not fits:
        raise Refused(where, f"holds an array of the shape {shown(str(shape)[:200])}")
    return tuple(shape)  # type: ignore[arg-type]


def _called(value: object) -> str:
    if isinstance(value, Inert):
        return f"an object of {shown(value.origin)}"
    return f"a {type(value).__name__}"
