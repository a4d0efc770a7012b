"""The prior of users' bodies: their limbs against the posed bundled body's, whatever stance a file rests in."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fidip.skeleton import COCO_17
from fidip.smpl_joints import BONES, JOINTS
from fidip.synthesis.anatomy import MOTIONS, bone_rotations, joint_angles
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.smpl import SmplBody
from fidip.synthesis.fit_check import MOST_POSE_ENERGY
from fidip.synthesis.fit_people import fit_people, posed, subjects
from fidip.synthesis.fit_smpl import AXIS_ANGLE_NAMES, AXIS_ANGLES, BENDING
from fidip.synthesis.poses import draw_pose
from fidip.synthesis.postures import POSTURES
from fidip.synthesis.priors import PosePrior, ShapePrior, default_prior, pose_vector
from fidip.synthesis.smpl_prior import carried_over, infant_prior, nearest_turns, rest_turns
from fitting_cases import cases
from smpl_cases import converted, fittable, stretched

P = len(AXIS_ANGLE_NAMES)
STANCES = ("of its own", "stretched")

FARTHEST = {
    "shoulder-elbow": 8, "elbow-wrist": 6, "thigh-knee": 5, "knee-ankle": 2, "trunk": 8, "head": 8, "face": 2,
}  # fmt: skip
"""Degrees. The bundled body's keypoints hang on several bones each, so that its own limbs are not quite stiff."""


@cache
def sampled(count: int = 120) -> np.ndarray:  # (count, P) motions of the sampler's infants
    generator, body = np.random.default_rng(11), AnnyBody.load()
    postures = POSTURES["infant"]
    rotations = [draw_pose(generator, postures[i % len(postures)], body).rotations for i in range(count)]
    return np.array([pose_vector(joint_angles(each, body.bone_names)) for each in rotations])


@cache
def body(stance: str) -> SmplBody:
    """Smooth ones: random blend shapes would move the face."""
    model = fittable(wrinkled=False).model if stance == "of its own" else SmplBody(stretched())
    assert isinstance(model, SmplBody)
    return model


def limbs(keypoints: np.ndarray, thighs: np.ndarray) -> dict[str, np.ndarray]:  # (N, K, 3), (N, 2, 3) -> (N, 2, 3)
    """Where limbs point, the left and the right one, and the trunk and the head, twice."""
    places = {
        name: keypoints[:, [COCO_17.keypoints.index(f"{side}_{name}") for side in ("left", "right")]]
        for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "ear")
    }
    places["thigh"] = thighs
    middle = {name: place.mean(1, keepdims=True).repeat(2, 1) for name, place in places.items()}
    pairs = {name: name.split("-") for name in FARTHEST if "-" in name}
    return {name: places[end] - places[begin] for name, (begin, end) in pairs.items()} | {
        "trunk": middle["shoulder"] - middle["hip"],
        "head": middle["ear"] - middle["shoulder"],
        "face": keypoints[:, [0, 0]] - middle["ear"],
    }


def apart(poses: np.ndarray, other: SmplBody, vectors: np.ndarray, root: np.ndarray) -> dict[str, np.ndarray]:
    """Degrees (N, 2) between limbs of the posed bundled body and of the other one, its root turned as that of a file.

    The bundled body is posed by ``anatomy``, which the prior makes no use of.
    """
    bundled, N = AnnyBody.load(), len(poses)
    named = [dict(zip(MOTIONS, np.degrees(pose).tolist(), strict=True)) for pose in poses]
    ours = torch.from_numpy(np.array([bone_rotations(each, bundled.bone_names) for each in named]))
    theirs = np.concatenate([np.tile(Rotation.from_matrix(root).as_rotvec(), (N, 1)), vectors], 1)
    mean = torch.from_numpy(ShapePrior.of_population(bundled).mean.astype(np.float32))
    found = []
    for each, shape, turned, thigh in (
        (bundled, mean, ours, [bundled.bone_names.index(f"upperleg01.{side}") for side in "LR"]),
        (other, torch.zeros(other.shape_size), torch.from_numpy(theirs.astype(np.float32)).view(N, JOINTS, 3), [1, 2]),
    ):
        with torch.no_grad():
            result = each(shape.expand(N, -1), turned, torch.zeros(N, 3))
        found.append(limbs(result.keypoints.double().numpy(), result.joints[:, thigh].double().numpy()))
    first, second = ({name: v / np.linalg.norm(v, axis=2, keepdims=True) for name, v in each.items()} for each in found)
    return {name: np.degrees(np.arccos(np.clip((first[name] * second[name]).sum(2), -1, 1))) for name in FARTHEST}


def test_the_stretched_file_rests_as_smpl_does() -> None:
    rest = body("stretched").rest(torch.zeros(1, 10)).joints[0].numpy()
    joints = dict(zip(BONES, rest, strict=True))
    for begin, end, towards in (
        ("left_shoulder", "left_elbow", (1, 0, 0)),
        ("right_elbow", "right_wrist", (-1, 0, 0)),
        ("left_knee", "left_ankle", (0, 0, -1)),
    ):
        limb = joints[end] - joints[begin]
        np.testing.assert_allclose(limb / np.linalg.norm(limb), towards, atol=1e-3)


@pytest.mark.parametrize("stance", STANCES)
def test_limbs_point_where_the_bundled_bodys_do(stance: str) -> None:
    rest = rest_turns(body(stance))
    found = apart(sampled(), body(stance), carried_over(sampled(), rest), rest[0])
    for name, farthest in FARTHEST.items():
        assert np.percentile(found[name], 95) < farthest, name
    assert max(np.median(angles) for angles in found.values()) < 5


