"""The gallery's page: one HTML file with its style, its program and its pictures inside.

Text from files reaches the page as JSON and is put there as text, never as markup. The page's policy lets the browser
apply and run nothing but the style and the program whose fingerprints it names, and load nothing from elsewhere.
Pictures come in blocks, which the program reads when they are first shown: thousands do not slow the page down.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from fidip.files import atomic_write
from fidip.gallery.cards import Card

BLOCK = 60
"""Pictures in a block; as many as one screen of the page shows."""


@dataclass(frozen=True, slots=True)
class About:
    """What a page says of itself."""

    title: str
    note: str = ""  # what is not shown, and why
    live: bool = False  # does somebody listen to decisions?


def page(about: About, cards: Sequence[Card], rejected: Collection[int] = ()) -> Iterator[bytes]:
    """The page's bytes, in parts."""
    style, program = _asset("page.css"), _asset("page.js")
    before, marked, after = _asset("page.html").partition("<!-- data -->")
    assert marked
    words = {"policy": escape(policy(about.live)), "title": escape(about.title), "style": style}
    yield re.sub(r"\{\{ (\w+) \}\}", lambda match: words[match[1]], before).encode("utf-8", "replace")
    for start in range(0, len(cards), BLOCK):
        pictures = [[_base64(card.picture), _base64(card.pose)] for card in cards[start : start + BLOCK]]
        yield _data(f"pictures-{start // BLOCK}", pictures)
    facts = {
        "note": about.note,
        "live": about.live,
        "block": BLOCK,
        "images": [card.facts for card in cards],
        "rejected": sorted(rejected),
    }
    yield _data("facts", facts)
    yield f"<script>{program}</script>\n{after}".encode()


def write_page(path: Path, about: About, cards: Sequence[Card]) -> int:
    """Write a page, whole or not at all. Returns its size in bytes. Raises ``StorageError``."""
    with atomic_write(path) as stream:
        return sum(stream.write(part) for part in page(about, cards))


def policy(live: bool) -> str:
    """What the browser may do with the page."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_fingerprint('page.js')}",
            f"style-src {_fingerprint('page.css')}",
            "img-src data:",
            "connect-src 'self'" if live else "connect-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _asset(name: str) -> str:
    return (files("fidip.gallery") / name).read_text(encoding="utf-8")


def _fingerprint(name: str) -> str:
    digest = hashlib.sha256(_asset(name).encode()).digest()
    return f"'sha256-{b64encode(digest).decode('ascii')}'"


def _base64(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode("ascii")


def _data(name: str, value: Any) -> bytes:
    """JSON between tags, without a character that could end them."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{name}">{text}</script>\n'.encode("ascii")
