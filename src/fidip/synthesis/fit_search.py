"""From where is a body seen? Every direction is tried; roll, size and place in the image follow in closed form."""

from __future__ import annotations

import math

import torch

from fidip.synthesis.fit_terms import Objective, Observed, State

DIRECTIONS, STARTS = 200, 20
APART = math.radians(25.0)
"""Two starts see the body from directions that differ by at least this."""


def starts(objective: Objective, observed: Observed) -> State:  # B people -> B · STARTS guesses, a person's together
    """The likeliest views of each person, from apart directions, with the mixture's poses as they stand.

    For every component of the prior and every direction, the keypoints of its mean are laid on the labelled ones by the
    best roll, size and shift under weak perspective (least squares over complex numbers).
    """
    means = objective.means
    C, Z, B = len(means), objective.body.shape_size, len(observed)
    points, _, _ = objective.body.points(means, means.new_zeros(C, Z))
    views = view_rotations(means)
    flat = torch.einsum("dij,ckj->dcki", views[:, :2], points)  # (D, C, K, 2)
    residual, turn = _laid_on(torch.view_as_complex(flat.contiguous()).flatten(0, 1), observed)
    chosen = _apart(residual.view(B, len(views), C).amin(2), views)  # (B, STARTS) directions
    rows = torch.arange(B, device=means.device)[:, None]
    component = residual.view(B, len(views), C)[rows, chosen].argmin(2)
    turn = turn.view(B, len(views), C)[rows, chosen, component].flatten()
    direction, component = chosen.flatten(), component.flatten()
    root = _rolls(turn.angle()) @ views[direction]
    people = observed.take(rows.expand(-1, STARTS).flatten())
    return State(
        means[component], root, _places(people, (points[component] @ root.transpose(1, 2)), turn.abs()),
        means.new_zeros(B * STARTS, Z), people.log_focal,
    )  # fmt: skip


def view_rotations(like: torch.Tensor) -> torch.Tensor:  # (D, 3, 3)
    """Rotations body -> camera that look from evenly spread directions (a spiral of golden angles), one roll each."""
    index = torch.arange(DIRECTIONS, dtype=like.dtype, device=like.device)
    height = 1 - (2 * index + 1) / DIRECTIONS
    angle = index * math.pi * (3 - math.sqrt(5))
    level = (1 - height.square()).sqrt()
    forward = torch.stack([level * angle.cos(), level * angle.sin(), height], 1)
    up = torch.where(height[:, None].abs() < 0.9, like.new_tensor([0.0, 0.0, 1.0]), like.new_tensor([0.0, 1.0, 0.0]))
    right = torch.linalg.cross(forward, up)
    right = right / right.norm(dim=1, keepdim=True)
    return torch.stack([right, torch.linalg.cross(forward, right), forward], 1)


def _laid_on(models: torch.Tensor, observed: Observed) -> tuple[torch.Tensor, torch.Tensor]:  # (M, K) -> (B, M) twice
    """Least squares of each model against each person, and the complex factor that gives it."""
    weights = observed.weights.square()
    weights = weights / weights.sum(1, keepdim=True)
    target = torch.view_as_complex(observed.keypoints.contiguous())
    target = target - (weights * target).sum(1, keepdim=True)
    shares = weights.to(models.dtype)
    mean = shares @ models.T
    spread = weights @ models.abs().square().T - mean.abs().square()
    cross = (shares * target) @ models.conj().T  # the target is centred, so the models need not be
    total = (weights * target.abs().square()).sum(1, keepdim=True)
    spread = spread.clamp(min=1e-9)
    return (total - cross.abs().square() / spread) / observed.scale.square()[:, None], cross / spread


def _apart(residual: torch.Tensor, views: torch.Tensor) -> torch.Tensor:  # (B, D) -> (B, STARTS)
    """The best directions, each apart from those before it."""
    near = views[:, 2] @ views[:, 2].T > math.cos(APART)
    left, chosen = residual.clone(), []
    for _ in range(STARTS):
        best = left.argmin(1)
        chosen.append(best)
        left = left.masked_fill(near[best], torch.inf)
    return torch.stack(chosen, 1)


def _rolls(angle: torch.Tensor) -> torch.Tensor:  # (N,) -> (N, 3, 3)
    cosine, sine, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], 1).view(-1, 3, 3)


def _places(observed: Observed, turned: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:  # (N, 3)
    """Where the root joint must be for the keypoints to have their size and their mean."""
    weights = observed.weights.square()
    weights = weights / weights.sum(1, keepdim=True)
    middle = (weights[..., None] * turned).sum(1)
    focal = observed.log_focal.exp()
    # never so near that a part of the body is behind the camera
    depth = (focal / factor.clamp(min=1e-6)).maximum(middle[:, 2] - turned[..., 2].amin(1) + 0.1)
    image = ((weights[..., None] * observed.keypoints).sum(1) - observed.principal) / focal[:, None]
    root = torch.cat([image * depth[:, None], depth[:, None]], 1) - middle
    root = torch.cat([root[:, :2], root[:, 2:].clamp(min=0.1)], 1)
    return torch.cat([root[:, :2] / root[:, 2:], root[:, 2:].log()], 1)