def test_without_the_turns_at_rest_they_would_not() -> None:
    still = np.tile(np.eye(3), (JOINTS, 1, 1))
    found = apart(sampled(), body("stretched"), carried_over(sampled(), still), np.eye(3))
    assert np.median(found["shoulder-elbow"]) > 30
    assert np.median(found["elbow-wrist"]) > 30


@pytest.mark.parametrize("stance", STANCES)
def test_the_threshold_passes_the_samplers_poses_and_refuses_exaggerated_ones(stance: str) -> None:
    rest, prior = rest_turns(body(stance)), infant_prior(body(stance), AXIS_ANGLES)
    energies, exaggerated = (prior.energy(carried_over(share * sampled(), rest)) for share in (1.0, 1.6))
    assert (energies < MOST_POSE_ENERGY - 10).mean() > 0.99
    assert (exaggerated < MOST_POSE_ENERGY).mean() < 0.6
    assert np.median(exaggerated) > np.median(energies) + 40
    poses = carried_over(sampled(), rest)
    np.testing.assert_allclose(prior.energy(AXIS_ANGLES.mirrored(poses)), prior.energy(poses), rtol=1e-6)


def test_hinges_of_a_stretched_body_bend_about_the_axes_of_the_penalty() -> None:
    prior = infant_prior(body("stretched"), AXIS_ANGLES)
    means = prior.weights @ prior.means
    spread = np.sqrt(prior.weights @ np.diagonal(prior.covariances, axis1=1, axis2=2))
    for name, sign in BENDING.items():
        index = AXIS_ANGLE_NAMES.index(name)
        joint = slice(3 * (index // 3), 3 * (index // 3) + 3)
        assert sign * means[index] > np.radians(40), name
        assert np.argmax(np.abs(means[joint])) == index % 3, name
        assert np.argmax(spread[joint]) == index % 3 or "elbow" in name, name  # forearms roll as well
    assert (np.abs(prior.means) < np.pi).all()


def test_a_gaussian_is_that_of_its_carried_over_poses() -> None:
    """Mean and spread of one component against poses that are drawn and carried over here."""
    known, prior, rest = default_prior(), infant_prior(body("of its own"), AXIS_ANGLES), rest_turns(body("of its own"))
    count = len(known.weights) // 2
    low, high = np.radians(list(MOTIONS.values())).T
    poses = np.random.default_rng(3).multivariate_normal(known.means[1], known.covariances[1], 4000).clip(low, high)
    vectors = nearest_turns(carried_over(poses, rest), prior.means[1])
    np.testing.assert_allclose(prior.means[1], vectors.mean(0), atol=0.03)
    spread = np.sqrt(np.diag(prior.covariances[1]) - np.radians(6) ** 2 * (1 - 1e-6))
    np.testing.assert_allclose(spread, vectors.std(0), atol=0.03)
    np.testing.assert_allclose(prior.means[count + 1], AXIS_ANGLES.mirrored(prior.means[1]))
    np.testing.assert_allclose(prior.weights, known.weights, rtol=1e-6)


def test_rotations_about_half_a_turn_do_not_jump() -> None:
    rng = np.random.default_rng(0)
    middle = np.array([0.0, 3.1, 0.2, 0.1, 0.0, -0.1])
    vectors = middle + 0.3 * rng.standard_normal((200, 6))
    cut = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_rotvec().reshape(200, 6)  # none longer than half a turn
    assert np.abs(cut - vectors).max() > 5
    found = nearest_turns(cut, middle)
    np.testing.assert_allclose(found, vectors, atol=1e-9)
    np.testing.assert_array_equal(nearest_turns(np.zeros((1, 6)), middle), 0)


def test_a_file_is_measured_once_whatever_its_coefficients() -> None:
    first = infant_prior(body("of its own"), AXIS_ANGLES)
    assert infant_prior(SmplBody(converted()), AXIS_ANGLES) is first
    other = infant_prior(body("stretched"), AXIS_ANGLES)
    assert np.abs(other.means - first.means).max() > 0.5
    assert (fittable().seen.prior.motions, len(first.weights)) == (AXIS_ANGLE_NAMES, 16)


def test_depth_is_guessed_better_than_by_knowing_only_how_the_file_rests() -> None:
    """Infants of the sampler, another body than the fitted one, whose keypoints alone are known."""
    known = [case for seed in range(2) for case in cases(*POSTURES["infant"], seed=seed)]
    people, _ = subjects([case.image for case in known])
    broad = PosePrior(AXIS_ANGLE_NAMES, np.zeros((1, P)), np.eye(P)[None] * np.radians(35) ** 2, np.ones(1))
    fittable_body = fittable(wrinkled=False)
    errors = {}
    for name, prior in (("own", None), ("broad", broad)):
        fits, records = fit_people(people, body=fittable_body, prior=prior)
        assert max(record.reprojection_torso for record in records) < 0.03
        away = []
        for index, case in enumerate(known):
            found = fits.camera(index).to_camera(posed(fittable_body.model, fits, index)[1])
            found, truth = (points - points[[11, 12]].mean(0) for points in (found, case.keypoints))
            found = found * (found * truth).sum() / (found**2).sum()
            away.append(np.linalg.norm(found - truth, axis=1).mean())
        errors[name] = np.median(away)
    assert errors["own"] < 0.035
    assert errors["own"] < 0.7 * errors["broad"]
