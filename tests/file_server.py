"""A web server on this machine that holds one file and behaves as badly as a test asks."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What is served, how, and what was asked."""

    data: bytes
    etag: str = '"one"'
    modified: str = ""
    kind: str = "application/octet-stream"
    status: list[int] = field(default_factory=list)  # answers of the next requests, instead of the file
    headers: dict[str, str] = field(default_factory=dict)  # of those answers
    ranges: bool = True
    lax: bool = False  # does not look at If-Range
    break_after: list[int] = field(default_factory=list)  # bytes of the next bodies after which the connection breaks
    promised: int | None = None  # another Content-Length than the true one
    chunked: bool = False
    nameless_length: bool = False  # neither a length nor chunks
    silent: float = 0.0  # seconds before the body
    drip: float = 0.0  # seconds between pieces of 1 KiB
    encoding: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    address: str = ""

    def asked_ranges(self) -> list[str | None]:
        return [request.get("Range") for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        served = self.server.served
        served.requests.append(dict(self.headers))
        served.paths.append(self.path)
        self.close_connection = True
        if served.status:
            return self._answer_without_file(served.status.pop(0), served.headers)
        start = self._start(served)
        if start is not None and start >= len(served.data):
            return self._answer_without_file(416, {"Content-Range": f"bytes */{len(served.data)}"})
        body = served.data[start or 0 :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(served.data) - 1}/{len(served.data)}")
        self._describe(served, body)
        time.sleep(served.silent)
        self._send(served, body)
        return None

    def _start(self, served: FileServer) -> int | None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        current = served.lax or self.headers.get("If-Range") in (served.etag or served.modified, None)
        return int(asked[1]) if asked and served.ranges and current else None

    def _describe(self, served: FileServer, body: bytes) -> None:
        if served.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif not served.nameless_length:
            self.send_header("Content-Length", str(len(body) if served.promised is None else served.promised))
        named = {"Content-Type": served.kind, "ETag": served.etag, "Last-Modified": served.modified}
        for name, value in {**named, "Content-Encoding": served.encoding}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def _send(self, served: FileServer, body: bytes) -> None:
        broken = served.break_after.pop(0) if served.break_after else None
        body = body[:broken]
        pieces = [body[at : at + 1024] for at in range(0, len(body), 1024)] if served.drip else [body]
        for piece in pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if served.chunked else piece)
            self.wfile.flush()
            time.sleep(served.drip)
        if served.chunked and broken is None:
            self.wfile.write(b"0\r\n\r\n")

    def _answer_without_file(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None: ...


class _Server(ThreadingHTTPServer):
    served: FileServer
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what these tests are about."""


@contextmanager
def serving(served: FileServer) -> Iterator[FileServer]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.served = served
        served.address = f"http://127.0.0.1:{server.server_address[1]}/net.pth"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
