"""Frames of a video that the test writes: each has a brightness of its own."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fidip.data.video import read_frames
from fidip.errors import ImageError


@pytest.fixture
def video(tmp_path: Path) -> Path:
    writer = cv2.VideoWriter(str(tmp_path / "v.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 30, (64, 48))
    for frame in range(12):
        writer.write(np.full((48, 64, 3), (0, 0, 20 * frame), np.uint8))  # red
    writer.release()
    return tmp_path / "v.mp4"


@pytest.mark.parametrize("frames", [[0], [11], [3, 4, 9], [9, 4, 3, 4], []])
def test_the_frames_asked_for_come_in_order(video: Path, frames: list[int]) -> None:
    found = list(read_frames(video, frames))
    assert [number for number, _ in found] == sorted(set(frames))
    for number, pixels in found:
        assert pixels.shape == (48, 64, 3)
        assert pixels.mean(axis=(0, 1)) == pytest.approx([20 * number, 0, 0], abs=5)


def test_what_is_no_video_is_named(video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    level = cv2.utils.logging.getLogLevel()
    data = video.read_bytes()
    for name, content, problem in (
        ("a.mp4", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "not an MP4, MOV"),
        ("b.mp4", b"", "not an MP4, MOV"),
        ("c.mp4", data[:40] + bytes(60), "cannot be opened"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=f"{name}: {problem}"):
            list(read_frames(tmp_path / name, [0]))
    with pytest.raises(ImageError, match="ends or is damaged before frame 12"):
        list(read_frames(video, [11, 12]))
    with pytest.raises(ImageError, match="no such file"):
        list(read_frames(tmp_path / "none.mp4", [0]))
    assert capfd.readouterr().err == ""
    assert cv2.utils.logging.getLogLevel() == level
