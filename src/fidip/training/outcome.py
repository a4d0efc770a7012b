"""The network that a run is judged by and leaves: what learnt, or what a method makes of it."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fidip.annotations import Domain
from fidip.data.augment import cut_batch
from fidip.data.samples import ResidentSamples, to_input
from fidip.errors import DataError, RecipeError
from fidip.geometry import crop_to_input
from fidip.networks.lora import merged
from fidip.networks.pose import PoseNet
from fidip.training.recipe import Recipe
from fidip.training.stages import Learners

RESTATED_BATCH = 64
SMALLEST_SAMPLE = 2


def outcome(recipe: Recipe, learners: Learners, infants: ResidentSamples, device: torch.device) -> PoseNet:
    """The network to validate and to keep after an epoch. What learns is left as it is, to the bit.

    Raises:
        RecipeError, DataError: as ``restated``.
    """
    net = learners.pose_net
    if learners.teacher is not None and recipe.teacher.keep == "teacher":
        net = learners.teacher.net
    if recipe.lora is not None:
        net = merged(net)
    if recipe.learning == "adabn":
        net = restated(net, infants, device)
    return net


def restated(net: PoseNet, infants: ResidentSamples, device: torch.device) -> PoseNet:
    """Adaptive batch normalisation (Li et al. 2016): a copy whose statistics are those of the real images alone.

    Labels are not looked at. The people are taken as at test time, in their plain windows. Each layer, frozen or not,
    receives the mean and the unbiased variance of everything that flows into it from all of them, while the layers
    before it normalise by batches of up to 64.

    Raises:
        RecipeError: the network has no batch normalisation.
        DataError: fewer than two real people.
    """
    copy = deepcopy(net).eval()
    norms = [module for module in copy.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        raise RecipeError(f"method adabn: a {net.card.backbone} with this head has no batch normalisation to adapt")
    real = np.flatnonzero(infants.domains == Domain.REAL)
    if len(real) < SMALLEST_SAMPLE:
        raise DataError("training data", "", f"method adabn needs at least 2 real people; {len(real)} are usable")
    sums = {norm: _Sums(norm) for norm in norms}
    handles = [norm.register_forward_pre_hook(sums[norm]) for norm in norms]
    card = net.card
    with torch.no_grad():
        for norm in norms:
            norm.train()
        for indices in np.array_split(real, -(-len(real) // RESTATED_BATCH)):
            crops = [infants.samples[i].crop for i in indices]
            affines = np.stack([crop_to_input(crop, card.input_size, card.affine) for crop in crops])
            copy(to_input(cut_batch(infants, indices, affines, card.input_size).to(device)))
        for norm, found in sums.items():
            found.write(norm)
    for handle in handles:
        handle.remove()
    return copy.eval()


class _Sums:
    """Adds up what flows into a layer, in double precision."""

    def __init__(self, norm: _BatchNorm) -> None:
        self.count = 0
        self.total = torch.zeros(norm.num_features, dtype=torch.float64)
        self.squares = torch.zeros(norm.num_features, dtype=torch.float64)

    def __call__(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].transpose(0, 1).flatten(1).double()  # (C, everything)
        self.count += values.shape[1]
        self.total += values.sum(dim=1).cpu()
        self.squares += values.square().sum(dim=1).cpu()

    def write(self, norm: _BatchNorm) -> None:
        """Set the layer's statistics."""
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean = self.total / self.count
        norm.running_mean.copy_(mean)
        norm.running_var.copy_((self.squares - self.count * mean.square()).clamp_min(0) / (self.count - 1))
