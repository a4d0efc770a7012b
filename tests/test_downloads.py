from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import fidip.downloads as downloads
from fidip.downloads import Expected, Patience, download
from fidip.errors import DownloadError, FidipError, StorageError
from file_server import FileServer, serving

DATA = np.random.default_rng(0).bytes(300_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
KNOWN = Expected(len(DATA), DIGEST)
QUICK = Patience(timeout=20, attempts=3, pause=0.001)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer(DATA)) as served:
        yield served


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "net.pth"


def left(target: Path) -> set[str]:
    return {entry.name for entry in target.parent.iterdir()} - {".lock", "net.pth.sha256"}


def refused(server: FileServer, target: Path, expected: Expected = KNOWN) -> str:
    with pytest.raises(FidipError) as caught:
        download(server.address, target, expected, QUICK)
    assert not target.exists()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith((server.address, str(target)))
    return message


def test_a_file_comes_whole_once_and_is_verified_afterwards(server: FileServer, target: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    assert download(server.address, target, KNOWN, QUICK, lambda done, total: seen.append((done, total))) == DIGEST
    assert target.read_bytes() == DATA
    assert left(target) == {"net.pth"}
    assert seen[-1] == (len(DATA), len(DATA))
    assert download(server.address, target, KNOWN, QUICK) == DIGEST
    assert len(server.requests) == 1
    target.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))
    with pytest.raises(DownloadError, match=rf"^{target}: its SHA-256 is .* remove it and fetch it again"):
        download(server.address, target, KNOWN, QUICK)
    assert len(server.requests) == 1


@pytest.mark.parametrize("expected", [Expected(), Expected(sha256=DIGEST[:8]), Expected(size=len(DATA))])
def test_what_is_not_known_of_a_file_is_told(server: FileServer, target: Path, expected: Expected) -> None:
    assert download(server.address, target, expected, QUICK) == DIGEST


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("expected", [KNOWN, Expected()])
def test_a_connection_that_breaks_off_goes_on_where_it_was(
    server: FileServer, target: Path, expected: Expected, chunked: bool
) -> None:
    server.chunked = chunked
    server.break_after = [100_000, 70_000, 10]
    assert download(server.address, target, expected, QUICK) == DIGEST
    assert target.read_bytes() == DATA
    assert server.asked_ranges() == [None, "bytes=100000-", "bytes=170000-", "bytes=170010-"]
    assert {request["If-Range"] for request in server.requests[1:]} == {'"one"'}


def test_a_server_that_breaks_off_for_good_leaves_a_part_that_the_next_call_completes(
    server: FileServer, target: Path
) -> None:
    server.break_after = [100_000, 0, 0, 0, 0]
    message = refused(server, target)
    assert "broke off" in message
    assert "100000 bytes are kept, the same command goes on from there" in message
    assert left(target) == {"net.pth.part", "net.pth.part.json"}
    server.break_after, server.requests = [], []
    assert download(server.address, target, KNOWN, QUICK) == DIGEST
    assert server.asked_ranges() == ["bytes=100000-"]
    assert left(target) == {"net.pth"}


def test_a_part_that_is_complete_only_gets_its_name(server: FileServer, target: Path) -> None:
    target.parent.mkdir()
    part, notes = target.with_name("net.pth.part"), target.with_name("net.pth.part.json")
    for expected, asked in ((KNOWN, 0), (Expected(), 1)):
        part.write_bytes(DATA)
        notes.write_text(json.dumps({"address": server.address, "validator": '"one"'}))
        assert download(server.address, target, expected, QUICK) == DIGEST
        assert len(server.requests) == asked
        target.unlink()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_anew(server: FileServer, target: Path, ranges: bool) -> None:
    server.break_after = [100_000, 0, 0, 0]
    refused(server, target)
    server.data, server.etag, server.ranges = DATA[::-1], '"two"', ranges
    server.break_after = []
    assert download(server.address, target, Expected(), QUICK) == hashlib.sha256(DATA[::-1]).hexdigest()


def test_a_server_that_ignores_ranges_starts_again(server: FileServer, target: Path) -> None:
    server.ranges = False
    server.break_after = [100_000, 120_000]
    assert download(server.address, target, KNOWN, QUICK) == DIGEST


