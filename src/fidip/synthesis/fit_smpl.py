"""Bodies of SMPL's form for the fit: poses are axis-angle numbers, shapes are the file's own coefficients.

As in the published pipeline a pose is 69 numbers, the rotation vectors of the 23 joints below the root, here about
this package's axes. Derivatives are in closed form: a turn moves what hangs on it by a cross product, and the head's
vertices also by the blend shapes of the joint's rotation matrix.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fidip.skeleton import COCO_17
from fidip.smpl_joints import BONES, PARENTS
from fidip.synthesis.bodies.skinning import forward_kinematics, kinematic_levels, rotation_matrices
from fidip.synthesis.bodies.smpl import KEYPOINT_VERTICES, SmplBody
from fidip.synthesis.fit_body import left_jacobian
from fidip.synthesis.priors import PoseSpace
from fidip.synthesis.smpl_prior import infant_prior

MOST_SHAPE = 20
"""Shape coefficients that are fitted, the file's first, as in the published pipeline; the others stay at the mean."""

JOINTS = BONES[1:]
AXIS_ANGLE_NAMES = tuple(f"{bone}_{axis}" for bone in JOINTS for axis in "xyz")


def _other_side(name: str) -> str:
    side, _, rest = name.partition("_")
    return f"{ {'left': 'right', 'right': 'left'}[side] }_{rest}" if side in ("left", "right") else name


AXIS_ANGLES = PoseSpace(
    AXIS_ANGLE_NAMES,
    np.array([AXIS_ANGLE_NAMES.index(_other_side(name)) for name in AXIS_ANGLE_NAMES]),
    np.tile([1.0, -1.0, -1.0], len(JOINTS)),
)
"""The 69 numbers of a pose. A mirror swaps the sides; a rotation vector keeps x and reverses y and z."""

BENDING = {"left_elbow_z": -1.0, "right_elbow_z": 1.0, "left_knee_x": 1.0, "right_knee_x": 1.0}
"""Numbers by which elbows and knees bend, and the sign with which they do: those of the published penalty (about the
files' axes: y of the elbows, x of the knees) about this package's axes."""


def pose_vectors(rotations: NDArray[np.float32]) -> NDArray[np.float64]:  # (..., J, 3) -> (..., P)
    """The pose vectors of bodies' rotations, whatever the root's."""
    return rotations[..., 1:, :].reshape(*rotations.shape[:-2], -1).astype(np.float64)


