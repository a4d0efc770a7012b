"""The registry of published weights: names, addresses, hashes and terms, in ``registry.toml`` beside this file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from fidip.downloads import Expected, Patience, Show, download, recorded
from fidip.errors import DownloadError, RecipeError, WeightsError
from fidip.networks.weights import embedded_names
from fidip.platform import cache_dir

PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A weights file that somebody offers; the fields are explained in ``registry.toml``."""

    name: str
    file: str
    layout: str
    page: str
    licence: str
    terms: str = ""
    card: str = ""
    address: str = ""
    size: int | None = None
    megabytes: int | None = None
    sha256: str = ""

    @property
    def expected(self) -> Expected:
        """By what the file is known when it comes."""
        return Expected(self.size, self.sha256)

    def path(self, cache: Path | None = None) -> Path:
        """Where ``fetch`` puts it; the cache is fidip's own unless another folder is given."""
        return (cache_dir() / "weights" if cache is None else cache) / self.name / self.file

    def import_line(self, path: Path | str) -> str:
        """The command that turns the file into one of ours."""
        card = f" --card {self.card}" if self.card else ""
        return f"fidip weights import {path} --layout {self.layout}{card} --out {self.name}.safetensors"

    def by_hand(self) -> str:
        """What a person does where no program may, in one line."""
        terms = f"; {self.terms}" if self.terms else ""
        return (
            f"open {self.page} in a browser, accept what it asks, save {self.file}, "
            f"then: {self.import_line(self.file)} (licence: {self.licence}{terms})"
        )


@cache
def registry() -> Mapping[str, PublishedFile]:
    """From a name to the published file of that name."""
    text = (resources.files("fidip.networks") / "registry.toml").read_text(encoding="utf-8")
    return MappingProxyType({name: PublishedFile(name, **entry) for name, entry in tomllib.loads(text).items()})


def published_file(name: str) -> PublishedFile:
    """The file of a name in the registry.

    Raises:
        RecipeError: there is none; the message says what there is, or that the network comes with the package.
    """
    if name in embedded_names():
        raise RecipeError(f"{name}: comes with this package, there is nothing to fetch: --weights {name}")
    if name not in registry():
        raise RecipeError(f"{name}: not in the registry: choose from {', '.join(registry())}")
    return registry()[name]


def fetch(
    published: PublishedFile,
    cache: Path | None = None,
    patience: Patience = PATIENCE,
    show: Show | None = None,
    address: str = "",
) -> tuple[Path, str]:
    """Bring a published file into the cache, or verify the one that is there; its path and its SHA-256.

    ``address`` is another place that has the same file, such as an institution's own server.

    Raises:
        DownloadError: it must be fetched by hand, cannot be had, or is not the file that it should be.
        StorageError: it cannot be written.
    """
    path = published.path(cache)
    if not published.address and not address:
        raise DownloadError(f"{published.name}: no program may fetch it: {published.by_hand()}")
    return path, download(address or published.address, path, published.expected, patience, show)


def known_as(path: Path, sha256: str) -> PublishedFile | None:
    """The registry's file that this one is: by its whole hash, or by its place in a cache.

    Raises:
        WeightsError: it lies in a cache, but is not the file that should be there, or that came.
    """
    for published in registry().values():
        if published.sha256 == sha256:
            return published
        if (path.parent.name, path.name) == (published.name, published.file):
            wanted = recorded(path) or published.sha256
            if not sha256.startswith(wanted):
                problem = f"its SHA-256 is {sha256}, where {wanted} was expected"
                raise WeightsError(f"{path}: {problem}; remove it and fetch {published.name} again")
            return published
    return None
