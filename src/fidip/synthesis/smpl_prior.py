"""What the sampler's infants look like on a user's body: the bundled body's prior, carried over to a file's joints.

Poses are drawn from the bundled prior's mixture, the turns of its bones are given to the joints that move the same
limbs, and each Gaussian is measured again in the file's rotation vectors. Files rest in stances of their own (SMPL's
arms are stretched out, the bundled body's half lowered and half bent), so every turn goes through the one that brings
the file's limb to where the bundled body's rests: with B a bone's turn against the bundled stance and R that one, the
joint's against the file's is B · R, whose limb points where the bundled body's does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fidip.skeleton import COCO_17
from fidip.smpl_joints import BONES, JOINTS, PARENTS
from fidip.synthesis.anatomy import MOTIONS, SIDES
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.skinning import rotation_matrices
from fidip.synthesis.bodies.smpl import SmplBody
from fidip.synthesis.fit_motions import DERIVED, MOTION_NAMES, derived_motions, turns
from fidip.synthesis.priors import PosePrior, PoseSpace, ShapePrior, default_prior, with_mirror_images

Array = NDArray[np.float64]

DRAWN = 2000
"""Poses by which each Gaussian is measured; every other one is its neighbour's reflection in the mean."""

LOOSER = math.radians(6.0)
"""Deviation that is added to every number: another body's limbs point a few degrees elsewhere, and the numbers that no
motion of the bundled body reaches must not be known exactly."""

CHAINS = {"spine": ("spine1", "spine2", "spine3"), "neck": ("neck", "head")}
"""Joints that share a motion of the bundled body evenly, as its own bones do."""

MOVERS: dict[str, tuple[str, ...]] = {
    "collar": ("clavicle",), "shoulder": ("upperarm01", "upperarm02"), "elbow": ("lowerarm01", "lowerarm02"),
    "wrist": ("wrist",), "hip": ("upperleg01", "upperleg02"), "knee": ("lowerleg01",), "ankle": ("foot",),
}  # fmt: skip
"""The bundled body's bones between a joint and the one above it; fingers and toes stay as they rest."""

LIMBS = {
    "shoulder": ("shoulder", "elbow"), "elbow": ("elbow", "wrist"), "wrist": ("wrist", "fingers"),
    "hip": ("thigh", "knee"), "knee": ("knee", "ankle"), "ankle": ("ankle", "toes"),
}  # fmt: skip
"""Where the limb that a joint moves begins and ends: keypoints, or what ``LANDMARKS`` has beside them."""

LANDMARKS = {"thigh": ("upperleg01", "hip"), "fingers": ("finger3-1", "hand"), "toes": ("toe3-1", "foot")}
"""The bundled body's bone and SMPL's joint at a place without a keypoint. Keypoints of hips are no ends of thighs."""

FACE = ("nose", *(f"{side}_{name}" for name in ("eye", "ear") for side in SIDES))
TRUNK = tuple(f"{side}_{name}" for name in ("shoulder", "hip") for side in SIDES)


def infant_prior(body: SmplBody, space: PoseSpace) -> PosePrior:
    """The bundled body's prior over the rotation vectors of a file's joints; half a second, once for a file."""
    return _measured(rest_turns(body).tobytes(), space)


def carried_over(poses: Array, rest: Array) -> Array:  # (N, P) motions, (J, 3, 3) -> (N, 3 (J − 1))
    """Poses of the bundled body as rotation vectors of the joints below the root, none longer than half a turn.

    ``rest`` is what ``rest_turns`` says of the file; limbs point where the bundled body's do where the file's root is
    turned by the root's.
    """
    local = rest[list(PARENTS[1:])].swapaxes(1, 2) @ _own_turns(poses)[:, 1:] @ rest[1:]
    return np.asarray(Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec()).reshape(len(poses), -1)


def nearest_turns(poses: Array, middle: Array) -> Array:  # (N, 3 j), (3 j,) -> (N, 3 j)
    """The same rotations by those vectors, whole turns longer or shorter, that lie nearest to a pose's.

    A vector of half a turn is also its opposite: without this a joint that is turned about as far would jump.
    """
    vectors, near = poses.reshape(len(poses), -1, 3), middle.reshape(-1, 3)
    angles = np.linalg.norm(vectors, axis=2, keepdims=True)
    axes = vectors / np.maximum(angles, 1e-12)
    whole = np.round(((axes * near).sum(2, keepdims=True) - angles) / (2 * np.pi))
    return np.asarray((vectors + 2 * np.pi * whole * axes).reshape(poses.shape))