class AxisAngleBody:
    """A body of a converted SMPL or SMIL file; a :class:`~fidip.synthesis.fit_body.FitBody`.

    Joints have no limits but half a turn: single numbers of a rotation vector say little about what a joint can do, so
    that is left to the prior and to the penalty on elbows and knees.
    """

    def __init__(self, body: SmplBody, device: torch.device, dtype: torch.dtype) -> None:
        self.motions, self.prior = AXIS_ANGLE_NAMES, infant_prior(body, AXIS_ANGLES)
        self.shape_size = min(body.shape_size, MOST_SHAPE)
        self.hinges = [AXIS_ANGLE_NAMES.index(name) for name in BENDING]
        self._device, self._dtype = device, dtype
        self._unfitted = body.shape_size - self.shape_size
        self.bending = self._tensor(list(BENDING.values()))
        self.limits = self._tensor([[-math.pi, math.pi]] * len(AXIS_ANGLE_NAMES))
        self._levels = kinematic_levels(PARENTS)
        self._above = self._index(PARENTS[1:])
        self._fold(body)

    def full_shape(self, shape: torch.Tensor) -> torch.Tensor:  # (B, Z) -> (B, S)
        """The file's own coefficients: the same, and zeros for those that are not fitted."""
        return torch.cat([shape, shape.new_zeros(len(shape), self._unfitted)], 1)

    def rotations(self, pose: NDArray[np.float64]) -> NDArray[np.float32]:  # (P,) -> (J, 3)
        """All joints' rotation vectors, the root's none."""
        return np.concatenate([np.zeros((1, 3)), pose.reshape(-1, 3)]).astype(np.float32)

    def pose(self, rotations: NDArray[np.float32]) -> NDArray[np.float64]:  # (J, 3) -> (P,)
        """The rotation vectors below the root."""
        return pose_vectors(rotations)

    def points(
        self, pose: torch.Tensor, shape: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # (B, P), (B, Z) -> (B, K, 3), (B, K, 3, P), (B, K, 3, Z)
        """Keypoints in metres, and their derivatives by the pose and by the shape."""
        B, K = len(pose), len(self._own)
        vectors = pose.view(B, -1, 3)
        local = rotation_matrices(torch.cat([torch.zeros_like(vectors[:, :1]), vectors], 1))
        turned, _ = forward_kinematics(self._levels, local[..., 0], local, torch.zeros_like(vectors[:, 0]))
        above = turned[:, self._above]  # (B, J − 1, 3, 3)
        places = torch.einsum("ij,bjdz->bidz", self._ancestors, above @ self._links)  # affine in the shape
        bends = torch.einsum("bjpq,jpqvx->bvx", local[:, 1:] - self._tensor(np.eye(3)), self._pose_basis)
        arms = self._arms.expand(B, -1, -1, -1).clone()
        arms[:, self._of_head, :, 0] += bends[:, self._head_vertex]
        carried = self._shares[:, None, None] * (turned[:, self._carriers] @ arms + places[:, self._carriers])
        by_blend = torch.einsum("kc,bcdz->bkdz", self._own, carried)
        blend = torch.cat([torch.ones_like(shape[:, :1]), shape], 1)
        joints, carried = (torch.einsum("bndz,bz->bnd", parts, blend) for parts in (places[:, 1:], carried))
        levers = (self._below.flatten(0, 1) @ carried).view(B, K, -1, 3)
        levers = levers - self._weight_below[..., None] * joints[:, None]
        turning = left_jacobian(vectors)  # columns: the axis of each number, before the joints above have turned it
        axes = (above @ turning).transpose(2, 3)  # (B, J − 1, 3 numbers, 3)
        shape_of = (B, K, *axes.shape[1:])
        by_pose = torch.linalg.cross(axes[:, None].expand(shape_of), levers[..., None, :].expand(shape_of))
        by_pose[:, self._head] += self._by_bending(local, turning, turned)
        return (by_blend @ blend[:, None, :, None]).squeeze(-1), by_pose.flatten(2, 3).mT, by_blend[..., 1:]

    def _by_bending(
        self, local: torch.Tensor, turning: torch.Tensor, turned: torch.Tensor
    ) -> torch.Tensor:  # (B, J, 3, 3), (B, J − 1, 3, 3), (B, J, 3, 3) -> (B, v, J − 1, 3 numbers, 3)
        """What the blend shapes alone move the head's vertices as each number of a pose changes."""
        shape_of = (len(local), len(JOINTS), 3, 3, 3)  # numbers, columns of the matrix, elements of a column
        axes, columns = turning.mT[:, :, :, None].expand(shape_of), local[:, 1:].mT[:, :, None].expand(shape_of)
        slopes = torch.linalg.cross(axes, columns)
        moved = torch.einsum("bjcqp,jpqvx->bvjcx", slopes, self._pose_basis)
        skinned = torch.einsum("vi,bixy->bvxy", self._skin, turned)
        return torch.einsum("bvxy,bvjcy->bvjcx", skinned, moved)

    def _fold(self, body: SmplBody) -> None:
        """Gather what each joint carries of each keypoint, for the mean body and each direction of its shape."""
        joints = self._shaped(body.joint_template, body.joint_basis)  # (J, 3, 1 + Z)
        vertices = self._shaped(body.template, body.basis)
        self._head = [COCO_17.keypoints.index(name) for name in KEYPOINT_VERTICES]
        numbers = list(KEYPOINT_VERTICES.values())
        masses = body.keypoint_joints.cpu().double().numpy().copy()  # (K, J)
        self._skin = self._tensor(body.skin[numbers].cpu().numpy())
        masses[self._head] = body.skin[numbers].cpu().numpy()
        self._pose_basis = self._tensor(body.pose_basis.view(len(JOINTS), 3, 3, -1, 3)[:, :, :, numbers].cpu().numpy())
        keypoints, carriers = np.nonzero(masses)
        of_head = np.flatnonzero(np.isin(keypoints, self._head))
        vertex = [self._head.index(k) for k in keypoints[of_head].tolist()]
        arms = np.zeros((len(keypoints), *joints.shape[1:]))
        arms[of_head] = vertices[np.array(numbers)[vertex]] - joints[carriers[of_head]]
        own = keypoints == np.arange(len(masses))[:, None]  # (K, c)
        below = own[..., None] * _ancestors()[carriers]  # (K, c, J − 1)
        shares = masses[keypoints, carriers]
        self._of_head, self._head_vertex, self._carriers = map(self._index, (of_head, vertex, carriers))
        self._arms, self._shares, self._ancestors = map(self._tensor, (arms, shares, _ancestors()))
        self._links = self._tensor(joints[1:] - joints[list(PARENTS[1:])])
        self._own = self._tensor(own)
        self._below = self._tensor(below.swapaxes(1, 2))
        self._weight_below = self._tensor(np.einsum("kcj,c->kj", below, shares))

    def _shaped(self, template: torch.Tensor, basis: torch.Tensor) -> NDArray[np.float64]:  # (n, 3), (S, n 3)
        """(n, 3, 1 + Z) the template and what each fitted coefficient adds."""
        parts = torch.cat([template.reshape(1, -1), basis[: self.shape_size]]).cpu().double().numpy()
        return np.moveaxis(parts.reshape(len(parts), -1, 3), 0, 2)

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(np.array(values, dtype=np.float64), dtype=self._dtype, device=self._device)

    def _index(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(np.array(values), device=self._device)


def _ancestors() -> NDArray[np.float64]:  # (J, J − 1)
    """One where a joint below the root is the first one or hangs above it."""
    above = np.eye(len(BONES))
    for joint, parent in enumerate(PARENTS[1:], start=1):
        above[joint] += above[parent]
    return above[:, 1:]
