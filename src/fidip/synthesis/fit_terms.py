"""The terms of the fitting objective, each with its gradient and Gauss and Newton's matrix.

The objective is that of SMPLify-X as FiDIP used it (the paper's section 4), for the bundled body in motions instead of
axis angles::

    E = data² Σ γ² [ρ(x − x′) + ρ(y − y′)] + pose² min_k [½ (θ − μ_k)ᵀ Σ_k⁻¹ (θ − μ_k) − log g_k]
        + shape² |β|² + bend Σ exp(−2 flexion) + limits² Σ overshoot² + focal² (log f − log f₀)²

Residuals of keypoints are in shares of the person's size, so that no weight depends on the image's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from fidip.synthesis.bodies.skinning import rotation_matrices
from fidip.synthesis.fit_body import FitBody
from fidip.synthesis.priors import PosePrior

RHO = 0.5
"""Geman and McClure's ρ₀ in shares of the person's size; the paper's 100 pixels in its images of infants."""

NEAREST = 0.05
"""Metres: a keypoint nearer to the camera, or behind it, has no image, and such a step is refused."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term counts in one stage."""

    data: float
    pose: float
    shape: float
    bend: float
    limits: float
    focal: float = 4.0  # one over the deviation of the logarithm


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What is to be explained: labelled keypoints of B people and the cameras they were seen by."""

    keypoints: torch.Tensor  # (B, K, 2) pixels
    weights: torch.Tensor  # (B, K) γ, zero where a keypoint is not labelled
    scale: torch.Tensor  # (B,) the person's size in pixels
    principal: torch.Tensor  # (B, 2) pixels
    log_focal: torch.Tensor  # (B,) known or guessed, pixels

    def __len__(self) -> int:
        return len(self.scale)

    def take(self, rows: torch.Tensor) -> Observed:
        """Some of the people, also repeatedly."""
        return Observed(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A guess for B people, in the camera's frame: x right, y down, z forward."""

    pose: torch.Tensor  # (B, P) radians
    root: torch.Tensor  # (B, 3, 3) body -> camera
    place: torch.Tensor  # (B, 3) of the root joint: x/z, y/z, log z
    shape: torch.Tensor  # (B, Z)
    log_focal: torch.Tensor  # (B,)

    def take(self, rows: torch.Tensor) -> State:
        """Some of the people, also repeatedly."""
        return State(*(getattr(self, field.name)[rows] for field in fields(self)))

    def put(self, rows: torch.Tensor, other: State) -> State:
        """A copy with some of the people replaced."""
        parts = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return State(*(mine.index_copy(0, rows, theirs) for mine, theirs in parts))

    def moved(self, step: torch.Tensor) -> State:  # (B, P + 3 + 3 + Z + 1)
        """The guess after a step in all unknowns; the root turns about the camera's axes."""
        P, Z = self.pose.shape[1], self.shape.shape[1]
        pose, turn, place, shape, focal = torch.split(step, [P, 3, 3, Z, 1], 1)
        return State(
            self.pose + pose,
            rotation_matrices(turn) @ self.root,
            self.place + place,
            self.shape + shape,
            self.log_focal + focal[:, 0],
        )

    def translation(self) -> torch.Tensor:  # (B, 3)
        """The root joint in metres."""
        depth = self.place[:, 2:].exp()
        return torch.cat([self.place[:, :2] * depth, depth], 1)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """An objective at a guess: its terms, gradient and Gauss–Newton matrix over all unknowns."""

    terms: dict[str, torch.Tensor]  # each (B,)
    gradient: torch.Tensor  # (B, U)
    matrix: torch.Tensor  # (B, U, U)

    @property
    def energy(self) -> torch.Tensor:  # (B,)
        """The sum of the terms."""
        return torch.stack(list(self.terms.values())).sum(0)