def rest_turns(body: SmplBody) -> Array:  # (J, 3, 3)
    """What brings each part of the file's mean body, as it rests, to where the bundled body's mean infant rests.

    Trunk and head by their keypoints; along the limbs, beginning at the trunk, each by the least turn after the one of
    the part above, so that hinges stay hinges.
    """
    bundled = AnnyBody.load()
    mean = torch.from_numpy(ShapePrior.of_population(bundled).mean.astype(np.float32))
    ours = _landmarks(
        bundled, mean, {f"{s}_{n}": f"{b}.{s[0].upper()}" for n, (b, _) in LANDMARKS.items() for s in SIDES}
    )
    own = {f"{s}_{n}": f"{s}_{joint}" for n, (_, joint) in LANDMARKS.items() for s in SIDES}
    theirs = _landmarks(body, body.template.new_zeros(body.shape_size), own)
    rest = np.empty((JOINTS, 3, 3))
    for joint, (name, parent) in enumerate(zip(BONES, PARENTS, strict=True)):
        side, _, part = name.partition("_")
        if parent < 0 or name == "head":
            rest[joint] = _laid_on(theirs, ours, TRUNK if parent < 0 else FACE)
            continue
        rest[joint] = rest[parent]
        if part in LIMBS:
            begin, end = (f"{side}_{place}" for place in LIMBS[part])
            rest[joint] = (
                _least_turn(rest[parent] @ (theirs[end] - theirs[begin]), ours[end] - ours[begin]) @ rest[parent]
            )
    return rest


@lru_cache(maxsize=4)
def _measured(rest: bytes, space: PoseSpace) -> PosePrior:
    """The prior of a file by what ``rest_turns`` says of it."""
    turns_at_rest = np.frombuffer(rest).reshape(JOINTS, 3, 3)
    known = default_prior()
    count = len(known.weights) // 2  # the others are mirror images
    normal = np.random.default_rng(0).standard_normal((DRAWN // 2, known.means.shape[1]))
    normal = np.concatenate([normal, -normal])
    lowest, highest = np.radians(list(MOTIONS.values())).T
    means, covariances = [], []
    for mean, covariance in zip(known.means[:count], known.covariances[:count], strict=True):
        poses = np.clip(mean + normal @ np.linalg.cholesky(covariance).T, lowest, highest)
        middle = carried_over(mean[None], turns_at_rest)[0]
        vectors = nearest_turns(carried_over(poses, turns_at_rest), middle)
        means.append(vectors.mean(0))
        covariances.append(np.cov(vectors, rowvar=False) + LOOSER**2 * np.eye(vectors.shape[1]))
    weights = known.weights[:count] / known.weights[:count].sum()
    return with_mirror_images(space, np.array(means), np.array(covariances), weights)


def _own_turns(poses: Array) -> Array:  # (N, P) -> (N, J, 3, 3)
    """How the bundled body turns what each joint moves against what the joint above moves, about its own axes."""
    with_derived = derived_motions(torch.from_numpy(poses))[0]
    names = (*MOTION_NAMES, *DERIVED)
    of_bone: dict[str, torch.Tensor] = {}
    for turn in turns():
        motions = with_derived[:, [names.index(motion) for motion in turn.motions]]
        vectors = torch.from_numpy(turn.offset) + motions @ torch.from_numpy(np.array(turn.axes))
        factor = rotation_matrices(vectors) @ torch.from_numpy(turn.after)
        of_bone[turn.bone] = of_bone[turn.bone] @ factor if turn.bone in of_bone else factor
    own = torch.eye(3, dtype=with_derived.dtype).repeat(len(poses), JOINTS, 1, 1)
    for chain, joints in CHAINS.items():
        whole = with_derived[:, [names.index(f"{chain}_{motion}") for motion in ("flexion", "bend", "twist")]]
        own[:, [BONES.index(joint) for joint in joints]] = rotation_matrices(whole / len(joints))[:, None]
    for side in SIDES:
        for part, bones in MOVERS.items():
            joint = BONES.index(f"{side}_{part}")
            for bone in bones:
                own[:, joint] = own[:, joint] @ of_bone[f"{bone}.{side[0].upper()}"]
    return own.numpy()


def _landmarks(body: AnnyBody | SmplBody, shape: torch.Tensor, bones: dict[str, str]) -> dict[str, Array]:  # (S,)
    """Keypoints and a few bones' joints of a body at rest."""
    with torch.no_grad():
        rest = body.rest(shape[None])
    places = dict(zip(COCO_17.keypoints, rest.keypoints[0].cpu().double().numpy(), strict=True))
    joints = rest.joints[0].cpu().double().numpy()
    return places | {name: joints[body.bone_names.index(bone)] for name, bone in bones.items()}


def _laid_on(theirs: dict[str, Array], ours: dict[str, Array], names: Sequence[str]) -> Array:  # (3, 3)
    """The turn that lays the file's places on the bundled body's, in the sense of least squares."""
    places, targets = (np.array([points[name] for name in names]) for points in (theirs, ours))
    return np.asarray(Rotation.align_vectors(targets - targets.mean(0), places - places.mean(0))[0].as_matrix())


def _least_turn(given: Array, wanted: Array) -> Array:  # (3,), (3,) -> (3, 3)
    if not given.any():  # a limb without a length points nowhere
        return np.eye(3)
    return np.asarray(Rotation.align_vectors(wanted[None], given[None])[0].as_matrix())
