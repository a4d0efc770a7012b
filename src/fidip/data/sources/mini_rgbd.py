"""MINI-RGBD (Hesse et al. 2018): twelve rendered infants (SMIL) lying on their backs, with depth and exact joints.

Layout: a folder a sequence, ``01`` to ``12``, with ``rgb/syn_00000.png``, ``depth/syn_00000_depth.png`` (16 bits,
millimetres), ``fg_mask/mask_00000.png`` and ``joints_2Ddep/syn_joints_2Ddep_00000.txt`` (25 lines ``x y depth id``).
Pixels are counted from 0 at their centres, as the camera's published calibration counts them, and as here.

What becomes of it: the nose is the 25th joint, eyes and ears stay unlabelled, hips are moved
(:mod:`~fidip.data.sources.smpl`), box and area are the mask's. A keypoint is visible (2) if the depth picture shows the
infant near it and not much in front of it: no farther than ``DEPTHS``, which is how deep the joint lies in the limb. It
is occluded (1) if something of the infant is in front, and unlabelled outside the picture. Without a depth picture the
mask alone decides, without either everything counts as visible.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import Domain, FloatArray, LabelledImage, Person
from fidip.data.folder import Picture
from fidip.data.sources.checks import checked_person, cut_box
from fidip.data.sources.conversion import Progress
from fidip.data.sources.smpl import Hips, coco_points
from fidip.data.tally import Tally
from fidip.errors import DataError, ImageError, RecipeError
from fidip.files import unreadable
from fidip.geometry import Size, box_around
from fidip.images import read_image, read_levels
from fidip.skeleton import COCO_17
from fidip.smpl_joints import JOINTS

FRAME = re.compile(r"syn_(\d+)\.png")
NOSE = JOINTS  # the line behind the 24 joints
MOST_CHARACTERS = 1 << 16
COLUMNS = "x, y, depth and joint id"

DEPTHS = {"nose": 0.02, "shoulder": 0.09, "elbow": 0.055, "wrist": 0.055, "hip": 0.10, "knee": 0.06, "ankle": 0.06}
"""Metres that a visible joint may lie under the surface: the shares that rendered labels use, for a body of 0.6 m."""

NEIGHBOURHOOD = 1
"""Pixels around a keypoint that are looked at as well, so that wrists and ankles on the outline are not lost."""

MARGIN = 1.2
"""A box around the joints, where there is no mask: skin and head reach beyond them."""

NEAREST_MILLIMETRES = 20.0
"""No infant lies twenty metres away, nor two centimetres: larger depths are millimetres, smaller ones metres."""


class Frame(NamedTuple):
    """One frame of a sequence."""

    sequence: Path
    number: str

    def file(self, folder: str, pattern: str) -> Path:
        """A file that belongs to the frame."""
        return self.sequence / folder / pattern.format(self.number)


@dataclass(frozen=True, slots=True)
class MiniRgbd:
    """A MINI-RGBD folder: which sequences (all by default), and every how many frames."""

    folder: Path
    sequences: tuple[str, ...] = ()
    every: int = 1
    hips: Hips = "moved"

    def pictures(self, tally: Tally, progress: Progress) -> Iterator[Picture]:
        """See :class:`~fidip.data.sources.conversion.Source`. A unit is a frame."""
        if self.every < 1:
            raise RecipeError(f"--every {self.every}: give a number of frames from 1")
        frames = [frame for sequence in self._chosen() for frame in frames_of(sequence)[:: self.every]]
        for done, frame in enumerate(frames, start=1):
            try:
                picture = self._picture(frame, tally)
            except (DataError, ImageError) as error:
                tally.unreadable.append(str(error))
            else:
                if picture is not None:
                    yield picture
            progress(done, len(frames))

    def _chosen(self) -> list[Path]:
        there = {path.name: path for path in sorted(self.folder.glob("[0-9][0-9]")) if (path / "rgb").is_dir()}
        if not there:
            problem = "no sequences here (folders 01 to 12 with rgb/ in them); name the folder that holds them"
            raise DataError(self.folder, "", problem)
        missing = [name for name in self.sequences if name not in there]
        if missing:
            raise RecipeError(f"{self.folder} has no sequence {missing[0]}; choose of {', '.join(there)}")
        return [there[name] for name in dict.fromkeys(self.sequences or there)]

    def _picture(self, frame: Frame, tally: Tally) -> Picture | None:
        place = f"{frame.sequence.name}/{frame.number}"
        path = frame.file("rgb", "syn_{}.png")
        height, width = read_image(path).shape[:2]
        joints = read_joints(frame.file("joints_2Ddep", "syn_joints_2Ddep_{}.txt"))
        mask = _mask(frame.file("fg_mask", "mask_{}.png"), (width, height), tally)
        depth = _depth(frame.file("depth", "syn_{}_depth.png"), (width, height), tally)
        person = label(joints, (width, height), mask, depth, self.hips)
        if person is None:
            tally.leave_out("the mask shows nobody", place)
            return None
        if self.hips == "moved":
            tally.change("hips moved out from the femoral heads", place)
        checked = checked_person(person, (width, height), tally, place)
        if checked is None:
            return None
        name = f"mini-rgbd/{frame.sequence.name}"
        record = LabelledImage(
            0, f"{frame.sequence.name}/{path.name}", width, height, (checked,), Domain.SYNTHETIC, "Supine",
            source=name, subject=name, extras={"frame": int(frame.number)},
        )  # fmt: skip
        return Picture(record, path)


def frames_of(sequence: Path) -> list[Frame]:
    """The frames of a sequence in the order of their numbers."""
    numbers = [match[1] for path in (sequence / "rgb").iterdir() if (match := FRAME.fullmatch(path.name))]
    return [Frame(sequence, number) for number in sorted(numbers, key=lambda number: (int(number), number))]


def read_joints(file: Path) -> FloatArray:  # (25, 3)
    """The joints of a frame: x and y in pixels, depth in metres.

    Raises:
        DataError: the file cannot be read, or a line is not what it should be; ``where`` is the line.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            lines = stream.read(MOST_CHARACTERS).splitlines()
    except (OSError, ValueError) as error:  # bytes that are not text are a ValueError
        raise unreadable(file, error) from error
    rows = [_numbers(file, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if len(rows) != JOINTS + 1:
        raise DataError(file, "", f"expected {JOINTS + 1} lines of {COLUMNS}, found {len(rows)}")
    for number, row in enumerate(rows):
        if row[3] != number:
            raise DataError(file, f"line {number + 1}", f"expected joint {number}, found {row[3]:g}")
    joints = np.array(rows)[:, :3]
    if np.median(joints[:, 2]) > NEAREST_MILLIMETRES:
        joints[:, 2] /= 1000
    return joints


def _numbers(file: Path, number: int, line: str) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        values = []
    if len(values) != 4 or not np.isfinite(values).all():
        raise DataError(file, f"line {number}", f"expected {COLUMNS}, found {line.strip()!r:.60}")
    return values


def label(
    joints: FloatArray,  # (25, 3) pixels, pixels, metres
    size: Size,
    mask: NDArray[np.bool_] | None,  # (H, W)
    depth: NDArray[np.uint16] | None,  # (H, W) millimetres
    hips: Hips = "moved",
) -> Person | None:
    """The infant's label by the rules of this module; ``None`` if the mask is empty."""
    points = coco_points(joints, "infant", hips)
    points[0] = joints[NOSE]
    keypoints = np.zeros((len(COCO_17), 3))
    for k in np.flatnonzero(np.isfinite(points).all(axis=1)):
        x, y, behind = points[k]
        if -0.5 <= x < size[0] - 0.5 and -0.5 <= y < size[1] - 0.5:
            allowed = DEPTHS[COCO_17.keypoints[k].rpartition("_")[2]]
            keypoints[k] = x, y, 2 if _visible((x, y), behind - allowed, mask, depth) else 1
    if mask is None:
        box = cut_box(box_around(joints[:, :2], MARGIN), size)
        return Person(keypoints, box=box)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    left, top = float(columns[0]), float(rows[0])
    box = (left, top, float(columns[-1]) - left + 1, float(rows[-1]) - top + 1)
    return Person(keypoints, box=box, area=float(mask.sum()))


def _visible(
    point: tuple[float, float], nearest: float, mask: NDArray[np.bool_] | None, depth: NDArray[np.uint16] | None
) -> bool:
    """Whether the infant is seen at or beside a point, no nearer than ``nearest`` metres."""
    column, row = round(point[0]), round(point[1])
    window = (
        slice(max(row - NEIGHBOURHOOD, 0), row + NEIGHBOURHOOD + 1),
        slice(max(column - NEIGHBOURHOOD, 0), column + NEIGHBOURHOOD + 1),
    )
    if depth is None:
        return mask is None or bool(mask[window].any())
    seen = depth[window] > 0
    if mask is not None:
        seen &= mask[window]
    return bool((seen & (depth[window] >= 1000 * nearest)).any())


def _mask(file: Path, size: Size, tally: Tally) -> NDArray[np.bool_] | None:  # (H, W)
    """The infant's pixels, ``None`` without a file. Raises ``ImageError``, as for a mask of another size."""
    if not file.is_file():
        tally.remark("no mask: the box is made around the joints", f"{file.parent.parent.name}/{file.name}")
        return None
    mask: NDArray[np.bool_] = np.asarray(read_image(file).max(axis=2) > 0)
    _check_size(file, mask.shape, size)
    return mask


def _depth(file: Path, size: Size, tally: Tally) -> NDArray[np.uint16] | None:  # (H, W) millimetres
    """The depth picture, ``None`` without a file. Raises ``ImageError``, as for one of another size."""
    if not file.is_file():
        tally.remark("no depth picture: visibility without it", f"{file.parent.parent.name}/{file.name}")
        return None
    depth = read_levels(file)
    _check_size(file, depth.shape, size)
    return depth


def _check_size(file: Path, shape: tuple[int, ...], size: Size) -> None:
    if shape != (size[1], size[0]):
        raise ImageError(file, f"{shape[1]} x {shape[0]} pixels, but its picture has {size[0]} x {size[1]}")