class Objective:
    """The objective for a body and a pose prior."""

    def __init__(self, body: FitBody, prior: PosePrior) -> None:
        self.body = body
        tensor = body.limits.new_tensor
        self.means, self.precisions, self.costs = (
            tensor(array) for array in (prior.means, prior.precisions, prior.costs)
        )

    def __call__(self, state: State, observed: Observed, weights: Weights) -> Evaluation:
        """Evaluate a guess; a body behind the camera has an infinite data term."""
        P, Z = state.pose.shape[1], state.shape.shape[1]
        U = P + 6 + Z + 1
        residual, slopes, in_view = keypoint_residuals(self.body, state, observed)
        value, falloff = robust(residual)
        gamma = observed.weights.square()[..., None]
        data = weights.data**2 * (gamma * value).sum((1, 2))
        pull = (2 * weights.data**2 * gamma * falloff).flatten(1)  # (B, 2 K)
        slopes = slopes.flatten(1, 2)
        gradient = torch.einsum("bru,br->bu", slopes, pull * residual.flatten(1))
        matrix = slopes.transpose(1, 2) @ (slopes * pull[..., None])
        pose, pose_gradient, pose_matrix = self._pose(state.pose, weights)
        gradient[:, :P] += pose_gradient
        matrix[:, :P, :P] += pose_matrix
        diagonal = torch.zeros_like(gradient)
        hinged = weights.bend * torch.exp(-2 * self.body.bending * state.pose[:, self.body.hinges])
        gradient[:, self.body.hinges] -= 2 * self.body.bending * hinged
        diagonal[:, self.body.hinges] += 4 * hinged
        over = overshoot(state.pose, self.body.limits)
        gradient[:, :P] += 2 * weights.limits**2 * over
        diagonal[:, :P] += 2 * weights.limits**2 * (over != 0)
        shaped = slice(P + 6, P + 6 + Z)
        gradient[:, shaped] += 2 * weights.shape**2 * state.shape
        diagonal[:, shaped] += 2 * weights.shape**2
        off = state.log_focal - observed.log_focal
        gradient[:, U - 1] += 2 * weights.focal**2 * off
        diagonal[:, U - 1] += 2 * weights.focal**2
        matrix = matrix + torch.diag_embed(diagonal)
        terms = {
            "data": torch.where(in_view, data, torch.full_like(data, torch.inf)),
            "pose": pose,
            "shape": weights.shape**2 * state.shape.square().sum(1),
            "bend": hinged.sum(1),
            "limits": weights.limits**2 * over.square().sum(1),
            "focal": weights.focal**2 * off.square(),
        }
        return Evaluation(terms, gradient, matrix)

    def _pose(self, pose: torch.Tensor, weights: Weights) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The mixture by its best component."""
        away = pose[:, None] - self.means  # (B, C, P)
        pulls = torch.einsum("cpq,bcq->bcp", self.precisions, away)
        energies = 0.5 * (away * pulls).sum(2) + self.costs
        energy, best = energies.min(1)
        pull = pulls.gather(1, best[:, None, None].expand(-1, 1, pulls.shape[2]))[:, 0]
        square = weights.pose**2
        return square * energy, square * pull, square * self.precisions[best]


def robust(residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Geman and McClure's ρ(r) = ρ₀² r² / (r² + ρ₀²), and ρ′(r) / 2r: the weight of its quadratic stand-in."""
    square = residual.square()
    share = RHO**2 / (square + RHO**2)
    return share * square, share.square()


def overshoot(pose: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:  # (B, P), (P, 2) -> (B, P)
    """How far each motion is beyond its limits; negative below."""
    return (pose - limits[:, 1]).clamp(min=0) + (pose - limits[:, 0]).clamp(max=0)


def keypoint_residuals(
    body: FitBody, state: State, observed: Observed
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # (B, K, 2), (B, K, 2, U), (B,)
    """Projected minus labelled keypoints in shares of the size, their derivatives, and who is before the camera."""
    points, by_pose, by_shape = body.points(state.pose, state.shape)
    turned = points @ state.root.transpose(1, 2)
    at = state.translation()
    inside = turned + at[:, None]
    depth = inside[..., 2:]
    in_view = (depth > NEAREST).all(1)[:, 0]
    depth = depth.clamp(min=NEAREST)
    image = inside[..., :2] / depth
    focal = (state.log_focal.exp() / observed.scale)[:, None, None]
    shift = (observed.principal[:, None] - observed.keypoints) / observed.scale[:, None, None]
    x, y, z = turned.unbind(-1)
    zero = torch.zeros_like(x)
    by_turn = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).view(*x.shape, 3, 3)  # −[R p]×
    by_place = torch.diag_embed(at[:, 2:].expand(-1, 3))
    by_place[:, :, 2] = at
    root = state.root[:, None]
    in_camera = torch.cat(
        [root @ by_pose, by_turn, by_place[:, None].expand(-1, x.shape[1], -1, -1), root @ by_shape], -1
    )  # (B, K, 3, U − 1)
    slopes = focal[..., None] / depth[..., None] * (in_camera[..., :2, :] - image[..., None] * in_camera[..., 2:, :])
    return focal * image + shift, torch.cat([slopes, (focal * image)[..., None]], -1), in_view
