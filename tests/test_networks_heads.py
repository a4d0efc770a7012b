"""Heads against implementations written from their descriptions, on the names of the published files."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fidip.errors import RecipeError
from fidip.networks.heads import HEAD_MODULES, HEADS, DeconvolutionHead, InterpolationHead, PixelShuffleHead
from network_states import randomised
from test_networks_backbones_resnet import norm


def features(channels: int, height: int = 3, width: int = 2) -> Tensor:
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("upsampling", [1, 2, 4, 8])
def test_deconvolutions_are_as_many_as_the_features_need(upsampling: int) -> None:
    net = randomised(DeconvolutionHead(6, 17, 8, upsampling)).double().eval()
    x, state = features(6), net.state_dict()
    count = {1: 0, 2: 1, 4: 2, 8: 3}[upsampling]
    for index in range(0, 3 * count, 3):
        x = F.conv_transpose2d(x, state[f"deconv_layers.{index}.weight"], stride=2, padding=1)
        x = F.relu(norm(state, f"deconv_layers.{index + 1}", x))
    expected = F.conv2d(x, state["final_layer.weight"], state["final_layer.bias"])
    with torch.no_grad():
        torch.testing.assert_close(net(features(6)), expected, rtol=1e-9, atol=1e-9)
    assert expected.shape == (2, 17, 3 * upsampling, 2 * upsampling)
    assert len([name for name in state if name.endswith("weight") and state[name].ndim == 4]) == count + 1


def test_the_head_of_pose_mobilenet_shuffles_pixels_and_ends_in_a_softmax() -> None:
    net = randomised(PixelShuffleHead(20, 17, 16)).double().eval()
    x, state = features(20), net.state_dict()
    x = F.conv2d(x, state["conv_compress.weight"])
    for name in ("duc1", "duc2", "duc3"):
        x = F.relu(norm(state, f"{name}.bn", F.conv2d(x, state[f"{name}.conv.weight"], padding=1)))
        larger = torch.zeros(2, x.shape[1] // 4, 2 * x.shape[2], 2 * x.shape[3]).double()
        for n in range(4):  # channels 4c … 4c + 3 are the pixels of a 2x2 square, row by row
            larger[:, :, n // 2 :: 2, n % 2 :: 2] = x[:, n::4]
        x = larger
    x = F.conv2d(x, state["hm_conv.weight"]).exp()
    expected = x / x.sum(dim=(2, 3), keepdim=True)
    with torch.no_grad():
        torch.testing.assert_close(net(features(20)), expected, rtol=1e-9, atol=1e-12)
    assert expected.shape == (2, 17, 24, 16)


def test_the_head_of_pose_mobilenet_has_the_published_tensors() -> None:
    net = PixelShuffleHead(1280, 17)
    kernels = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items() if tensor.ndim == 4}
    assert kernels == {
        "conv_compress.weight": (256, 1280, 1, 1),
        "duc1.conv.weight": (512, 256, 3, 3),
        "duc2.conv.weight": (256, 128, 3, 3),
        "duc3.conv.weight": (128, 64, 3, 3),
        "hm_conv.weight": (17, 32, 1, 1),
    }
    assert not [name for name in net.state_dict() if name.endswith("conv.bias")]


def test_the_simple_decoder_rectifies_enlarges_and_convolves() -> None:
    net = randomised(InterpolationHead(6, 17)).double().eval()
    x, state = features(6).clamp_min(0), net.state_dict()

    def enlarged(x: Tensor) -> Tensor:  # along the last axis, four times: between the centres of pixels, edges repeated
        place = ((torch.arange(4 * x.shape[-1]) + 0.5) / 4 - 0.5).clamp(0, x.shape[-1] - 1).double()
        low = place.floor().long().clamp_max(x.shape[-1] - 1)
        high = (low + 1).clamp_max(x.shape[-1] - 1)
        return x[..., low] * (1 - (place - low)) + x[..., high] * (place - low)

    x = enlarged(enlarged(x).mT).mT
    expected = F.conv2d(x, state["final_layer.weight"], state["final_layer.bias"], padding=1)
    with torch.no_grad():
        torch.testing.assert_close(net(features(6)), expected, rtol=1e-9, atol=1e-9)
    assert set(state) == {"final_layer.weight", "final_layer.bias"}


@pytest.mark.parametrize("kind", sorted(HEADS))
def test_every_tensor_of_a_head_is_known_by_its_name(kind: str) -> None:
    net = HEADS[kind](8, 17, 16, 8)
    assert all(name.startswith(HEAD_MODULES) for name in net.state_dict())


def test_new_heads_are_drawn_as_published() -> None:
    generator = torch.Generator().manual_seed(0)
    shuffling, simple = PixelShuffleHead(64, 17, 256), InterpolationHead(768, 17)
    for net in (shuffling, simple):
        net.initialise(generator)
    kernel = shuffling.get_submodule("duc1").conv.weight
    assert abs(kernel.std().item() / (2 / (9 * 512)) ** 0.5 - 1) < 0.01
    assert abs(simple.final_layer.weight.std().item() / 0.001 - 1) < 0.02
    assert not simple.final_layer.bias.any()


def test_a_width_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"head_width 100: .* multiple of 8"):
        PixelShuffleHead(64, 17, 100)
