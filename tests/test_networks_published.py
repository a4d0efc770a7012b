"""The published networks: numbers typed from their configurations, and files of their key names, there and back."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fidip.geometry import Size
from fidip.networks.card import NetworkCard
from fidip.networks.complexity import Complexity, complexity
from fidip.networks.domain import build_domain_classifier
from fidip.networks.pose import build_pose_net
from fidip.networks.published import PUBLISHED
from fidip.networks.weights import State, from_published_names, to_published_names
from network_states import randomised
from test_networks_backbones_hrnet import published_shapes as hrnet_shapes
from test_networks_backbones_hrnet import reference_hrnet
from test_networks_backbones_vit import published_shapes as vit_shapes

TABLE = {  # input W, H; heatmap w, h; sigma; colours; decoding; blur; parameters
    "pose-resnet-50-256x192": ((192, 256), (48, 64), 2, "BGR", "quarter", None, 33_999_697),
    "pose-resnet-50-384x288": ((288, 384), (72, 96), 3, "BGR", "quarter", None, 33_999_697),
    "fidip-resnet-50-384x288": ((288, 384), (72, 96), 3, "BGR", "quarter", None, 33_999_697),
    "dark-resnet-50-128x96": ((96, 128), (24, 32), 1, "BGR", "dark", 3, 33_999_697),
    "dark-hrnet-w48-128x96": ((96, 128), (24, 32), 1, "RGB", "dark", 11, 63_595_745),
    "dark-hrnet-w32-256x192": ((192, 256), (48, 64), 2, "RGB", "dark", 11, 28_536_113),
    "dark-hrnet-w48-384x288": ((288, 384), (72, 96), 3, "RGB", "dark", 11, 63_595_745),
    "fidip-hrnet-w48-384x288": ((288, 384), (72, 96), 3, "RGB", "dark", 11, 63_595_745),
    "hrnet-w32-256x192": ((192, 256), (48, 64), 2, "RGB", "quarter", None, 28_536_113),
    "hrnet-w48-384x288": ((288, 384), (72, 96), 3, "RGB", "quarter", None, 63_595_745),
    "mobilenet-v2-224x224": ((224, 224), (56, 56), 2, "BGR", "dark", 11, 4_102_176),
    "fidip-mobilenet-v2-224x224": ((224, 224), (56, 56), 2, "RGB", "dark", 11, 4_102_176),
    "vitpose-s-256x192": ((192, 256), (48, 64), 2, "RGB", "dark", 11, 24_290_577),
    "vitpose-b-256x192": ((192, 256), (48, 64), 2, "RGB", "dark", 11, 89_994_513),
    "vitpose-b-simple-256x192": ((192, 256), (48, 64), 2, "RGB", "dark", 11, 85_912_337),
}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_published_network_is_what_its_configuration_says(name: str) -> None:
    size, heatmap_size, sigma, colours, decoding, blur, parameters = TABLE[name]
    card = PUBLISHED[name]
    assert (card.input_size, card.heatmap_size, card.heatmap_sigma) == (size, heatmap_size, sigma)
    assert (card.colour_order, card.decoding) == (colours, decoding)
    assert blur in (None, card.blur_kernel)
    family = "simple-baseline" if decoding == "quarter" else "udp" if name.startswith("vitpose") else "dark"
    assert card.affine == family
    assert (card.encoding == "quantised") == card.flip_shift | name.startswith("fidip-resnet")
    assert card.flip_shift == name.startswith(("pose-resnet", "hrnet"))
    assert (card.mean, card.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.device("meta"):
        net = build_pose_net(card)
        heatmaps = net(torch.empty(1, 3, size[1], size[0])).heatmaps
    assert heatmaps.shape == (1, 17, *reversed(heatmap_size))
    assert net.card.parameters == parameters


def test_every_card_is_named_and_says_whose_it_is() -> None:
    for name, card in PUBLISHED.items():
        assert card.name == name
        assert card.description
        assert card.licence
        assert name.endswith(f"-{card.input_size[1]}x{card.input_size[0]}")
        assert NetworkCard.from_json(card.to_json()) == card


@cache  # several cards are of one architecture
def complexity_of(backbone: str, width: float, input_size: Size, head: str) -> Complexity:
    with torch.device("meta"):
        return complexity(build_pose_net(NetworkCard(backbone, width, input_size, head=head)))


def test_the_documents_table_is_that_of_the_networks() -> None:
    text = (Path(__file__).parents[1] / "docs" / "networks.md").read_text(encoding="utf-8")
    listed = text.partition("## Published networks")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in listed.splitlines() if "| `" in line]
    assert [row[0].strip("`") for row in rows] == list(PUBLISHED)
    for (_, *cells), card in zip(rows, PUBLISHED.values(), strict=True):
        size = complexity_of(card.backbone, card.width, card.input_size, card.head)
        (width, height), blur = card.heatmap_size, f", {card.blur_kernel}" if card.decoding == "dark" else ""
        assert cells == [
            f"{card.backbone} {card.width:g}", card.head, f"{height}x{width}, {card.heatmap_sigma:g}",
            card.colour_order, card.affine, card.decoding + blur,
            f"{size.parameters:,}", f"{size.multiply_adds / 1e9:.2f}",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "features", "parameters"),
    [
        ("fidip-resnet-50-384x288", "flat", (2048, 12, 9), 454_041_601),
        ("fidip-hrnet-w48-384x288", "hrnet", (48, 96, 72), 754_553),
        ("fidip-mobilenet-v2-224x224", "mobilenet", (1280, 7, 7), 847_153),
    ],
)
def test_features_and_domain_classifiers_are_those_of_the_tables(
    name: str, kind: str, features: tuple[int, int, int], parameters: int
) -> None:
    with torch.device("meta"):
        net = build_pose_net(PUBLISHED[name])
        seen = net(torch.empty(2, 3, *reversed(net.card.input_size))).features
        classifier = build_domain_classifier(kind, net.backbone.channels, net.feature_size)
        pooled = build_domain_classifier("pooled", net.backbone.channels, net.feature_size)
        assert seen.shape == (2, *features)
        assert classifier(seen).shape == pooled(seen).shape == (2,)
    assert sum(parameter.numel() for parameter in classifier.parameters()) == parameters


def random_state(shapes: dict[str, tuple[int, ...]]) -> State:
    generator = torch.Generator().manual_seed(4)
    return {
        name: torch.tensor(7) if name.endswith("num_batches_tracked") else torch.rand(shape, generator=generator)
        for name, shape in shapes.items()
    }


def bn(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    vectors = {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return vectors | {f"{name}.num_batches_tracked": ()}


def deconvolutions(channels: int, count: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for n in range(count):
        shapes[f"deconv_layers.{3 * n}.weight"] = (channels if n == 0 else 256, 256, 4, 4)
        shapes |= bn(f"deconv_layers.{3 * n + 1}", 256)
    return shapes | {"final_layer.weight": (17, 256, 1, 1), "final_layer.bias": (17,)}


def there_and_back(card: NetworkCard, published: State) -> None:
    net = build_pose_net(card, torch.Generator().manual_seed(0))
    net.load_state_dict(from_published_names(published))  # strict
    again = to_published_names(net.state_dict())
    assert again.keys() == published.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in published.items())


def test_a_published_hrnet_file_is_imported_and_exported_without_a_change() -> None:
    last = {"final_layer.weight": (17, 32, 1, 1), "final_layer.bias": (17,)}
    there_and_back(PUBLISHED["dark-hrnet-w32-256x192"], random_state(hrnet_shapes(32) | last))


@pytest.mark.parametrize("simple", [False, True])
def test_a_vitpose_file_is_imported_and_exported_without_a_change(simple: bool) -> None:
    name = "vitpose-s-simple-256x192" if simple else "vitpose-s-256x192"
    head = {"final_layer.weight": (17, 384, 3, 3), "final_layer.bias": (17,)} if simple else deconvolutions(384, 2)
    published = random_state(
        {f"backbone.{n}": s for n, s in vit_shapes(12, 384).items()}
        | {f"keypoint_head.{n}": s for n, s in head.items()}
    )
    below = {name.partition(".")[2]: tensor for name, tensor in published.items()}
    assert len(below) == len(published)
    there_and_back(PUBLISHED[name], below)


def test_the_head_of_a_published_mobilenet_file_is_imported_and_exported_without_a_change() -> None:
    shapes: dict[str, tuple[int, ...]] = {"conv_compress.weight": (256, 1280, 1, 1), "hm_conv.weight": (17, 32, 1, 1)}
    for n, (inputs, outputs) in enumerate(((256, 512), (128, 256), (64, 128)), start=1):
        shapes |= {f"duc{n}.conv.weight": (outputs, inputs, 3, 3)} | bn(f"duc{n}.bn", outputs)
    card = PUBLISHED["fidip-mobilenet-v2-224x224"]
    features = to_published_names(build_pose_net(card).state_dict())
    features = {name: tensor for name, tensor in features.items() if name.startswith("features.")}
    there_and_back(card, features | random_state(shapes))


def test_pose_hrnet_agrees_with_the_published_description_from_images_to_heatmaps() -> None:
    card = PUBLISHED["dark-hrnet-w32-256x192"]
    net = randomised(build_pose_net(card)).eval()
    images = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    state: dict[str, Tensor] = to_published_names(net.state_dict())
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, None, :, None, None]
    features = reference_hrnet(state, (images - mean) / std)
    heatmaps = F.conv2d(features, state["final_layer.weight"], state["final_layer.bias"])
    with torch.no_grad():
        output = net(images)
    scale = float(heatmaps.abs().max())
    torch.testing.assert_close(output.heatmaps, heatmaps, rtol=0, atol=1e-5 * scale)
    torch.testing.assert_close(output.features, features, rtol=0, atol=1e-5 * float(features.max()))
