"""Bodies of the SMPL family (SMPL, SMIL) from a user's converted file.

The model is that of Loper et al., "SMPL: A Skinned Multi-Person Linear Model" (2015), written from the paper: a linear
shape space, blend shapes linear in the elements of the joints' rotation matrices, linear blend skinning. Axes are this
package's: z up, the face along −y, the body's left along +x, metres; the root joint lies at the translation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fidip.errors import RecipeError
from fidip.skeleton import COCO_17
from fidip.smpl_joints import BONES, KEYPOINT_JOINTS, PARENTS
from fidip.synthesis.bodies.protocol import Population, PosedBody
from fidip.synthesis.bodies.skinning import blend_skin, forward_kinematics, kinematic_levels, rotation_matrices
from fidip.synthesis.bodies.smpl_files import face_parts, read_body

KEYPOINT_VERTICES = {"nose": 332, "left_eye": 2800, "right_eye": 6260, "left_ear": 583, "right_ear": 4071}
"""Vertices of SMPL's mesh, which SMIL shares, at the keypoints of the head."""

HIP_OUTWARDS, HIP_UPWARDS = 1 / 4, 1 / 6
"""Where COCO's hip lies from the thigh's joint: outwards, as a share of the distance between the two thigh joints, and
upwards, as a share of the way from their middle to the lowest joint of the spine. The pelvis carries it.

SMPL's thigh joints lie closer together and lower than the hips that people annotate. In SMPL's mean adult they are
0.137 m apart, the shoulders 0.348 m, the lowest joint of the spine 0.200 m above: there the hips move outwards by 34 mm
and upwards by 33 mm, and are 0.59 of the shoulders' width apart, between the bundled infants (0.54) and adults (0.63),
whose hips are COCO's. The step upwards has no such comparison behind it: the bundled bodies' joints lie elsewhere.
"""

HALF_LOWERED = math.pi / 4
"""How far below the horizon arms point in a body's stance."""


