from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from fidip.downloads import Patience
from fidip.errors import DownloadError, RecipeError, WeightsError
from fidip.networks import registry as module
from fidip.networks.layouts import LAYOUTS
from fidip.networks.published import PUBLISHED
from fidip.networks.registry import PublishedFile, fetch, known_as, published_file, registry
from fidip.networks.weights import embedded_names
from file_server import FileServer, serving

DATA = bytes(range(256)) * 300
DIGEST = hashlib.sha256(DATA).hexdigest()
QUICK = Patience(timeout=1, attempts=2, pause=0.001)


@pytest.mark.parametrize("published", registry().values(), ids=lambda published: published.name)
def test_an_entry_is_complete_and_says_nothing_that_cannot_be(published: PublishedFile) -> None:
    assert published.layout in LAYOUTS
    assert published.card in ("", *PUBLISHED)
    assert published.licence
    assert published.page.startswith("https://")
    assert published.address.startswith("https://") or not published.address
    assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}|", published.sha256)
    assert Path(published.file).name == published.file
    assert not (published.size and published.megabytes)
    assert published.name not in embedded_names()
    line = f"fidip weights import {published.file} --layout {published.layout}"
    assert line in published.by_hand()
    if LAYOUTS[published.layout].backbone_only:
        assert "ImageNet" in published.terms


def test_networks_with_a_published_card_have_its_licence_and_its_layout() -> None:
    with_cards = [published for name, published in registry().items() if name in PUBLISHED]
    assert len(with_cards) >= 15
    for published in with_cards:
        assert published.licence == PUBLISHED[published.name].licence
        assert published.card in ("", published.name)
        assert published.card or published.name.startswith(LAYOUTS[published.layout].cards)


def test_torchvision_s_names_carry_the_first_digits_of_the_hash() -> None:
    found = [entry for entry in registry().values() if entry.layout == "torchvision-resnet"]
    assert {entry.file.rpartition("-")[2][:8] == entry.sha256[:8] for entry in found} == {True}
    assert {entry.address for entry in found} == {f"https://download.pytorch.org/models/{e.file}" for e in found}


ENTRY = PublishedFile(
    "small", "net.pth", "fidip", "https://a.example/page", "MIT", address="https://a.example/net.pth",
    size=len(DATA), sha256=DIGEST,
)  # fmt: skip


def test_fetch_brings_the_file_from_another_address_and_verifies_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(FileServer(DATA)) as server:
        path, digest = fetch(ENTRY, tmp_path, QUICK, address=server.address)
        assert (path, digest) == (tmp_path / "small" / "net.pth", DIGEST)
        assert path.read_bytes() == DATA
        server.data = DATA[:100] + b"x" + DATA[101:]
        path.unlink()
        with pytest.raises(DownloadError, match="SHA-256"):
            fetch(ENTRY, tmp_path, QUICK, address=server.address)
        assert not path.exists()
        by_hand = replace(ENTRY, address="", terms="for research")
        with pytest.raises(DownloadError) as caught:
            fetch(by_hand, tmp_path, QUICK)
        assert len(server.requests) == 2
    message = str(caught.value)
    assert message.startswith("small: no program may fetch it: open https://a.example/page in a browser")
    assert "fidip weights import net.pth --layout fidip --out small.safetensors" in message
    assert "(licence: MIT; for research)" in message


@pytest.mark.parametrize("name", registry())
def test_one_byte_that_differs_is_refused_whatever_the_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every entry with a hash, whole or its beginning, refuses what comes; the others what has changed since it came.

    The served file stands for the published one: as much of its hash is known as of the publisher's.
    """
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    entry = registry()[name]
    known = replace(entry, sha256=DIGEST[: len(entry.sha256)], size=len(DATA) if entry.size else None)
    monkeypatch.setattr(module, "registry", lambda: {name: known})
    path = known.path(tmp_path)
    with serving(FileServer(DATA)) as server:
        for place in (0, len(DATA) // 2, len(DATA) - 1):
            changed = DATA[:place] + bytes([DATA[place] ^ 1]) + DATA[place + 1 :]
            if known.sha256:
                server.data = changed
                with pytest.raises(DownloadError, match=rf"^{server.address}: its SHA-256 is .* nothing was kept"):
                    fetch(known, tmp_path, QUICK, address=server.address)
                assert not path.exists()
            server.data = DATA
            assert fetch(known, tmp_path, QUICK, address=server.address) == (path, DIGEST)
            path.write_bytes(changed)
            with pytest.raises(DownloadError, match=rf"^{path}: its SHA-256 is .* remove it and fetch it again"):
                fetch(known, tmp_path, QUICK, address=server.address)
            with pytest.raises(WeightsError, match=rf"^{path}: its SHA-256 is .* remove it and fetch {name} again"):
                known_as(path, hashlib.sha256(changed).hexdigest())
            path.unlink()


def test_the_cache_is_fidip_s_own_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIDIP_CACHE", str(tmp_path))
    assert ENTRY.path() == tmp_path / "weights" / "small" / "net.pth"
    assert ENTRY.path(Path("elsewhere")) == Path("elsewhere/small/net.pth")


def test_names_that_are_not_there_are_told() -> None:
    with pytest.raises(RecipeError, match=r"resnet-51: not in the registry: choose from resnet-18-imagenet"):
        published_file("resnet-51")
    with pytest.raises(RecipeError, match=r"infant-small: comes with this package"):
        published_file("infant-small")
    assert published_file("vitpose-b-simple").layout == "vitpose-transformers"


def test_a_file_is_known_by_its_hash_or_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(ENTRY, name="short", sha256=DIGEST[:8])
    monkeypatch.setattr(module, "registry", lambda: {"small": ENTRY, "short": short})
    assert known_as(tmp_path / "any.pth", DIGEST) == ENTRY
    assert known_as(tmp_path / "short" / "net.pth", DIGEST[:8] + "0" * 56) == short
    assert known_as(tmp_path / "net.pth", "0" * 64) is None
    with pytest.raises(WeightsError, match=r"net\.pth: its SHA-256 is 0+, where .* remove it and fetch short again"):
        known_as(tmp_path / "short" / "net.pth", "0" * 64)
