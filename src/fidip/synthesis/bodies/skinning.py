"""What posing a body by its bones takes, whichever body it is: batched and differentiable."""

from __future__ import annotations

import torch

Levels = list[tuple[list[int], list[int], list[int]]]
"""Bones by depth below the root: their indices, their parents', and the parents' places in the level above."""


def kinematic_levels(parents: tuple[int, ...]) -> Levels:
    """The bones below the root, which is first and alone at the top, level by level."""
    levels = []
    above = [0]
    while bones := [bone for bone, parent in enumerate(parents) if parent in above]:
        over = [parents[bone] for bone in bones]
        levels.append((bones, over, [above.index(parent) for parent in over]))
        above = bones
    return levels


def rotation_matrices(rotations: torch.Tensor) -> torch.Tensor:  # (..., 3) -> (..., 3, 3)
    """Axis-angle to matrices (Rodrigues' formula), with exact derivatives at no rotation."""
    x, y, z = rotations.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(*rotations.shape, 3)
    square = rotations.square().sum(-1)[..., None, None]
    small = square < 1e-4  # below it three terms of the series are exact to double precision
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    sine = torch.where(small, 1 - square / 6 + square**2 / 120, angle.sin() / angle)
    cosine = torch.where(small, 0.5 - square / 24 + square**2 / 720, (1 - angle.cos()) / angle**2)
    identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    return identity + sine * cross + cosine * (cross @ cross)


def forward_kinematics(
    levels: Levels,
    rest_joints: torch.Tensor,  # (B, J, 3)
    turns: torch.Tensor,  # (B, J, 3, 3) of each bone against its parent
    translation: torch.Tensor,  # (B, 3) where the root joint lies
) -> tuple[torch.Tensor, torch.Tensor]:  # (B, J, 3, 3), (B, J, 3)
    """The turn of each bone against the rest pose, ``G[child] = G[parent] @ R[child]``, and where its joint lies."""
    whole, joints = [turns[:, :1]], [translation[:, None]]
    order = [0]
    for bones, parents, places in levels:
        parent_turns = whole[-1][:, places]
        offsets = rest_joints[:, bones] - rest_joints[:, parents]
        whole.append(parent_turns @ turns[:, bones])
        joints.append(joints[-1][:, places] + (parent_turns @ offsets[..., None]).squeeze(-1))
        order += bones
    back = torch.argsort(torch.tensor(order, device=turns.device))
    return torch.cat(whole, 1)[:, back], torch.cat(joints, 1)[:, back]


def blend_skin(
    weights: torch.Tensor,  # (V, J) rows sum to one
    rest: torch.Tensor,  # (B, V, 3)
    rest_joints: torch.Tensor,  # (B, J, 3)
    turns: torch.Tensor,  # (B, J, 3, 3) of each bone against the rest pose
    joints: torch.Tensor,  # (B, J, 3)
) -> torch.Tensor:  # (B, V, 3)
    """Vertices carried by the weighted mean of their bones' motions: linear blend skinning."""
    B, J = joints.shape[:2]
    shifts = joints - (turns @ rest_joints[..., None]).squeeze(-1)
    motion = torch.cat([turns, shifts[..., None]], -1)  # (B, J, 3, 4)
    blended = (weights @ motion.reshape(B, J, 12)).view(B, -1, 3, 4)
    return (blended[..., :3] @ rest[..., None]).squeeze(-1) + blended[..., 3]
