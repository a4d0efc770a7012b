"""Weights files of other programs: PyTorch's ``.pth`` and plain ``.safetensors``, read without running what they say.

A ``.pth`` file is a pickle. PyTorch's restricted reader (``weights_only=True``) takes it apart in a process of its own,
with limits on memory and time, in which files cannot be written, programs started or connections opened: should that
reader ever have a hole again, as it had before PyTorch 2.6, little could come through it. What the process answers is
safetensors, which holds numbers only.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import tempfile
import warnings
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from fidip.apart import read_apart, refuse
from fidip.errors import WeightsError
from fidip.files import object_without_repeats
from fidip.platform import address_space_bytes, limit_process

State = dict[str, Tensor]

MAX_HEADER_BYTES = 1 << 22
"""Names, shapes and card of the largest network here need a fortieth of it."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
}
"""The types of number that weights have, by safetensors' names for them."""

STATES = ("best_state_dict", "state_dict")
"""Under which keys the published training scripts put the weights, the better ones first."""

PREFIX = "module."
"""What data parallel training puts before every name."""

SECONDS = 300
"""Of processor time; a network of a gigabyte takes ten."""

ROOM = 1 << 30
"""Bytes of memory beside four times the file."""

FORBIDDEN_EVENTS = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile",
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.chown", "os.link", "os.symlink",
    "shutil.", "ctypes.dlopen", "urllib.", "http.", "ftplib.", "smtplib.", "pty.", "webbrowser.", "winreg.",
)  # fmt: skip
"""Audit events that reading weights never raises."""


def read_foreign(path: Path | str) -> State:
    """The weights in somebody else's file, on the CPU; nothing in the file is executed.

    Accepted: a plain state dict, one below ``best_state_dict`` or ``state_dict``, each with or without the prefix
    ``module.`` that data parallel training leaves; and safetensors.

    Raises:
        WeightsError: unreadable, holds more than plain data (it could run code), or holds no state dict.
    """
    path = Path(path)
    try:
        with path.open("rb") as source:
            if path.suffix.lower() == ".safetensors":
                return without_prefix(read_safetensors(path))
            with tempfile.TemporaryFile() as answer:
                if refusal := read_apart("fidip.networks.foreign", (), source, answer, SECONDS):
                    raise WeightsError(f"{path}: {refusal[1]}")
                answer.seek(0)
                return without_prefix(safetensors.torch.load(answer.read()))
    except OSError as error:
        raise unreadable(path, error) from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: damaged, or no safetensors file ({error}); copy it again") from error


def without_prefix(state: State) -> State:
    """The state dict without ``module.``, if all names begin with it."""
    prefix = PREFIX if all(name.startswith(PREFIX) for name in state) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def read_safetensors(path: Path) -> State:
    """The tensors of a safetensors file, checked more strictly than by the library.

    Raises:
        OSError, SafetensorError, ValueError, RecursionError: as ``read_header``; or the file cannot be read.
    """
    read_header(path)
    state: State = safetensors.torch.load_file(path)
    return state


def read_header(path: Path) -> dict[str, Any]:
    """The JSON at the head of a safetensors file: no name twice, few types, of bounded length."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"a header of {length} bytes")
        text = stream.read(length).decode("utf-8")
    header = json.loads(text, object_pairs_hook=object_without_repeats)
    if not isinstance(header, dict):
        raise ValueError("the header is no JSON object")
    for name, entry in header.items():
        if name != "__metadata__" and (not isinstance(entry, dict) or entry.get("dtype") not in DTYPES):
            raise ValueError(f"{name} is of another type than {', '.join(DTYPES)}")
    return header


def unreadable(path: Path | str, error: OSError) -> WeightsError:
    """Why a weights file cannot be read."""
    return WeightsError(f"{path}: cannot be read: {error.strerror or error}; check the path")


def few(names: list[str]) -> str:
    """The first three of some names, and how many there are beside them."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# Below: what the reading process does.


class _Ignored:
    """Stands for NumPy's scalars in a foreign checkpoint, whose figures nobody needs: holds nothing, does nothing."""

    def __new__(cls, *_: object) -> _Ignored:
        return object.__new__(cls)

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


NUMPY_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")


class _RefusedError(Exception):
    """The file is at fault; the message says why and what to do."""


def state_in(source: IO[bytes]) -> State:
    """The state dict in an open PyTorch file, names as they are.

    Raises:
        _RefusedError: damaged, holds more than plain data, or holds no state dict.
    """
    allowed: list[Any] = [(_Ignored, name) for name in NUMPY_SCALARS]
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings(action="ignore"):  # of odd pickles
            content = torch.load(source, map_location="cpu", weights_only=True)
    except _RefusedError:
        raise
    except pickle.UnpicklingError as error:
        reason = str(error).partition("WeightsUnpickler error: ")[2].split("\n")[0].strip()
        problem = f"refused, nothing in it was run: it holds more than weights ({reason or 'not a plain pickle'})"
        raise _RefusedError(f"{problem}; ask its author for a plain state dict") from error
    except Exception as error:  # a damaged file makes the reader fail in any way whatever
        raise _RefusedError(f"damaged, or no PyTorch file ({type(error).__name__}); copy it again") from error
    if isinstance(content, dict):
        content = next((content[key] for key in STATES if isinstance(content.get(key), dict)), content)
    if not isinstance(content, dict) or not content or not all(isinstance(key, str) for key in content):
        raise _RefusedError("holds no state dict; save one with torch.save(net.state_dict(), path)")
    if others := [name for name, value in content.items() if not isinstance(value, Tensor)]:
        raise _RefusedError(f"{few(others)} no tensor: no state dict; save net.state_dict() alone")
    odd = [n for n, t in content.items() if t.dtype not in DTYPES.values() or t.layout is not torch.strided]
    if odd:
        raise _RefusedError(f"{few(odd)} of a type that no network here has ({content[odd[0]].dtype})")
    return {name: tensor.detach() for name, tensor in content.items()}


def _forbid(event: str, arguments: tuple[Any, ...]) -> None:
    if (event == "open" and _writes(arguments[1], arguments[2])) or event.startswith(FORBIDDEN_EVENTS):
        raise _RefusedError(f"refused: reading it would lead to {event!r}, as no weights do; do not trust it")


def _writes(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def _answer() -> bytes:
    torch.load(_tiny(), weights_only=True)  # whatever is imported late is imported now
    size = os.fstat(sys.stdin.fileno()).st_size
    limit_process(address_space_bytes() + ROOM + 4 * size, SECONDS)
    sys.addaudithook(_forbid)
    state = state_in(sys.stdin.buffer)
    try:
        return safetensors.torch.save({name: tensor.contiguous().clone() for name, tensor in state.items()})
    except (ValueError, SafetensorError) as error:
        raise _RefusedError(f"holds a name that is no text ({type(error).__name__}); do not trust it") from error
    except (MemoryError, RuntimeError) as error:  # torch knows no MemoryError
        raise _RefusedError("asks for far more memory than a file of its size may; do not trust it") from error


def _tiny() -> BytesIO:
    stream = BytesIO()
    torch.save(OrderedDict(weight=torch.nn.Parameter(torch.zeros(1))), stream)
    stream.seek(0)
    return stream


def _main() -> int:
    try:
        data = _answer()
    except _RefusedError as error:
        return refuse(str(error))
    sys.stdout.buffer.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
