from __future__ import annotations

import pytest
import torch

from fidip.networks.layouts import LAYOUTS, layouts_of
from published_files import (
    Shapes,
    hrnet_imagenet,
    pose_hrnet,
    pose_mobilenet,
    pose_resnet,
    random_state,
    torchvision_resnet,
    vitpose,
    vitpose_transformers,
)

FILES: dict[str, list[Shapes]] = {
    "microsoft-pose-resnet": [pose_resnet(50, 4, 8), pose_resnet(18, 4, 8)],
    "fidip": [pose_resnet(50, 4, 8), pose_hrnet(4)],
    "fidip-mobilenet": [pose_mobilenet()],
    "dark-hrnet": [pose_hrnet(4)],
    "vitpose": [vitpose(24, simple, head_width=8) for simple in (False, True)],
    "vitpose-transformers": [vitpose_transformers(24, simple, head_width=8) for simple in (False, True)],
    "torchvision-resnet": [torchvision_resnet(50, 4), torchvision_resnet(34, 4)],
    "hrnet-imagenet": [hrnet_imagenet(4)],
}
CASES = [(layout, shapes) for layout, files in FILES.items() for shapes in files]


def test_every_layout_is_tested() -> None:
    assert FILES.keys() == LAYOUTS.keys()


@pytest.mark.parametrize(("layout", "shapes"), CASES)
def test_there_and_back_is_the_identity_and_so_is_back_and_there(layout: str, shapes: Shapes) -> None:
    chosen, state = LAYOUTS[layout], random_state(shapes)
    unused = chosen.unused(state)
    assert bool(unused) == chosen.backbone_only
    kept = {name: tensor for name, tensor in state.items() if name not in unused}
    ours = chosen.to_ours(kept)
    theirs = chosen.to_theirs(ours)
    expected = {("module." if layout == "fidip" else "") + name: tensor for name, tensor in kept.items()}
    assert theirs.keys() == expected.keys()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in expected.items())
    again = chosen.to_ours({name.removeprefix("module."): tensor for name, tensor in theirs.items()})
    assert again.keys() == ours.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in ours.items())


@pytest.mark.parametrize(("layout", "shapes"), CASES)
def test_a_file_is_known_by_its_marks(layout: str, shapes: Shapes) -> None:
    found = layouts_of({name: torch.empty(0) for name in shapes})
    assert layout in found
    if layout in ("dark-hrnet", "hrnet-imagenet", "fidip", "microsoft-pose-resnet"):  # the same networks in part
        hrnet, resnet = {"fidip", "dark-hrnet", "hrnet-imagenet"}, {"fidip", "microsoft-pose-resnet"}
        assert set(found) <= (hrnet if any(name.startswith("stage4") for name in shapes) else resnet)
    else:
        assert found == [layout]


def test_names_are_those_of_the_publishers() -> None:
    """Typed by hand: one tensor of each kind."""
    pairs = {
        "vitpose-transformers": {
            "backbone.encoder.layer.11.layernorm_before.weight": "blocks.11.norm1.weight",
            "backbone.encoder.layer.0.layernorm_after.bias": "blocks.0.norm2.bias",
            "backbone.encoder.layer.10.attention.output.dense.weight": "blocks.10.attn.proj.weight",
            "backbone.encoder.layer.2.mlp.fc2.bias": "blocks.2.mlp.fc2.bias",
            "backbone.layernorm.weight": "last_norm.weight",
            "head.batchnorm2.running_var": "deconv_layers.4.running_var",
            "head.deconv2.weight": "deconv_layers.3.weight",
            "head.conv.bias": "final_layer.bias",
        },
        "vitpose": {
            "backbone.blocks.3.attn.qkv.weight": "blocks.3.attn.qkv.weight",
            "keypoint_head.deconv_layers.1.weight": "deconv_layers.1.weight",
            "keypoint_head.final_layer.weight": "final_layer.weight",
        },
        "fidip-mobilenet": {
            "features.0.1.running_mean": "features.0.1.running_mean",
            "features.1.conv.0.weight": "features.1.conv.0.0.weight",
            "features.1.conv.1.bias": "features.1.conv.0.1.bias",
            "features.1.conv.3.weight": "features.1.conv.1.weight",
            "features.1.conv.4.running_var": "features.1.conv.2.running_var",
            "features.17.conv.3.weight": "features.17.conv.1.0.weight",
            "features.17.conv.6.weight": "features.17.conv.2.weight",
            "features.17.conv.7.num_batches_tracked": "features.17.conv.3.num_batches_tracked",
            "features.18.1.weight": "features.18.1.weight",
            "duc1.bn.weight": "duc1.bn.weight",
        },
    }
    for layout, names in pairs.items():
        for theirs, ours in names.items():
            tensor = torch.zeros(1)
            assert list(LAYOUTS[layout].to_ours({theirs: tensor})) == [ours]
            assert list(LAYOUTS[layout].to_theirs({ours: tensor})) == [theirs]


def test_queries_keys_and_values_lie_above_each_other() -> None:
    parts = {
        f"backbone.encoder.layer.5.attention.attention.{part}.weight": torch.full((2, 2), value)
        for value, part in enumerate(("query", "key", "value"))
    }
    (name, fused), *others = LAYOUTS["vitpose-transformers"].to_ours(parts).items()
    assert name == "blocks.5.attn.qkv.weight"
    assert fused[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert not others
