"""What a parametric body is: shape and pose in, surface and keypoints out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Population = Literal["infant", "adult"]

PARTS = (
    "head", "torso",
    "left_upper_arm", "left_forearm", "left_hand", "right_upper_arm", "right_forearm", "right_hand",
    "left_thigh", "left_shin", "left_foot", "right_thigh", "right_shin", "right_foot",
)  # fmt: skip
"""Body parts; a part id is an index into this tuple."""

ADJACENT_PARTS = frozenset(
    frozenset((PARTS.index(a), PARTS.index(b)))
    for a, b in (
        ("head", "torso"),
        *((a.format(side), b.format(side)) for side in ("left", "right") for a, b in (
            ("torso", "{}_upper_arm"), ("{}_upper_arm", "{}_forearm"), ("{}_forearm", "{}_hand"),
            ("torso", "{}_thigh"), ("{}_thigh", "{}_shin"), ("{}_shin", "{}_foot"),
        )),
    )
)  # fmt: skip
"""Pairs of part ids that share a joint."""

KEYPOINT_PARTS = (
    ("head",), ("head",), ("head",), ("head",), ("head",),
    ("torso", "left_upper_arm"), ("torso", "right_upper_arm"),
    ("left_upper_arm", "left_forearm"), ("right_upper_arm", "right_forearm"),
    ("left_forearm", "left_hand"), ("right_forearm", "right_hand"),
    ("torso", "left_thigh"), ("torso", "right_thigh"),
    ("left_thigh", "left_shin"), ("right_thigh", "right_shin"),
    ("left_shin", "left_foot"), ("right_shin", "right_foot"),
)  # fmt: skip
"""The parts on which each COCO keypoint lies: it is visible where one of them is what a ray meets first."""


@dataclass(frozen=True, slots=True, eq=False)
class PosedBody:
    """A batch of bodies in the world: metres, z up."""

    vertices: torch.Tensor  # (B, V, 3)
    joints: torch.Tensor  # (B, J, 3) heads of the bones
    keypoints: torch.Tensor  # (B, K, 3) COCO order


class BodyModel(Protocol):
    """A body that is differentiable in shape, pose and translation, and batched."""

    bone_names: tuple[str, ...]  # J
    faces: NDArray[np.int32]  # (F, 3)
    face_parts: NDArray[np.int32]  # (F,) index into PARTS
    uvs: NDArray[np.float32]  # (U, 2)
    face_uvs: NDArray[np.int32]  # (F, 3) index into uvs
    uv_layout: str  # whose textures fit: bodies with the same word show the same picture alike
    shape_size: int  # S

    def __call__(self, shape: torch.Tensor, rotations: torch.Tensor, translation: torch.Tensor) -> PosedBody:
        """Pose bodies: shape (B, S), rotations (B, J, 3) as axis-angle in radians, translation (B, 3) in metres.

        Rotations turn a bone about the world-aligned axes of the rest pose; the first one is the root's.
        """
        ...

    def stance(self, shape: torch.Tensor) -> PosedBody:
        """The bodies (B, S) standing with arms half lowered and legs straight, the root joint at the origin.

        In it clothes are cut and skin is painted.
        """
        ...

    def draw_shape(
        self,
        generator: np.random.Generator,
        population: Population,
        years: tuple[float, float] | None = None,
        *,
        months: tuple[float, float] | None = None,
    ) -> tuple[torch.Tensor, float | None]:  # (S,)
        """A plausible body of a population, and its age in years where the model knows ages.

        ``years`` leaves out bodies that are younger or older. ``months`` draws the age of an infant evenly between two,
        which may be equal; ``RecipeError`` where the model knows no ages.
        """
        ...

    def bone_weights(self, *prefixes: str) -> NDArray[np.float32]:  # (V,)
        """How much of each vertex is carried by the bones whose names start with one of the prefixes."""
        ...
