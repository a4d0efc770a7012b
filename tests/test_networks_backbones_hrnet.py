"""HRNet against an implementation written from its description, on the names of the published files."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fidip.errors import RecipeError
from fidip.networks.backbones.hrnet import HRNet
from network_states import randomised
from test_networks_backbones_resnet import norm

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

STAGES = ((2, 1), (3, 4), (4, 3))
"""Branches of a stage and how many modules follow each other in it."""


def unit(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    """The convolution ``name.0`` and the normalisation ``name.1``."""
    weight = state[f"{name}.0.weight"]
    return norm(state, f"{name}.1", F.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2))


def block(state: State, name: str, x: Tensor, convolutions: int) -> Tensor:
    y = x
    for index in range(1, convolutions + 1):
        weight = state[f"{name}.conv{index}.weight"]
        y = norm(state, f"{name}.bn{index}", F.conv2d(y, weight, padding=weight.shape[2] // 2))
        y = F.relu(y) if index < convolutions else y
    return F.relu(y + (unit(state, f"{name}.downsample", x) if f"{name}.downsample.0.weight" in state else x))


def transition(state: State, name: str, branches: list[Tensor], count: int) -> list[Tensor]:
    after = []
    for branch in range(count):
        x = branches[min(branch, len(branches) - 1)]
        if f"{name}.{branch}.0.0.weight" in state:
            x = F.relu(unit(state, f"{name}.{branch}.0", x, stride=2))
        elif f"{name}.{branch}.0.weight" in state:
            x = F.relu(unit(state, f"{name}.{branch}", x))
        after.append(x)
    return after


def fuse(state: State, name: str, branches: list[Tensor], outputs: int) -> list[Tensor]:
    fused = []
    for target in range(outputs):
        total = branches[target]
        for source, x in enumerate(branches):
            layer = f"{name}.fuse_layers.{target}.{source}"
            if source > target:
                times = 2 ** (source - target)
                total = total + unit(state, layer, x).repeat_interleave(times, 2).repeat_interleave(times, 3)
            for step in range(target - source):
                x = unit(state, f"{layer}.{step}", x, stride=2)
                x = F.relu(x) if step < target - source - 1 else x
            total = total + x if source < target else total
        fused.append(F.relu(total))
    return fused


def reference_hrnet(state: State, x: Tensor) -> Tensor:
    """Sun et al. (2019), with the numbers of the published pose networks."""
    for index in (1, 2):
        x = F.relu(norm(state, f"bn{index}", F.conv2d(x, state[f"conv{index}.weight"], stride=2, padding=1)))
    for position in range(4):
        x = block(state, f"layer1.{position}", x, convolutions=3)
    branches = [x]
    for count, modules in STAGES:
        branches = transition(state, f"transition{count - 1}", branches, count)
        for module in range(modules):
            name = f"stage{count}.{module}"
            for position in range(4):
                branches = [
                    block(state, f"{name}.branches.{branch}.{position}", x, convolutions=2)
                    for branch, x in enumerate(branches)
                ]
            branches = fuse(state, name, branches, 1 if (count, module) == (4, 2) else count)
    return branches[0]


def conv_bn(shapes: Shapes, conv: str, bn: str, inputs: int, outputs: int, kernel: int) -> None:
    shapes[f"{conv}.weight"] = (outputs, inputs, kernel, kernel)
    shapes |= {f"{bn}.{name}": (outputs,) for name in ("weight", "bias", "running_mean", "running_var")}
    shapes[f"{bn}.num_batches_tracked"] = ()


def published_shapes(width: int) -> Shapes:
    """Every tensor of a published file but those of the last convolution, with its shape."""
    shapes: Shapes = {}
    conv_bn(shapes, "conv1", "bn1", 3, 64, 3)
    conv_bn(shapes, "conv2", "bn2", 64, 64, 3)
    for n in range(4):
        inputs = 256 if n else 64
        for index, (i, o, kernel) in enumerate(((inputs, 64, 1), (64, 64, 3), (64, 256, 1)), start=1):
            conv_bn(shapes, f"layer1.{n}.conv{index}", f"layer1.{n}.bn{index}", i, o, kernel)
    conv_bn(shapes, "layer1.0.downsample.0", "layer1.0.downsample.1", 64, 256, 1)
    planes = [width * 2**branch for branch in range(4)]
    conv_bn(shapes, "transition1.0.0", "transition1.0.1", 256, width, 3)
    conv_bn(shapes, "transition1.1.0.0", "transition1.1.0.1", 256, 2 * width, 3)
    conv_bn(shapes, "transition2.2.0.0", "transition2.2.0.1", planes[1], planes[2], 3)
    conv_bn(shapes, "transition3.3.0.0", "transition3.3.0.1", planes[2], planes[3], 3)
    for count, modules in STAGES:
        for module in range(modules):
            name = f"stage{count}.{module}"
            for branch in range(count):
                for position in range(4):
                    p = f"{name}.branches.{branch}.{position}"
                    for index in (1, 2):
                        conv_bn(shapes, f"{p}.conv{index}", f"{p}.bn{index}", planes[branch], planes[branch], 3)
            for target in range(1 if (count, module) == (4, 2) else count):
                for source in range(count):
                    layer = f"{name}.fuse_layers.{target}.{source}"
                    if source > target:
                        conv_bn(shapes, f"{layer}.0", f"{layer}.1", planes[source], planes[target], 1)
                    for step in range(target - source):
                        outputs = planes[target if step == target - source - 1 else source]
                        conv_bn(shapes, f"{layer}.{step}.0", f"{layer}.{step}.1", planes[source], outputs, 3)
    return shapes


@pytest.mark.parametrize(("width", "size"), [(6, (96, 64)), (32, (64, 64))])
def test_agrees_with_the_published_description(width: int, size: tuple[int, int]) -> None:
    net = randomised(HRNet(width)).double().eval()
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        features = net(images)
        expected = reference_hrnet(net.state_dict(), images)
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-9)
    assert features.shape == (2, width, size[0] // 4, size[1] // 4)
    assert features.std() > 1e-3


@pytest.mark.parametrize("width", [18, 32, 48])
def test_names_and_shapes_are_those_of_the_published_files(width: int) -> None:
    with torch.device("meta"):
        net = HRNet(width)
    assert {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()} == published_shapes(width)


def test_stages_hold_every_parameter_once_and_end_where_the_published_code_means_to_freeze() -> None:
    with torch.device("meta"):
        net = HRNet(48)
    staged = [p for stage in net.stages for p in net.stage_parameters(stage)]
    assert [id(p) for p in staged] == [id(p) for p in net.parameters()]
    assert [id(p) for s in net.stages for m in net.stage_modules(s) for p in m.parameters()] == [id(p) for p in staged]
    counts = [len(net.stage_parameters(stage)) for stage in net.stages]
    assert sum(counts[:3]) == 108  # the code's 'stage2 + bottleneck', parameters 0 … 107
    assert sum(counts[:4]) == 483  # the code's 'stage3', parameters 0 … 482


def test_a_new_network_is_drawn_as_published() -> None:
    net = HRNet(32)
    net.initialise(torch.Generator().manual_seed(0))
    assert abs(net.stage4[0].branches[3][0].conv1.weight.std().item() / 0.001 - 1) < 0.01
    assert abs(net.conv1.weight.std().item() / 0.001 - 1) < 0.05
    assert all(bool((m.weight == 1).all()) for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))


@pytest.mark.parametrize("width", [0, 16.5, -32])
def test_a_width_that_is_no_number_of_channels_is_refused(width: float) -> None:
    with pytest.raises(RecipeError, match="whole number of channels"):
        HRNet(width)
