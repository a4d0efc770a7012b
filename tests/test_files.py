import errno
import hashlib
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidip import files
from fidip.errors import DataError, StorageError

CALLS = ("_open", "_write", "_fsync", "_replace", "_fsync_folder")
BIG = bytes(range(256)) * 2048  # several times the stream's buffer


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class FailingCalls:
    """Counts every call that reaches the disk and makes the n-th one fail."""

    def __init__(self, monkeypatch, n=None, code=errno.ENOSPC):
        self.count, self.n, self.code, self.failed = 0, n, code, ""
        for name in CALLS:
            monkeypatch.setattr(files, name, self.wrap(name, getattr(files, name)))

    def wrap(self, name, call):
        def wrapped(*arguments):
            self.count += 1
            if self.count == self.n:
                self.failed = name
                raise OSError(self.code, os.strerror(self.code))
            return call(*arguments)

        return wrapped


def save_array(path):
    with files.atomic_write(path) as stream:
        np.savez(stream, a=np.arange(50_000.0), b=np.arange(30_000))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("save", [lambda path: files.write_bytes(path, BIG), save_array], ids=["bytes", "npz"])
def test_whichever_call_fails_a_whole_file_stands_there(tmp_path, monkeypatch, save, code):
    path = tmp_path / "result.bin"
    with monkeypatch.context() as patched:
        total = FailingCalls(patched)
        save(path)
    new = path.read_bytes()
    assert total.count >= len(CALLS)
    seen = set()
    for n in range(1, total.count + 1):
        path.write_bytes(b"old")
        with monkeypatch.context() as patched:
            calls = FailingCalls(patched, n, code)
            with pytest.raises(StorageError, match=r"result\.bin: cannot be written: .*; ") as caught:
                save(path)
        seen.add(calls.failed)
        assert "\n" not in str(caught.value)
        # Once renamed the new file is whole; only its surviving a power cut is in doubt, hence the error.
        assert path.read_bytes() == (new if calls.failed == "_fsync_folder" else b"old")
        assert names(tmp_path) == ["result.bin"]
    assert seen == set(CALLS)