def test_a_server_that_ignores_if_range_does_not_mix_two_files(server: FileServer, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("net.pth.part").write_bytes(bytes(100_000))
    target.with_name("net.pth.part.json").write_text(json.dumps({"address": server.address, "validator": '"old"'}))
    server.etag = '"new"'
    server.lax = True
    assert download(server.address, target, KNOWN, QUICK) == DIGEST
    assert server.asked_ranges() == ["bytes=100000-", None]


def test_without_a_validator_nothing_is_resumed(server: FileServer, target: Path) -> None:
    server.etag = 'W/"weak"'
    server.break_after = [100_000]
    assert download(server.address, target, KNOWN, QUICK) == DIGEST
    assert server.asked_ranges() == [None, None]
    target.unlink()
    server.requests, server.etag, server.modified = [], "", "Wed, 21 Oct 2015 07:28:00 GMT"
    server.break_after = [100_000]
    assert download(server.address, target, KNOWN, QUICK) == DIGEST
    assert server.asked_ranges() == [None, "bytes=100000-"]


def test_a_part_of_another_address_is_not_continued(server: FileServer, target: Path) -> None:
    server.break_after = [100_000, 0, 0, 0]
    refused(server, target)
    server.break_after, server.requests = [], []
    assert download(server.address + "?other", target, KNOWN, QUICK) == DIGEST
    assert server.asked_ranges() == [None]


def test_one_wrong_byte_is_refused_and_nothing_is_kept(server: FileServer, target: Path) -> None:
    server.data = DATA[:150_000] + bytes([DATA[150_000] ^ 1]) + DATA[150_001:]
    wrong = hashlib.sha256(server.data).hexdigest()
    message = refused(server, target)
    assert f"its SHA-256 is {wrong}, where {DIGEST} was expected" in message
    assert left(target) == set()
    assert f"where {DIGEST[:8]}… was expected" in refused(server, target, Expected(sha256=DIGEST[:8]))


@pytest.mark.parametrize("expected", [Expected(), Expected(len(DATA)), Expected(sha256=DIGEST[:8])])
def test_what_came_is_on_record_where_the_publisher_states_no_whole_hash(
    server: FileServer, target: Path, expected: Expected
) -> None:
    download(server.address, target, expected, QUICK)
    record = target.with_name("net.pth.sha256")
    assert record.read_text() == f"{DIGEST}  net.pth\n"
    target.write_bytes(DATA[:7] + bytes([DATA[7] ^ 128]) + DATA[8:])
    with pytest.raises(DownloadError, match=rf"^{target}: its SHA-256 is .*, where {DIGEST} was expected: .* again"):
        download(server.address, target, expected, QUICK)
    for damaged in (b"", b"\xff\xfe", DIGEST.encode()):
        record.write_bytes(damaged)
        with pytest.raises(DownloadError, match=rf"^{record}: damaged; remove it and net.pth, and fetch"):
            download(server.address, target, expected, QUICK)
    assert len(server.requests) == 1
    record.unlink()
    target.unlink()
    server.data = DATA[::-1]  # without a hash that is known, another file is another file
    if not expected.sha256:
        download(server.address, target, expected, QUICK)
        assert record.read_text().startswith(hashlib.sha256(DATA[::-1]).hexdigest())


def test_a_hash_that_differs_in_any_digit_is_refused(server: FileServer, target: Path) -> None:
    for position in range(0, 64, 7):
        other = "f" if DIGEST[position] != "f" else "0"
        refused(server, target, Expected(len(DATA), DIGEST[:position] + other + DIGEST[position + 1 :]))


@pytest.mark.parametrize(("promised", "problem"), [(299_999, "offers 299999 bytes"), (300_001, "offers 300001 bytes")])
def test_a_length_that_is_not_the_known_one_is_refused_before_anything_comes(
    server: FileServer, target: Path, promised: int, problem: str
) -> None:
    server.promised = promised
    assert problem in refused(server, target)
    assert len(server.requests) == 1


def test_a_length_that_is_a_lie_is_noticed(server: FileServer, target: Path) -> None:
    server.promised, server.ranges = 300_001, False
    assert "300000 bytes are kept" in refused(server, target, Expected(sha256=DIGEST))
    server.promised = 200_000  # and 300 000 are sent
    for entry in target.parent.iterdir():
        entry.unlink()
    assert "SHA-256" in refused(server, target, Expected(sha256=DIGEST))
    server.promised, server.chunked, server.data = None, True, DATA + b"more"
    assert download(server.address, target, KNOWN, QUICK) == DIGEST  # the rest is not even read


def test_a_file_without_a_length_is_refused(server: FileServer, target: Path) -> None:
    server.nameless_length = True
    assert "does not say how long the file is" in refused(server, target, Expected())


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "404 Not Found; the file is no longer there"),
        (403, "403 Forbidden; it asks for a login or for consent"),
        (401, "401 Unauthorized; it asks for a login"),
        (410, "410 Gone"),
        (418, "418 I'm a Teapot; fetch the file with a browser"),
        (407, "the proxy asks for a login"),
    ],
)
def test_a_refusal_is_final(server: FileServer, target: Path, status: int, words: str) -> None:
    server.status = [status]
    assert words in refused(server, target)
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again_when_it_says(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(downloads, "_sleep", pauses.append)
    server.status, server.headers = [503, 429], {"Retry-After": "7"}
    assert download(server.address, target, KNOWN, Patience(pause=1.0)) == DIGEST
    assert pauses == [7, 7]
    target.unlink()
    pauses.clear()
    server.status, server.headers = [500, 502, 503, 500], {"Retry-After": "soon"}
    assert download(server.address, target, KNOWN, Patience(pause=1.0)) == DIGEST
    assert pauses == [1, 2, 4, 8]
    server.status, server.headers = [500] * 9, {"Retry-After": "86400"}
    target.unlink()
    pauses.clear()
    assert "the server answers 500 Internal Server Error, 3 times in a row" in refused(server, target)
    assert pauses == [60, 60]


def test_a_web_page_is_no_file(server: FileServer, target: Path) -> None:
    server.kind = "text/html; charset=utf-8"
    assert "sent a web page instead of the file" in refused(server, target)
    server.kind, server.encoding = "application/octet-stream", "gzip"
    assert "changes the file on its way" in refused(server, target)
    assert left(target) == set()


def test_a_silent_server_is_given_up(server: FileServer, target: Path) -> None:
    server.silent = 1.0
    line = r"the server was silent for 0\.2 s, 3 times in a row; check the connection"
    with pytest.raises(DownloadError, match=line):
        download(server.address, target, KNOWN, Patience(timeout=0.2, attempts=3, pause=0.001))
    assert not target.exists()


def test_a_dripping_server_is_given_up(server: FileServer, target: Path) -> None:
    server.drip = 0.02
    with pytest.raises(DownloadError, match=r"slower than 500000 bytes a second, 2 times in a row.*bytes are kept"):
        download(server.address, target, KNOWN, Patience(20, 2, 0.001, window=0.2, least=100_000))


def test_nobody_at_the_address(target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}/net.pth"
    with pytest.raises(DownloadError, match=r"cannot be reached \(.*refused.*HTTPS_PROXY.*"):
        download(address, target, KNOWN, QUICK)


@pytest.mark.parametrize("address", ["ftp://example.org/x", "file:///etc/passwd", "data:,x", "net.pth", "https:///x"])
def test_other_addresses_are_refused(address: str, target: Path) -> None:
    with pytest.raises(DownloadError, match="not an address that starts with https"):
        download(address, target, KNOWN, QUICK)
    assert not target.parent.exists()


def test_plain_http_leads_elsewhere_only_with_a_whole_hash(target: Path) -> None:
    for expected in (Expected(), Expected(sha256=DIGEST[:8])):
        with pytest.raises(DownloadError, match="not encrypted, and no whole SHA-256 is known"):
            download("http://weights.invalid/net.pth", target, expected, QUICK)
        assert not target.parent.exists()


def test_the_proxy_of_the_environment_is_asked(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.address.removesuffix("/net.pth"))
    assert download("http://weights.invalid/net.pth", target, KNOWN, QUICK) == DIGEST
    assert server.paths == ["http://weights.invalid/net.pth"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_keeps_what_fits_and_says_so(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    room = 100_000

    def write(descriptor: int, data: memoryview) -> int:
        written = os.fstat(descriptor).st_size
        if written >= room:
            raise OSError(code, os.strerror(code))
        return os.write(descriptor, data[: room - written])

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "_write", write)
        with pytest.raises(StorageError, match=r"net\.pth: cannot be written: the disk"):
            download(server.address, target, KNOWN, QUICK)
    assert not target.exists()
    assert len(server.requests) == 1
    assert download(server.address, target, KNOWN, QUICK) == DIGEST
    assert server.asked_ranges() == [None, "bytes=100000-"]


def test_too_little_room_is_told_before_anything_is_written(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    with pytest.raises(StorageError, match=r"0 MiB are to come and 0 MiB are free; free some space"):
        download(server.address, target, KNOWN, QUICK)
    assert target.with_name("net.pth.part").stat().st_size == 0


def test_a_folder_that_is_a_file_is_a_storage_error(server: FileServer, target: Path) -> None:
    target.parent.write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be written"):
        download(server.address, target, KNOWN, QUICK)


def test_several_at_once_do_not_disturb_each_other(server: FileServer, target: Path) -> None:
    server.silent = 0.2
    with ThreadPoolExecutor(3) as pool:  # the lock belongs to an open file, so threads are to it what processes are
        digests = list(pool.map(lambda _: download(server.address, target, KNOWN, QUICK), range(3)))
    assert digests == [DIGEST] * 3
    assert len(server.requests) == 1
    assert left(target) == {"net.pth"}


def test_a_fetch_that_is_killed_goes_on_where_it_was(server: FileServer, target: Path) -> None:
    server.drip = 0.005
    program = (
        "import sys\nfrom pathlib import Path\nfrom fidip.downloads import download\n"
        "download(sys.argv[1], Path(sys.argv[2]))"
    )
    part = target.with_name("net.pth.part")
    with subprocess.Popen([sys.executable, "-c", program, server.address, str(target)]) as process:
        while not part.exists() or part.stat().st_size < 20_000:
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
    have = part.stat().st_size
    assert 20_000 <= have < len(DATA)
    assert not target.exists()
    server.drip, server.requests = 0.0, []
    assert download(server.address, target, Expected(), QUICK) == DIGEST
    assert server.asked_ranges() == [f"bytes={have}-"]
