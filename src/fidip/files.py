"""Files on disk: written whole or not at all, read with errors that name the place, kept under their root."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from fidip.errors import DataError, StorageError
from fidip.platform import FORBIDDEN_IN_NAMES, fsync_folder, replace_file

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MAX_JSON_BYTES = 1 << 30
"""Four times COCO's largest annotation file; Python needs about eight times the file's size to hold it."""

TEMPORARY = re.compile(r"\.fidip-[0-9a-f]{16}\.tmp")
NUMBERED_DEVICES = {f"{kind}{number}" for kind in ("com", "lpt") for number in range(1, 10)}
RESERVED_NAMES = frozenset({"con", "prn", "aux", "nul"} | NUMBERED_DEVICES)

# The calls by which a file reaches the disk stand here by name, so that a test can make each of them fail in turn.
_open, _write, _fsync, _replace, _fsync_folder = os.open, os.write, os.fsync, replace_file, fsync_folder

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space or choose a folder on another disk",
    errno.EDQUOT: "the disk quota is used up; free some space or choose a folder on another disk",
    errno.EACCES: "no permission to write here; choose another folder or change its permissions",
    errno.EPERM: "no permission to write here; choose another folder or change its permissions",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOENT: "its folder does not exist; create it first",
    errno.ENOTDIR: "a part of its path is a file, not a folder; choose another path",
    errno.EISDIR: "a folder of this name is in the way; choose another name",
    errno.ENAMETOOLONG: "the name is too long for this file system; choose a shorter one",
    errno.EFBIG: "the file is too large for this file system or for the limit set for this user; choose another disk",
    errno.EIO: "the disk reports an error; check it, and write to another one",
}


def storage_error(path: Path | str, error: OSError) -> StorageError:
    """What went wrong while writing ``path``, with the remedy."""
    problem = _REMEDIES.get(error.errno or 0, f"{error.strerror or error}; choose another folder")
    return StorageError(f"{path}: cannot be written: {problem}")


class _TemporaryFile(io.FileIO):
    """A raw file whose failures to write are storage errors, whoever calls: other errors of the writer stay its own."""

    def __init__(self, path: Path, target: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        super().__init__(_open(path, flags, 0o666), "wb")
        self.target = target

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return _write(self.fileno(), data)
        except OSError as error:
            raise storage_error(self.target, error) from error


@contextmanager
def atomic_write(path: Path | str) -> Iterator[BinaryIO]:
    """Write a file so that, whatever happens, either the old or the new content stands there, whole.

    Everything goes to a temporary file in the same folder, which is flushed to the disk and then renamed. If the block
    raises, nothing changes and the temporary file is removed; after a kill ``remove_stale_temporaries`` finds it.

    Raises:
        StorageError: the disk is full, the folder is missing or cannot be written to, …
    """
    path = Path(path)
    temporary = path.parent / f".fidip-{secrets.token_hex(8)}.tmp"
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        raw = _TemporaryFile(temporary, path)
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        stream = io.BufferedWriter(raw, buffer_size=1 << 16)
        yield stream
        try:
            stream.flush()
            _fsync(raw.fileno())
            raw.close()
            _replace(temporary, path)
            _fsync_folder(path.parent)
        except OSError as error:
            raise storage_error(path, error) from error
    finally:
        with suppress(OSError):  # the error that brought us here is the one to report
            raw.close()  # the raw file, not the buffer, which would first flush what is thrown away
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: ReadableBuffer) -> None:
    """Write bytes atomically. Raises ``StorageError``."""
    with atomic_write(path) as stream:
        stream.write(data)


def move_file(source: Path | str, target: Path | str) -> bool:
    """Rename a file to another folder of the same disk, atomically, making that folder if need be.

    Returns whether there was anything to move: a file that is already there, and here no more, is left alone.

    Raises:
        StorageError: it cannot be moved, or another file has the name; that one is not replaced.
    """
    source, target = Path(source), Path(target)
    try:
        if not source.is_file():
            return False
        if target.exists():
            raise StorageError(f"{target}: is in the way of {source}; move one of them to another place")
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(source, target)
        _fsync_folder(target.parent)
        _fsync_folder(source.parent)
    except OSError as error:
        raise storage_error(target, error) from error
    return True


def write_text(path: Path | str, text: str) -> None:
    """Write text atomically as UTF-8 with ``\\n`` ends of line on every system. Raises ``StorageError``."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path | str, value: Any, indent: int | None = None) -> None:
    """Write JSON atomically: keys in their given order, ASCII, one final end of line.

    Raises:
        StorageError: the file cannot be written.
        ValueError: the value holds NaN or an infinity, which JSON does not know; nothing is written.
    """
    write_text(path, json.dumps(value, allow_nan=False, indent=indent) + "\n")


