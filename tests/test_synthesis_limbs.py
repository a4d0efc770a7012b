from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fidip.synthesis.anatomy import MOTIONS, bone_rotations
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.protocol import PARTS
from fidip.synthesis.limbs import MOVES, Push, limb_of, moved

BODY = AnnyBody.load()
SHAPE = BODY.draw_shape(np.random.default_rng(5), "infant", (0.3, 1.0))[0]
ENDS = {"hand": "wrist", "foot": "foot", "forearm": "lowerarm02", "shin": "lowerleg02"}
"""Joints that are carried along with a part."""


def joints_of(angles: dict[str, float], root: np.ndarray) -> dict[str, np.ndarray]:
    rotations = bone_rotations(angles, BODY.bone_names)
    rotations[0] = root
    posed = BODY(SHAPE[None], torch.from_numpy(rotations)[None], torch.zeros(1, 3))
    return dict(zip(BODY.bone_names, posed.joints[0].numpy().astype(np.float64), strict=True))


@settings(max_examples=40, deadline=None)
@given(
    part=st.sampled_from([f"{side}_{end}" for side in ("left", "right") for end in ENDS]),
    seed=st.integers(0, 10_000),
    metres=st.floats(0.001, 0.01),
)
def test_a_point_moves_as_it_was_told(part: str, seed: int, metres: float) -> None:
    """Against forward kinematics: along the push as far as asked, wherever a limb can."""
    generator = np.random.default_rng(seed)
    angles = {name: generator.uniform(0.25, 0.75) * (high - low) + low for name, (low, high) in MOTIONS.items()}
    root = generator.normal(size=3)
    side, _, end = part.partition("_")
    bone = f"{ENDS[end]}.{side[0].upper()}"
    joints = joints_of(angles, root)
    towards = np.cross(joints[bone] - joints[f"{'upperarm01' if limb_of(PARTS.index(part)) == 'arm' else 'upperleg01'}"
                                             f".{side[0].upper()}"], generator.normal(size=3))  # fmt: skip
    towards /= np.linalg.norm(towards)
    push = Push(PARTS.index(part), joints[bone], towards, metres)
    after = moved(angles, root, joints, push)
    changed = {name for name in angles if after[name] != angles[name]}
    limb = limb_of(PARTS.index(part))
    assert limb is not None
    assert changed <= {f"{side}_{motion}" for motion in MOVES[limb]}
    assert all(MOTIONS[name][0] <= after[name] <= MOTIONS[name][1] for name in changed)
    gained = float((joints_of(after, root)[bone] - joints[bone]) @ towards)
    assert gained == pytest.approx(metres, rel=0.25, abs=2e-4)


def test_a_motion_at_its_limit_leaves_the_work_to_the_others() -> None:
    angles = {name: (low + high) / 2 for name, (low, high) in MOTIONS.items()}
    angles["left_elbow_flexion"] = MOTIONS["left_elbow_flexion"][0]
    joints = joints_of(angles, np.zeros(3))
    wrist, shoulder = joints["wrist.L"], joints["upperarm01.L"]
    towards = np.cross(wrist - shoulder, (0.2, 0.9, 0.3))
    push = Push(PARTS.index("left_hand"), wrist, towards / np.linalg.norm(towards), 0.02)
    for sign in (1, -1):
        after = moved(angles, np.zeros(3), joints, Push(push.part, wrist, sign * push.towards, 0.02))
        assert after["left_elbow_flexion"] >= MOTIONS["left_elbow_flexion"][0]
        gained = float((joints_of(after, np.zeros(3))["wrist.L"] - wrist) @ push.towards) * sign
        assert gained == pytest.approx(0.02, rel=0.3)


def test_head_and_torso_are_no_limbs() -> None:
    assert [limb_of(PARTS.index(part)) for part in ("head", "torso", "left_hand", "right_thigh")] == [
        None, None, "arm", "leg"
    ]  # fmt: skip
