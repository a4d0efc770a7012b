"""The page is one well-formed file that runs nothing but its own program and shows text as text."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode, b64encode
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fidip.gallery.cards import Card, facts
from fidip.gallery.page import BLOCK, About, page, write_page
from gallery_sets import labelled

HOSTILE = (
    "<script>alert(1)</script>.png",
    "</script><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "<!--<script>",
    "]]>&lt;&amp;",
    "\u2028\u2029\ud800 \\u003c {{ style }}",
)


class Reader(HTMLParser):
    """Collects elements with their attributes and what stands in them; checks that they close in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)
            self.texts.append((tag, ""))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.append((self.open[-1], data))

    def within(self, tag: str) -> list[str]:
        return [text for where, text in self.texts if where == tag and text.strip()]

    def data(self) -> dict[str, object]:
        names = [held.get("id") for tag, held in self.elements if tag == "script"]
        return {name: json.loads(text) for name, text in zip(names, self.within("script"), strict=True) if name}


def cards(count: int, **fields: object) -> list[Card]:
    return [
        Card(facts(labelled(n, **fields)), None if n % 2 else f"jpeg{n}".encode(), f"png{n}".encode())
        for n in range(1, count + 1)
    ]


def text_of(about: About, shown: list[Card], rejected=()) -> str:
    return b"".join(page(about, shown, rejected)).decode()


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(text_of(About("a set", "a note", live=True), cards(BLOCK + 5), {3, 2}))


def test_everything_of_every_image_is_in_the_page(reader: Reader) -> None:
    data, shown = reader.data(), cards(BLOCK + 5)
    assert data["facts"]["images"] == [card.facts for card in shown]
    assert data["facts"]["rejected"] == [2, 3]
    assert (data["facts"]["note"], data["facts"]["live"], data["facts"]["block"]) == ("a note", True, BLOCK)
    pictures = [pair for block in range(2) for pair in data[f"pictures-{block}"]]
    assert [len(data[f"pictures-{block}"]) for block in range(2)] == [BLOCK, 5]
    for (picture, pose), card in zip(pictures, shown, strict=True):
        assert (None if picture is None else b64decode(picture)) == card.picture
        assert b64decode(pose) == card.pose


def test_the_policy_names_the_program_and_the_style_by_their_fingerprints(reader: Reader) -> None:
    (policy,) = [a["content"] for tag, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    (style,) = reader.within("style")
    program = reader.within("script")[-1]
    for rule, text in (("style-src", style), ("script-src", program)):
        digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert (rules["img-src"], rules["connect-src"]) == ("data:", "'self'")
    assert "connect-src 'none'" in unescape(text_of(About("x"), []))
    assert "unsafe" not in policy
    first = [a for tag, a in reader.elements if tag in ("meta", "style", "script")]
    assert first.index(next(a for a in first if a.get("content") == policy)) == 1  # right behind the encoding


def test_nothing_is_loaded_and_nothing_is_said_in_attributes_that_a_policy_forbids(reader: Reader) -> None:
    for tag, held in reader.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "svg", "img")
        assert not [name for name in held if name.startswith("on") or name in ("style", "src", "srcset", "action")]
        assert held.get("href", "#").startswith("#")
    text = text_of(About("x"), [])
    assert re.findall(r"(?:https?:)?//[a-z0-9]", re.sub(r"//.*|/\*.*?\*/", "", text)) == []
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_the_program_puts_text_into_the_page_as_text_only(reader: Reader) -> None:
    program = reader.within("script")[-1]
    assert "textContent" in program
    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "DOMParser",
                 "createContextualFragment", "srcdoc", "javascript:", "localStorage", "import("):  # fmt: skip
        assert sink not in program


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_data_and_add_no_element(name: str) -> None:
    harmless = Reader(text_of(About("x"), cards(2)))
    text = text_of(About(name, name), cards(2, file_name=name, posture=name))
    hostile = Reader(text)
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless.elements]
    assert hostile.data()["facts"]["images"][0]["name"] == name
    assert hostile.data()["facts"]["images"][0]["posture"] == name
    assert hostile.data()["facts"]["note"] == name
    spoken = name.replace("\ud800", "?")
    assert [hostile.within("title"), hostile.within("h1")] == [[spoken], [spoken]]
    assert hostile.within("style") == harmless.within("style")


def test_the_program_finds_what_it_looks_for(reader: Reader) -> None:
    program = reader.within("script")[-1]
    ids = [held["id"] for _, held in reader.elements if held.get("id")]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'byId\("([a-z-]+)"\)', program)) <= set(ids)
    sorts = [held["value"] for tag, held in reader.elements if tag == "option"]
    assert sorts
    assert all(re.search(rf"^ +{name}: \(", program, re.MULTILINE) for name in sorts)
    classes = set(re.findall(r"\.([a-z-]+)", reader.within("style")[0]))
    assert {"card", "open", "frame", "bare", "mark", "rejected", "badge", "no-poses"} <= classes


def test_every_control_has_a_name_and_every_dialog_a_heading(reader: Reader) -> None:
    ids = {held.get("id") for _, held in reader.elements}
    for tag, held in reader.elements:
        if tag == "dialog":
            assert held["aria-labelledby"] in ids
        if held.get("role") in ("group", "toolbar") or tag in ("ul", "nav"):
            assert held["aria-label"]
        if tag == "button":
            assert held["type"] == "button"
    assert {"status", "alert"} <= {held.get("role") for _, held in reader.elements}
    assert ":focus-visible" in reader.within("style")[0]
    assert "prefers-color-scheme: dark" in reader.within("style")[0]


def luminance(colour: str) -> float:
    """Relative luminance of sRGB (WCAG 2)."""
    share = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in share]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_can_be_read_in_light_and_dark(reader: Reader) -> None:
    """WCAG 2 asks for a contrast of 4.5."""
    themes = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", one)) for one in reader.within("style")[0].split("@media")[:2]
    ]
    pairs = [("ink", "paper"), ("ink", "sheet"), ("soft", "paper"), ("soft", "sheet"), ("accent", "accent-soft"),
             ("alarm", "alarm-soft"), ("alarm", "sheet")]  # fmt: skip
    for theme in themes:
        for front, back in pairs:
            a, b = sorted((luminance(theme[front]), luminance(theme[back])))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (front, back, theme[front], theme[back])


def test_a_written_page_has_the_size_that_is_told(tmp_path: Path) -> None:
    shown = cards(3)
    size = write_page(tmp_path / "a.html", About("x"), shown)
    assert (tmp_path / "a.html").read_bytes() == b"".join(page(About("x"), shown))
    assert (tmp_path / "a.html").stat().st_size == size