def read_json(path: Path | str, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read JSON strictly: no repeated key, no NaN; a byte order mark and UTF-16 are accepted.

    Raises:
        DataError: the file is missing, too large, not text, or not JSON; ``where`` is the line and column.
    """
    with _reading(path) as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise DataError(path, "", f"larger than {max_bytes} bytes; split the file")
    try:
        text = data.decode(json.detect_encoding(data)).removeprefix("\ufeff")
        del data
        return json.loads(text, object_pairs_hook=object_without_repeats, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        problem = f"not text in {error.encoding.upper()}; save it as UTF-8"
        raise DataError(path, f"byte {error.start}", problem) from error
    except json.JSONDecodeError as error:
        raise DataError(path, f"line {error.lineno}, column {error.colno}", f"not JSON: {error.msg}") from error
    except RecursionError as error:
        raise DataError(path, "", "nested too deeply to be an annotation or result file") from error
    except MemoryError as error:
        raise DataError(path, "", "does not fit in memory; split the file") from error
    except ValueError as error:
        raise DataError(path, "", f"not JSON: {str(error).partition(';')[0]}") from error


@contextmanager
def _reading(path: Path | str) -> Iterator[io.BufferedReader]:
    try:
        with Path(path).open("rb") as stream:
            yield stream
    except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
        raise unreadable(path, error) from error


def unreadable(path: Path | str, error: OSError | ValueError) -> DataError:
    """Why an input file cannot be read."""
    if isinstance(error, FileNotFoundError):
        return DataError(path, "", "no such file; check the path")
    if isinstance(error, IsADirectoryError) or Path(path).is_dir():  # Windows calls a folder a lack of permission
        return DataError(path, "", "a folder, not a file; name the file in it")
    return DataError(path, "", f"cannot be read: {getattr(error, 'strerror', None) or error}")


def object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """``object_pairs_hook`` of a strict JSON reader. Raises ``ValueError`` where a key is repeated."""
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} appears twice in one object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON knows")


def sha256_of(path: Path | str) -> str:
    """The file's SHA-256 as 64 hexadecimal digits. Raises ``DataError`` if it cannot be read."""
    with _reading(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def safe_join(root: Path | str, name: str) -> Path:
    """The file that a name written in somebody's data means, always below ``root``; the file need not exist.

    Names use ``/`` on every system. Refused: absolute names, drive letters, ``..``, backslashes, control characters,
    names that Windows reserves, and links that lead out of the root.

    Raises:
        DataError: the name is refused; ``where`` is the name.
    """
    problem = _problem_of_name(name)
    if not problem:
        try:
            base = Path(root).resolve()
            path = (base / name).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name that is too long
            problem = f"not a usable file name: {error}"
        else:
            if path != base and path.is_relative_to(base):
                return path
            problem = "leads out of the folder; name a file inside it"
    raise DataError(root, f"file name {name!r}", problem)


def _problem_of_name(name: str) -> str:
    parts = name.split("/")
    problems = {
        "an empty name": not name,
        "an absolute path; name it relative to the folder": name.startswith("/") or re.match(r"[A-Za-z]:", name),
        "a backslash; write / between folders": "\\" in name,
        "a control character; rename the file": any(ord(character) < 32 for character in name),
        "'..' leads out of the folder; name a file inside it": ".." in parts,
        "a character that this system does not allow; rename the file": any(c in name for c in FORBIDDEN_IN_NAMES),
        "a name that Windows reserves; rename the file": any(
            part.partition(".")[0].strip().lower() in RESERVED_NAMES for part in parts
        ),
        "a part that ends in a dot or a space; rename the file": any(
            part.endswith((".", " ")) for part in parts if part != "."
        ),
    }
    return next((problem for problem, found in problems.items() if found), "")


def new_folder(folder: Path | str) -> Path:
    """An empty folder for a command's output, made with its parents if it does not exist.

    Raises:
        StorageError: something is already in it, or it cannot be made.
    """
    folder = output_folder(folder)
    first = min((entry.name for entry in folder.iterdir()), default=None)
    if first is not None:
        raise StorageError(f"{folder}: not empty (it holds {first}); choose a new folder or empty this one")
    return folder


def output_folder(folder: Path | str) -> Path:
    """A folder that one command writes to: made with its parents, or as it stands but for stale temporaries.

    Raises:
        StorageError: it is a file, or cannot be made or read.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale_temporaries(folder)
    except FileExistsError as error:
        raise StorageError(f"{folder}: a file, not a folder; choose another folder") from error
    except OSError as error:
        raise storage_error(folder, error) from error
    return folder


def remove_stale_temporaries(folder: Path | str) -> int:
    """Remove what a killed ``atomic_write`` left in a folder, and return how many files that were.

    For the one process that owns the folder, before it writes there: a file that another process is just writing would
    go as well.
    """
    stale = [entry for entry in Path(folder).iterdir() if TEMPORARY.fullmatch(entry.name) and entry.is_file()]
    for entry in stale:
        entry.unlink(missing_ok=True)
    return len(stale)
