"""Frames of short videos, in RGB: those with given numbers, and those that show most of a film."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fidip.errors import ImageError
from fidip.files import sha256_of, unreadable
from fidip.geometry import Size
from fidip.images import MAX_PIXELS, RGBImage

if TYPE_CHECKING:
    import cv2

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # a damaged clip is ours to report, in one line

FILM_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
"""By which a film is told in a folder."""

AT_MOST = 500
"""So many frames of a film are chosen: neighbours teach little that is new."""

CANDIDATES = 8
"""So many frames of each stretch of a film are looked at for the sharpest."""

SHARPNESS_SIDE = 320
"""Pixels of the longer side at which sharpness is measured: below it noise counts little."""

USUAL_RATE = 25.0
"""Frames a second of a film that does not say."""


def read_frames(file: Path, frames: Sequence[int]) -> Iterator[tuple[int, RGBImage]]:
    """Some frames of a film, counted from 0, in ascending order: number and picture (H, W, 3).

    The frames before are decoded too: a jump to a frame is not exact in every file.

    Raises:
        ImageError: the file cannot be opened as a video or has fewer frames.
    """
    with _opened(file) as video:
        position = 0
        for frame in sorted(set(frames)):
            while position < frame and video.grab():
                position += 1
            good, pixels = video.read() if position == frame else (False, None)
            if not good or pixels is None:
                raise ImageError(file, f"ends or is damaged before frame {frame}, which is asked for")
            position += 1
            yield frame, np.ascontiguousarray(pixels[..., ::-1], dtype=np.uint8)


def choose_frames(
    file: Path, every: float, at_most: int = AT_MOST, tick: Callable[[], None] = lambda: None
) -> tuple[list[int], Size]:
    """The numbers of the sharpest frame of every so many seconds, and the frames' width and height.

    Where those are more than ``at_most`` they are thinned evenly. Sharpness is the variance of the Laplacian. What
    comes behind damage in the file is not seen. ``tick`` is called for each frame of the film.

    Raises:
        ImageError: the file cannot be opened as a video or none of its frames be decoded.
    """
    import cv2

    best: dict[int, tuple[float, int]] = {}
    size, look_at, number = (0, 0), 0.0, -1
    with _opened(file) as video:
        rate = video.get(cv2.CAP_PROP_FPS)
        rate = rate if 0 < rate < 1000 else USUAL_RATE
        before = -1.0
        while video.grab():
            number += 1
            told = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
            second = told if told > before else before + 1 / rate
            before = second
            tick()
            if second < look_at:
                continue
            good, pixels = video.retrieve()
            if good and pixels is not None:
                size = (pixels.shape[1], pixels.shape[0])
                stretch, look_at = int(second / every), second + every / CANDIDATES
                sharp = _sharpness(np.asarray(pixels, dtype=np.uint8))
                best[stretch] = max(best.get(stretch, (-1.0, 0)), (sharp, -number))
    if not best:
        raise ImageError(file, "no frame of it can be decoded; convert it to MP4 (H.264)")
    chosen = sorted(-number for _, number in best.values())
    if len(chosen) > at_most:
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, at_most).round().astype(int)]
    return chosen, size


def frame_name(file: Path, number: int) -> str:
    """What a frame is called where pictures are joined by name: ``film.mp4-000123.png``."""
    return f"{file.name}-{number:06}.png"


class Films:
    """Frames of films, each known by a path as if its film were a folder: ``film.mp4/film.mp4-000123.png``.

    Frames asked for in their order are read in one pass. Nothing is written anywhere.
    """

    def __init__(self, frames: Mapping[Path, Sequence[int]]) -> None:
        self._numbers = {
            file / frame_name(file, number): (file, number) for file, each in frames.items() for number in each
        }
        self._last = {file / frame_name(file, max(each)) for file, each in frames.items() if each}
        self._ahead: Iterator[tuple[Path, RGBImage]] = iter(())
        self._digests: dict[Path, str] = {}

    def __contains__(self, path: Path) -> bool:
        return path in self._numbers

    def read(self, path: Path) -> RGBImage:  # (H, W, 3)
        """The picture of a frame. Raises ``ImageError``."""
        found, pixels = next(self._ahead, (None, None))
        if found != path or pixels is None:
            self._ahead = self._from(path)
            _, pixels = next(self._ahead)
        if path in self._last:
            self._ahead = iter(())  # closes the film
        return pixels

    def digest(self, path: Path) -> str:
        """The SHA-256 of the film's own and the frame's number. Raises ``DataError``."""
        file, number = self._numbers[path]
        if file not in self._digests:
            self._digests[file] = sha256_of(file)
        return hashlib.sha256(f"{self._digests[file]} {number}".encode()).hexdigest()

    def _from(self, path: Path) -> Iterator[tuple[Path, RGBImage]]:
        """This frame and those of its film that come behind it."""
        file, first = self._numbers[path]
        numbers = [number for other, number in self._numbers.values() if other == file and number >= first]
        for number, pixels in read_frames(file, numbers):
            yield file / frame_name(file, number), pixels


def _sharpness(pixels: RGBImage) -> float:  # (H, W, 3), in OpenCV's order
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    scale = min(1.0, SHARPNESS_SIDE / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    return float(cv2.Laplacian(small, cv2.CV_32F).var())


@contextmanager
def _opened(file: Path) -> Iterator[cv2.VideoCapture]:
    import cv2

    try:
        with file.open("rb") as stream:
            head = stream.read(12)
    except OSError as error:
        raise ImageError(file, unreadable(file, error).problem) from error
    if not _is_film(head):  # a playlist under this name would make the decoder open other files
        raise ImageError(file, "not an MP4, MOV, AVI, MKV or WebM video, or damaged at its very start")
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    video = cv2.VideoCapture(os.fspath(file.resolve()), cv2.CAP_FFMPEG)
    try:
        if not video.isOpened():
            raise ImageError(file, "cannot be opened as a video; load it anew")
        if video.get(cv2.CAP_PROP_FRAME_WIDTH) * video.get(cv2.CAP_PROP_FRAME_HEIGHT) > MAX_PIXELS:
            raise ImageError(file, "its frames are too large")
        yield video
    finally:
        video.release()
        cv2.utils.logging.setLogLevel(level)


def _is_film(head: bytes) -> bool:
    """By the first bytes of ISO media files (and older QuickTime), RIFF and Matroska."""
    iso = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    return iso or (head[:4] == b"RIFF" and head[8:12] == b"AVI ") or head[:4] == b"\x1aE\xdf\xa3"
