"""MINI-RGBD folders in miniature: joints, visibility by depth, boxes of masks, damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fidip.annotations import Domain
from fidip.data.sources.conversion import convert
from fidip.data.sources.mini_rgbd import MiniRgbd, label, read_joints
from fidip.errors import DataError, RecipeError
from fidip.skeleton import COCO_17
from fidip.training.inputs import LabelledSet
from source_folders import mini_rgbd_frame, picture, standing_joints

SIZE = (64, 48)
NOSE, WRIST, ELBOW, SHOULDER = (
    COCO_17.keypoints.index(n) for n in ("nose", "left_wrist", "left_elbow", "left_shoulder")
)


def lying_infant() -> np.ndarray:  # (25, 3) pixels and millimetres
    """All joints 900 mm deep, scaled into the middle of a small picture; the nose behind the 24 joints."""
    joints = standing_joints(0, 0) * 0.2 + (32, 6)
    joints = np.vstack([joints, joints[15] + (0, -2)])
    return np.column_stack([joints, np.full(25, 900.0)])


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Mask and depth (millimetres): the infant in columns 20 to 44 and rows 4 to 42, its skin 870 mm away."""
    mask = np.zeros((48, 64), dtype=bool)
    mask[4:43, 20:45] = True
    return mask, np.where(mask, 870, 1000)


def mini_rgbd(root: Path, sequences: tuple[str, ...] = ("01", "02"), frames: int = 5) -> Path:
    mask, depth = scene()
    for sequence in sequences:
        for number in range(frames):
            mini_rgbd_frame(root / sequence, number, lying_infant(), mask, depth)
    return root


def test_frames_become_labels(tmp_path: Path) -> None:
    source, out = mini_rgbd(tmp_path / "web"), tmp_path / "out"
    conversion = convert(MiniRgbd(source, every=2), out)
    labelled = LabelledSet.read(out / "annotations.json")
    names = [f"{sequence}/syn_0000{n}.png" for sequence in ("01", "02") for n in (0, 2, 4)]
    assert [image.file_name for image in labelled.images] == names
    assert (out / "images" / names[4]).read_bytes() == (source / "02/rgb/syn_00002.png").read_bytes()
    image = labelled.images[4]
    assert (image.domain, image.posture, image.subject, image.source) == (
        Domain.SYNTHETIC, "Supine", "mini-rgbd/02", "mini-rgbd/02",
    )  # fmt: skip
    assert image.extras["frame"] == 2
    person = image.people[0]
    assert (person.box, person.area) == ((20, 4, 25, 39), 25 * 39)
    joints = lying_infant()
    assert person.keypoints[NOSE].tolist() == pytest.approx([*joints[24, :2], 1])  # 30 mm under the skin, not on it
    assert person.keypoints[WRIST].tolist() == pytest.approx([*joints[20, :2], 2])
    assert person.keypoints[1:5].tolist() == [[0, 0, 0]] * 4  # eyes and ears
    hip = person.keypoints[11]
    assert hip[0] == pytest.approx(32 + 0.2 * 10 * 0.54 / 0.40, abs=1e-3)
    assert conversion.tally.changed == {
        "hips moved out from the femoral heads": [f"{s}/0000{n}" for s in ("01", "02") for n in (0, 2, 4)]
    }
    assert conversion.made["subjects"] == 2


def test_visibility_is_decided_by_what_is_in_front() -> None:
    joints = lying_infant() / (1, 1, 1000)
    mask, depth = scene()
    by_name = dict(zip(COCO_17.keypoints, label(joints, SIZE, mask, depth).keypoints[:, 2], strict=True))
    assert by_name["left_wrist"] == by_name["left_hip"] == 2
    arm = joints[20, :2].round().astype(int)
    depth[arm[1] - 2 : arm[1] + 3, arm[0] - 2 : arm[0] + 3] = 800  # something 100 mm before the left wrist
    hidden = label(joints, SIZE, mask, depth)
    assert hidden.keypoints[WRIST, 2] == 1
    assert hidden.keypoints[WRIST, :2].tolist() == joints[20, :2].tolist()
    depth[arm[1] - 2 : arm[1] + 3, arm[0] - 2 : arm[0] + 3] = 846  # 54 mm: the wrist may lie 55 mm deep
    assert label(joints, SIZE, mask, depth).keypoints[WRIST, 2] == 2
    depth[:] = 0  # no measurement
    assert set(label(joints, SIZE, mask, depth).keypoints[5:, 2]) == {1}


