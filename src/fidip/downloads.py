"""Files from the network, whole and verified or not at all; only ``fidip weights fetch`` asks for any.

What arrives is kept in ``NAME.part`` beside the target, so that a later call goes on where an earlier one broke off
(a range request that is void if the file has changed meanwhile). Size and SHA-256 are checked before the file gets its
name, and nothing here looks inside. Where its publisher states no whole hash, the one with which it came is kept in
``NAME.sha256``, so that a file that changes afterwards is noticed.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit
from urllib.request import Request

from fidip.connections import PassingError, ask
from fidip.errors import DataError, DownloadError, StorageError
from fidip.files import move_file, read_json, sha256_of, storage_error, write_json, write_text
from fidip.platform import locked

Show = Callable[[int, int | None], None]
"""Called with the bytes that are there, and with those that there will be where that is known."""

CHUNK = 1 << 18
STEP_FORWARD = 1 << 16
"""An attempt that brings fewer bytes than that counts as one that brought nothing."""

SHA256_DIGITS = 64
LONGEST_PAUSE = 60.0  # seconds

_write, _sleep = os.write, time.sleep  # by name, so that a test can fill the disk and need not wait


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a file before it comes; ``sha256`` may be its first digits only, eight at least."""

    size: int | None = None  # bytes
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a bad connection is put up with."""

    timeout: float = 30.0  # seconds without a byte
    attempts: int = 5  # in a row that bring nothing
    pause: float = 1.0  # seconds before the second attempt; doubled for each further one
    window: float = 60.0  # seconds in which at least ``least`` bytes must come
    least: int = 1 << 16  # bytes


def download(
    address: str,
    target: Path,
    expected: Expected = Expected(),
    patience: Patience = Patience(),
    show: Show | None = None,
) -> str:
    """Fetch a file, or verify the one that is there; its SHA-256.

    Raises:
        DownloadError: it cannot be had, or is not the file that was expected; no file of the target's name is made.
        StorageError: the disk is full, the folder cannot be written to, …
    """
    _require_address(address, expected)
    part = _Part(target)
    if not target.is_file():
        with part.held():
            if not target.is_file():  # another process may just have been faster
                _complete(address, part, expected, patience, show)
                try:
                    verify(part.path, expected)
                except DownloadError as error:
                    part.remove()
                    raise DownloadError(f"{address}: {error}; nothing was kept") from error
                _record(part.path, target, expected)
                move_file(part.path, target)
                part.remove()
    wanted = Expected(expected.size, recorded(target) or expected.sha256)
    try:
        return verify(target, wanted)
    except DownloadError as error:
        raise DownloadError(f"{target}: {error}; remove it and fetch it again") from error


def recorded(target: Path) -> str:
    """The SHA-256 with which a file came whose publisher states no whole one; empty if none is on record.

    Raises:
        DownloadError: the record is damaged.
    """
    record = target.with_name(target.name + ".sha256")
    try:
        text = record.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise DownloadError(f"{record}: cannot be read: {error.strerror}; check its permissions") from error
    if not re.fullmatch(rf"[0-9a-f]{{{SHA256_DIGITS}}}  .+\n", text):
        raise DownloadError(f"{record}: damaged; remove it and {target.name}, and fetch that again")
    return text[:SHA256_DIGITS]


def _record(path: Path, target: Path, expected: Expected) -> None:
    """Note with which hash a file came; in the form that ``sha256sum --check`` reads."""
    if len(expected.sha256) < SHA256_DIGITS:
        write_text(target.with_name(target.name + ".sha256"), f"{sha256_of(path)}  {target.name}\n")


def _require_address(address: str, expected: Expected) -> None:
    """Plain http only on this machine, or where the whole hash is known."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host:
        raise DownloadError(f"{address}: not an address that starts with https://")
    here = host in ("localhost", "::1") or host.startswith("127.")
    if parts.scheme == "http" and not here and len(expected.sha256) < SHA256_DIGITS:
        raise DownloadError(f"{address}: not encrypted, and no whole SHA-256 is known to make up for it; use https")


def verify(path: Path, expected: Expected) -> str:
    """The SHA-256 of a file that is what was expected. Raises ``DownloadError``, which does not name the file."""
    try:
        size, digest = path.stat().st_size, sha256_of(path)
    except (OSError, DataError) as error:
        raise DownloadError(f"cannot be read: {error}") from error
    if expected.size not in (None, size):
        raise DownloadError(f"{size} bytes, where {expected.size} were expected")
    if not digest.startswith(expected.sha256.lower()):
        wanted = f"{expected.sha256}{'…' if len(expected.sha256) < len(digest) else ''}"
        raise DownloadError(f"its SHA-256 is {digest}, where {wanted} was expected: damaged, or another file")
    return digest


