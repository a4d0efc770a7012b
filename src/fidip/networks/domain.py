"""The domain classifier and what sets it against the feature extractor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fidip.errors import RecipeError, TrainingError
from fidip.geometry import Size


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * gradients[0], None


def reverse_gradient(features: Tensor, weight: float) -> Tensor:
    """The identity, whose gradient is multiplied by −λ, with λ = ``weight`` (Ganin and Lempitsky 2015; paper §3.1).

    With features f = F(x; θ_f), ``L_pose(f) + L_domain(reverse_gradient(f, λ))`` gives the extractor the gradient

        ∂L_pose/∂θ_f − λ · ∂L_domain/∂θ_f,

    that of ``L_pose − λ · L_domain``, and the classifier its own ∂L_domain/∂θ_d.
    """
    return _ReverseGradient.apply(features, weight)  # type: ignore[no-any-return, no-untyped-call]


class DomainClassifier(nn.Module):
    """Averages the features over the image, then three layers to one logit, above 0 for synthetic.

    Small, and of one size for every input: what tells the domains apart is mostly colour, texture and noise, which the
    channels' averages hold.
    """

    def __init__(self, in_channels: int, hidden: tuple[int, int] = (256, 64)) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden[0]),
            nn.BatchNorm1d(hidden[0]),
            nn.ReLU(inplace=True),
            nn.Linear(hidden[0], hidden[1]),
            nn.ReLU(inplace=True),
            nn.Linear(hidden[1], 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) -> logits (B,).

        Raises:
            TrainingError: one image alone in training mode, which has no batch statistics.
            ValueError: features of another shape.
        """
        if features.ndim != 4 or features.shape[1] != self.in_channels:
            raise ValueError(f"features: expected (B, {self.in_channels}, h, w), found {tuple(features.shape)}")
        _refuse_single(features, self.training)
        return self.layers(features.mean(dim=(2, 3))).squeeze(1)  # type: ignore[no-any-return]


class FlatDomainClassifier(nn.Module):
    """The classifier of the published FiDIP code: three fully connected layers on the flattened features.

    For the 2048x12x9 features of Pose-ResNet-50 at 384x288 that is 454 million parameters, thirteen times the pose
    network, and 6.8 GiB with Adam's state.
    """

    def __init__(self, in_channels: int, feature_size: Size) -> None:
        super().__init__()
        width, height = feature_size
        self.feature_shape = (in_channels, height, width)
        self.layers = nn.Sequential(
            nn.Linear(in_channels * height * width, 2048),
            nn.BatchNorm1d(2048),
            nn.ReLU(inplace=True),
            nn.Linear(2048, 512),
            nn.BatchNorm1d(512),
            nn.ReLU(inplace=True),
            nn.Linear(512, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) of the size it was built for -> logits (B,).

        Raises:
            TrainingError: one image alone in training mode, which has no batch statistics.
            ValueError: features of another shape.
        """
        if features.shape[1:] != self.feature_shape:
            expected = ", ".join(map(str, self.feature_shape))
            raise ValueError(f"features: expected (B, {expected}), found {tuple(features.shape)}")
        _refuse_single(features, self.training)
        return self.layers(features.flatten(1)).squeeze(1)  # type: ignore[no-any-return]


def _refuse_single(features: Tensor, training: bool) -> None:
    if training and features.shape[0] < 2:
        raise TrainingError(
            f"a batch of {features.shape[0]} for the domain classifier, which learns from at least 2 images at a time: "
            "choose a batch size that leaves no single image over, or drop the last batch"
        )


DOMAIN_CLASSIFIERS: dict[str, Callable[[int, Size], nn.Module]] = {
    "pooled": lambda in_channels, _: DomainClassifier(in_channels),
    "flat": FlatDomainClassifier,
}
"""From a kind, C and (w, h) of the features to a classifier. ``flat`` is the paper's."""


def build_domain_classifier(
    kind: str, in_channels: int, feature_size: Size, generator: torch.Generator | None = None
) -> nn.Module:
    """A new classifier for features (B, in_channels, h, w), ``feature_size`` = (w, h).

    Weights and biases are uniform within ±1/√inputs, torch's default, from ``generator`` or else torch's global one.

    Raises:
        RecipeError: no such kind.
    """
    if kind not in DOMAIN_CLASSIFIERS:
        raise RecipeError(f"no domain classifier {kind!r}: choose from {', '.join(DOMAIN_CLASSIFIERS)}")
    classifier = DOMAIN_CLASSIFIERS[kind](in_channels, feature_size)
    if generator is not None:
        for module in classifier.modules():
            if isinstance(module, nn.Linear):
                limit = module.in_features**-0.5
                nn.init.uniform_(module.weight, -limit, limit, generator=generator)
                nn.init.uniform_(module.bias, -limit, limit, generator=generator)
    return classifier


@contextmanager
def batch_statistics_unrecorded(module: nn.Module) -> Iterator[None]:
    """Inside, batch norm in training mode uses each batch's statistics and records none of them: no buffer changes.

    Stage II needs it: the classifier judges as it did in stage I, and stands still to the last buffer.
    """
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