def test_short_writes_are_continued(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_write", lambda descriptor, data: os.write(descriptor, bytes(data[:1000])))
    files.write_bytes(tmp_path / "a", BIG)
    assert (tmp_path / "a").read_bytes() == BIG


def interrupted(path, error):
    with files.atomic_write(path) as stream:
        stream.write(BIG)
        raise error


def test_an_error_of_the_writer_keeps_the_old_file_and_stays_itself(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    for error in (OSError("of some input"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught:
            interrupted(path, error)
        assert caught.value is error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_real_limit_of_the_system_is_a_storage_error(tmp_path):
    program = (
        "import resource, signal, sys; from fidip.files import write_bytes; from fidip.errors import StorageError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: write_bytes(sys.argv[1], bytes(1_000_000))\n"
        "except StorageError as error: print(error)"
    )
    (tmp_path / "a").write_bytes(b"old")
    command = [sys.executable, "-c", program, str(tmp_path / "a")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "too large" in printed
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_what_cannot_be_written_is_named_with_its_remedy(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for path, remedy in {
        tmp_path / "missing" / "a": "create it first",
        tmp_path / "file" / "a": "choose another path",
        tmp_path / "folder": "choose another name",
        tmp_path / ("n" * 300): "choose a shorter one",
    }.items():
        with pytest.raises(StorageError, match=remedy) as caught:
            files.write_text(path, "x")
        assert str(caught.value).startswith(str(path))


def test_a_killed_writer_leaves_the_old_file_and_a_temporary_that_is_swept_up(tmp_path):
    program = (
        "import sys, time; from fidip.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as stream:\n"
        "    stream.write(bytes(500_000)); stream.flush(); print('ready', flush=True); time.sleep(60)"
    )
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / ".fidip-note.tmp").write_bytes(b"of somebody else")
    (tmp_path / "b.tmp").write_bytes(b"of somebody else")
    with subprocess.Popen([sys.executable, "-c", program, tmp_path / "a"], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline().strip() == b"ready"
        writer.kill()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert len(names(tmp_path)) == 4
    assert files.remove_stale_temporaries(tmp_path) == 1
    assert names(tmp_path) == [".fidip-note.tmp", "a", "b.tmp"]
    assert files.remove_stale_temporaries(tmp_path) == 0


def test_a_new_file_has_the_users_usual_permissions(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    files.write_bytes(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_text_has_the_same_bytes_on_every_system(tmp_path):
    files.write_text(tmp_path / "a", "ü\nb\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xbc\nb\n"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60)
@given(json_values)
def test_json_there_and_back(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "there.json"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files, "_fsync", lambda _: None)  # the slow part, and no concern here
        files.write_json(path, value)
    assert files.read_json(path) == value
    assert path.read_bytes().isascii()


def test_json_keeps_the_order_of_keys(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": 1, "a": {"d": 2, "c": 3}}, indent=1)
    assert list(files.read_json(tmp_path / "a.json")) == ["b", "a"]
    assert (tmp_path / "a.json").read_text().startswith('{\n "b": 1,')


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": -float("inf")}])
def test_json_without_a_number_is_not_written(tmp_path, value):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", value)
    assert (tmp_path / "a.json").read_text() == "{}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_in_the_encodings_that_editors_write(tmp_path, encoding):
    (tmp_path / "a.json").write_bytes('{"ä": 1}'.encode(encoding))
    assert files.read_json(tmp_path / "a.json") == {"ä": 1}


@pytest.mark.parametrize(
    ("content", "where", "problem"),
    [
        (b'{"a": 1,\n "b": }', "line 2, column 7", "not JSON"),
        (b"", "line 1, column 1", "not JSON"),
        (b'{"a": NaN}', "", "NaN is not a number"),
        (b"[-Infinity]", "", "-Infinity is not a number"),
        (b'{"x": {"a": 1, "b": 2, "a": 3}}', "", "the key 'a' appears twice"),
        (b'{"a": "\xff"}', "byte 7", "UTF-8"),
        (b"[" * 100_000, "", "nested too deeply"),
        (b"1" * 5000, "", "4300 digits"),
    ],
)
def test_json_that_is_wrong_is_located(tmp_path, content, where, problem):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=problem) as caught:
        files.read_json(path)
    assert caught.value.where == where
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_json_that_cannot_be_read_at_all(tmp_path):
    (tmp_path / "a.json").write_text("[1, 2, 3]")
    for path, problem in {
        tmp_path / "missing.json": "no such file",
        tmp_path: "a folder",
        tmp_path / "a.json" / "b.json": "cannot be read",
        "a\0b": "cannot be read",
    }.items():
        with pytest.raises(DataError, match=problem):
            files.read_json(path)
    with pytest.raises(DataError, match="larger than 8 bytes"):
        files.read_json(tmp_path / "a.json", max_bytes=8)
    assert files.read_json(tmp_path / "a.json", max_bytes=9) == [1, 2, 3]


def test_mutated_json_raises_nothing_but_data_errors(tmp_path):
    generator = np.random.default_rng(0)
    valid = bytearray(
        json.dumps({"images": [{"id": i, "file_name": f"{i}.jpg", "x": i / 7} for i in range(5)]}).encode()
    )
    path = tmp_path / "a.json"
    messages = []
    for _ in range(300):
        mutant = valid.copy()
        for _ in range(generator.integers(1, 5)):
            mutant[generator.integers(len(mutant))] = generator.integers(256)
        path.write_bytes(mutant)
        try:
            files.read_json(path)
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(message.startswith(f"{path}: ") for message in messages)


def test_sha256_is_that_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(BIG)
    assert files.sha256_of(tmp_path / "a") == hashlib.sha256(BIG).hexdigest()
    with pytest.raises(DataError, match="no such file"):
        files.sha256_of(tmp_path / "b")


@pytest.mark.parametrize(
    "name", ["a.jpg", "train/01/a.jpg", "./a.jpg", "a//b.jpg", "ü ä.jpg", "..a", "a..b", "...x", "conx"]
)
def test_names_below_the_root_are_joined(tmp_path, name):
    assert files.safe_join(tmp_path, name) == (tmp_path / name).resolve()


HOSTILE = [
    "", ".", "./", "..", "../a", "a/../b", "a/..", "../../../../etc/passwd", "/etc/passwd", "//host/share", "C:/a",
    "c:a", "..\\a", "a\\..\\..\\b", "\\\\host\\share", "a\0.jpg", "a\n.jpg", "NUL", "con.jpg", "a/AUX", "com1.txt/a",
    "lpt9 .jpg", "a.", "a ", "a ./b", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(DataError) as caught:
        files.safe_join(tmp_path, name)
    assert str(caught.value).startswith(f"{tmp_path}: file name ")
    assert "\n" not in str(caught.value)


@given(
    st.lists(st.sampled_from(["..", ".", "a", "/", "\\", "C:", "\0", "link", "b.jpg", " "]), max_size=6).map("".join)
)
def test_no_name_escapes(tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp() / "root"
    root.mkdir(exist_ok=True)
    if not (root / "link").is_symlink():
        (root / "link").symlink_to("..")
    try:
        path = files.safe_join(root, name)
    except DataError:
        return
    assert root.resolve() in path.parents
    assert not path.is_symlink()


def test_links_may_stay_inside_the_root_only(tmp_path):
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"")
    (root / "in").symlink_to("inner")
    (root / "out").symlink_to("..")
    (root / "direct").symlink_to(tmp_path / "secret")
    (root / "loop").symlink_to("loop")
    assert files.safe_join(root, "in/a.jpg") == (root / "inner" / "a.jpg").resolve()
    for name in ("out/secret", "direct", "out"):
        with pytest.raises(DataError, match="leads out"):
            files.safe_join(root, name)
    (tmp_path / "alias").symlink_to(root)
    assert files.safe_join(tmp_path / "alias", "a.jpg") == (root / "a.jpg").resolve()


def test_a_new_folder_is_empty(tmp_path):
    folder = files.new_folder(tmp_path / "runs" / "demo")
    assert names(folder) == []
    (folder / f".fidip-{'0' * 16}.tmp").write_bytes(b"half")
    assert files.new_folder(folder) == folder
    assert names(folder) == []
    (folder / "kept.json").write_bytes(b"")
    with pytest.raises(StorageError, match=r"not empty \(it holds kept\.json\); choose a new folder or empty this one"):
        files.new_folder(folder)
    with pytest.raises(StorageError, match="a file, not a folder"):
        files.new_folder(folder / "kept.json")
    with pytest.raises(StorageError, match="choose another path"):
        files.new_folder(folder / "kept.json" / "deeper")
    assert names(folder) == ["kept.json"]


def test_readers_see_whole_files_only(tmp_path):
    path = tmp_path / "a.json"
    program = (
        "import sys; from fidip.files import write_json\nfor n in range(60): write_json(sys.argv[1], [n] * 20_000)"
    )
    files.write_json(path, [0] * 20_000)
    with subprocess.Popen([sys.executable, "-c", program, path]) as writer:
        while writer.poll() is None:
            value = files.read_json(path)
            assert len(value) == 20_000
            assert len(set(value)) == 1
            time.sleep(0.001)
    assert writer.returncode == 0
    assert files.read_json(path)[0] == 59


def test_a_file_is_moved_once_and_over_nothing(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    assert files.move_file(tmp_path / "a", tmp_path / "new" / "deeper" / "a")
    assert not files.move_file(tmp_path / "a", tmp_path / "new" / "deeper" / "a")
    assert (tmp_path / "new" / "deeper" / "a").read_bytes() == b"1"
    (tmp_path / "a").write_bytes(b"2")
    with pytest.raises(StorageError, match="is in the way of"):
        files.move_file(tmp_path / "a", tmp_path / "new" / "deeper" / "a")
    assert (tmp_path / "new" / "deeper" / "a").read_bytes() == b"1"
    with pytest.raises(StorageError, match="cannot be written"):
        files.move_file(tmp_path / "a", tmp_path / "new" / "deeper" / "a" / "b")
    assert (tmp_path / "a").read_bytes() == b"2"
