"""The card of a network: all that must be known to use it as it was trained, and where it comes from."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from fidip.errors import RecipeError
from fidip.geometry import AffineConvention, Size
from fidip.heatmaps import Decoding, Encoding
from fidip.networks.backbones import BACKBONES
from fidip.networks.heads import HEADS
from fidip.skeleton import COCO_17, SKELETONS

ColourOrder = Literal["RGB", "BGR"]
Channels = tuple[float, float, float]

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)
HEATMAP_STRIDE = 4
"""Pixels of the input per pixel of a heatmap, in every network here."""


@dataclass(frozen=True, slots=True)
class NetworkCard:
    """What stands beside a network's weights.

    ``width`` scales the backbone: stem planes of a ResNet (64 as published), channels of HRNet's finest branch (32 or
    48) or of a ViT's tokens (384 or 768), channel multiplier of a MobileNet (1.0). ``head_width`` is the channels
    inside the head, where it has any.
    ``mean`` and ``std`` belong to the first, second and third channel in ``colour_order``: the public Pose-ResNet files
    take BGR images with ImageNet's RGB-ordered constants. ``flip_shift`` moves the mirrored heatmaps by one pixel in
    the flip test, as SimpleBaseline does. ``training`` is free: data, seeds, figures, whatever JSON can hold.

    Raises:
        RecipeError: a field is not what it may be; the message names it and says what is expected.
    """

    backbone: str  # a key of BACKBONES
    width: float
    input_size: Size  # W, H in pixels
    head_width: int = 256
    head: str = "deconvolution"  # a key of HEADS
    skeleton: str = COCO_17.name
    colour_order: ColourOrder = "RGB"
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD
    affine: AffineConvention = "dark"
    heatmap_sigma: float = 2.0  # heatmap pixels
    encoding: Encoding = "unbiased"
    decoding: Decoding = "dark"
    blur_kernel: int = 11  # heatmap pixels, of DARK's smoothing
    flip_shift: bool = False
    name: str = ""
    description: str = ""
    licence: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    parameters: int | None = None

    def __post_init__(self) -> None:
        for name in ("name", "description", "licence"):
            self._require(name, isinstance(getattr(self, name), str), "text")
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            known = isinstance(value, (str, bool)) and value in choices
            self._require(name, known, "one of " + ", ".join(map(str, choices)))
        for name, (low, high) in WHOLE_NUMBERS.items():
            self._require(name, _whole(getattr(self, name), low, high), f"a whole number from {low} to {high}")
        for name, high in POSITIVE_NUMBERS.items():
            self._require(name, _positive(getattr(self, name), high), f"a number above 0, at most {high}")
        self._require("blur_kernel", self.blur_kernel % 2 == 1, "an odd number")
        self._require("parameters", self.parameters is None or _whole(self.parameters, 1, 10**12), "a count")
        sides_fit = _tuple_of(self.input_size, 2) and all(_whole(side, 1, 8192) for side in self.input_size)
        self._require("input_size", sides_fit, "a tuple (W, H) of whole numbers from 1 to 8192")
        self._require("mean", _tuple_of(self.mean, 3) and all(map(_number, self.mean)), "a tuple of three numbers")
        spread = _tuple_of(self.std, 3) and all(_positive(value, 1e6) for value in self.std)
        self._require("std", spread, "a tuple of three positive numbers")
        try:  # a copy of its own, exactly as a file would hold it
            training = json.loads(json.dumps(dict(self.training), allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise RecipeError(f"network card: training: expected a mapping that JSON can hold: {error}") from error
        object.__setattr__(self, "training", training)

    def _require(self, name: str, condition: bool, expected: str) -> None:
        if not condition:
            raise RecipeError(f"network card: {name}: expected {expected}, found {reprlib.repr(getattr(self, name))}")

    @property
    def heatmap_size(self) -> Size:
        """w, h of the heatmaps for an input of ``input_size``."""
        return self.input_size[0] // HEATMAP_STRIDE, self.input_size[1] // HEATMAP_STRIDE

    def to_json(self) -> str:
        """The card as one JSON object."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> NetworkCard:
        """The card that ``to_json`` wrote.

        Raises:
            RecipeError: not JSON, or a field is missing, unknown or wrong.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecipeError(f"network card: not JSON: {error}") from error
        if not isinstance(values, dict):
            raise RecipeError(f"network card: expected a JSON object, found {type(values).__name__}")
        known = [entry.name for entry in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise RecipeError(f"network card: unknown field {', '.join(unknown)}; install the version that wrote it")
        if missing := [name for name in REQUIRED if name not in values]:
            raise RecipeError(f"network card: missing field {', '.join(missing)}")
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**arguments)


def published_pose_resnet(depth: int, input_size: Size) -> NetworkCard:
    """The card of a public Pose-ResNet checkpoint (Xiao et al. 2018), trained on COCO at 192x256 or 288x384.

    Raises:
        RecipeError: no such depth or input size was published.
    """
    if input_size not in PUBLISHED_SIGMAS:
        sizes = " and ".join(f"{width}x{height}" for width, height in PUBLISHED_SIGMAS)
        raise RecipeError(f"no Pose-ResNet was published for an input of {input_size}: only {sizes} (W x H)")
    return NetworkCard(
        backbone=f"resnet-{depth}",
        width=64,
        input_size=input_size,
        colour_order="BGR",
        affine="simple-baseline",
        heatmap_sigma=PUBLISHED_SIGMAS[input_size],
        encoding="quantised",
        decoding="quarter",
        flip_shift=True,
        name=f"pose-resnet-{depth}-{input_size[1]}x{input_size[0]}",
        description="SimpleBaseline, trained by its authors on COCO",
        licence="MIT",
    )


PUBLISHED_SIGMAS: Mapping[Size, float] = {(192, 256): 2.0, (288, 384): 3.0}
REQUIRED = ("backbone", "width", "input_size")
CHOICES: Mapping[str, tuple[str | bool, ...]] = {
    "backbone": tuple(BACKBONES),
    "head": tuple(HEADS),
    "skeleton": tuple(SKELETONS),
    "colour_order": get_args(ColourOrder),
    "affine": get_args(AffineConvention),
    "encoding": get_args(Encoding),
    "decoding": get_args(Decoding),
    "flip_shift": (True, False),
}
WHOLE_NUMBERS = {"head_width": (1, 4096), "blur_kernel": (1, 255)}
POSITIVE_NUMBERS = {"width": 2048, "heatmap_sigma": 100}


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1e6  # False for NaN


def _positive(value: object, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= high


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _tuple_of(value: object, length: int) -> bool:
    return isinstance(value, tuple) and len(value) == length
