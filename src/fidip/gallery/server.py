"""A page that writes decisions down: a small server that only this machine, and only who knows its address, can reach.

It listens on the loopback address alone. The path begins with a token of 256 random bits that is made anew at every
start, is never logged and is sent to nobody else. There are two routes, the page and its decisions. A request is
refused unless its ``Host`` is the very address that was printed, so that no name of another site may lead here; a
decision must also come from the page itself by its ``Origin``, be JSON, and be small. No request names a file.
"""

from __future__ import annotations

import hmac
import json
import secrets
import socketserver
import threading
from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fidip.errors import FidipError, StorageError
from fidip.fields import MAX_INTEGER
from fidip.files import object_without_repeats
from fidip.gallery.page import policy
from fidip.platform import WINDOWS

HOST = "127.0.0.1"

MAX_BODY = 1 << 18
"""Bytes of a decision: fifteen thousand ids."""

HEADERS = {
    "Content-Security-Policy": f"{policy(live=True)}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Decide = Callable[[Collection[int], Collection[int]], Collection[int]]
"""Rejects and restores images by their ids; returns all ids that are now rejected."""


class GalleryServer(ThreadingHTTPServer):
    """Serves a page and hands its decisions on, one at a time. ``url`` is where the page is."""

    daemon_threads = True
    allow_reuse_address = not WINDOWS  # there it would let another program take the port

    def __init__(self, page: Callable[[], Iterable[bytes]], decide: Decide, port: int = 0) -> None:
        """Listen on a port, or on any free one. Raises ``StorageError`` where the port is taken."""
        self.page, self.decide = page, decide
        self.turn = threading.Lock()
        self.token = secrets.token_urlsafe(32)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise StorageError(f"port {port} of {HOST} cannot be used ({error}); choose another --port") from error
        self.origin = f"http://{HOST}:{self.server_port}"
        self.url = f"{self.origin}/{self.token}/"

    def server_bind(self) -> None:
        """Bind without asking any name server for the machine's name, as the inherited method would."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, *_: object) -> None:
        """A browser that goes away in the middle of an answer is no news."""


class _Refused(Exception):  # noqa: N818 - a refusal is no error of ours
    def __init__(self, status: HTTPStatus, problem: str) -> None:
        super().__init__(problem)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: GalleryServer
    timeout = 30  # seconds that a silent connection is kept

    def do_GET(self) -> None:
        self._answer(lambda: self._route("", "GET"))

    def do_POST(self) -> None:
        self._answer(lambda: self._route("decide", "POST"))

    def _answer(self, act: Callable[[], None]) -> None:
        try:
            act()
        except _Refused as refusal:
            self._json(refusal.status, {"error": str(refusal)})

    def _route(self, name: str, method: str) -> None:
        if self.headers.get_all("Host") != [self.server.origin.removeprefix("http://")]:
            raise _Refused(HTTPStatus.FORBIDDEN, "another host was asked for")
        prefix = f"/{self.server.token}/".encode()
        path = self.path.encode("latin-1", "replace")
        if not hmac.compare_digest(path[: len(prefix)], prefix) or path[len(prefix) :] != name.encode():
            raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here")
        if method == "GET":
            self._page()
        else:
            self._decide()

    def _page(self) -> None:
        with self.server.turn:
            parts = list(self.server.page())
        self._head(HTTPStatus.OK, "text/html; charset=utf-8", sum(map(len, parts)))
        for part in parts:
            self.wfile.write(part)

    def _decide(self) -> None:
        if self.headers.get_all("Origin") != [self.server.origin]:
            raise _Refused(HTTPStatus.FORBIDDEN, "only the page itself may decide")
        reject, restore = _decision(self._body())
        with self.server.turn:
            try:
                rejected = self.server.decide(reject, restore)
            except StorageError as error:
                raise _Refused(HTTPStatus.INSUFFICIENT_STORAGE, str(error)) from error
            except FidipError as error:
                raise _Refused(HTTPStatus.CONFLICT, str(error)) from error
        self._json(HTTPStatus.OK, {"rejected": sorted(rejected)})

    def _body(self) -> bytes:
        if self.headers.get_all("Content-Type") != ["application/json"]:
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a decision is JSON")
        length = self.headers.get_all("Content-Length") or []
        if len(length) != 1 or not length[0].isascii() or not length[0].isdigit() or len(length[0]) > 9:
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "a decision says how long it is")
        if int(length[0]) > MAX_BODY:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a decision has at most {MAX_BODY} bytes")
        body = self.rfile.read(int(length[0]))
        if len(body) != int(length[0]):
            raise _Refused(HTTPStatus.BAD_REQUEST, "the decision is cut off")
        return body

    def _json(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode("ascii")
        self._head(status, "application/json", len(data))
        self.wfile.write(data)

    def _head(self, status: HTTPStatus, kind: str, length: int) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def send_error(self, code: int, *_: object, **__: object) -> None:
        """Say that something was wrong with a request, without repeating any of it."""
        self.close_connection = True
        self._json(HTTPStatus(code), {"error": "this request is not understood"})

    def version_string(self) -> str:
        return "fidip"

    def log_message(self, format: str, *arguments: object) -> None:
        """Write nothing down: addresses hold the token."""


def _decision(body: bytes) -> tuple[list[int], list[int]]:
    problem = _Refused(HTTPStatus.BAD_REQUEST, "a decision is an object of two lists of image ids, reject and restore")
    try:
        value = json.loads(body, object_pairs_hook=object_without_repeats)
    except (ValueError, RecursionError) as error:
        raise problem from error
    if not isinstance(value, dict) or set(value) != {"reject", "restore"}:
        raise problem
    for ids in value.values():
        if not isinstance(ids, list) or not all(type(i) is int and abs(i) <= MAX_INTEGER for i in ids):
            raise problem
    return value["reject"], value["restore"]
