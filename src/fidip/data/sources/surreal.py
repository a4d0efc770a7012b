"""SURREAL (Varol et al. 2017): videos of rendered adults (SMPL), for the pre-stage.

Layout: anywhere below the folder, ``NAME_c0001.mp4`` (320 x 240) with ``NAME_c0001_info.mat`` and, where it was loaded,
``NAME_c0001_segm.mat`` beside it. Of ``_info.mat`` these are read: ``joints2D`` (2 x 24 x T), ``shape`` (10 x T) and
``gender``. Clips of one frame lack the last dimension.

Three things about the published joints have to be known:

* Their coordinates are rounded and count from the corner of the image (its centre is at 160, 120), so half a pixel is
  taken off: here whole numbers are the centres of pixels.
* The camera's matrix is a reflection: its determinant is -1 (``get_extrinsic`` of the published code). So all pictures
  are mirror images, and what SMPL calls left is what a viewer calls right. COCO's labels are a viewer's: sides are
  exchanged here.
* They are rig joints: hips are moved (:mod:`~fidip.data.sources.smpl`), and the face has none.

With ``_segm.mat`` (1 to 24, the part of each joint; 0 is background) a keypoint is visible where the part that it
belongs to or that part's neighbour is seen, else occluded, and box and area are the silhouette's. Without it everybody
inside the image counts as visible, and the box is the joints', enlarged as the published training code does.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import Box, Domain, FloatArray, LabelledImage, Person
from fidip.data.folder import Picture
from fidip.data.sources.checks import checked_person, cut_box
from fidip.data.sources.conversion import Progress, reasons
from fidip.data.sources.matlab import read_arrays
from fidip.data.sources.smpl import Hips, coco_points
from fidip.data.tally import Tally
from fidip.data.video import read_frames
from fidip.errors import DataError, ImageError, RecipeError
from fidip.geometry import Size
from fidip.images import encode_image
from fidip.skeleton import COCO_17
from fidip.smpl_joints import JOINTS, KEYPOINT_JOINTS, PARENTS

MARGINS = (0.25, 0.35, 0.25, 0.25)
"""Left, top, right, bottom, of the joints' extent: the published training code's allowance for head, hands and feet."""

NEIGHBOURHOOD = 2
"""Pixels around a keypoint in which its part is looked for: the joints are rounded and the pictures small."""

ALSO_SEEN_ON = {1: (0, 3), 2: (0, 3), 16: (9, 13), 17: (9, 14)}
"""Parts besides a joint's own and its parent's on which it may be seen: belly at the hips, chest at the shoulders."""


@dataclass(frozen=True, slots=True)
class Surreal:
    """A SURREAL folder (or any part of one): ``frames`` of each clip, of all clips or until ``count`` are found."""

    folder: Path
    frames: int = 1
    count: int | None = None
    seed: int = 0
    hips: Hips = "moved"

    def pictures(self, tally: Tally, progress: Progress) -> Iterator[Picture]:
        """See :class:`~fidip.data.sources.conversion.Source`. A unit is a clip, or a picture where these are drawn.

        The frames of a clip depend on its name below the folder and on the seed.

        Raises:
            DataError: also if fewer pictures than ``count`` can be made.
        """
        clips = self.clips(tally)
        order = np.arange(len(clips))
        if self.count is not None:
            order = np.random.default_rng(self.seed).permutation(len(clips))
        made = 0
        for done, index in enumerate(order, start=1):
            try:
                for picture in self._clip(clips[index], tally):
                    made += 1
                    yield picture
                    if made == self.count:
                        progress(made, made)
                        return
            except (DataError, ImageError) as error:
                tally.unreadable.append(str(error))
            progress(*((done, len(clips)) if self.count is None else (made, self.count)))
        if self.count is not None:
            problem = f"{self.count} pictures wanted, {made} can be made ({reasons(tally)}); ask for fewer"
            raise DataError(self.folder, "", f"{problem}, or for more --frames a clip")

    def clips(self, tally: Tally) -> list[str]:
        """The names of the clips.

        Raises:
            DataError: there are none, or too few for ``count``.
        """
        if self.frames < 1 or (self.count is not None and self.count < 1):
            raise RecipeError("--frames and --count: give numbers from 1")
        clips = clips_below(self.folder, tally)
        if not clips:
            problem = "no clip here (NAME.mp4 with NAME_info.mat beside it); name the folder that holds them"
            raise DataError(self.folder, "", problem)
        if self.count is not None and len(clips) * self.frames < self.count:
            problem = f"{self.count} pictures wanted, but only {len(clips)} clips are here; ask for fewer"
            raise DataError(self.folder, "", f"{problem}, or for more --frames a clip")
        return clips

    def _clip(self, name: str, tally: Tally) -> list[Picture]:
        video = self.folder / f"{name}.mp4"
        info = video.with_name(f"{video.stem}_info.mat")
        arrays = read_arrays(info, ("joints2D", "shape", "gender"))
        joints = clip_joints(info, arrays)
        chosen = draw_frames(self.seed, name, len(joints), self.frames)
        parts = _read_parts(video.with_name(f"{video.stem}_segm.mat"), chosen, tally)
        pictures = []
        for frame, pixels in read_frames(video, chosen):
            height, width = pixels.shape[:2]
            place = f"{name} frame {frame}"
            if (joints[frame] == joints[frame, 0]).all():
                tally.leave_out("all joints at one point: not labelled", place)
                continue
            silhouette = parts.get(frame)
            if silhouette is not None and silhouette.shape != (height, width):
                where = f"segm_{frame + 1}"
                raise DataError(video.with_name(f"{video.stem}_segm.mat"), where, "of another size than the video")
            person = label(joints[frame], (width, height), silhouette, self.hips)
            checked = None if person is None else checked_person(person, (width, height), tally, place)
            if person is None:
                tally.leave_out("nobody is inside the picture", place)
            if checked is None:
                continue
            sequence = video.stem.rpartition("_c")[0] or video.stem
            record = LabelledImage(
                0, f"{name}-{frame:03d}.jpg", width, height, (checked,), Domain.SYNTHETIC,
                source=f"surreal/{sequence}", subject=body_of(arrays, frame), extras={"clip": name, "frame": frame},
            )  # fmt: skip
            pictures.append(Picture(record, encode_image(pixels, ".jpg")))
        return pictures


def clips_below(folder: Path, tally: Tally) -> list[str]:
    """The names of all clips below a folder, ``/`` between folders and without suffix, in alphabetical order."""
    found = []
    for place, _, names in os.walk(folder):
        there = set(names)
        for name in names:
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
            if suffix != ".mp4" or name.startswith("."):
                continue
            clip = (Path(place) / stem).relative_to(folder).as_posix()
            if f"{stem}_info.mat" in there:
                found.append(clip)
            else:
                tally.leave_out("a video without its _info.mat", f"{clip}.mp4")
    return sorted(found)


def draw_frames(seed: int, name: str, length: int, count: int) -> list[int]:
    """Which frames of a clip are taken, in order; all of them if it has no more."""
    entropy = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    chosen = np.random.default_rng([seed, entropy]).choice(length, size=min(count, length), replace=False)
    return sorted(int(frame) for frame in chosen)


def clip_joints(info: Path, arrays: dict[str, NDArray[Any]]) -> FloatArray:  # (T, 24, 2)
    """The joints of every frame as published: rounded, from the image's corner, sides as SMPL has them.

    Raises:
        DataError: they are missing or of another shape.
    """
    if "joints2D" not in arrays:
        raise DataError(info, "joints2D", "missing; load the clip's _info.mat anew")
    joints = np.asarray(arrays["joints2D"], dtype=np.float64)
    if joints.shape[:2] != (2, JOINTS) or joints.ndim > 3 or joints.size == 0:
        found = " x ".join(map(str, joints.shape))
        raise DataError(info, "joints2D", f"expected 2 x {JOINTS} x frames, found {found}")
    return joints.reshape(2, JOINTS, -1).transpose(2, 1, 0)


def body_of(arrays: dict[str, NDArray[Any]], frame: int) -> str | None:
    """A name for the body of a clip: the same shape and gender give the same name wherever they come up."""
    shape, gender = arrays.get("shape"), arrays.get("gender")
    if shape is None or shape.size == 0:
        return None
    columns = shape.reshape(shape.shape[0], -1).astype(np.float32)
    column = columns[:, min(frame, columns.shape[1] - 1)]
    sex = b"" if gender is None or gender.size == 0 else str(int(gender.ravel()[0])).encode()
    return f"surreal/{hashlib.sha256(sex + np.round(column, 4).astype('<f4').tobytes()).hexdigest()[:12]}"


def label(joints: FloatArray, size: Size, parts: NDArray[Any] | None, hips: Hips = "moved") -> Person | None:
    """The label of one frame from its published joints (24, 2) and parts (H, W); ``None`` if nobody is in it."""
    points = coco_points(joints - 0.5, "adult", hips)
    keypoints = np.zeros((len(COCO_17), 3))
    for name, joint in KEYPOINT_JOINTS.items():
        k = COCO_17.keypoints.index(name)
        x, y = points[k]
        if -0.5 <= x < size[0] - 0.5 and -0.5 <= y < size[1] - 0.5:  # NaN is nowhere
            keypoints[k] = x, y, 2 if parts is None or _part_is_near((x, y), joint, parts) else 1
    keypoints = keypoints[COCO_17.flip_permutation]  # the picture is a mirror image
    if parts is None:
        box = cut_box(_box_of(joints - 0.5), size)
        return None if box is None else Person(keypoints, box=box)
    rows, columns = np.flatnonzero(parts.any(axis=1)), np.flatnonzero(parts.any(axis=0))
    if not len(rows):
        return None
    left, top = float(columns[0]), float(rows[0])
    whole = (left, top, float(columns[-1]) - left + 1, float(rows[-1]) - top + 1)
    return Person(keypoints, box=whole, area=float(np.count_nonzero(parts)))


def _part_is_near(point: tuple[float, float], joint: int, parts: NDArray[Any]) -> bool:
    column, row = round(point[0]), round(point[1])
    window = parts[
        max(row - NEIGHBOURHOOD, 0) : row + NEIGHBOURHOOD + 1,
        max(column - NEIGHBOURHOOD, 0) : column + NEIGHBOURHOOD + 1,
    ]
    seen_on = (joint, PARENTS[joint], *ALSO_SEEN_ON.get(joint, ()))
    return bool(np.isin(window, [part + 1 for part in seen_on]).any())


def _box_of(joints: FloatArray) -> Box:
    low, high = joints.min(axis=0), joints.max(axis=0)
    width, height = high - low + 1
    left, top, right, bottom = MARGINS
    x, y = low[0] - left * width, low[1] - top * height
    return (float(x), float(y), float(width * (1 + left + right)), float(height * (1 + top + bottom)))


def _read_parts(file: Path, frames: Sequence[int], tally: Tally) -> dict[int, NDArray[Any]]:
    """The part of each pixel in some frames; a frame without any is absent."""
    if not file.is_file():
        tally.remark("no _segm.mat: visibility unknown, boxes from the joints", file.name)
        return {}
    names = {f"segm_{frame + 1}": frame for frame in frames}
    arrays = read_arrays(file, names)
    for name, values in arrays.items():
        if values.ndim != 2:
            raise DataError(file, name, f"expected a picture, found {values.ndim} dimensions")
    if len(arrays) < len(names):
        tally.remark("_segm.mat lacks a frame", file.name)
    return {names[name]: values for name, values in arrays.items()}
