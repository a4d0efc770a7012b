"""Weights files as their publishers write them: names and shapes from the published code, numbers at random."""

from __future__ import annotations

import torch
from torch import Tensor

from test_networks_backbones_hrnet import published_shapes as hrnet_shapes
from test_networks_backbones_vit import published_shapes as vit_shapes

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

RESNETS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def batch_norm(name: str, channels: int) -> Shapes:
    vectors = {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return vectors | {f"{name}.num_batches_tracked": ()}


def resnet(depth: int, width: int) -> Shapes:
    bottleneck = depth >= 50
    shapes: Shapes = {"conv1.weight": (width, 3, 7, 7), **batch_norm("bn1", width)}
    inputs = width
    for layer, count in enumerate(RESNETS[depth], start=1):
        planes = width * 2 ** (layer - 1)
        outputs = 4 * planes if bottleneck else planes
        for n in range(count):
            name = f"layer{layer}.{n}"
            wide = ((planes, inputs, 1), (planes, planes, 3), (outputs, planes, 1))
            basic = ((planes, inputs, 3), (planes, planes, 3))
            for index, (o, i, kernel) in enumerate(wide if bottleneck else basic, start=1):
                shapes[f"{name}.conv{index}.weight"] = (o, i, kernel, kernel)
                shapes |= batch_norm(f"{name}.bn{index}", o)
            if n == 0 and (layer > 1 or bottleneck):
                shapes[f"{name}.downsample.0.weight"] = (outputs, inputs, 1, 1)
                shapes |= batch_norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    return shapes


def deconvolutions(channels: int, count: int, width: int = 256, joints: int = 17) -> Shapes:
    shapes: Shapes = {}
    for n in range(count):
        shapes[f"deconv_layers.{3 * n}.weight"] = (channels if n == 0 else width, width, 4, 4)
        shapes |= batch_norm(f"deconv_layers.{3 * n + 1}", width)
    return shapes | {"final_layer.weight": (joints, width if count else channels, 1, 1), "final_layer.bias": (joints,)}


def pose_resnet(depth: int, width: int = 64, head_width: int = 256) -> Shapes:
    features = width * 8 * (4 if depth >= 50 else 1)
    return resnet(depth, width) | deconvolutions(features, 3, head_width)


def pose_hrnet(width: int) -> Shapes:
    return hrnet_shapes(width) | deconvolutions(width, 0)


def pose_mobilenet() -> Shapes:
    """Pose-MobileNet of the FiDIP code: MobileNetV2 with flat blocks, then three pixel shuffles."""
    shapes: Shapes = {"features.0.0.weight": (32, 3, 3, 3), **batch_norm("features.0.1", 32)}
    index, inputs = 1, 32
    rows = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
    for expansion, outputs, repeats in rows:
        for _ in range(repeats):
            hidden, at, name = inputs * expansion, 0, f"features.{index}.conv"
            if expansion > 1:
                shapes |= {f"{name}.0.weight": (hidden, inputs, 1, 1), **batch_norm(f"{name}.1", hidden)}
                at = 3
            shapes |= {f"{name}.{at}.weight": (hidden, 1, 3, 3), **batch_norm(f"{name}.{at + 1}", hidden)}
            shapes |= {f"{name}.{at + 3}.weight": (outputs, hidden, 1, 1), **batch_norm(f"{name}.{at + 4}", outputs)}
            index, inputs = index + 1, outputs
    shapes |= {"features.18.0.weight": (1280, 320, 1, 1), **batch_norm("features.18.1", 1280)}
    shapes["conv_compress.weight"] = (256, 1280, 1, 1)
    for n, (inputs, outputs) in enumerate(((256, 512), (128, 256), (64, 128)), start=1):
        shapes |= {f"duc{n}.conv.weight": (outputs, inputs, 3, 3), **batch_norm(f"duc{n}.bn", outputs)}
    return shapes | {"hm_conv.weight": (17, 32, 1, 1)}


def vitpose(width: int, simple: bool, depth: int = 12, head_width: int = 256) -> Shapes:
    """ViTPose as its authors wrote it."""
    classic = deconvolutions(width, 2, head_width)
    head = {"final_layer.weight": (17, width, 3, 3), "final_layer.bias": (17,)} if simple else classic
    body = {f"backbone.{name}": shape for name, shape in vit_shapes(depth, width).items()}
    return body | {f"keypoint_head.{name}": shape for name, shape in head.items()}


def vitpose_transformers(width: int, simple: bool, depth: int = 12, head_width: int = 256) -> Shapes:
    """ViTPose in the form of the transformers library, written from its modules."""
    shapes: Shapes = {
        "backbone.embeddings.position_embeddings": (1, 193, width),
        "backbone.embeddings.patch_embeddings.projection.weight": (width, 3, 16, 16),
        "backbone.embeddings.patch_embeddings.projection.bias": (width,),
    }
    for n in range(depth):
        layer = f"backbone.encoder.layer.{n}"
        matrices = {
            "attention.attention.query": (width, width), "attention.attention.key": (width, width),
            "attention.attention.value": (width, width), "attention.output.dense": (width, width),
            "mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width),
        }  # fmt: skip
        for name, shape in matrices.items():
            shapes |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
        for name in ("layernorm_before", "layernorm_after"):
            shapes |= {f"{layer}.{name}.weight": (width,), f"{layer}.{name}.bias": (width,)}
    shapes |= {"backbone.layernorm.weight": (width,), "backbone.layernorm.bias": (width,)}
    if simple:
        return shapes | {"head.conv.weight": (17, width, 3, 3), "head.conv.bias": (17,)}
    for n, inputs in ((1, width), (2, head_width)):
        shapes |= {f"head.deconv{n}.weight": (inputs, head_width, 4, 4), **batch_norm(f"head.batchnorm{n}", head_width)}
    return shapes | {"head.conv.weight": (17, head_width, 1, 1), "head.conv.bias": (17,)}


def torchvision_resnet(depth: int, width: int = 64) -> Shapes:
    features = width * 8 * (4 if depth >= 50 else 1)
    return resnet(depth, width) | {"fc.weight": (1000, features), "fc.bias": (1000,)}


def hrnet_imagenet(width: int) -> Shapes:
    """The classifier's file: all four branches leave the last module, and the classifier's own modules follow."""
    shapes = hrnet_shapes(width)
    planes = [width * 2**branch for branch in range(4)]
    for target in range(1, 4):
        for source in range(4):
            name = f"stage4.2.fuse_layers.{target}.{source}"
            if source > target:
                shapes |= {f"{name}.0.weight": (planes[target], planes[source], 1, 1)}
                shapes |= batch_norm(f"{name}.1", planes[target])
            for step in range(target - source):
                outputs = planes[target] if step == target - source - 1 else planes[source]
                shapes |= {f"{name}.{step}.0.weight": (outputs, planes[source], 3, 3)}
                shapes |= batch_norm(f"{name}.{step}.1", outputs)
    for branch, channels in enumerate(planes):
        shapes[f"incre_modules.{branch}.0.conv1.weight"] = (32 * 2**branch, channels, 1, 1)
    for branch in range(3):
        shapes[f"downsamp_modules.{branch}.0.weight"] = (256 * 2**branch, 128 * 2**branch, 3, 3)
    shapes |= {"final_layer.0.weight": (2048, 1024, 1, 1), "final_layer.0.bias": (2048,)}
    return shapes | {"classifier.weight": (1000, 2048), "classifier.bias": (1000,)}


def random_state(shapes: Shapes, seed: int = 0) -> State:
    """Numbers with which every tensor matters and nothing explodes."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            state[name] = torch.rand(shape, generator=generator) + 0.5
        else:
            fan_in = torch.Size(shape[1:]).numel() if len(shape) > 1 else 100
            state[name] = torch.randn(shape, generator=generator) * fan_in**-0.5
    return state


def constant_state(shapes: Shapes) -> State:
    """A file of full size that takes no time to make."""
    return {
        name: torch.tensor(7) if name.endswith("num_batches_tracked") else torch.full(shape, 0.01)
        for name, shape in shapes.items()
    }
