from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fidip.errors import RecipeError
from fidip.networks.backbones import BACKBONES
from fidip.networks.backbones.resnet import ResNet
from network_states import randomised

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    scale = state[f"{name}.weight"] / torch.sqrt(variance + 1e-5)
    return x * scale[:, None, None] + (state[f"{name}.bias"] - mean * scale)[:, None, None]


def reference_resnet(state: dict[str, Tensor], depth: int, x: Tensor) -> Tensor:
    """He et al. (2016), Table 1, with the stride on the 3x3 convolution, on the published names."""
    x = F.relu(norm(state, "bn1", F.conv2d(x, state["conv1.weight"], stride=2, padding=3)))
    x = F.max_pool2d(x, 3, 2, 1)
    for layer, count in enumerate(BLOCKS[depth], start=1):
        for position in range(count):
            block, stride = f"layer{layer}.{position}", 2 if layer > 1 and position == 0 else 1
            shortcut = x
            if f"{block}.downsample.0.weight" in state:
                shortcut = F.conv2d(x, state[f"{block}.downsample.0.weight"], stride=stride)
                shortcut = norm(state, f"{block}.downsample.1", shortcut)
            strides_and_padding = [(stride, 1), (1, 1)] if depth < 50 else [(1, 0), (stride, 1), (1, 0)]
            for index, (step, padding) in enumerate(strides_and_padding, start=1):
                x = F.conv2d(x, state[f"{block}.conv{index}.weight"], stride=step, padding=padding)
                x = norm(state, f"{block}.bn{index}", x)
                x = F.relu(x + shortcut if index == len(strides_and_padding) else x)
    return x


@pytest.mark.parametrize(("depth", "width"), [(18, 64), (34, 8), (50, 64)])
def test_agrees_with_the_published_description(depth: int, width: int) -> None:
    net = randomised(ResNet(depth, width)).double().eval()
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        torch.testing.assert_close(net(images), reference_resnet(net.state_dict(), depth, images), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("depth", "parameters"),
    [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032), (101, 42_500_160), (152, 58_143_808)],
)
def test_counts_are_those_of_the_published_networks_without_their_classifier(depth: int, parameters: int) -> None:
    with torch.device("meta"):
        net = BACKBONES[f"resnet-{depth}"](64)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters
    assert net.channels == (512 if depth < 50 else 2048)


def test_stages_hold_every_parameter_once_and_end_where_the_paper_says() -> None:
    with torch.device("meta"):
        net = ResNet(50)
    staged = [p for stage in net.stages for module in net.stage_modules(stage) for p in module.parameters()]
    assert len({id(p) for p in staged}) == len(staged)
    assert {id(p) for p in staged} == {id(p) for p in net.parameters()}
    first_three = [p for s in ("res1", "res2", "res3") for module in net.stage_modules(s) for p in module.parameters()]
    assert len(first_three) == 72  # stem, layer1 and layer2: parameters 0 … 71


@pytest.mark.parametrize("width", [0, 16.5, -1])
def test_a_width_that_is_no_number_of_planes_is_refused(width: float) -> None:
    with pytest.raises(RecipeError, match="whole number of stem planes"):
        ResNet(18, width)


def test_an_unknown_stage_lists_the_names() -> None:
    with pytest.raises(RecipeError, match=r"'res6'.*res1, res2, res3, res4, res5"):
        ResNet(18, 8).stage_modules("res6")
