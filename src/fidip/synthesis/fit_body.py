"""Keypoints of a body with their derivatives by pose and shape, in closed form and batched.

A turn about an axis moves everything that hangs on it by a cross product, so the derivatives cost about as much as the
keypoints. Another body can be fitted once it offers what :class:`FitBody` lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from fidip.synthesis.anatomy import MOTIONS, bone_rotations, joint_angles
from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.bodies.skinning import kinematic_levels, rotation_matrices
from fidip.synthesis.fit_motions import DERIVED, ELEVATIONS, HINGES, MOTION_NAMES, derived_motions, turns
from fidip.synthesis.priors import PosePrior, ShapePrior, default_prior, pose_vector

SLIGHT = 1e-5
"""Shares of a keypoint below this are given to no bone."""


class FitBody(Protocol):
    """A body as the fit sees it: keypoints in its own frame, the root joint at the origin, the root unturned."""

    motions: tuple[str, ...]  # P names of the pose vector's entries
    limits: torch.Tensor  # (P, 2) lowest and highest, radians
    hinges: list[int]  # H motions of elbows and knees
    bending: torch.Tensor  # (H,) +1 or −1: the direction in which they bend
    shape_size: int  # Z coefficients, standard deviations of the population
    prior: PosePrior  # the one that belongs to it, by which plausibility is judged

    def points(
        self, pose: torch.Tensor, shape: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # (B, P), (B, Z) -> (B, K, 3), (B, K, 3, P), (B, K, 3, Z)
        """Keypoints in metres, and their derivatives by the pose and by the shape."""
        ...

    def full_shape(self, shape: torch.Tensor) -> torch.Tensor:  # (B, Z) -> (B, S)
        """The body model's own shape coefficients."""
        ...

    def rotations(self, pose: NDArray[np.float64]) -> NDArray[np.float32]:  # (P,) -> (J, 3)
        """The body model's own rotations, the root's still none."""
        ...

    def pose(self, rotations: NDArray[np.float32]) -> NDArray[np.float64]:  # (J, 3) -> (P,)
        """The pose vector of rotations: the way back."""
        ...


