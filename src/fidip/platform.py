"""What differs between operating systems, and nothing else."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fidip.errors import StorageError

WINDOWS = os.name == "nt"
MACOS = sys.platform == "darwin"

FORBIDDEN_IN_NAMES = ':<>"|?*' if WINDOWS else ""
"""Characters that this system's file names cannot hold, or that mean something else there (a colon opens a stream)."""

SHARING_VIOLATIONS = (5, 32, 33)
"""Windows error codes of a file that a virus scanner or an indexer holds open for a moment."""

REPLACE_WAITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # seconds


def cache_dir() -> Path:
    """The folder for files that can be made again, such as compiled kernels. It is not created here.

    ``FIDIP_CACHE`` names it outright; otherwise it is ``$XDG_CACHE_HOME/fidip`` or ``~/.cache/fidip`` on Linux,
    ``~/Library/Caches/fidip`` on macOS and ``%LOCALAPPDATA%\\fidip\\cache`` on Windows.

    Raises:
        StorageError: the system names no home folder for this user.
    """
    if named := os.environ.get("FIDIP_CACHE"):
        return Path(named).expanduser().absolute()
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if xdg.is_absolute() and not WINDOWS:
        return xdg / "fidip"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise StorageError("no home folder to keep a cache in: set FIDIP_CACHE to a folder you can write to") from error
    if WINDOWS:
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "fidip" / "cache"
    return home / ("Library/Caches" if MACOS else ".cache") / "fidip"


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut. Windows keeps them by itself and cannot open a folder."""
    if WINDOWS:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems know no fsync of a folder
            raise
    finally:
        os.close(descriptor)


def replace_file(source: Path, target: Path) -> None:
    """Rename over whatever stands at the target, atomically. On Windows a short sharing violation is waited out."""
    for wait in REPLACE_WAITS if WINDOWS else ():
        try:
            return os.replace(source, target)  # noqa: PTH105 - the tests replace this very call
        except PermissionError as error:
            if getattr(error, "winerror", None) not in SHARING_VIOLATIONS:
                raise
        time.sleep(wait)
    return os.replace(source, target)  # noqa: PTH105


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file alone among the programs that ask for it here; others wait. The file must exist; it is not changed.

    The lock goes with the process, however that ends. Raises ``OSError``.
    """
    with path.open("r+b" if WINDOWS else "rb") as stream:
        if sys.platform == "win32":
            import msvcrt

            stream.seek(1 << 30)  # behind the content, which others may go on reading
            msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def private_files() -> Iterator[None]:
    """Files made inside this block can be read by this user alone. Windows keeps to the rights of the folder."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def single_thread_environment() -> dict[str, str]:
    """Environment of a worker process that computes on one thread: results must not depend on their number."""
    libraries = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
    return {f"{name}_NUM_THREADS": "1" for name in libraries} | {"VECLIB_MAXIMUM_THREADS": "1"}


@contextmanager
def single_threaded_children() -> Iterator[None]:
    """Processes started inside this block inherit ``single_thread_environment``."""
    variables = single_thread_environment()
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def memory_bytes() -> int | None:
    """The machine's memory, or ``None`` where the system does not tell without a library."""
    return None if WINDOWS else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def address_space_bytes() -> int:
    """How much address space this process has taken, on Linux; elsewhere 1 TiB, which is more than it may ever be."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError):
        return 1 << 40


def limit_process(memory: int, seconds: int) -> None:
    """Let this process have no more address space (bytes) and processor time than that, for good.

    Windows has no such limits, and macOS keeps to the second only: there the parent's patience is the limit.
    """
    if WINDOWS:
        return
    import resource

    for kind, limit in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds)):
        hard = resource.getrlimit(kind)[1]
        bounded = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        with suppress(ValueError, OSError):  # macOS may refuse a limit on memory
            resource.setrlimit(kind, (bounded, bounded))
