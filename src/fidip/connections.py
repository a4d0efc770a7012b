"""One question to a server on the network, and its answer: a file, or one line that says why not.

Proxies are those of the environment (``HTTPS_PROXY``, ``NO_PROXY``, …); certificates are those of the system, or of the
file that ``SSL_CERT_FILE`` names.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import IO, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from fidip.errors import DownloadError


class PassingError(Exception):
    """It may go better next time; ``wait`` is what the server asks for, in seconds."""

    def __init__(self, problem: str, wait: float = 0.0) -> None:
        super().__init__(problem)
        self.wait = wait


@contextmanager
def ask(request: Request, timeout: float) -> Iterator[HTTPResponse]:
    """The server's answer if it is a file (or 416); errors of the connection become passing ones, also later ones."""
    address = request.full_url
    try:
        with _open(request, timeout) as response:
            kind = response.headers.get_content_type() if "Content-Type" in response.headers else ""
            if response.status != 416 and kind == "text/html":
                problem = "the server sent a web page instead of the file; it may ask for a login or for consent"
                raise DownloadError(f"{address}: {problem}: open the address in a browser")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise DownloadError(f"{address}: the server or a proxy changes the file on its way; use a browser")
            yield response
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(address, error) from error
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise _untrusted(address, error.reason) from error
        raise PassingError(f"cannot be reached ({error.reason})") from error
    except TimeoutError as error:
        raise PassingError(f"the server was silent for {timeout:g} s") from error
    except (HTTPException, OSError) as error:
        raise PassingError(f"the connection broke off ({error or type(error).__name__})") from error


def _open(request: Request, timeout: float) -> HTTPResponse:
    opener = OpenerDirector()  # without the handlers of file:, ftp: and data:
    for handler in (ProxyHandler, HTTPHandler, HTTPSHandler, _Redirects, HTTPDefaultErrorHandler, HTTPErrorProcessor):
        opener.add_handler(handler())
    try:
        response: HTTPResponse = opener.open(request, timeout=timeout)
    except HTTPError as error:
        if error.code == 416:
            return error  # type: ignore[return-value]  # it has the headers, and can be closed
        with error:
            _refuse(request.full_url, error)
    return response


def _refuse(address: str, error: HTTPError) -> NoReturn:
    says = f"the server answers {error.code} {''.join(filter(str.isprintable, str(error.reason)))}"
    if error.code in (408, 425, 429) or error.code >= 500:
        wait = error.headers.get("Retry-After", "")
        raise PassingError(says, float(wait) if wait.isdecimal() else 0.0)
    remedies = {
        401: "it asks for a login: fetch the file with a browser",
        403: "it asks for a login or for consent: fetch the file with a browser",
        404: "the file is no longer there: look for it on the publisher's page",
        410: "the file is no longer there: look for it on the publisher's page",
        407: "the proxy asks for a login: put it into HTTPS_PROXY",
    }
    remedy = remedies.get(error.code, "fetch the file with a browser")
    raise DownloadError(f"{address}: {says}; {remedy}")


class _Redirects(HTTPRedirectHandler):
    """Follows redirects, but never from https to anything else."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str
    ) -> Request | None:
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise DownloadError(f"{req.full_url}: leads on to {newurl}, which is not encrypted; nothing was fetched")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _untrusted(address: str, error: ssl.SSLCertVerificationError) -> DownloadError:
    remedy = "if your institution's proxy opens encrypted connections, name its certificate in SSL_CERT_FILE"
    return DownloadError(f"{address}: the server cannot prove who it is ({error.verify_message}); {remedy}")
