import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fidip import platform
from fidip.errors import StorageError


@pytest.fixture
def home(monkeypatch, tmp_path):
    for name in ("FIDIP_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(platform, "WINDOWS", False)
    monkeypatch.setattr(platform, "MACOS", False)
    return tmp_path


def test_cache_of_each_system(home, monkeypatch):
    assert platform.cache_dir() == home / ".cache" / "fidip"
    monkeypatch.setattr(platform, "MACOS", True)
    assert platform.cache_dir() == home / "Library" / "Caches" / "fidip"
    monkeypatch.setattr(platform, "WINDOWS", True)
    assert platform.cache_dir() == home / "AppData" / "Local" / "fidip" / "cache"
    monkeypatch.setenv("LOCALAPPDATA", str(home / "local"))
    assert platform.cache_dir() == home / "local" / "fidip" / "cache"
    assert list(home.iterdir()) == []


def test_cache_named_by_the_user(home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "xdg"))
    assert platform.cache_dir() == home / "xdg" / "fidip"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored by the XDG specification
    assert platform.cache_dir() == home / ".cache" / "fidip"
    monkeypatch.setenv("FIDIP_CACHE", str(home / "mine"))
    assert platform.cache_dir() == home / "mine"
    monkeypatch.setenv("FIDIP_CACHE", "mine")
    assert platform.cache_dir() == Path.cwd() / "mine"


def test_no_home_is_an_error_with_a_remedy(home, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(StorageError, match="set FIDIP_CACHE"):
        platform.cache_dir()


class Held:
    """``os.replace`` of a Windows file that somebody else holds open for the first few calls."""

    def __init__(self, monkeypatch, times, winerror):
        self.calls, self.times, self.winerror, self.waited = 0, times, winerror, 0.0
        monkeypatch.setattr(platform, "WINDOWS", True)
        monkeypatch.setattr(os, "replace", self.replace)
        monkeypatch.setattr(platform.time, "sleep", self.sleep)

    def replace(self, *_):
        self.calls += 1
        if self.calls <= self.times:
            error = PermissionError(13, "held")
            error.winerror = self.winerror
            raise error

    def sleep(self, seconds):
        self.waited += seconds


def test_a_short_sharing_violation_is_waited_out(monkeypatch):
    held = Held(monkeypatch, times=3, winerror=32)
    platform.replace_file(Path("a"), Path("b"))
    assert held.calls == 4
    assert held.waited == pytest.approx(sum(platform.REPLACE_WAITS[:3]))


def test_a_long_sharing_violation_is_an_error(monkeypatch):
    held = Held(monkeypatch, times=1000, winerror=5)
    with pytest.raises(PermissionError):
        platform.replace_file(Path("a"), Path("b"))
    assert held.waited < 2


def test_other_refusals_are_not_waited_for(monkeypatch):
    held = Held(monkeypatch, times=1, winerror=19)
    with pytest.raises(PermissionError):
        platform.replace_file(Path("a"), Path("b"))
    assert held.waited == 0


def test_replace_renames_over_the_target(tmp_path):
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"old")
    platform.replace_file(tmp_path / "a", tmp_path / "b")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


def test_fsync_of_a_folder(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    platform.fsync_folder(tmp_path)
    assert len(synced) == 1
    with pytest.raises(FileNotFoundError):
        platform.fsync_folder(tmp_path / "missing")
    monkeypatch.setattr(platform, "WINDOWS", True)
    platform.fsync_folder(tmp_path / "missing")
    assert len(synced) == 1


@pytest.mark.parametrize(("code", "raises"), [(22, False), (5, True)])  # EINVAL, EIO
def test_file_systems_without_an_fsync_of_folders(tmp_path, monkeypatch, code, raises):
    def fsync(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    if raises:
        with pytest.raises(OSError, match=os.strerror(code)):
            platform.fsync_folder(tmp_path)
    else:
        platform.fsync_folder(tmp_path)


def test_workers_compute_on_one_thread():
    environment = platform.single_thread_environment()
    assert {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"} <= environment.keys()
    assert set(environment.values()) == {"1"}


def test_memory_is_that_of_the_machine(monkeypatch):
    assert platform.memory_bytes() is None or platform.memory_bytes() > 1 << 28
    monkeypatch.setattr(platform, "WINDOWS", True)
    assert platform.memory_bytes() is None


def test_children_inherit_one_thread_and_the_parent_is_left_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with platform.single_threaded_children():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.skipif(platform.WINDOWS or platform.MACOS, reason="only Linux limits address space")
def test_a_limited_process_gets_no_more_memory_and_time():
    script = "from fidip.platform import limit_process\nlimit_process(1 << 29, 1)\n"
    room = f"{script}try:\n    bytearray(1 << 30)\nexcept MemoryError:\n    print('no room')"
    done = subprocess.run([sys.executable, "-c", room], capture_output=True, text=True, check=True)
    assert done.stdout == "no room\n"
    stuck = subprocess.run([sys.executable, "-c", f"{script}while True: pass"], capture_output=True, check=False)
    assert stuck.returncode < 0  # ended by the system


def test_address_space_is_what_the_system_counts(monkeypatch):
    before = platform.address_space_bytes()
    assert before < 1 << 50
    monkeypatch.setattr(Path, "read_text", lambda _: "300 20 10 0 0 0 0")
    assert platform.address_space_bytes() == 300 * os.sysconf("SC_PAGE_SIZE")

    def fail(self):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", fail)
    assert platform.address_space_bytes() == 1 << 40


def test_windows_has_no_limits(monkeypatch):
    monkeypatch.setattr(platform, "WINDOWS", True)
    platform.limit_process(1, 1)
    assert len(bytearray(1 << 20)) == 1 << 20


def test_a_locked_file_is_held_by_one_at_a_time_and_freed_by_the_end_of_its_holder(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    program = (
        "import sys, time; from pathlib import Path; from fidip.platform import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path / "a"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        held = threading.Event()

        def wait():
            with platform.locked(tmp_path / "a"):
                held.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not held.wait(0.2)
        assert (tmp_path / "a").read_bytes() == b"content"
        holder.kill()
        assert held.wait(10)
        waiting.join()
    with pytest.raises(FileNotFoundError), platform.locked(tmp_path / "b"):
        pass


def test_private_files_are_this_user_s_alone(tmp_path):
    before = os.umask(0o022)
    try:
        with platform.private_files():
            (tmp_path / "a").write_bytes(b"")
        (tmp_path / "b").write_bytes(b"")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o600, 0o644]
