from __future__ import annotations

import io
import ssl
from urllib.error import URLError
from urllib.request import Request

import pytest

import fidip.connections as connections
from fidip.connections import PassingError, ask
from fidip.errors import DownloadError
from file_server import FileServer, serving


@pytest.mark.parametrize(
    ("first", "second", "followed"),
    [
        ("https://a.example/x", "http://a.example/x", False),
        ("https://a.example/x", "http://127.0.0.1/x", False),
        ("https://a.example/x", "ftp://a.example/x", False),
        ("https://a.example/x", "https://b.example/y", True),
        ("http://a.example/x", "http://b.example/y", True),
        ("http://a.example/x", "https://b.example/y", True),
    ],
)
def test_no_redirect_leaves_encryption(first: str, second: str, followed: bool) -> None:
    request = Request(first, headers={"Range": "bytes=5-", "If-Range": '"one"'})
    redirects = connections._Redirects()
    if followed:
        further = redirects.redirect_request(request, io.BytesIO(), 302, "Found", {}, second)
        assert further is not None
        assert further.full_url == second
        assert {"Range", "If-range"} <= set(further.headers)
    else:
        with pytest.raises(DownloadError, match=rf"^{first}: leads on to {second}, which is not encrypted"):
            redirects.redirect_request(request, io.BytesIO(), 302, "Found", {}, second)


def test_redirects_are_followed_with_their_headers_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(FileServer(b"0123456789")) as server:
        server.status, server.headers = [302, 307], {"Location": "/elsewhere"}
        request = Request(server.address, headers={"Range": "bytes=5-", "If-Range": server.etag})
        with ask(request, 5) as response:
            assert response.read() == b"56789"
        assert server.paths == ["/net.pth", "/elsewhere", "/elsewhere"]
        server.status, server.headers = [302] * 99, {"Location": "/net.pth"}
        with pytest.raises(DownloadError, match="302"), ask(request, 5):
            pass
        server.status, server.headers = [302], {"Location": "file:///etc/passwd"}
        with pytest.raises(DownloadError, match="302"), ask(request, 5):
            pass


def test_a_certificate_that_proves_nothing_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    untrusted = ssl.SSLCertVerificationError(1, "certificate verify failed")
    untrusted.verify_message = "self-signed certificate"

    def refuse(*_: object) -> None:
        raise URLError(untrusted)

    monkeypatch.setattr(connections, "_open", refuse)
    line = r"^https://a.example/x: the server cannot prove who it is \(self-signed certificate\).*SSL_CERT_FILE"
    with pytest.raises(DownloadError, match=line), ask(Request("https://a.example/x"), 5):
        pass


def test_a_server_that_speaks_no_http_may_do_better_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(FileServer(b"")) as server:
        secure = Request(server.address.replace("http://", "https://"))
        with pytest.raises(PassingError), ask(secure, 5):
            pass