class AnatomicalBody:
    """The bundled body, posed by the motions of :mod:`anatomy`, shaped by what a prior lets vary.

    Of the shape prior's directions only those are fitted that show in the keypoints; the others stay at their mean,
    which is where the objective would leave them.
    """

    def __init__(
        self, body: AnnyBody, prior: ShapePrior, device: torch.device, dtype: torch.dtype, shape_size: int
    ) -> None:
        self.motions, self.hinges, self.shape_size, self.prior = MOTION_NAMES, HINGES, shape_size, default_prior()
        self._device, self._dtype = device, dtype
        self.limits = self._tensor(np.radians(list(MOTIONS.values())))
        self.bending = self._tensor(np.ones(len(HINGES)))
        self._bone_names = body.bone_names
        self._chain(body)
        self._fold(body, prior)

    def full_shape(self, shape: torch.Tensor) -> torch.Tensor:  # (B, Z) -> (B, S)
        """The body model's own shape coefficients."""
        return self._mean + shape @ self._directions

    def rotations(self, pose: NDArray[np.float64]) -> NDArray[np.float32]:  # (P,) -> (J, 3)
        """All bones' rotations, the root's still none."""
        degrees = np.degrees(pose).tolist()
        return bone_rotations(dict(zip(self.motions, degrees, strict=True)), self._bone_names)

    def pose(self, rotations: NDArray[np.float32]) -> NDArray[np.float64]:  # (J, 3) -> (P,)
        """The motions of rotations, whatever the root's."""
        return pose_vector(joint_angles(rotations, self._bone_names))

    def points(
        self, pose: torch.Tensor, shape: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # (B, P), (B, Z) -> (B, K, 3), (B, K, 3, P), (B, K, 3, Z)
        """Keypoints in metres, and their derivatives by the pose and by the shape."""
        with_derived, slope = derived_motions(pose)
        steps = with_derived[:, self._motion_of_step, None] * self._axes  # (B, Q, 3): a step is one motion in one turn
        vectors = self._offsets.expand(len(pose), -1, -1).index_add(1, self._node_of_step, steps)
        turned, places = self._kinematics(rotation_matrices(vectors) @ self._after)
        blend = torch.cat([torch.ones_like(shape[:, :1]), shape], 1)
        carried = turned[:, self._carriers] @ self._arms + self._shares[:, None, None] * places[:, self._carriers]
        by_blend = torch.einsum("kc,bcdz->bkdz", self._own, carried)  # keypoints are affine in the shape
        joints, carried = _blended(places, blend), _blended(carried, blend)
        axes = left_jacobian(vectors)[:, self._node_of_step] @ self._axes[..., None]
        axes = (turned[:, self._above_step] @ axes).squeeze(-1)  # (B, Q, 3) in the body's frame
        levers = (self._below_step @ carried).view(len(pose), len(self._own), len(self._axes), 3)  # (B, K, Q, 3)
        levers = levers - self._weight_below[..., None] * joints[:, None, self._node_of_step]
        by_step = torch.linalg.cross(axes[:, None].expand_as(levers), levers)
        by_motion = torch.einsum("bkqd,qm->bkdm", by_step, self._motions_of_steps)
        P = len(self.motions)
        by_pose = by_motion[..., :P].index_add(3, self._elevations, by_motion[..., P:] * slope[:, None, None])
        return _blended(by_blend, blend), by_pose, by_blend[..., 1:]

    def _chain(self, body: AnnyBody) -> None:
        """Nodes: the root, then one for each turn; a bone's turns follow each other, then come its children's."""
        self._bones = [0]  # of each node
        parents, self._starts = [-1], [False]
        offsets, after = [np.zeros(3)], [np.eye(3)]
        last = {0: 0}  # the last node of each bone that moves
        names = (*self.motions, *DERIVED)
        steps: list[tuple[int, int, NDArray[np.float64]]] = []
        for node, turn in enumerate(turns(), start=1):
            bone = body.bone_names.index(turn.bone)
            self._starts.append(bone not in last)
            parents.append(last[bone] if bone in last else last[_carrier(body, bone, last)])
            last[bone] = node
            self._bones.append(bone)
            offsets.append(turn.offset)
            after.append(turn.after)
            steps += [(node, names.index(motion), axis) for motion, axis in zip(turn.motions, turn.axes, strict=True)]
        self._parents, self._last = parents, last
        levels = kinematic_levels(tuple(parents))
        self._levels = [(self._index(below), self._index(spots)) for below, _, spots in levels]
        order = [0, *(node for below, _, _ in levels for node in below)]
        self._back = torch.argsort(self._index(order))
        nodes, motions, axes = zip(*steps, strict=True)
        self._offsets, self._after, self._axes = map(self._tensor, (offsets, after, np.array(axes)))
        self._node_of_step, self._motion_of_step = (self._index(values) for values in (nodes, motions))
        self._above_step = self._index([parents[node] for node in nodes])
        self._elevations = self._index(ELEVATIONS)
        self._motions_of_steps = self._tensor(np.eye(len(names))[list(motions)])

    def _fold(self, body: AnnyBody, prior: ShapePrior) -> None:
        """Gather what each moving node carries of each keypoint, for the mean body and each direction of its shape."""
        K, J = body.keypoint_masses.shape
        moments = body.keypoint_moments.cpu().double().numpy().reshape(-1, K, J, 3)
        joints = np.concatenate([body.template[-J:].reshape(1, -1).cpu(), body.joint_basis.cpu()]).astype(np.float64)
        shapes = np.concatenate([moments.reshape(len(moments), -1), joints], 1)  # (1 + S, …)
        visible = moments.sum(2).reshape(len(moments), -1)[1:]  # keypoints of the reference pose, by shape
        directions = prior.directions(visible, self.shape_size)
        self._mean, self._directions = self._tensor(prior.mean), self._tensor(directions)
        space = np.concatenate([shapes[:1] + prior.mean @ shapes[1:], directions @ shapes[1:]])
        moments, joints = space[:, : K * J * 3].reshape(-1, K, J, 3), space[:, K * J * 3 :].reshape(-1, J, 3)
        masses = body.keypoint_masses.cpu().double().numpy()
        pairs = self._carried(body, masses)
        self._carriers = self._index([node for _, node, _ in pairs])
        shares = np.array([masses[k, bones].sum() for k, _, bones in pairs])
        arms = [
            moments[:, k, bones].sum(1) - share * joints[:, self._bones[node]]
            for (k, node, bones), share in zip(pairs, shares, strict=True)
        ]
        self._arms, self._shares = self._tensor(np.stack(arms).swapaxes(1, 2)), self._tensor(shares)  # (c, 3, 1 + Z)
        moving, over = (joints[:, [self._bones[node] for node in nodes]] for nodes in self._starting_pairs())
        self._links = self._tensor((moving - over).transpose(1, 2, 0))  # (N, 3, 1 + Z)
        own = np.array([[k == keypoint for keypoint, _, _ in pairs] for k in range(K)], dtype=float)  # (K, c)
        hangs = np.array([self._hangs_on(int(node)) for node in self._node_of_step], dtype=float)  # (Q, N)
        below = own[:, None] * hangs[:, [node for _, node, _ in pairs]]  # (K, Q, c)
        self._own, self._below_step = self._tensor(own), self._tensor(below.reshape(-1, len(pairs)))
        self._weight_below = self._tensor(below @ shares)

    def _carried(
        self, body: AnnyBody, masses: NDArray[np.float64]
    ) -> list[tuple[int, int, list[int]]]:  # keypoint, node, bones
        pairs: dict[tuple[int, int], list[int]] = {}
        for k, bone in np.argwhere(masses > SLIGHT).tolist():
            pairs.setdefault((k, self._last[_carrier(body, bone, self._last)]), []).append(bone)
        return [(k, node, bones) for (k, node), bones in pairs.items()]

    def _starting_pairs(self) -> tuple[list[int], list[int]]:
        """Each node and where its joint's offset starts: its parent's bone, or its own where it goes on with a bone."""
        nodes = list(range(len(self._parents)))
        return nodes, [self._parents[n] if self._starts[n] else n for n in nodes]

    def _hangs_on(self, node: int) -> list[bool]:  # (N,)
        hangs = [False] * len(self._parents)
        for child, parent in enumerate(self._parents):
            hangs[child] = child == node or (parent >= 0 and hangs[parent])
        return hangs

    def _kinematics(
        self, local: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:  # (B, N, 3, 3) -> (B, N, 3, 3), (B, N, 3, 1 + Z)
        B, Z = len(local), self._links.shape[-1]
        turned, places = [local[:, :1]], [local.new_zeros(B, 1, 3, Z)]
        for nodes, spots in self._levels:
            above = turned[-1][:, spots]
            turned.append(above @ local[:, nodes])
            places.append(places[-1][:, spots] + above @ self._links[nodes])
        return torch.cat(turned, 1)[:, self._back], torch.cat(places, 1)[:, self._back]

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(np.array(values), dtype=self._dtype, device=self._device)

    def _index(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(list(values), device=self._device)


def left_jacobian(vectors: torch.Tensor) -> torch.Tensor:  # (..., 3) -> (..., 3, 3)
    """How a rotation turns, about axes of the frame it starts from, as its rotation vector changes."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(*vectors.shape, 3)
    square = vectors.square().sum(-1)[..., None, None]
    small = square < 1e-4
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    first = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / angle**2)
    second = torch.where(small, 1 / 6 - square / 120, (angle - angle.sin()) / angle**3)
    return torch.eye(3, dtype=vectors.dtype, device=vectors.device) + first * cross + second * (cross @ cross)


def _blended(parts: torch.Tensor, blend: torch.Tensor) -> torch.Tensor:  # (B, n, 3, 1 + Z), (B, 1 + Z) -> (B, n, 3)
    return torch.einsum("bndz,bz->bnd", parts, blend)


def _carrier(body: AnnyBody, bone: int, moving: Mapping[int, int]) -> int:
    """The nearest bone that moves: the bone itself or one above it."""
    while bone not in moving:
        bone = body.bone_parents[bone]
    return bone
