"""Single frames of short videos, in RGB."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fidip.errors import ImageError
from fidip.files import unreadable
from fidip.images import MAX_PIXELS, RGBImage

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # a damaged clip is ours to report, in one line


def read_frames(file: Path, frames: Sequence[int]) -> Iterator[tuple[int, RGBImage]]:
    """Some frames of an MP4 file, counted from 0, in ascending order: number and picture (H, W, 3).

    The frames before are decoded too: a jump to a frame is not exact in every file.

    Raises:
        ImageError: the file cannot be opened as a video or has fewer frames.
    """
    import cv2

    try:
        with file.open("rb") as stream:
            head = stream.read(12)
    except OSError as error:
        raise ImageError(file, unreadable(file, error).problem) from error
    if head[4:8] != b"ftyp":  # a playlist under this name would make the decoder open other files
        raise ImageError(file, "not an MP4 video, or damaged at its very start")
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    video = cv2.VideoCapture(os.fspath(file.resolve()), cv2.CAP_FFMPEG)
    try:
        if not video.isOpened():
            raise ImageError(file, "cannot be opened as a video; load it anew")
        if video.get(cv2.CAP_PROP_FRAME_WIDTH) * video.get(cv2.CAP_PROP_FRAME_HEIGHT) > MAX_PIXELS:
            raise ImageError(file, "its frames are too large")
        position = 0
        for frame in sorted(set(frames)):
            while position < frame and video.grab():
                position += 1
            good, pixels = video.read() if position == frame else (False, None)
            if not good or pixels is None:
                raise ImageError(file, f"ends or is damaged before frame {frame}, which its labels have")
            position += 1
            yield frame, np.ascontiguousarray(pixels[..., ::-1], dtype=np.uint8)
    finally:
        video.release()
        cv2.utils.logging.setLogLevel(level)
