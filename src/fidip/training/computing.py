"""How a run computes what its recipe says, which is none of the recipe's business: on what, and how exactly."""

from __future__ import annotations

import logging
import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from fidip.data.augment import Batch
from fidip.errors import RecipeError
from fidip.networks.pose import PoseNet, PoseOutput
from fidip.training.stages import at_once

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["32", "bf16"]
"""Of the pose network's own arithmetic. Weights, losses, classifiers, decoding and validation are float32 always."""


@dataclass(frozen=True, slots=True)
class Computing:
    """The choices. Another one gives other last bits, so a run that is resumed must keep to them."""

    precision: Precision = "32"
    compile: bool = False  # the pose network, by torch.compile

    def validate(self, device: torch.device) -> None:
        """Check the choices against the device.

        Raises:
            RecipeError: one of them is impossible.
        """
        if self.precision not in get_args(Precision):
            raise RecipeError(f"precision {self.precision!r}: choose from {', '.join(get_args(Precision))}")
        if self.precision == "bf16" and device.type == "mps":
            raise RecipeError("precision bf16 on mps, which has no such arithmetic for convolutions: choose 32")

    def to_json(self) -> dict[str, Any]:
        """The choices in the types of JSON."""
        return asdict(self)


PLAIN = Computing()
"""Exact, one batch at a time, in one process."""


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """The pass of a batch through the pose network."""

    fabric: Fabric | None = None  # None: one process, float32

    @classmethod
    def of(cls, computing: Computing, device: torch.device) -> Pass:
        """What the choices ask for."""
        return cls() if computing.precision == "32" else cls(_fabric(computing, device))

    def __call__(self, net: PoseNet, batch: Batch) -> PoseOutput:
        """Heatmaps and features of the batch, in float32, with their gradients."""
        if self.fabric is None:
            return at_once(net, batch)
        with self.fabric.autocast():
            features = net.features_of(batch.images).float()
            heatmaps = net.head(features).float()
        return PoseOutput(heatmaps, features)


def _fabric(computing: Computing, device: torch.device) -> Fabric:
    from lightning_fabric import Fabric  # two seconds that most runs need not wait

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    devices = 1 if device.index is None else [device.index]
    return Fabric(accelerator=device.type, devices=devices, precision=PRECISIONS[computing.precision])


PRECISIONS: dict[Precision, Literal["32-true", "bf16-mixed"]] = {"32": "32-true", "bf16": "bf16-mixed"}


def prepare(net: PoseNet, computing: Computing) -> None:
    """Make a network that is going to learn compute as it was chosen. Its weights keep their names and places."""
    if computing.compile:
        # The compiler looks at the gradient of features, which have none of their own, and torch warns of it.
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf", UserWarning)
        for part in (net.backbone, net.head):
            part.compile()
