"""Only the page itself, from this machine and with the token, gets anything or decides anything."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import threading
from collections.abc import Iterator

import pytest

from fidip.errors import RecipeError, StorageError
from fidip.gallery.server import HOST, MAX_BODY, GalleryServer

GOOD = json.dumps({"reject": [2], "restore": []}).encode()


class Running:
    """A server in a thread, with everything that it handed on."""

    def __init__(self) -> None:
        self.decided: list[tuple[list[int], list[int]]] = []
        self.problem: Exception | None = None
        self.pages = 0
        self.server = GalleryServer(self.page, self.decide)
        self.host = f"{HOST}:{self.server.server_port}"
        self.path = self.server.url.removeprefix(self.server.origin)

    def page(self) -> list[bytes]:
        self.pages += 1
        return [b"<p>one", b" two</p>"]

    def decide(self, reject, restore):
        if self.problem:
            raise self.problem
        self.decided.append((list(reject), list(restore)))
        return {9, 2}

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str | None):
        sent = {"Host": self.host, "Origin": self.server.origin, "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(HOST, self.server.server_port, timeout=10)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.items():
            if value is not None:
                connection.putheader(name, value)
        if body is not None and "Content_Length" not in headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content


@pytest.fixture
def running() -> Iterator[Running]:
    it = Running()
    thread = threading.Thread(target=it.server.serve_forever, args=(0.02,))
    thread.start()
    yield it
    it.server.shutdown()
    thread.join()
    it.server.server_close()


def test_the_address_leads_to_the_page_and_is_this_machine_s_alone(running: Running) -> None:
    answer, content = running.ask("GET", running.path, Origin=None)
    assert (answer.status, content) == (200, b"<p>one two</p>")
    headers = dict(answer.getheaders())
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Length"] == "14"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert (headers["Referrer-Policy"], headers["Cache-Control"]) == ("no-referrer", "no-store")
    assert (headers["X-Content-Type-Options"], headers["Server"]) == ("nosniff", "fidip")
    assert running.server.server_address[0] == "127.0.0.1"
    assert len(running.server.token) >= 43
    other = Running()
    other.server.server_close()
    assert other.server.token != running.server.token


def test_a_decision_is_handed_on_and_answered_with_all_that_is_rejected(running: Running) -> None:
    answer, content = running.ask("POST", running.path + "decide", b'{"reject": [5, 1], "restore": [3]}')
    assert (answer.status, json.loads(content)) == (200, {"rejected": [2, 9]})
    assert running.decided == [([5, 1], [3])]


@pytest.mark.parametrize(
    "host",
    [None, "localhost:{}", "evil.example:{}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{}.evil.example", "[::1]:{}", ""],
)
def test_another_host_gets_nothing(running: Running, host: str | None) -> None:
    """A name of another site that resolves to this machine (DNS rebinding) stands in the Host header."""
    name = None if host is None else host.format(running.server.server_port)
    for method, path, body in (("GET", running.path, None), ("POST", running.path + "decide", GOOD)):
        answer, _ = running.ask(method, path, body, Host=name)
        assert answer.status == 403
    assert (running.pages, running.decided) == (0, [])


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "http://evil.example",
        "https://{}",
        "http://{}/",
        "http://localhost:80",
        "http://{}.evil.example",
        "*",
    ],
)
def test_another_origin_decides_nothing(running: Running, origin: str | None) -> None:
    sent = None if origin is None else origin.format(running.host)
    answer, _ = running.ask("POST", running.path + "decide", GOOD, Origin=sent)
    assert (answer.status, running.decided) == (403, [])


def test_whoever_does_not_know_the_token_gets_nothing(running: Running) -> None:
    token = running.server.token
    wrong = ["/", "/decide", f"/{token}", f"/{token}x/", f"/{token[:-1]}/", f"/{token}/../", f"/{token}/decide",
             f"/{token.swapcase()}/", f"http://{running.host}/{token}/", f"/{token}/?a=1", f"/{token}/images/1.png",
             f"/{token}/..%2f..%2fetc/passwd", "/favicon.ico"]  # fmt: skip
    for path in wrong:
        answer, content = running.ask("GET", path)
        assert (answer.status, running.pages) == (404, 0), path
        assert token.encode() not in content
    for path in ("/decide", f"/{token}/", f"/{token}/decide/", f"/{token[:-1]}/decide"):
        assert running.ask("POST", path, GOOD)[0].status == 404
    assert running.decided == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"])
def test_there_are_two_methods(running: Running, method: str) -> None:
    answer, content = running.ask(method, running.path)
    assert answer.status == 501
    assert running.server.token.encode() not in content
    assert answer.getheader("Access-Control-Allow-Origin") is None


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (GOOD, {"Content_Type": "text/plain"}, 415),
        (GOOD, {"Content_Type": None}, 415),
        (GOOD, {"Content_Length": "x"}, 411),
        (GOOD, {"Content_Length": "-1"}, 411),
        (GOOD, {"Content_Length": "²"}, 411),
        (GOOD, {"Content_Length": "9" * 30}, 411),
        (None, {}, 411),
        (GOOD, {"Content_Length": str(MAX_BODY + 1)}, 413),
        (b"", {}, 400),
        (b"[]", {}, 400),
        (b"{}", {}, 400),
        (b'{"reject": [1]}', {}, 400),
        (b'{"reject": [1], "restore": [], "more": 1}', {}, 400),
        (b'{"reject": [1], "reject": [2], "restore": []}', {}, 400),
        (b'{"reject": [true], "restore": []}', {}, 400),
        (b'{"reject": [1.0], "restore": []}', {}, 400),
        (b'{"reject": ["1"], "restore": []}', {}, 400),
        (b'{"reject": 1, "restore": []}', {}, 400),
        (b'{"reject": [' + b"9" * 17 + b'], "restore": []}', {}, 400),
        (b'{"reject": [' + b"9" * 5000 + b'], "restore": []}', {}, 400),
        (b"[" * 100_000, {}, 400),
        (b'{"reject": ["\xff"], "restore": []}', {}, 400),
    ],
)
def test_what_is_no_decision_is_refused(running: Running, body, headers, status: int) -> None:
    encoded = {name: None if value is None else value.encode().decode("latin-1") for name, value in headers.items()}
    answer, content = running.ask("POST", running.path + "decide", body, **encoded)
    assert (answer.status, running.decided) == (status, [])
    assert set(json.loads(content)) == {"error"}


@pytest.mark.parametrize(
    ("problem", "status"),
    [(StorageError("d: cannot be written: the disk is full"), 507), (RecipeError("no id 2"), 409)],
)
def test_a_decision_that_cannot_be_written_is_answered_with_the_reason(running: Running, problem, status: int) -> None:
    running.problem = problem
    answer, content = running.ask("POST", running.path + "decide", GOOD)
    assert (answer.status, json.loads(content)) == (status, {"error": str(problem)})
    running.problem = None
    assert running.ask("POST", running.path + "decide", GOOD)[0].status == 200


def test_decisions_come_one_at_a_time(running: Running) -> None:
    inside, most = 0, 0
    entered = threading.Lock()

    def slow(reject, restore):
        nonlocal inside, most
        with entered:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.02)
        with entered:
            inside -= 1
        return reject

    running.server.decide = slow
    threads = [threading.Thread(target=running.ask, args=("POST", running.path + "decide", GOOD)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_silent_visitor_keeps_nobody_waiting(running: Running) -> None:
    with socket.create_connection((HOST, running.server.server_port)):  # as browsers open them in advance
        assert running.ask("GET", running.path)[0].status == 200


def test_random_requests_break_nothing_and_decide_nothing(running: Running) -> None:
    """Every part of a good request is spoilt at random; only what is wholly good may get through."""
    draw = random.Random(3)
    noise = [
        b"\r\n",
        b"\0",
        b"\xff",
        b"GET",
        b"/../..",
        b"Host: evil",
        b"Transfer-Encoding: chunked",
        b":",
        b" ",
        b"%00",
        b"A" * 70_000,
    ]
    good = (
        f"POST {running.path}decide HTTP/1.1\r\nHost: {running.host}\r\nOrigin: {running.server.origin}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(GOOD)}\r\nConnection: close\r\n\r\n"
    ).encode() + GOOD
    head = good.index(b"\r\n\r\n") - len("\r\nConnection: close")
    statuses = set()
    for _ in range(250):
        place = draw.randrange(head)
        spoilt = good[:place] + draw.choice(noise) + good[place + draw.randint(1, 12) :]
        before = len(running.decided)
        with socket.create_connection((HOST, running.server.server_port), timeout=10) as visitor:
            with contextlib.suppress(OSError):
                visitor.sendall(spoilt)
                visitor.shutdown(socket.SHUT_WR)
            answer = b""
            with contextlib.suppress(OSError):
                while data := visitor.recv(4096):
                    answer += data
        status = int(answer.split()[1]) if answer.startswith(b"HTTP/") and len(answer.split()) > 1 else 0
        statuses.add(status)
        assert status < 500 or status in (501, 505), spoilt[:300]
        if len(running.decided) > before:  # only what leaves token, host, origin, type and length as they were
            for part in (running.path, running.host, running.server.origin, "application/json"):
                assert part.encode() in spoilt
    assert {403, 404} <= statuses
    assert running.ask("POST", running.path + "decide", GOOD)[0].status == 200


def test_a_port_that_is_taken_or_none_is_an_error_of_one_line(running: Running) -> None:
    for port in (running.server.server_port, 70_000):
        with pytest.raises(StorageError, match=f"port {port} of 127.0.0.1 cannot be used .*; choose another --port"):
            GalleryServer(running.page, running.decide, port)


def test_nothing_is_logged(running: Running, capfd: pytest.CaptureFixture[str]) -> None:
    running.ask("GET", running.path)
    running.ask("GET", "/nothing")
    running.ask("BREW", "/coffee")
    assert capfd.readouterr() == ("", "")