def test_without_depth_the_mask_decides_and_without_both_nothing() -> None:
    joints = lying_infant() / (1, 1, 1000)
    mask, _ = scene()
    elbow = joints[18, :2].round().astype(int)
    mask[elbow[1] - 1 : elbow[1] + 2, elbow[0] - 1 : elbow[0] + 2] = False
    seen = label(joints, SIZE, mask, None).keypoints[:, 2]
    assert (seen[ELBOW], seen[SHOULDER]) == (1, 2)
    bare = label(joints, SIZE, None, None)
    assert set(bare.keypoints[5:, 2]) == {2}
    low, high = joints[:, :2].min(0), joints[:, :2].max(0)
    assert bare.box is not None
    assert bare.box[2] == pytest.approx(1.2 * (high[0] - low[0] + 1))
    assert bare.area is None


def test_a_joint_outside_the_picture_is_unlabelled() -> None:
    joints = lying_infant() / (1, 1, 1000)
    joints[20, 0] = 63.6  # the picture ends at 63.5
    joints[18, 0] = 63.4
    mask, depth = scene()
    keypoints = label(joints, SIZE, mask, depth).keypoints
    assert keypoints[WRIST].tolist() == [0, 0, 0]
    assert keypoints[ELBOW, 2] == 1


def test_metres_and_millimetres_mean_the_same(tmp_path: Path) -> None:
    joints = lying_infant()
    for unit, factor in (("mm", 1.0), ("m", 0.001)):
        lines = [f"{x} {y} {z * factor} {j}" for j, (x, y, z) in enumerate(joints)]
        (tmp_path / unit).write_text("\n".join(lines))
    np.testing.assert_allclose(read_joints(tmp_path / "mm"), read_joints(tmp_path / "m"))
    np.testing.assert_allclose(read_joints(tmp_path / "mm"), joints / (1, 1, 1000))


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (7, "1 2 3", "line 7: expected x, y, depth and joint id, found '1 2 3'"),
        (7, "1 two 3 6", "line 7: expected x, y, depth and joint id, found '1 two 3 6'"),
        (3, "nan 2 900 2", "line 3: expected x, y, depth and joint id"),
        (5, "1 2 900 9", "line 5: expected joint 4, found 9"),
        (25, "", "expected 25 lines of x, y, depth and joint id, found 24"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: int, text: str, message: str) -> None:
    lines = [f"{x} {y} {z} {j}" for j, (x, y, z) in enumerate(lying_infant())]
    lines[line - 1] = text
    file = tmp_path / "joints.txt"
    file.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        read_joints(file)
    assert str(caught.value).startswith(f"{file}: {message}")


def test_damaged_frames_cost_themselves_only(tmp_path: Path) -> None:
    source, out = mini_rgbd(tmp_path / "web", ("01",), frames=6), tmp_path / "out"
    one = source / "01"
    (one / "joints_2Ddep/syn_joints_2Ddep_00000.txt").write_bytes(b"\xff\xfe\x00")
    (one / "joints_2Ddep/syn_joints_2Ddep_00001.txt").unlink()
    (one / "rgb/syn_00002.png").write_bytes(b"no picture")
    picture(one / "fg_mask/mask_00003.png", (32, 48))
    (one / "depth/syn_00005_depth.png").unlink()
    conversion = convert(MiniRgbd(source), out)
    assert [image.file_name for image in LabelledSet.read(out / "annotations.json").images] == [
        "01/syn_00004.png", "01/syn_00005.png",
    ]  # fmt: skip
    problems = conversion.tally.unreadable
    assert [name in problem for name, problem in zip(
        ("2Ddep_00000.txt", "2Ddep_00001.txt", "syn_00002.png", "mask_00003.png: 32 x 48 pixels"), problems, strict=True
    )] == [True] * 4  # fmt: skip
    assert conversion.tally.remarks == {"no depth picture: visibility without it": ["01/syn_00005_depth.png"]}


def test_sequences_are_chosen_by_name(tmp_path: Path) -> None:
    source = mini_rgbd(tmp_path / "web", ("01", "11", "12"), frames=1)
    convert(MiniRgbd(source, sequences=("12", "11")), tmp_path / "out", files="reference")
    labelled = LabelledSet.read(tmp_path / "out/annotations.json", source)
    assert [image.subject for image in labelled.images] == ["mini-rgbd/12", "mini-rgbd/11"]
    with pytest.raises(RecipeError, match="no sequence 03; choose of 01, 11, 12"):
        convert(MiniRgbd(source, sequences=("03",)), tmp_path / "x")
    with pytest.raises(RecipeError, match="--every 0"):
        convert(MiniRgbd(source, every=0), tmp_path / "x")
    with pytest.raises(DataError, match="no sequences here"):
        convert(MiniRgbd(tmp_path / "out"), tmp_path / "x")


def test_an_empty_mask_leaves_the_frame_out(tmp_path: Path) -> None:
    mask, depth = scene()
    mini_rgbd_frame(tmp_path / "web/01", 0, lying_infant(), mask & False, depth)
    with pytest.raises(DataError, match=r"no image can be used: the mask shows nobody \(1\)"):
        convert(MiniRgbd(tmp_path / "web"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
