"""What two data sets share, though one judges what the other taught: people, films, bodies, files and pictures.

Asked in the order of what an answer costs: names and paths (nothing is opened), the bytes of the files, and a small
grey copy of each picture, by which one that was encoded anew, resized or renamed is found. Neighbouring frames of a
film look alike too, so the last of these is no proof.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import LabelledImage

SIDE = 16
"""Pixels of the small copies."""

ALIKE = 0.9
"""Correlation of the differences between neighbouring pixels of two small copies, from which they count as one picture.

Of 300 rendered pictures (``benchmarks/likeness.py``) different ones reach 0.71; the same one as JPEG of quality 30, at
a quarter to twice its size, or half as bright has 0.98 or more; cut by 3 % on all sides it has 0.86 in the median.
"""

FLAT = 2.0
"""Grey levels of standard deviation up to which a small copy shows nothing to compare."""

BLOCK = 1024
"""Pictures compared at once: bounds the memory."""

Look = NDArray[np.float32]  # (D,) of length 1, or all zeros


class Readable(Protocol):
    """A set as it was read: its file, its images, where they lie, and each one's SHA-256 and small grey copy."""

    @property
    def file(self) -> Path: ...  # noqa: D102
    @property
    def images(self) -> Sequence[LabelledImage]: ...  # noqa: D102
    @property
    def paths(self) -> Sequence[Path]: ...  # noqa: D102
    def digest(self, path: Path) -> str: ...  # noqa: D102
    def thumbnail(self, path: Path, side: int) -> NDArray[np.uint8]: ...  # noqa: D102


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """What is compared of a set's pictures, in their order."""

    paths: tuple[Path, ...]
    digests: tuple[str, ...]  # SHA-256 of the files
    looks: NDArray[np.float32]  # (N, D); no rows where looks were not wanted


@dataclass(frozen=True, slots=True)
class Shared:
    """What two sets have in common. ``alike`` are pictures that only look the same, with their correlation."""

    origins: dict[str, list[str]] = field(default_factory=dict)  # subject, source or body_seed: which ones
    same: list[tuple[Path, Path]] = field(default_factory=list)
    alike: list[tuple[Path, Path, float]] = field(default_factory=list)

    @property
    def leaks(self) -> bool:
        """Whether the sets certainly are no strangers to each other."""
        return bool(self.origins or self.same)

    def to_json(self) -> dict[str, Any]:
        """Everything, in the types of JSON."""
        return {
            "origins": self.origins,
            "same": [[str(a), str(b)] for a, b in self.same],
            "alike": [[str(a), str(b), round(similarity, 4)] for a, b, similarity in self.alike],
        }


def origins_of(labelled: Readable) -> set[tuple[str, str]]:
    """Subjects, sources and bodies that the images come from."""
    return {origin for image in labelled.images for origin in image.origins}


def shared_origins(a: Readable, b: Readable) -> dict[str, list[str]]:
    """Of which kinds both sets have the same origin, and which those are."""
    found: dict[str, list[str]] = {}
    for kind, value in sorted(origins_of(a) & origins_of(b)):
        found.setdefault(kind, []).append(value)
    return found


def shared_files(a: Readable, b: Readable) -> list[Path]:
    """Files that both sets name, links followed, as the second names them."""
    first = {path.resolve() for path in a.paths}
    return [path for path in b.paths if path.resolve() in first]


def pictures(labelled: Readable, looks: bool = True, tick: Callable[[], None] = lambda: None) -> Pictures:
    """Read every file of a set once for its hash and, if ``looks`` are wanted, once for its small copy.

    Raises:
        DataError, ImageError: a file cannot be read.
    """
    digests, seen = [], []
    for path in labelled.paths:
        digests.append(labelled.digest(path))
        if looks:
            seen.append(look_of(labelled.thumbnail(path, SIDE)))
        tick()
    matrix = np.stack(seen) if seen else np.zeros((0, 2 * SIDE * (SIDE - 1)), np.float32)
    return Pictures(tuple(labelled.paths), tuple(digests), matrix)


def look_of(small: NDArray[np.uint8]) -> Look:  # (SIDE, SIDE)
    """What stays of a small copy whatever its brightness and contrast: its differences across and down, normalised."""
    grey = small.astype(np.float32)
    differences = np.concatenate([np.diff(grey, axis=0).ravel(), np.diff(grey, axis=1).ravel()])
    differences -= differences.mean()
    length = float(np.linalg.norm(differences))
    if grey.std() <= FLAT or not length:
        return np.zeros(differences.shape, np.float32)
    look: Look = (differences / length).astype(np.float32)
    return look


def same_pictures(a: Pictures, b: Pictures) -> list[tuple[Path, Path]]:
    """Pairs of files with the same bytes, each file of ``b`` at most once."""
    known = dict(zip(reversed(a.digests), reversed(a.paths), strict=True))
    return [(known[digest], path) for digest, path in zip(b.digests, b.paths, strict=True) if digest in known]


def alike_pictures(a: Pictures, b: Pictures) -> list[tuple[Path, Path, float]]:
    """For each picture of ``b`` the one of ``a`` that looks most like it, if it looks the same and is another file."""
    if not len(a.looks) or not len(b.looks):
        return []
    known, found = set(a.digests), []
    for start in range(0, len(b.looks), BLOCK):
        best, similarity = _nearest(a.looks, b.looks[start : start + BLOCK])
        for offset in np.flatnonzero(similarity >= ALIKE):
            j = start + int(offset)
            if b.digests[j] not in known:
                found.append((a.paths[best[offset]], b.paths[j], float(similarity[offset])))
    return found


def _nearest(
    a: NDArray[np.float32], b: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:  # (N, D), (M, D) -> (M,), (M,)
    best, similarity = np.zeros(len(b), np.intp), np.full(len(b), -1.0, np.float32)
    for start in range(0, len(a), BLOCK):
        products = b @ a[start : start + BLOCK].T  # (M, block)
        index = products.argmax(axis=1)
        value = products[np.arange(len(b)), index]
        better = value > similarity
        best[better], similarity[better] = start + index[better], value[better]
    return best, similarity


def compare(a: Readable, b: Readable, first: Pictures, second: Pictures) -> Shared:
    """Everything that two sets share; their pictures as ``pictures`` gave them."""
    return Shared(shared_origins(a, b), same_pictures(first, second), alike_pictures(first, second))
