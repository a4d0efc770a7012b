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


class _OnFlattened(nn.Module):
    """Three fully connected layers, with batch statistics between them, on the flattened outcome of convolutions."""

    def __init__(self, feature_shape: tuple[int, ...], convolutions: nn.Module, widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.feature_shape, self.convolutions = feature_shape, convolutions
        flattened, first, second = widths
        self.layers = nn.Sequential(
            nn.Linear(flattened, first),
            nn.BatchNorm1d(first),
            nn.ReLU(inplace=True),
            nn.Linear(first, second),
            nn.BatchNorm1d(second),
            nn.ReLU(inplace=True),
            nn.Linear(second, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) of the size it was built for -> logits (B,).

        Raises:
            TrainingError: one image alone in training mode, which has no batch statistics.
            ValueError: features of another shape.
        """
        _refuse_other_shape(features, self.feature_shape)
        _refuse_single(features, self.training)
        return self.layers(self.convolutions(features).flatten(1)).squeeze(1)  # type: ignore[no-any-return]


class FlatDomainClassifier(_OnFlattened):
    """The classifier of the published FiDIP code: three fully connected layers on the flattened features.

    For the 2048x12x9 features of Pose-ResNet-50 at 384x288 that is 454 million parameters, thirteen times the pose
    network, and 6.8 GiB with Adam's state.
    """

    def __init__(self, in_channels: int, feature_size: Size) -> None:
        width, height = feature_size
        super().__init__((in_channels, height, width), nn.Identity(), (in_channels * height * width, 2048, 512))


class ConvolutionalDomainClassifier(_OnFlattened):
    """The classifiers of the published code for HRNet and MobileNet: convolutions, then three layers on what is left.

    ``convolutions`` make (C, h, w) features of ``feature_size`` = (w, h) into the maps that are flattened.

    Raises:
        RecipeError: nothing would be left of features so small.
    """

    def __init__(self, convolutions: nn.Sequential, in_channels: int, feature_size: Size) -> None:
        shape = (in_channels, *reversed(feature_size))
        channels, height, width = shape
        for layer in convolutions:
            if isinstance(layer, nn.Conv2d):
                channels, less = layer.out_channels, layer.kernel_size[0] - 1
                height, width = height - less, width - less
            elif isinstance(layer, nn.MaxPool2d):
                height, width = height // 2, width // 2
        if min(height, width) < 1:
            found = f"{feature_size[0]}x{feature_size[1]}"
            raise RecipeError(
                f"features of {found} (w x h) are too small for this domain classifier: choose 'pooled', "
                "or a larger input_size"
            )
        super().__init__(shape, convolutions, (channels * height * width, 256, 64))


def _hrnet_classifier(in_channels: int, feature_size: Size) -> nn.Module:
    convolutions = nn.Sequential(
        *_conv_bn_relu(in_channels, 32, kernel=3),
        nn.MaxPool2d(2),
        *_conv_bn_relu(32, 8, kernel=3),
        nn.MaxPool2d(2),
    )
    return ConvolutionalDomainClassifier(convolutions, in_channels, feature_size)


def _mobilenet_classifier(in_channels: int, feature_size: Size) -> nn.Module:
    convolutions = nn.Sequential(
        *_conv_bn_relu(in_channels, 512, kernel=1),
        *_conv_bn_relu(512, 256, kernel=1),
        *_conv_bn_relu(256, 16, kernel=1),
        nn.MaxPool2d(2),
    )
    return ConvolutionalDomainClassifier(convolutions, in_channels, feature_size)


def _conv_bn_relu(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def _refuse_other_shape(features: Tensor, shape: tuple[int, ...]) -> None:
    if features.shape[1:] != shape:
        expected = ", ".join(map(str, shape))
        raise ValueError(f"features: expected (B, {expected}), found {tuple(features.shape)}")


def _refuse_single(features: Tensor, training: bool) -> None:
    if training and features.shape[0] < 2:
        raise TrainingError(
            f"a batch of {features.shape[0]} for the domain classifier, which learns from at least 2 images at a time: "
            "choose a batch size that leaves no single image over, or drop the last batch"
        )


DOMAIN_CLASSIFIERS: dict[str, Callable[[int, Size], nn.Module]] = {
    "pooled": lambda in_channels, _: DomainClassifier(in_channels),
    "flat": FlatDomainClassifier,
    "hrnet": _hrnet_classifier,
    "mobilenet": _mobilenet_classifier,
}
"""From a kind, C and (w, h) of the features to a classifier.

``flat`` is the paper's, for Pose-ResNet; ``hrnet`` and ``mobilenet`` are those of the later tables, on the features of
these networks; ``pooled`` suits every network and size.
"""


def build_domain_classifier(
    kind: str, in_channels: int, feature_size: Size, generator: torch.Generator | None = None
) -> nn.Module:
    """A new classifier for features (B, in_channels, h, w), ``feature_size`` = (w, h).

    Weights and biases are uniform within ±1/√inputs, torch's default, from ``generator`` or else torch's global one.

    Raises:
        RecipeError: no such kind, or the features are too small for it.
    """
    if kind not in DOMAIN_CLASSIFIERS:
        raise RecipeError(f"no domain classifier {kind!r}: choose from {', '.join(DOMAIN_CLASSIFIERS)}")
    classifier = DOMAIN_CLASSIFIERS[kind](in_channels, feature_size)
    if generator is not None:
        for module in classifier.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                limit = module.weight[0].numel() ** -0.5
                for parameter in module.parameters():
                    nn.init.uniform_(parameter, -limit, limit, generator=generator)
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
