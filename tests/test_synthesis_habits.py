from __future__ import annotations

import numpy as np
import pytest
import torch

from fidip.synthesis import habits
from fidip.synthesis.anatomy import MOTIONS, joint_angles
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.habits import HABITS, Habit, draw_habit
from fidip.synthesis.poses import draw_pose
from fidip.synthesis.postures import POSTURES, Posture


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody.load()


def nearest(body: AnnyBody, shape: torch.Tensor, rotations: np.ndarray, habit: Habit) -> float:
    """Metres from the skin of a hand to that of the chin and lips, or of a foot."""
    posed = body(shape[None], torch.from_numpy(rotations)[None], torch.zeros(1, 3))
    vertices = posed.vertices[0].numpy()
    nose, left_eye, right_eye = posed.keypoints[0, :3].numpy()
    gaps = []
    for side in "LR":
        hand = vertices[body.bone_weights(f"wrist.{side}", f"finger2-1.{side}", f"finger3-1.{side}") > 0.5][::5]
        if habit == "hand to mouth":
            face = vertices[body.bone_weights("head") > 0.9]
            low = (face - nose) @ ((left_eye + right_eye) / 2 - nose) < 0
            near = np.linalg.norm(face - nose, axis=1) < 1.2 * np.linalg.norm(left_eye - right_eye)
            goal = face[low & near][::3]
        else:
            goal = vertices[body.bone_weights(f"foot.{side}", f"toe5-1.{side}", f"toe3-1.{side}") > 0.5][::5]
        gaps.append(np.linalg.norm(hand[:, None] - goal, axis=2).min())
    return float(min(gaps))


@pytest.mark.parametrize(
    ("posture", "habit"),
    [("supine", "hand to mouth"), ("side", "hand to mouth"), ("sitting", "hand to mouth"), ("supine", "hand to foot")],
)
def test_hands_come_where_they_are_said_to_be(
    body: AnnyBody, posture: Posture, habit: Habit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HABITS, posture, {habit: 1.0})
    generator = np.random.default_rng(4)
    with_habit, without = [], []
    for _ in range(8):
        shape = body.draw_shape(generator, "infant", (0.8, 1.2))[0]
        pose = draw_pose(generator, posture, body)
        changed = draw_habit(generator, body, shape, pose)
        np.testing.assert_array_equal(changed.rotations[0], pose.rotations[0])
        without.append(nearest(body, shape, pose.rotations, habit))
        with_habit.append(nearest(body, shape, changed.rotations, habit))
        for name, value in joint_angles(changed.rotations, body.bone_names).items():
            assert MOTIONS[name][0] - 0.5 <= value <= MOTIONS[name][1] + 0.5, name
    assert np.median(with_habit) < 0.02
    assert np.median(without) > 0.03


def test_newborns_do_not_find_their_feet(body: AnnyBody, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HABITS, "supine", {"hand to foot": 1.0})
    generator = np.random.default_rng(1)
    newborn = body.draw_shape(generator, "infant", months=(0, 0.5))[0]
    pose = draw_pose(generator, "supine", body)
    assert draw_habit(generator, body, newborn, pose) is pose


def test_how_often(body: AnnyBody, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(habits, "APPROACHES", 0)
    generator = np.random.default_rng(0)
    shape = body.draw_shape(generator, "infant", (0.8, 1.2))[0]
    for posture in POSTURES["infant"]:
        pose = draw_pose(generator, posture, body)
        share = np.mean([draw_habit(generator, body, shape, pose) is not pose for _ in range(200)])
        assert share == pytest.approx(sum(HABITS.get(posture, {}).values()), abs=0.1)
    adult = draw_pose(generator, "sitting", body, "adult")
    assert all(draw_habit(generator, body, shape, adult) is adult for _ in range(50))
