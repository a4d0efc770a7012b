from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fidip.errors import RecipeError
from fidip.networks.backbones.mobilenet import MobileNetV2, scaled_channels
from network_states import randomised

STRIDES_AND_REPEATS = [(1, 1), (2, 2), (2, 3), (2, 4), (1, 3), (2, 3), (1, 1)]


def unit(state: dict[str, Tensor], conv: str, norm: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{conv}.weight"]
    groups = x.shape[1] if weight.shape[1] == 1 else 1
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2, groups=groups)
    mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
    return F.batch_norm(x, mean, variance, state[f"{norm}.weight"], state[f"{norm}.bias"])


def reference_mobilenet(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Sandler et al. (2018), Tables 1 and 2, on the names of the shared ImageNet files."""
    x = unit(state, "features.0.0", "features.0.1", x, stride=2).clamp(0, 6)
    index = 0
    for first_stride, repeats in STRIDES_AND_REPEATS:
        for position in range(repeats):
            index += 1
            stride = first_stride if position == 0 else 1
            block = f"features.{index}.conv"
            y = x
            last = 2 if f"{block}.3.weight" in state else 1  # without an expansion the projection comes one earlier
            if last == 2:
                y = unit(state, f"{block}.0.0", f"{block}.0.1", y).clamp(0, 6)
            y = unit(state, f"{block}.{last - 1}.0", f"{block}.{last - 1}.1", y, stride).clamp(0, 6)
            y = unit(state, f"{block}.{last}", f"{block}.{last + 1}", y)
            x = x + y if stride == 1 and x.shape == y.shape else y
    return unit(state, f"features.{index + 1}.0", f"features.{index + 1}.1", x).clamp(0, 6)


@pytest.mark.parametrize("width", [0.35, 1.0])
def test_agrees_with_the_published_description(width: float) -> None:
    net = randomised(MobileNetV2(width)).double().eval()
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        features = net(images)
        torch.testing.assert_close(features, reference_mobilenet(net.state_dict(), images), rtol=1e-9, atol=1e-9)
    assert features.shape == (2, net.channels, 2, 3)


def test_counts_are_those_of_the_published_networks_without_their_classifier() -> None:
    for width, parameters in ((1.0, 2_223_872), (0.5, 687_680)):
        with torch.device("meta"):
            net = MobileNetV2(width)
        assert sum(parameter.numel() for parameter in net.parameters()) == parameters


def test_channels_are_multiples_of_eight_and_lose_less_than_a_tenth() -> None:
    for channels in range(8, 400, 8):
        for width in (0.2, 0.35, 0.5, 0.75, 1.0, 1.4):
            scaled = scaled_channels(channels, width)
            assert scaled % 8 == 0
            assert scaled >= 0.9 * channels * width
            assert scaled <= max(8, channels * width + 8)
    assert [scaled_channels(c, 0.35) for c in (16, 24, 32, 64, 96, 160, 320)] == [8, 8, 16, 24, 32, 56, 112]


def test_each_stage_but_the_first_halves_the_size_once() -> None:
    net = MobileNetV2(0.35).eval()
    sizes, x = [], torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        for stage in net.stages:
            for module in net.stage_modules(stage):
                x = module(x)
            sizes.append(x.shape[2])
        assert torch.equal(x, net(torch.zeros(1, 3, 64, 64)))
    assert sizes == [32, 16, 8, 4, 2]


def test_a_width_that_is_not_positive_is_refused() -> None:
    with pytest.raises(RecipeError, match="positive"):
        MobileNetV2(0)