class SmplBody(nn.Module):
    """A body of SMPL's form, differentiable and batched; a :class:`~fidip.synthesis.bodies.protocol.BodyModel`.

    Shape coefficients are those of the file, standard deviations of its population.
    """

    template: torch.Tensor  # (V, 3)
    basis: torch.Tensor  # (S, V * 3)
    pose_basis: torch.Tensor  # (9 (J - 1), V * 3)
    joint_template: torch.Tensor  # (J, 3)
    joint_basis: torch.Tensor  # (S, J * 3)
    skin: torch.Tensor  # (V, J)
    keypoint_joints: torch.Tensor  # (K, J) what each keypoint takes of each joint; rows sum to one, or zero on the head

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        super().__init__()
        self.bone_names: tuple[str, ...] = BONES
        self.bone_parents: tuple[int, ...] = PARENTS
        self.faces: NDArray[np.int32] = arrays["faces"].astype(np.int32)
        self.face_parts: NDArray[np.int32] = face_parts(self.faces, arrays["skin"])
        shown, corners = np.unique(arrays["face_uvs"], return_inverse=True)  # a layout may hold places of no face
        self.uvs: NDArray[np.float32] = arrays["uvs"][shown].astype(np.float32)
        self.face_uvs: NDArray[np.int32] = corners.reshape(-1, 3).astype(np.int32)
        self.uv_layout = str(arrays["uv_layout"])
        self.shape_size = len(arrays["basis"])
        self._levels = kinematic_levels(PARENTS)
        self._head = [COCO_17.keypoints.index(name) for name in KEYPOINT_VERTICES]
        self._head_vertices = list(KEYPOINT_VERTICES.values())
        names = ("template", "basis", "pose_basis", "joint_template", "joint_basis", "skin")
        buffers = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in names}
        for name in ("basis", "pose_basis", "joint_basis"):
            buffers[name] = buffers[name].flatten(1)
        buffers["keypoint_joints"] = _keypoint_joints()
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer.contiguous(), persistent=False)

    @staticmethod
    def load(path: Path | str) -> SmplBody:
        """A body that ``fidip convert-body`` has converted.

        Raises:
            DataError: the file cannot be read, is a pickle or no converted body, or is damaged.
        """
        return SmplBody(read_body(path))

    def forward(
        self,
        shape: torch.Tensor,  # (B, S)
        rotations: torch.Tensor,  # (B, J, 3) axis-angle, radians
        translation: torch.Tensor,  # (B, 3) metres
    ) -> PosedBody:
        """Pose bodies; see :class:`~fidip.synthesis.bodies.protocol.BodyModel`."""
        local, rest_joints, turns, joints = self._pose(shape, rotations, translation)
        rest = self._rest(shape, local, slice(None))
        vertices = blend_skin(self.skin, rest, rest_joints, turns, joints)
        return PosedBody(vertices, joints, self._keypoints(vertices[:, self._head_vertices], joints))

    def __call__(self, shape: torch.Tensor, rotations: torch.Tensor, translation: torch.Tensor) -> PosedBody:
        """Pose bodies: shape (B, S), rotations (B, J, 3), translation (B, 3)."""
        return cast(PosedBody, super().__call__(shape, rotations, translation))

    def keypoints(
        self, shape: torch.Tensor, rotations: torch.Tensor, translation: torch.Tensor
    ) -> torch.Tensor:  # (B, K, 3)
        """COCO keypoints alone, equal to those of a full call and many times faster: for fitting."""
        local, rest_joints, turns, joints = self._pose(shape, rotations, translation)
        rest = self._rest(shape, local, self._head_vertices)
        head = blend_skin(self.skin[self._head_vertices], rest, rest_joints, turns, joints)
        return self._keypoints(head, joints)

    def rest(self, shape: torch.Tensor) -> PosedBody:
        """The bodies in their file's reference pose (arms stretched out), the root joint at the origin."""
        still = shape.new_zeros(len(shape), len(self.bone_names) + 1, 3)
        return self(shape, still[:, 1:], still[:, 0])

    def stance(self, shape: torch.Tensor) -> PosedBody:
        """The bodies standing with their arms half lowered; see :class:`~fidip.synthesis.bodies.protocol.BodyModel`."""
        still = shape.new_zeros(len(shape), len(self.bone_names) + 1, 3)
        rotations, joints = still[:, 1:].clone(), self(shape, still[:, 1:], still[:, 0]).joints
        for side, sign in (("left", 1), ("right", -1)):
            shoulder, elbow = (self.bone_names.index(f"{side}_{joint}") for joint in ("shoulder", "elbow"))
            arm = joints[:, elbow] - joints[:, shoulder]
            rotations[:, shoulder, 1] = sign * (HALF_LOWERED - torch.atan2(-arm[:, 2], sign * arm[:, 0])).clamp(min=0)
        return self(shape, rotations, still[:, 0])

    def draw_shape(
        self,
        generator: np.random.Generator,
        population: Population,  # noqa: ARG002 - a file knows one population only, and no ages
        years: tuple[float, float] | None = None,  # noqa: ARG002
        *,
        months: tuple[float, float] | None = None,
    ) -> tuple[torch.Tensor, None]:  # (S,)
        """A body of the file's own population from its shape prior, independent standard normal coefficients.

        Raises ``RecipeError`` where it is to be of an age in months: a file knows no ages.
        """
        if months is not None:
            asked = "{:g}-{:g}".format(*months)
            raise RecipeError(f"--age-months {asked}: the bodies of an SMPL or SMIL file have no ages; leave it out")
        return torch.from_numpy(generator.standard_normal(self.shape_size).astype(np.float32)), None

    def bone_weights(self, *prefixes: str) -> NDArray[np.float32]:  # (V,)
        """How much of each vertex is carried by the bones whose names start with one of the prefixes."""
        chosen = [index for index, name in enumerate(self.bone_names) if name.startswith(prefixes)]
        if not chosen:
            raise ValueError(f"no bone starts with {', '.join(prefixes)}; bones: {', '.join(self.bone_names)}")
        return np.asarray(self.skin[:, chosen].sum(1).cpu().numpy(), dtype=np.float32)

    def _pose(
        self, shape: torch.Tensor, rotations: torch.Tensor, translation: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Turns against the parent, joints at rest, turns against the rest pose, joints."""
        B = len(shape)
        expected = ((B, self.shape_size), (B, len(self.bone_names), 3), (B, 3))
        given = (tuple(shape.shape), tuple(rotations.shape), tuple(translation.shape))
        if given != expected:
            raise ValueError(f"shape, rotations and translation are {given}, expected {expected}")
        local = rotation_matrices(rotations)
        rest_joints = (self.joint_template.flatten() + shape @ self.joint_basis).view(B, -1, 3)
        return local, rest_joints, *forward_kinematics(self._levels, rest_joints, local, translation)

    def _rest(self, shape: torch.Tensor, local: torch.Tensor, vertices: slice | list[int]) -> torch.Tensor:  # (B, v, 3)
        """Vertices before skinning: what shape and pose make of the template."""
        bent = (local[:, 1:] - torch.eye(3, dtype=local.dtype, device=local.device)).flatten(1)
        V = len(self.skin)
        basis, pose_basis = (tensor.view(-1, V, 3)[:, vertices].flatten(1) for tensor in (self.basis, self.pose_basis))
        flat = self.template[vertices].flatten() + shape @ basis + bent @ pose_basis
        return flat.view(len(shape), -1, 3)

    def _keypoints(self, head: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:  # (B, 5, 3), (B, J, 3) -> (B, K, 3)
        keypoints = self.keypoint_joints @ joints
        return keypoints.index_copy(1, torch.tensor(self._head, device=joints.device), head)


def _keypoint_joints() -> torch.Tensor:  # (K, J)
    rows = torch.zeros(len(COCO_17), len(BONES))
    for keypoint, joint in KEYPOINT_JOINTS.items():
        rows[COCO_17.keypoints.index(keypoint), joint] = 1
    left, right, spine = (BONES.index(name) for name in ("left_hip", "right_hip", "spine1"))
    # Hips, whose joints have the name without the place, are moved.
    for keypoint, own, other in (("left_hip", left, right), ("right_hip", right, left)):
        row = rows[COCO_17.keypoints.index(keypoint)]
        row[own] = 1 + HIP_OUTWARDS - HIP_UPWARDS / 2
        row[other] = -HIP_OUTWARDS - HIP_UPWARDS / 2
        row[spine] = HIP_UPWARDS
    return rows
