from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

import fidip.networks.importing as importing
from fidip.errors import RecipeError, StorageError, WeightsError
from fidip.networks.foreign import read_foreign, state_in, without_prefix
from fidip.networks.importing import Options, export_weights, import_weights, write_state
from fidip.networks.pose import PoseNet
from fidip.networks.published import PUBLISHED
from fidip.networks.weights import load_pose_net, save_pose_net, to_published_names
from published_files import (
    Shapes,
    State,
    constant_state,
    hrnet_imagenet,
    pose_hrnet,
    pose_mobilenet,
    pose_resnet,
    random_state,
    torchvision_resnet,
    vitpose,
    vitpose_transformers,
)
from test_networks_backbones_vit import reference_vit


@pytest.fixture(autouse=True)
def _read_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each file takes two seconds; tests/test_networks_foreign.py has them."""

    def read(path: Path) -> State:
        if path.suffix == ".safetensors":
            return read_foreign(path)
        with path.open("rb") as stream:
            return without_prefix(state_in(stream))

    monkeypatch.setattr(importing, "read_foreign", read)


SaveFile = Callable[..., Path]


@pytest.fixture
def saved(tmp_path: Path) -> SaveFile:
    def save(state: State, name: str = "file.pth") -> Path:
        path = tmp_path / name
        if path.suffix == ".safetensors":
            safetensors.torch.save_file(state, path)
        else:
            torch.save(OrderedDict(state), path)
        return path

    return save


def equal(found: State, expected: State) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], t) for name, t in expected.items())


FULL: list[tuple[str, str, Shapes, str]] = [
    ("microsoft-pose-resnet", "pose_resnet_50_384x288.pth.tar", pose_resnet(50), "pose-resnet-50-384x288"),
    ("fidip-mobilenet", "mobile_fidip.pth", pose_mobilenet(), "fidip-mobilenet-v2-224x224"),
    ("dark-hrnet", "w32_256×192.pth", pose_hrnet(32), "dark-hrnet-w32-256x192"),
    ("vitpose", "vitpose-s-coco.pth", vitpose(384, False), "vitpose-s-256x192"),
    ("vitpose-transformers", "model.safetensors", vitpose_transformers(384, False), "vitpose-s-256x192"),
    ("vitpose-transformers", "model.safetensors", vitpose_transformers(384, True), "vitpose-s-simple-256x192"),
]


@pytest.mark.parametrize(("layout", "name", "shapes", "card"), FULL)
def test_a_published_file_finds_its_card_by_itself(
    saved: SaveFile, layout: str, name: str, shapes: Shapes, card: str
) -> None:
    file = saved(constant_state(shapes), name)
    found = import_weights(file, layout).card
    expected = PUBLISHED[card]
    for field in ("name", "colour_order", "mean", "std", "affine", "encoding", "decoding", "skeleton", "licence"):
        assert getattr(found, field) == getattr(expected, field)
    assert (found.input_size, found.heatmap_sigma) == (expected.input_size, expected.heatmap_sigma)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert found.training == {"origin": {"file": name, "sha256": digest, "layout": layout}}


SMALL: list[tuple[str, str, Shapes, str]] = [
    ("microsoft-pose-resnet", "a.pth", pose_resnet(18, 8, 16), "pose-resnet-50-256x192"),
    ("microsoft-pose-resnet", "a.safetensors", pose_resnet(50, 4, 8), "dark-resnet-50-128x96"),
    ("fidip", "a.pth", pose_resnet(50, 4, 8), "fidip-resnet-50-384x288"),
    ("fidip", "a.pth", pose_hrnet(4), "fidip-hrnet-w48-384x288"),
    ("fidip-mobilenet", "a.pth", pose_mobilenet(), ""),
    ("dark-hrnet", "a.pth", pose_hrnet(8), "hrnet-w48-384x288"),
    ("vitpose", "a.pth", vitpose(24, False, head_width=8), "vitpose-s-256x192"),
    ("vitpose", "a.pth", vitpose(24, True), "vitpose-s-simple-256x192"),
    ("vitpose-transformers", "a.safetensors", vitpose_transformers(24, False, head_width=8), "vitpose-s-256x192"),
    ("vitpose-transformers", "a.safetensors", vitpose_transformers(24, True), "vitpose-b-simple-256x192"),
]


@pytest.mark.parametrize(("layout", "name", "shapes", "card"), SMALL)
def test_import_then_export_is_the_identity_through_our_own_file(
    saved: SaveFile, tmp_path: Path, layout: str, name: str, shapes: Shapes, card: str
) -> None:
    state = random_state(shapes)
    prefix = "module." if layout == "fidip" else ""
    state = {prefix + name: tensor for name, tensor in state.items()}
    net = import_weights(saved(state, name), layout, Options(card))
    save_pose_net(net, tmp_path / "ours.safetensors")
    exported = export_weights(load_pose_net(tmp_path / "ours.safetensors"), layout)
    assert equal(exported, state)
    for again in ("again.pth", "again.safetensors") if len(state) < 500 else ():
        write_state(exported, tmp_path / again)
        assert equal(export_weights(import_weights(tmp_path / again, layout, Options(card)), layout), state)


FUSED = [f"stage4.2.fuse_layers.{n}" for n in (1, 2, 3)]
HRNET_CLASSIFIER = ["classifier", "downsamp_modules", "final_layer", "incre_modules", *FUSED]


@pytest.mark.parametrize(
    ("layout", "shapes", "out"),
    [
        ("torchvision-resnet", torchvision_resnet(50, 8), ["fc"]),
        ("torchvision-resnet", torchvision_resnet(18, 8), ["fc"]),
        ("hrnet-imagenet", hrnet_imagenet(4), HRNET_CLASSIFIER),
    ],
)
def test_a_backbone_s_file_fills_the_backbone_and_draws_the_head(
    saved: SaveFile, layout: str, shapes: Shapes, out: list[str]
) -> None:
    state = random_state(shapes)
    before = torch.random.get_rng_state()
    net = import_weights(saved(state), layout, Options(seed=5))
    assert torch.equal(before, torch.random.get_rng_state())
    ours = to_published_names(net.state_dict())
    exported = export_weights(net, layout)
    assert exported.keys() < state.keys()
    assert all(torch.equal(exported[name], state[name]) for name in exported)
    assert all(torch.equal(ours[name], state[name]) for name in exported)
    assert net.card.training["origin"]["left_out"] == out
    assert all(name.startswith(tuple(f"{each}." for each in out)) for name in state.keys() - exported.keys())
    assert net.card.training["head"] == "newly drawn with seed 5, not trained"
    assert (net.card.colour_order, net.card.skeleton) == ("RGB", "coco-17")
    assert "ImageNet" in net.card.licence


def test_the_seed_decides_the_new_head(saved: SaveFile) -> None:
    file = saved(random_state(torchvision_resnet(18, 4)))
    first, again, other = (
        to_published_names(import_weights(file, "torchvision-resnet", Options(seed=seed)).state_dict())
        for seed in (5, 5, 6)
    )
    assert equal(again, first)
    assert {n for n in first if not torch.equal(first[n], other[n])} == {
        *(f"deconv_layers.{index}.weight" for index in (0, 3, 6)),
        "final_layer.weight",
    }


def test_a_backbone_takes_the_conventions_of_a_card_but_stays_rgb(saved: SaveFile) -> None:
    file = saved(constant_state(torchvision_resnet(50)))
    card = import_weights(file, "torchvision-resnet", Options("pose-resnet-50-384x288")).card
    assert (card.affine, card.decoding, card.input_size) == ("simple-baseline", "quarter", (288, 384))
    assert (card.colour_order, card.name) == ("RGB", "resnet-50-imagenet")
    with pytest.raises(
        WeightsError, match=r"--card pose-resnet-101-384x288: of a resnet-101, but the file holds a r.*50"
    ):
        import_weights(file, "torchvision-resnet", Options("pose-resnet-101-384x288"))


def test_files_without_counters_are_taken_and_given_back_as_they_were(saved: SaveFile) -> None:
    state = random_state(pose_resnet(18, 8, 16))
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    net = import_weights(saved(old), "microsoft-pose-resnet", Options("pose-resnet-50-256x192"))
    assert int(net.backbone.bn1.num_batches_tracked) == 0  # type: ignore[operator, arg-type]
    assert equal(export_weights(net, "microsoft-pose-resnet"), old)


def test_what_a_file_lacks_or_has_too_much_is_named_as_the_file_names_it(saved: SaveFile) -> None:
    state = random_state(vitpose_transformers(24, False, head_width=8))
    del state["backbone.encoder.layer.3.attention.attention.key.bias"]
    state["backbone.encoder.layer.0.mlp.experts.0.weight"] = torch.zeros(2)
    state["head.conv.bias"] = torch.zeros(133)
    state["backbone.layernorm.bias"] = torch.zeros(24).long()
    with pytest.raises(WeightsError) as caught:
        import_weights(saved(state, "m.safetensors"), "vitpose-transformers", Options("vitpose-s-256x192"))
    message = str(caught.value)
    for problem in (
        "m.safetensors: not a vit-12 of width 24: ",
        "backbone.encoder.layer.3.attention.attention.key.bias missing",
        "backbone.encoder.layer.0.mlp.experts.0.weight unknown",
        "head.conv.bias of another shape",
        "head.conv.bias is (133,), not (17,)",
        "backbone.layernorm.bias of another type",
    ):
        assert problem in message
    state = random_state(pose_resnet(18, 8, 16))
    for n in range(2):
        for part in ("weight", "bias"):
            del state[f"layer3.{n}.bn2.{part}"]
    with pytest.raises(
        WeightsError, match=r"layer3.0.bn2.weight, layer3.0.bn2.bias, layer3.1.bn2.weight and 1 more mis"
    ):
        import_weights(saved(state), "microsoft-pose-resnet", Options("pose-resnet-50-256x192"))


def test_every_tensor_that_is_taken_away_is_missed(saved: SaveFile) -> None:
    state = random_state(pose_resnet(18, 4, 8))
    for name in list(state)[::9]:
        rest = {other: tensor for other, tensor in state.items() if other != name}
        with pytest.raises(WeightsError, match=rf"{name}.* missing|no network that is known"):
            import_weights(saved(rest), "microsoft-pose-resnet", Options("pose-resnet-50-256x192"))


@pytest.mark.parametrize(
    ("shapes", "layout", "words"),
    [
        (vitpose(24, True), "microsoft-pose-resnet", r"layer1.0.conv1.weight.* missing.*of the layout vitpose$"),
        (pose_resnet(18, 4, 8), "vitpose", r"backbone.pos_embed.*layout microsoft-pose-resnet or fidip$"),
        (pose_resnet(18, 4, 8), "torchvision-resnet", r"fc.weight missing.*microsoft-pose-resnet"),
        (torchvision_resnet(18, 4), "microsoft-pose-resnet", r"deconv_layers.0.weight missing.*torchvision-resnet$"),
        (pose_hrnet(4), "microsoft-pose-resnet", r"deconv_layers.0.weight missing, .*fidip or dark-hrnet or hrnet-im"),
        (
            pose_hrnet(4),
            "dark-hrnet",
            r"hrnet of width 4 was not published in this layout: name one with --card, of dark-h",
        ),
        ({"encoder.weight": (2, 2)}, "dark-hrnet", r"stage4.*missing, it holds encoder.weight$"),
    ],
)
def test_a_wrong_layout_is_told_with_the_likely_one(saved: SaveFile, shapes: Shapes, layout: str, words: str) -> None:
    with pytest.raises(WeightsError, match=words) as caught:
        import_weights(saved(constant_state(shapes)), layout)
    assert "file.pth: " in str(caught.value)


def test_which_card_is_meant_is_asked_where_it_cannot_be_told(saved: SaveFile) -> None:
    file = saved(constant_state(pose_resnet(50)), "best.pth")
    line = r"best.pth: a resnet-50 of width 64 was published in several ways: name one with --card, of pose-resnet-50-"
    with pytest.raises(WeightsError, match=line):
        import_weights(file, "microsoft-pose-resnet")
    with pytest.raises(WeightsError, match=r"best.pth: no card 'pose-resnet-51': choose from pose-resnet-50-256x192"):
        import_weights(file, "microsoft-pose-resnet", Options("pose-resnet-51"))
    with pytest.raises(RecipeError, match="no layout 'caffe': choose from microsoft-pose-resnet"):
        import_weights(file, "caffe")
    card = import_weights(file, "microsoft-pose-resnet", Options("pose-resnet-50-384x288", licence="mine")).card
    assert (card.name, card.licence) == ("pose-resnet-50-384x288", "mine")
    own = import_weights(saved(random_state(pose_resnet(18, 4, 8))), "fidip", Options("pose-resnet-50-384x288")).card
    assert (own.name, own.licence, own.backbone, own.width, own.head_width) == ("", "", "resnet-18", 4, 8)
    assert own.description == "in the conventions of pose-resnet-50-384x288"
    assert own.colour_order == "BGR"


def test_odd_files_are_mistakes_and_no_defects(saved: SaveFile) -> None:
    scalar, another, third = torch.tensor(1.0), torch.tensor(1.0), torch.tensor(1.0)
    shapes = vitpose_transformers(24, True)
    twisted = random_state(shapes)
    twisted["backbone.encoder.layer.0.attention.attention.key.weight"] = torch.zeros(24, 5)
    odd: list[tuple[State, str]] = [
        ({"layer1.0.conv1.weight": scalar, "final_layer.weight": another, "conv1.weight": third}, "fidip"),
        ({"stage4.0.branches.0.0.conv1.weight": scalar, "final_layer.weight": another}, "dark-hrnet"),
        ({"stage4.0.branches.0.0.conv1.weight": torch.zeros(0, 3), "final_layer.weight": another}, "dark-hrnet"),
        ({"backbone.pos_embed": scalar, "keypoint_head.final_layer.weight": another}, "vitpose"),
        ({"backbone.pos_embed": torch.zeros(1, 193, 25), "keypoint_head.final_layer.weight": another}, "vitpose"),
        (twisted, "vitpose-transformers"),
    ]
    for state, layout in odd:
        with pytest.raises(WeightsError, match=r"file\.safetensors: "):
            import_weights(saved(state, "file.safetensors"), layout, Options(next(iter(PUBLISHED))))
    with pytest.raises(WeightsError, match=r"none\.pth: no such file"):
        import_weights(Path("none.pth"), "fidip")


def test_a_file_with_numbers_that_are_not_finite_is_refused(saved: SaveFile) -> None:
    state = random_state(pose_resnet(18, 4, 8))
    state["final_layer.bias"][3] = float("nan")
    with pytest.raises(WeightsError, match=r"final_layer\.bias not finite"):
        import_weights(saved(state), "microsoft-pose-resnet", Options("pose-resnet-50-256x192"))


def test_export_knows_which_networks_a_layout_has(saved: SaveFile, tmp_path: Path) -> None:
    net = import_weights(saved(random_state(pose_hrnet(4))), "dark-hrnet", Options("hrnet-w32-256x192"))
    assert export_weights(net, "fidip").keys() == {f"module.{name}" for name in export_weights(net, "dark-hrnet")}
    assert "final_layer.weight" not in export_weights(net, "hrnet-imagenet")
    for layout in ("microsoft-pose-resnet", "vitpose", "fidip-mobilenet", "torchvision-resnet"):
        with pytest.raises(RecipeError, match=f"the layout {layout} has no such networks"):
            export_weights(net, layout)
    with pytest.raises(RecipeError, match="no layout"):
        export_weights(net, "caffe")
    with pytest.raises(StorageError):
        write_state(export_weights(net, "fidip"), tmp_path / "nowhere" / "x.pth")


# What the tensors do once they are in place, against implementations on the files' own names.


def normalised(images: Tensor) -> Tensor:
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, None, :, None, None]
    return (images - mean) / std


def heatmaps(net: PoseNet, images: Tensor) -> Tensor:
    with torch.no_grad():
        return net(images).heatmaps


def test_an_imported_mobilenet_computes_what_the_file_says(saved: SaveFile) -> None:
    state = random_state(pose_mobilenet())
    images = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))

    def unit(x: Tensor, conv: str, bn: str, stride: int = 1) -> Tensor:
        weight = state[f"{conv}.weight"]
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2, groups=groups)
        vectors = [state[f"{bn}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *vectors)

    x = unit(normalised(images), "features.0.0", "features.0.1", 2).clamp(0, 6)
    strides = [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1]
    for index, stride in enumerate(strides, start=1):
        block, y = f"features.{index}.conv", x
        if index > 1:
            y = unit(y, f"{block}.0", f"{block}.1").clamp(0, 6)
        at = 3 if index > 1 else 0
        y = unit(y, f"{block}.{at}", f"{block}.{at + 1}", stride).clamp(0, 6)
        y = unit(y, f"{block}.{at + 3}", f"{block}.{at + 4}")
        x = x + y if stride == 1 and x.shape == y.shape else y
    x = F.conv2d(unit(x, "features.18.0", "features.18.1").clamp(0, 6), state["conv_compress.weight"])
    for name in ("duc1", "duc2", "duc3"):
        x = F.pixel_shuffle(F.relu(unit(x, f"{name}.conv", f"{name}.bn")), 2)
    x = F.conv2d(x, state["hm_conv.weight"])
    expected = x.flatten(2).softmax(2).reshape(x.shape)
    found = heatmaps(import_weights(saved(state), "fidip-mobilenet"), images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_an_imported_vitpose_of_transformers_computes_what_the_file_says(saved: SaveFile) -> None:
    state = random_state(vitpose_transformers(24, True))
    images = torch.rand(1, 3, 256, 192, generator=torch.Generator().manual_seed(1))
    fused = {}
    for n in range(12):  # by rows, as the transformers library's own conversion cuts them
        layer, block = f"backbone.encoder.layer.{n}", f"blocks.{n}"
        for part in ("weight", "bias"):
            rows = [state[f"{layer}.attention.attention.{each}.{part}"] for each in ("query", "key", "value")]
            fused[f"{block}.attn.qkv.{part}"] = torch.vstack(rows) if part == "weight" else torch.hstack(rows)
            fused[f"{block}.attn.proj.{part}"] = state[f"{layer}.attention.output.dense.{part}"]
            fused[f"{block}.norm1.{part}"] = state[f"{layer}.layernorm_before.{part}"]
            fused[f"{block}.norm2.{part}"] = state[f"{layer}.layernorm_after.{part}"]
            fused[f"last_norm.{part}"] = state[f"backbone.layernorm.{part}"]
            fused[f"patch_embed.proj.{part}"] = state[f"backbone.embeddings.patch_embeddings.projection.{part}"]
            for matrix in ("fc1", "fc2"):
                fused[f"{block}.mlp.{matrix}.{part}"] = state[f"{layer}.mlp.{matrix}.{part}"]
    fused["pos_embed"] = state["backbone.embeddings.position_embeddings"]
    features = F.relu(reference_vit(fused, normalised(images), heads=12))
    features = F.interpolate(features, scale_factor=4, mode="bilinear", align_corners=False)
    expected = F.conv2d(features, state["head.conv.weight"], state["head.conv.bias"], padding=1)
    net = import_weights(saved(state, "m.safetensors"), "vitpose-transformers", Options("vitpose-b-simple-256x192"))
    torch.testing.assert_close(heatmaps(net, images), expected, rtol=1e-3, atol=1e-5)
