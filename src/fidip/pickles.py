"""Pickles of other people's programs, read without running anything that they say.

Bodies and priors of the SMPL family come as pickles, a format whose files name functions that reading them calls. Here
nothing that a file names is ever imported or called: the few names in ``ALLOWED`` stand for inert pieces of this module
that keep what they are given, and every other name, a dotted one, a persistent id or an extension code is refused.
Arrays are rebuilt from their bytes after shape and type were checked. All this happens in a process of its own with
limits on memory and time (:func:`fidip.platform.limit_process`), which answers with an npz that holds no pickle.
"""

from __future__ import annotations

import json
import pickle
import sys
import tempfile
from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from fidip import pickled_arrays as pieces
from fidip.apart import read_apart, refuse
from fidip.errors import DataError
from fidip.files import unreadable
from fidip.pickled_arrays import Function, Inert, Refused, flatten, shown
from fidip.platform import limit_process

MAX_BYTES = 512 << 20
"""Twice the largest file of the family, SMPL 1.1.0 with 300 shape coefficients in the text protocol."""

SECONDS = 120
"""Of processor time; that largest file takes a few."""

TOO_MUCH_MEMORY = "asks for more memory than such a file may take"


def read_pickle(path: Path | str, keys: Collection[str] | None = None, objects: Collection[str] = ()) -> Any:
    """What a pickle holds, in plain values: dict, list, text, numbers, ``None`` and NumPy arrays.

    Tuples become lists; sparse matrices and ``chumpy`` leaves become arrays. Of a dictionary, or an object, at the top
    only ``keys`` are taken where they are given; what else is in it is not looked at. Objects of the classes in
    ``objects``, such as ``"__main__.Mahalanobis"``, become dictionaries of their attributes.

    Raises:
        DataError: the file cannot be read, is larger than ``MAX_BYTES``, is damaged, asks for anything that is not
            allowed (``problem`` names it), lacks one of the keys, or takes more memory or time than such a file may.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        source = path.open("rb")
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    with source, tempfile.TemporaryFile() as answer:
        if size > MAX_BYTES:
            raise DataError(path, "", f"larger than {MAX_BYTES >> 20} MiB, as no pickle of this kind is")
        request = {
            "keys": None if keys is None else list(keys),
            "objects": list(objects),
            "memory": (1 << 30) + 8 * size,
            "seconds": SECONDS,
        }
        if refusal := read_apart("fidip.pickles", (json.dumps(request),), source, answer, SECONDS):
            raise DataError(path, *refusal)
        answer.seek(0)
        with np.load(answer, allow_pickle=False) as arrays:
            tree = json.loads(arrays["tree"].tobytes())
            return _restored(tree, {name: arrays[name] for name in arrays.files})


def _restored(tree: Any, arrays: dict[str, Any]) -> Any:
    if isinstance(tree, list):
        return [_restored(item, arrays) for item in tree]
    if isinstance(tree, dict):
        (kind, content), *_ = tree.items()
        return arrays[content] if kind == "array" else {key: _restored(item, arrays) for key, item in content.items()}
    return tree


def _encode(text: object, encoding: object) -> bytes:
    """How Python 3 writes bytes in the old protocols."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("", f"asks to encode text as {shown(encoding)}")
    return text.encode("latin-1")


def _reconstructor(kind: object, base: object, state: object) -> object:
    """How the old protocols begin an object of a class of Python's own."""
    if not (isinstance(kind, type) and issubclass(kind, Inert)) or base is not Inert or state is not None:
        raise Refused("", f"asks to reconstruct {shown(kind)} from {shown(base)}")
    return kind.__new__(kind)


def _set(items: object = ()) -> list[object]:
    """A set in the old protocols: each leaf of chumpy keeps one."""
    if not isinstance(items, list | tuple):
        raise Refused("", f"asks for a set of {shown(items)}")
    return list(items)


ALLOWED: dict[tuple[str, str], object] = {
    **{
        (f"numpy.{core}.multiarray", name): piece
        for core in ("core", "_core")
        for name, piece in (("_reconstruct", Function(pieces.reconstruct)), ("scalar", Function(pieces.scalar)))
    },
    **{(f"numpy.{core}.numeric", "_frombuffer"): Function(pieces.from_buffer) for core in ("core", "_core")},
    ("numpy", "ndarray"): pieces.Array,
    ("numpy", "dtype"): pieces.Dtype,
    ("_codecs", "encode"): Function(_encode),
    ("copyreg", "_reconstructor"): Function(_reconstructor),
    ("copy_reg", "_reconstructor"): Function(_reconstructor),
    **{
        (builtins, name): piece
        for builtins in ("builtins", "__builtin__")
        for name, piece in (("object", Inert), ("set", Function(_set)))
    },
    **{
        (f"scipy.sparse.{prefix}{kind}", f"{kind}_matrix"): piece
        for prefix in ("", "_")
        for kind, piece in (("csc", pieces.Csc), ("csr", pieces.Csr), ("coo", pieces.Coo))
    },
}
"""Every name that a file may ask for, beside ``chumpy``'s and the caller's ``objects``, and what it gets instead."""


class _Unpickler(pickle._Unpickler):
    """The interpreter of pickles written in Python: the one in C takes as much memory as a file's memo index says."""

    def __init__(self, data: bytes, objects: Collection[str]) -> None:
        super().__init__(BytesIO(data), encoding="latin1")  # text of Python 2 holds the bytes of arrays
        self.objects = {name: type(name, (Inert,), {"origin": name, "plain": True}) for name in objects}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if "\r" in full:
            raise ValueError("a text conversion has been over the file")
        if full in self.objects:
            return self.objects[full]
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        if module.partition(".")[0] == pieces.CHUMPY and name.isidentifier():
            return type(pieces.CHUMPY, (Inert,), {"origin": full})
        raise Refused("", f"asks for {shown(full)}, which no file of this kind needs; do not trust it")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise Refused("", f"asks for something outside itself (persistent id {shown(pid)}); do not trust it")

    def get_extension(self, code: int) -> NoReturn:
        raise Refused("", f"asks for the extension with the code {code}; do not trust it")


def unpickle(data: bytes, objects: Collection[str] = ()) -> Any:
    """The inert pieces that a pickle describes. Raises ``Refused``; for the reading process and the tests."""
    try:
        return _Unpickler(data, objects).load()
    except Refused:
        raise
    except MemoryError as error:
        raise Refused("", TOO_MUCH_MEMORY) from error
    except Exception as error:  # a damaged file may end in any error
        if data and data.count(b"\n") == data.count(b"\r\n") > 0:
            problem = "damaged: every line ends in CR LF, so a text conversion has been over it"
            raise Refused("", f"{problem}; get it again as a binary file") from error
        raise Refused("", f"damaged, cut short, or no pickle ({type(error).__name__}); get the file again") from error


def _main(request: str) -> int:
    """The reading process: a pickle from standard input, an npz to standard output."""
    wanted = json.loads(request)
    limit_process(wanted["memory"], wanted["seconds"])
    try:
        tree, arrays = flatten(unpickle(sys.stdin.buffer.read(), wanted["objects"]), wanted["keys"])
        named: dict[str, Any] = {f"a{index}": array for index, array in enumerate(arrays)}
        np.savez(sys.stdout.buffer, tree=np.frombuffer(json.dumps(tree).encode(), np.uint8), **named)
    except Refused as refusal:
        return refuse(refusal.problem, refusal.where)
    except MemoryError:
        return refuse(TOO_MUCH_MEMORY)
    except OSError as error:
        return refuse(f"needs room for a temporary file: {error.strerror}")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
