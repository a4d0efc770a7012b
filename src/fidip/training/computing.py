"""How a run computes what its recipe says: on what, how exactly, how much at once.

All that is known of Lightning Fabric stands here.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from fidip.errors import RecipeError, TrainingError
from fidip.geometry import Size
from fidip.networks.pose import PoseNet

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["32", "bf16"]
"""Of the pose network's own arithmetic. Weights, losses, classifiers, decoding and validation are float32 always."""

FABRICS: dict[Precision, Literal["32-true", "bf16-mixed"]] = {"32": "32-true", "bf16": "bf16-mixed"}


@dataclass(frozen=True, slots=True)
class Computing:
    """The choices. Another one gives other last bits, so a run that is resumed must keep to them."""

    precision: Precision = "32"
    accumulate: int = 1  # parts in which a batch goes through the pose network, one after the other
    compile: bool = False  # the pose network, by torch.compile

    def validate(self, device: torch.device) -> None:
        """Check the choices against the device.

        Raises:
            RecipeError: one of them is impossible.
        """
        if self.precision not in get_args(Precision):
            raise RecipeError(f"precision {self.precision!r}: choose from {', '.join(get_args(Precision))}")
        if self.precision == "bf16" and device.type == "mps":
            raise RecipeError("precision bf16 on mps, where it is not to be had: choose 32")
        if self.accumulate < 1:
            raise RecipeError(f"accumulate {self.accumulate}: a batch goes through in at least 1 part")

    def to_json(self) -> dict[str, Any]:
        """The choices in the types of JSON."""
        return asdict(self)


PLAIN = Computing()
"""Exact, whole batches, in one process."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The processes that compute a run together (so far one), and the device of this one."""

    device: torch.device
    fabric: Fabric | None = None  # None: one process in float32, which needs no help

    @classmethod
    def start(cls, computing: Computing, device: torch.device) -> Group:
        """What the choices ask for."""
        if computing.precision == "32":
            return cls(device)
        from lightning_fabric import Fabric  # takes two seconds

        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        devices = 1 if device.index is None else [device.index]
        fabric = Fabric(accelerator=device.type, devices=devices, precision=FABRICS[computing.precision])
        return cls(device, fabric)

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Inside, layers compute in the precision that was chosen."""
        return nullcontext() if self.fabric is None else self.fabric.autocast()


def prepare(net: PoseNet, computing: Computing) -> None:
    """Make a network that is going to learn compute as it was chosen. Its weights keep their names and places."""
    if computing.compile:
        # The compiler looks at the gradient of features, which have none of their own, and torch warns of it.
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf", UserWarning)
        for part in (net.backbone, net.head):
            part.compile()


ALLOCATORS = ("out of memory", "allocate memory", "not enough memory", "ALLOC_FAILED")
"""How errors of CUDA, cuDNN, Metal and the CPU's allocator can be told from others."""


@contextmanager
def want_of_memory_told(computing: Computing, batch_size: int, input_size: Size) -> Iterator[None]:
    """Inside, an allocation that fails becomes a ``TrainingError`` that names the numbers to change."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        short = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not short and not any(words in str(error) for words in ALLOCATORS):
            raise
        (width, height), parts = input_size, computing.accumulate
        whole = f"batches of {batch_size}" + (f" in {parts} parts" if parts > 1 else "")
        numbers = f"{whole} at {width}x{height}, precision {computing.precision}"
        remedies = [f"--accumulate {2 * parts}"] if 4 * parts <= batch_size else []
        remedies += ["--precision bf16"] if computing.precision == "32" else []
        remedies += ["a smaller --set batch_size or --set input_size"]
        problem = f"out of memory with {numbers}; start again with {', '.join(remedies)}"
        raise TrainingError(f"{problem}; what was saved is intact") from error