class _Part:
    """What has come of a file so far, and what is needed to ask for the rest."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.notes = target.with_name(target.name + ".part.json")

    @contextmanager
    def held(self) -> Iterator[None]:
        """One process at a time in this folder; the lock is a file of its own, since Windows renames no open file."""
        lock = self.target.parent / ".lock"
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            lock.touch()
        except OSError as error:
            raise storage_error(self.target, error) from error
        with locked(lock):
            yield

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def validator(self, address: str) -> str:
        """By what the server can tell that it still has the same file; empty if the rest must not be asked for."""
        try:
            notes = read_json(self.notes)
        except DataError:
            return ""
        same = isinstance(notes, dict) and notes.get("address") == address
        return str(notes.get("validator", "")) if same else ""

    def begin(self, address: str, validator: str) -> None:
        """Forget what there is and note whose bytes are to come."""
        try:
            self.path.write_bytes(b"")
        except OSError as error:
            raise storage_error(self.target, error) from error
        write_json(self.notes, {"address": address, "validator": validator})

    @contextmanager
    def appending(self) -> Iterator[Callable[[bytes], None]]:
        try:
            stream = self.path.open("ab", buffering=0)
        except OSError as error:
            raise storage_error(self.target, error) from error
        with stream:
            yield lambda data: self._append(stream, data)
            try:
                os.fsync(stream.fileno())
            except OSError as error:
                raise storage_error(self.target, error) from error

    def _append(self, stream: IO[bytes], data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[_write(stream.fileno(), rest) :]
        except OSError as error:
            raise storage_error(self.target, error) from error

    def remove(self) -> None:
        for path in (self.notes, self.path):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _complete(address: str, part: _Part, expected: Expected, patience: Patience, show: Show | None) -> None:
    """Attempt after attempt, until the part has all bytes."""
    failures = 0
    while expected.size is None or part.size() != expected.size:
        before, wait = part.size(), 0.0
        try:
            if _attempt(address, part, expected, patience, show):
                return
            problem = "the connection broke off"
        except PassingError as error:
            problem, wait = str(error), error.wait
        failures = 1 if part.size() >= before + STEP_FORWARD else failures + 1
        if failures >= patience.attempts:
            kept = f"; {part.size()} bytes are kept, the same command goes on from there" if part.size() else ""
            remedy = "check the connection and the proxy settings (HTTPS_PROXY), and try later"
            raise DownloadError(f"{address}: {problem}, {failures} times in a row; {remedy}{kept}")
        _sleep(min(max(wait, patience.pause * 2 ** (failures - 1)), LONGEST_PAUSE))


def _attempt(address: str, part: _Part, expected: Expected, patience: Patience, show: Show | None) -> bool:
    """Ask once for what is missing; whether the file is complete now."""
    have, validator = part.size(), part.validator(address)
    headers = {"User-Agent": "fidip", "Accept-Encoding": "identity"}
    if have and validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    with ask(Request(address, headers=headers), patience.timeout) as response:
        if response.status == 416:  # nothing is left to send, or the part is longer than the file
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return True
            part.begin(address, "")
            return False
        start, total = _range(response, address)
        if expected.size is not None and total not in (None, expected.size):
            raise DownloadError(f"{address}: the server offers {total} bytes, where {expected.size} were expected")
        ours = _validator(response)
        if response.status == 200 or start != have or (ours and ours != validator):
            if response.status != 200:  # a rest that does not fit what is here
                part.begin(address, "")
                return False
            part.begin(address, ours)
            have = 0
        whole = expected.size if total is None else total
        if whole is None and "chunked" not in response.headers.get("Transfer-Encoding", "").lower():
            raise DownloadError(f"{address}: the server does not say how long the file is; fetch it with a browser")
        _require_room(part.target, (whole or 0) - have)
        received = _copy(response, part, whole, patience, show)
        return received if whole is None else part.size() == whole


def _range(response: HTTPResponse, address: str) -> tuple[int, int | None]:
    """Where in the file the answer begins, and how long the file is if that is known."""
    length = response.headers.get("Content-Length", "")
    if response.status == 200:
        return 0, int(length) if length.isdecimal() else None
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
    if response.status != 206 or not found:
        raise DownloadError(f"{address}: the server answers {response.status} {response.reason}; use a browser")
    return int(found[1]), int(found[3]) if found[3] != "*" else int(found[2]) + 1


def _validator(response: HTTPResponse) -> str:
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _require_room(target: Path, missing: int) -> None:
    try:
        free = shutil.disk_usage(target.parent).free
    except OSError:
        return  # writing will tell
    if missing > free:
        problem = f"{missing >> 20} MiB are to come and {free >> 20} MiB are free"
        raise StorageError(f"{target}: cannot be written: {problem}; free some space or choose another --cache")


def _copy(response: HTTPResponse, part: _Part, whole: int | None, patience: Patience, show: Show | None) -> bool:
    """Append what comes, at most up to ``whole`` bytes; whether the stream came to its end."""
    done = checked = part.size()
    since = time.monotonic()
    with part.appending() as append:
        while whole is None or done < whole:
            data = response.read1(CHUNK if whole is None else min(CHUNK, whole - done))
            if not data:
                return True
            append(data)
            done += len(data)
            if show:
                show(done, whole)
            if time.monotonic() - since > patience.window:
                if done - checked < patience.least:
                    raise PassingError(f"slower than {patience.least / patience.window:.0f} bytes a second")
                checked, since = done, time.monotonic()
    return True
