"""Devices by name."""

import pytest
import torch

from fidip.errors import RecipeError
from fidip.networks.card import NetworkCard
from fidip.networks.devices import find_device, lay_out
from fidip.networks.pose import build_pose_net
from network_states import changed, randomised, snapshot


def test_the_processor_is_always_there():
    assert find_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RecipeError, match=f"the device {name} is not available here: choose cpu"):
        find_device(name)


def test_a_word_that_names_no_device_is_refused():
    with pytest.raises(RecipeError, match="choose cpu, cuda or mps"):
        find_device("toaster")


@pytest.mark.parametrize(
    ("card", "last"),
    [
        (NetworkCard("resnet-18", 8, (64, 64), 8), True),
        (NetworkCard("resnet-18", 4, (64, 64), 8), False),
        (NetworkCard("resnet-18", 8, (64, 64), 4), False),
        (NetworkCard("mobilenet-v2", 0.35, (64, 64), 64, head="pixel-shuffle"), True),
        (NetworkCard("vit-12", 24, (64, 64), 16), True),
    ],
)
def test_channels_lie_last_where_convolutions_are_wide_enough(card, last):
    net = randomised(build_pose_net(card)).eval()
    before, images = snapshot(net), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = net(images)
        lay_out(net, torch.device("cpu"))
        found = net(images)
    kernels = [m.weight for m in net.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size != (1, 1)]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) == last for kernel in kernels)
    assert not changed(before, snapshot(net))
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()


def test_a_network_without_convolutions_is_left_alone():
    lay_out(torch.nn.Linear(2, 2), torch.device("cpu"))
