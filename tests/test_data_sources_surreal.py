"""SURREAL clips in miniature: mirrored sides, half pixels, one-frame clips, parts, seeds, damaged files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from fidip.annotations import Domain
from fidip.coco import read_coco
from fidip.data.sources.conversion import convert
from fidip.data.sources.surreal import MARGINS, Surreal, body_of, draw_frames, label
from fidip.errors import DataError
from fidip.images import read_image
from fidip.skeleton import COCO_17
from fidip.training.inputs import LabelledSet
from source_folders import standing_joints, surreal_clip

SIZE = (320, 240)
INDEX = {name: k for k, name in enumerate(COCO_17.keypoints)}


def clips(root: Path, count: int = 4, length: int = 5, **more: object) -> Path:
    for n in range(count):
        joints = np.stack([standing_joints(100 + t, 40) for t in range(length)])
        surreal_clip(root / f"cmu/train/run0/{n:02d}_01/{n:02d}_01_c0001", joints, **more)
    return root


def body_parts() -> np.ndarray:
    """The part of each pixel for ``standing_joints``: a block of 8 x 8 pixels of its own part around each joint."""
    parts = np.zeros((240, 320), dtype=np.uint8)
    for j, (x, y) in enumerate(standing_joints()):
        parts[int(y) - 4 : int(y) + 4, int(x) - 4 : int(x) + 4] = j + 1
    return parts


def test_a_frame_by_hand(tmp_path: Path) -> None:
    source, out = clips(tmp_path / "surreal", count=1), tmp_path / "out"
    conversion = convert(Surreal(source, seed=3), out)
    (image,) = LabelledSet.read(out / "annotations.json").images
    (t,) = draw_frames(3, "cmu/train/run0/00_01/00_01_c0001", 5, 1)
    assert image.file_name == f"cmu/train/run0/00_01/00_01_c0001-{t:03d}.jpg"
    assert (image.domain, image.posture, image.source, image.subject) == (
        Domain.SYNTHETIC, None, "surreal/00_01", None,
    )  # fmt: skip
    person, joints = image.people[0], standing_joints(100 + t, 40)
    # SMPL's left hand is what a viewer of the mirrored picture calls the right one; half a pixel is taken off.
    assert person.keypoints[INDEX["right_wrist"]].tolist() == [*(joints[20] - 0.5), 2]
    assert person.keypoints[INDEX["left_ankle"]].tolist() == [*(joints[8] - 0.5), 2]
    assert person.keypoints[INDEX["right_hip"], 0] == pytest.approx(100 + t - 0.5 + 10 * 1.5)
    assert person.keypoints[:5].tolist() == [[0, 0, 0]] * 5
    low, high = joints.min(0) - 0.5, joints.max(0) - 0.5
    width, height = high - low + 1
    expected = (
        low[0] - 0.25 * width, low[1] - 0.35 * height, 1.5 * width, 1.6 * height,
    )  # fmt: skip
    assert (MARGINS, expected[1] < 0) == ((0.25, 0.35, 0.25, 0.25), True)
    cut = (expected[0], 0.0, expected[2], 240.0)  # above and below the picture
    assert expected[1] + expected[3] > 240
    assert person.box == pytest.approx(cut)
    assert person.area == pytest.approx(cut[2] * cut[3])
    colour = read_image(out / "images" / image.file_name)[120, 160]
    assert colour.tolist() == pytest.approx([20 * t + 20, 0, 0], abs=6)  # the very frame, in RGB
    assert conversion.tally.remarks == {
        "no _segm.mat: visibility unknown, boxes from the joints": ["00_01_c0001_segm.mat"]
    }


def test_parts_give_box_area_and_visibility(tmp_path: Path) -> None:
    parts = body_parts()
    whole = label(standing_joints(), SIZE, parts)
    assert whole is not None
    assert set(whole.keypoints[5:, 2]) == {2}
    rows, columns = np.nonzero(parts)
    assert whole.box == (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert whole.area == (parts > 0).sum()
    x, y = standing_joints()[20].astype(int)  # SMPL's left hand, behind the head now
    parts[y - 6 : y + 6, x - 6 : x + 6] = 16
    hidden = label(standing_joints(), SIZE, parts)
    assert hidden is not None
    assert hidden.keypoints[INDEX["right_wrist"], 2] == 1
    assert hidden.keypoints[INDEX["left_wrist"], 2] == 2
    parts[y, x] = 19  # its forearm: the neighbour towards the body
    seen = label(standing_joints(), SIZE, parts)
    assert seen is not None
    assert seen.keypoints[INDEX["right_wrist"], 2] == 2
    assert label(standing_joints(), SIZE, parts * 0) is None


def test_parts_are_read_from_the_clip(tmp_path: Path) -> None:
    parts = body_parts()
    surreal_clip(tmp_path / "in/05_02_c0003", standing_joints()[None].repeat(2, 0), [parts, parts * 0])
    conversion = convert(Surreal(tmp_path / "in", frames=2), tmp_path / "out")
    (image,) = read_coco(tmp_path / "out/annotations.json")
    assert (image.file_name, image.people[0].area) == ("05_02_c0003-000.jpg", (parts > 0).sum())
    assert conversion.tally.left_out == {"nobody is inside the picture": ["05_02_c0003 frame 1"]}


def test_a_clip_of_one_frame_lacks_a_dimension(tmp_path: Path) -> None:
    surreal_clip(tmp_path / "in/01_01_c0001", standing_joints()[None], [body_parts()])
    convert(Surreal(tmp_path / "in", frames=3), tmp_path / "out")
    (image,) = read_coco(tmp_path / "out/annotations.json")
    assert image.people[0].keypoints[INDEX["left_wrist"], :2].tolist() == [70 - 0.5, 120 - 0.5]


def test_the_draw_depends_on_names_and_seed_only(tmp_path: Path) -> None:
    source = clips(tmp_path / "surreal", count=6)
    moved = tmp_path / "moved"
    for folder in sorted((source / "cmu/train/run0").iterdir(), reverse=True):  # another order on the disk
        shutil.copytree(folder, moved / "cmu/train/run0" / folder.name)
    files = {}
    for name, folder, seed in (("a", source, 0), ("b", moved, 0), ("c", source, 1)):
        convert(Surreal(folder, count=3, seed=seed), tmp_path / name)
        files[name] = {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
    assert len(files["a"]) == 4
    assert files["a"] == files["b"]
    assert files["a"] != files["c"]


def test_frames_are_distinct_and_in_order() -> None:
    assert draw_frames(0, "x", 4, 9) == [0, 1, 2, 3]
    many = [draw_frames(seed, "x", 50, 3) for seed in range(100)]
    assert all(len(set(frames)) == 3 and frames == sorted(frames) for frames in many)
    assert len({tuple(frames) for frames in many}) > 90
    assert min(min(frames) for frames in many) < 5
    assert max(max(frames) for frames in many) > 44


def test_too_few_clips_are_told_at_once_or_when_it_turns_out(tmp_path: Path) -> None:
    source = clips(tmp_path / "surreal", count=3, length=2)
    with pytest.raises(DataError, match="4 pictures wanted, but only 3 clips are here"):
        convert(Surreal(source, count=4), tmp_path / "out")
    next(iter(source.rglob("*.mp4"))).write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"3 pictures wanted, 2 can be made \(1 unreadable, the first .*not an MP4"):
        convert(Surreal(source, count=3), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert convert(Surreal(source, count=4, frames=2), tmp_path / "out").made["images"] == 4
    with pytest.raises(DataError, match="no clip here"):
        convert(Surreal(tmp_path / "out"), tmp_path / "x")


def test_damaged_clips_cost_themselves_only(tmp_path: Path) -> None:
    source, good = tmp_path / "in", standing_joints()[None].repeat(3, 0)
    surreal_clip(source / "a_c0001", good)
    surreal_clip(source / "b_c0001", good[:, :20])  # 20 joints
    surreal_clip(source / "c_c0001", good).write_bytes(b"\0\0\0\x1cftypisom" + bytes(50))
    surreal_clip(source / "d_c0001", good)
    (source / "d_c0001_info.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    surreal_clip(source / "e_c0001", good * 0)
    surreal_clip(source / "f_c0001", good)
    (source / "f_c0001_info.mat").unlink()
    surreal_clip(source / "g_c0001", good, [body_parts()[:100]] * 3)
    joints = good.copy()
    joints[:, 3] = np.nan
    surreal_clip(source / "h_c0001", joints)
    video = surreal_clip(source / "i_c0001", np.concatenate([good] * 20))
    shutil.copy(source / "a_c0001.mp4", video)  # labels of more frames than the video has
    conversion = convert(Surreal(source), tmp_path / "out")
    assert [image.file_name.partition("_")[0] for image in read_coco(tmp_path / "out/annotations.json")] == ["a"]
    assert conversion.tally.left_out == {
        "a video without its _info.mat": ["f_c0001.mp4"],
        "all joints at one point: not labelled": [f"e_c0001 frame {draw_frames(0, 'e_c0001', 3, 1)[0]}"],
    }
    expected = (
        "b_c0001_info.mat: joints2D: expected 2 x 24 x frames, found 2 x 20 x 3",
        "c_c0001.mp4: cannot be opened as a video",
        "d_c0001_info.mat: ",
        "g_c0001_segm.mat: segm_",
        "h_c0001_info.mat: joints2D: holds values that are not finite",
        "i_c0001.mp4: ends or is damaged before frame",
    )
    assert len(conversion.tally.unreadable) == len(expected)
    for part, problem in zip(expected, conversion.tally.unreadable, strict=True):
        assert part in problem


def test_a_body_has_one_name_wherever_it_comes_up() -> None:
    shape = np.arange(20.0).reshape(10, 2)
    male = {"shape": shape, "gender": np.ones((2, 1), np.uint8)}
    assert body_of(male, 0) == body_of({"shape": shape[:, :1] + 1e-6, "gender": np.ones((1, 1), np.uint8)}, 5)
    assert body_of(male, 0) != body_of(male, 1)
    assert body_of(male, 0) != body_of({**male, "gender": np.zeros((2, 1), np.uint8)}, 0)
    assert body_of({}, 0) is None


def test_the_same_body_in_two_clips_is_one_subject(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for name, value in (("01_01_c0001", 0.5), ("02_01_c0001", 0.5), ("03_01_c0001", 0.7)):
        surreal_clip(
            source / name, standing_joints()[None], shape=np.full((10, 1), value), gender=np.array([1], np.uint8)
        )
    assert convert(Surreal(source), tmp_path / "out").made["subjects"] == 2


def published_projection(points: np.ndarray) -> np.ndarray:  # (..., 3) world -> (..., 2) rounded
    """The camera of SURREAL's own 3Dto2D script: intrinsics 600, 160, 120 and a reflected extrinsic matrix."""
    location = np.array([6.7456, -0.9839, -1.9293])
    turn = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    x, y, depth = np.moveaxis((points - location) @ turn.T, -1, 0)
    return np.round(np.stack([160 + 600 * x / depth, 120 + 600 * y / depth], -1))


def test_sides_are_those_that_a_viewer_sees() -> None:
    assert published_projection(np.array([-0.8645, -1.0915, -1.0260])).tolist() == [89, 112]  # the script's example
    # Somebody upright before the camera, which stands at larger x; up is -y. Their left is up x forwards = +z.
    up, forwards = np.array([0.0, -1.0, 0.0]), np.array([1.0, 0.0, 0.0])
    left = np.cross(up, forwards)
    flat = standing_joints(0, 0)
    joints = np.array([0.0, -0.9839, -1.9293]) + 0.01 * (flat[:, :1] * left - (flat[:, 1:] - 85) * up)
    person = label(published_projection(joints), SIZE, None)
    assert person is not None
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        # Who faces us has the left side on the right of the picture.
        assert person.keypoints[INDEX[f"left_{name}"], 0] > person.keypoints[INDEX[f"right_{name}"], 0]
    assert person.keypoints[INDEX["left_shoulder"], 1] < person.keypoints[INDEX["left_ankle"], 1]
