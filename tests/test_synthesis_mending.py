from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fidip.synthesis.anatomy import MOTIONS, bone_rotations, joint_angles
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.protocol import Population
from fidip.synthesis.mending import draw_plausible_pose, lay_down
from fidip.synthesis.plausibility import check_resting
from fidip.synthesis.poses import Pose, draw_pose, rest_on_floor
from fidip.synthesis.postures import Posture


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody.load()


def supine(body: AnnyBody, angles: dict[str, float]) -> Pose:
    rotations = bone_rotations(angles, body.bone_names)
    rotations[0] = (-np.pi / 2, 0, 0)
    return Pose("supine", "infant", rotations, np.zeros(3, np.float32))


BESIDE = {"left_shoulder_elevation": 10.0, "left_shoulder_reach": 25.0, "left_elbow_flexion": 20.0}


@pytest.mark.parametrize(
    "wrong",
    [
        {"left_hip_abduction": -14.0, "right_hip_abduction": -14.0, "left_hip_flexion": 30.0, "right_hip_flexion": 9.0},
        BESIDE | {"left_shoulder_elevation": -8.0, "left_elbow_flexion": 60.0, "left_shoulder_rotation": 40.0},
        {"right_elbow_flexion": 114.0, "right_shoulder_reach": 6.0, "right_shoulder_elevation": 142.0,
         "right_shoulder_rotation": -66.0},
    ],
)  # fmt: skip
def test_limbs_are_pushed_out_and_the_rest_stays(body: AnnyBody, wrong: dict[str, float]) -> None:
    shape = body.draw_shape(np.random.default_rng(3), "infant", (0.5, 1.0))[0]
    pose = supine(body, wrong)
    before = check_resting(body, rest_on_floor(body, shape, pose))
    assert {fault.check for fault in before} == {"self-penetration"}
    mended, faults = lay_down(body, shape, pose)
    assert faults == ()
    assert check_resting(body, mended) == ()
    first, last = (joint_angles(rotations, body.bone_names) for rotations in (pose.rotations, mended.pose.rotations))
    touched = {name.partition("_")[0] for name in wrong}
    changed = {name for name in first if abs(first[name] - last[name]) > 0.1}
    assert changed
    assert all(name.partition("_")[0] in touched for name in changed)
    limbs = ("hip_", "knee_") if any("hip" in name for name in wrong) else ("shoulder_", "elbow_")
    assert all(name.partition("_")[2].startswith(limbs) for name in changed)
    assert max(abs(first[name] - last[name]) for name in changed) < 45
    assert all(MOTIONS[name][0] - 0.1 <= last[name] <= MOTIONS[name][1] + 0.1 for name in changed)


def test_a_joint_beyond_its_limit_is_not_mended(body: AnnyBody) -> None:
    shape = body.draw_shape(np.random.default_rng(3), "infant", (0.5, 1.0))[0]
    pose = supine(body, {"left_knee_flexion": -40.0})
    resting, faults = lay_down(body, shape, pose)
    assert "joint limit" in {fault.check for fault in faults}
    np.testing.assert_array_equal(resting.pose.rotations[1:], pose.rotations[1:])


def test_nothing_is_mended_that_is_well(body: AnnyBody) -> None:
    generator = np.random.default_rng(2)
    shape = body.draw_shape(generator, "infant")[0]
    while check_resting(body, rest_on_floor(body, shape, pose := draw_pose(generator, "prone", body))):
        pass
    resting, faults = lay_down(body, shape, pose)
    assert faults == ()
    np.testing.assert_array_equal(resting.pose.rotations[1:], pose.rotations[1:])


@pytest.mark.parametrize("posture", ["side", "crawling"])
def test_most_of_what_topples_is_steadied(body: AnnyBody, posture: Posture) -> None:
    generator = np.random.default_rng(0)
    toppled = steadied = 0
    while toppled < 4:
        shape = body.draw_shape(generator, "infant", (0.6, 1.2))[0]
        pose = draw_pose(generator, posture, body)
        faults = check_resting(body, rest_on_floor(body, shape, pose))
        if {fault.check for fault in faults} == {"out of balance"}:
            toppled += 1
            steadied += not lay_down(body, shape, pose)[1]
    assert steadied >= 2


@pytest.mark.parametrize(("population", "posture"), [("infant", "supine"), ("infant", "sitting"), ("adult", "walking")])
def test_plausible_poses_pass_their_own_checks(body: AnnyBody, population: Population, posture: Posture) -> None:
    for seed in range(2):
        generator = np.random.default_rng(seed)
        shape = body.draw_shape(generator, population)[0]
        drawn, refused = draw_plausible_pose(generator, posture, body, shape, population)
        assert check_resting(body, drawn) == ()
        assert all(faults for faults in refused)
        assert (drawn.pose.posture, drawn.pose.population) == (posture, population)


def test_most_draws_pass_and_exaggerated_ones_do_not(body: AnnyBody) -> None:
    generator = np.random.default_rng(0)
    passed = refused = 0
    for _ in range(8):
        shape = body.draw_shape(generator, "infant")[0]
        drawn = draw_pose(generator, "supine", body)
        wild = drawn.rotations * np.float32(1.6)
        wild[0] = drawn.rotations[0]
        passed += not lay_down(body, shape, drawn)[1]
        refused += bool(lay_down(body, shape, replace(drawn, rotations=wild))[1])
    assert passed >= 7
    assert refused >= 6


def test_a_hopeless_body_ends_with_the_reasons(body: AnnyBody) -> None:
    giant = body.draw_shape(np.random.default_rng(0), "infant")[0] * 6
    with pytest.raises(RuntimeError, match=r"none of 2 side poses of an infant is plausible: \{'"):
        draw_plausible_pose(np.random.default_rng(0), "side", body, giant, attempts=2)
