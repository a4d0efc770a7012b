"""A teacher that is the running mean of its pupil, and what it says of people without labels."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from fidip.data.samples import ResidentSamples
from fidip.data.views import View
from fidip.heatmaps import decode_heatmaps, encode_heatmaps
from fidip.networks.pose import PoseNet
from fidip.skeleton import SKELETONS, Skeleton

USUAL = 0.99
"""A limb counts as too long beyond this quantile of the labelled ones, times ``SLACK``."""

SLACK = 1.25
MOST = 0.25
"""A pose with more than this share of limbs too long is refused whole."""


@dataclass(frozen=True, slots=True)
class MeanTeacher:
    """The numbers of the method, beside its weight λ."""

    decay: float = 0.999  # of the running mean per step; less in the first steps: (1 + t) / (10 + t)
    confidence: float = 0.4  # of the teacher's heatmaps, above which a keypoint is taught
    keep: Literal["student", "teacher"] = "student"  # who is judged and kept


@dataclass(frozen=True, slots=True, eq=False)
class LimbPrior:
    """How long limbs are, as shares of √(width · height) of a person's window, learnt from the labelled people.

    Seen from the front or from above, a limb may look as short as it likes, but not longer than it is. A pose whose
    limbs are all short at once is a heap of points: no labelled person looks so.
    """

    longest: Tensor  # (L,) infinite where no labelled person shows the limb
    least: float  # the smallest mean of length / longest

    @classmethod
    def of(cls, resident: ResidentSamples, skeleton: Skeleton) -> LimbPrior:
        """The prior of the labelled people among some samples, most of whom are synthetic as a rule."""
        ends = np.array(skeleton.limbs)
        lengths = np.full((len(resident), len(ends)), np.nan)
        for i, sample in enumerate(resident.samples):
            points = sample.keypoints
            shown = (points[ends, 2] > 0).all(axis=1)
            size = np.sqrt(sample.crop.size[0] * sample.crop.size[1])
            lengths[i, shown] = np.linalg.norm(points[ends[:, 0], :2] - points[ends[:, 1], :2], axis=1)[shown] / size
        known = ~np.isnan(lengths).all(axis=0)
        longest = np.full(len(ends), np.inf)
        longest[known] = SLACK * np.nanquantile(lengths[:, known], USUAL, axis=0)
        shares = (lengths / longest)[~np.isnan(lengths).all(axis=1)]
        least = float(np.quantile(np.nanmean(shares, axis=1), 1 - USUAL)) / SLACK if len(shares) else 0.0
        return cls(torch.from_numpy(longest).float(), least)

    def judge(
        self,
        found: Tensor,  # (U, K, 3) x, y in heatmap pixels, confidence
        taken: Tensor,  # (U, K) bool
        size: float,  # √(width · height) of the heatmap
        skeleton: Skeleton,
    ) -> Tensor:  # (U, K) bool
        """Which of the keypoints that were taken may stay.

        Of a limb that is too long the end of less confidence goes; a pose with many such limbs, or with all limbs
        short, goes whole.
        """
        first, second = torch.tensor(skeleton.limbs, device=found.device).T
        longest = self.longest.to(found.device)
        both = taken[:, first] & taken[:, second] & longest.isfinite()  # (U, L)
        share = torch.linalg.vector_norm(found[:, first, :2] - found[:, second, :2], dim=2) / size / longest
        long = both & (share > 1)
        worse = torch.where(found[:, first, 2] < found[:, second, 2], first, second)  # (U, L)
        bad = torch.zeros_like(taken, dtype=torch.int64).scatter_add_(1, worse, long.long()) > 0
        count = both.sum(dim=1).clamp_min(1)
        heap = (share * both).sum(dim=1) / count < self.least
        whole = (long.sum(dim=1) > MOST * count) | (heap & both.any(dim=1))
        stays: Tensor = taken & ~bad & ~whole[:, None]
        return stays


class Teacher(nn.Module):
    """The running mean of a pupil's weights and batch statistics (Tarvainen and Valpola 2017), in evaluation mode.

    After step t (from 0) each number θ' becomes α θ' + (1 − α) θ, α = min(decay, (1 + t) / (10 + t)).
    """

    steps: Tensor  # () int64

    def __init__(self, pupil: PoseNet, settings: MeanTeacher, prior: LimbPrior | None = None) -> None:
        super().__init__()
        self.net = deepcopy(pupil).eval().requires_grad_(False)
        self.settings, self.prior = settings, prior
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def follow(self, pupil: PoseNet) -> None:
        """Move towards the pupil after its step."""
        done = int(self.steps)
        decay = min(self.settings.decay, (1 + done) / (10 + done))
        theirs = pupil.state_dict()
        for name, mine in self.net.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(theirs[name], 1 - decay)
            else:
                mine.copy_(theirs[name])
        self.steps += 1

    @torch.no_grad()
    def pseudo_labels(self, view: View) -> tuple[Tensor, Tensor]:  # (U, K, h, w), (U, K)
        """What the teacher sees in the plain view, as targets in the frame of the batch, and which to believe (0 or 1).

        The mode of every heatmap is moved by the known affine, left and right exchanged where the batch shows a mirror
        image, and drawn anew as a Gaussian: warped heatmaps would grow flatter with every lesson until nothing is left.
        """
        card = self.net.card
        skeleton = SKELETONS[card.skeleton]
        found = decode_heatmaps(self.net(view.images).heatmaps, card.decoding, card.blur_kernel)
        believed = found[..., 2] > self.settings.confidence
        if self.prior is not None:
            width, height = card.heatmap_size
            believed = self.prior.judge(found, believed, (width * height) ** 0.5, skeleton)
        points = found[..., :2] @ view.to_batch[:, :, :2].transpose(1, 2) + view.to_batch[:, None, :, 2]
        swap = torch.from_numpy(skeleton.flip_permutation).to(points.device)
        points = torch.where(view.mirrored[:, None, None], points[:, swap], points)
        believed = torch.where(view.mirrored[:, None], believed[:, swap], believed)
        return encode_heatmaps(points, believed.float(), card.heatmap_size, card.heatmap_sigma, card.encoding)
