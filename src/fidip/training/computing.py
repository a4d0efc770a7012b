"""How a run computes what its recipe says: on what, how exactly, how much at once.

All that is known of Lightning Fabric stands here.
"""

from __future__ import annotations

import atexit
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from fidip.errors import RecipeError, TrainingError
from fidip.geometry import Size
from fidip.networks.devices import find_device
from fidip.networks.pose import PoseNet

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["32", "bf16"]
"""Of the pose network's own arithmetic. Weights, losses, classifiers, decoding and validation are float32 always."""

FABRICS: dict[Precision, Literal["32-true", "bf16-mixed"]] = {"32": "32-true", "bf16": "bf16-mixed"}


TORCHRUN = "TORCHELASTIC_RUN_ID"
"""What ``torchrun`` sets and nobody else."""

PATIENCE = timedelta(hours=2)
"""So long processes wait for each other: the first one validates alone."""

T = TypeVar("T")


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
    """The processes that compute a run together, as ``torchrun`` started them, and which of them this one is.

    The functions below do nothing, or the obvious, where there is one process; where there are more, all must call
    them in the same order. They raise ``TrainingError`` if another process is gone.
    """

    device: torch.device
    fabric: Fabric | None = None  # None: one process in float32, which needs no help
    size: int = 1
    number: int = 0

    @classmethod
    def start(cls, computing: Computing, device: str) -> Group:
        """Find the device of this process, and the other processes.

        Raises:
            RecipeError: there is no such device, or what is asked for cannot be computed there.
        """
        size, number, neighbours, place = processes(), process_number(), 1, find_device(device)
        if size > 1:
            neighbours = int(os.environ["LOCAL_WORLD_SIZE"])
            place = _own_device(place, neighbours)
        computing.validate(place)
        if size == 1 and computing.precision == "32":
            return cls(place)
        from lightning_fabric import Fabric  # takes two seconds
        from lightning_fabric.strategies.ddp import DDPStrategy

        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        fabric = Fabric(
            accelerator=place.type,
            devices=neighbours if size > 1 or place.index is None else [place.index],
            num_nodes=size // neighbours,
            strategy=DDPStrategy(timeout=PATIENCE) if size > 1 else "auto",
            precision=FABRICS[computing.precision],
        )
        if size > 1:
            fabric.launch()
            atexit.register(_part)
        return cls(place, fabric, size, number)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.number == 0

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Inside, layers compute in the precision that was chosen."""
        return nullcontext() if self.fabric is None else self.fabric.autocast()

    def add_up(self, tensors: Sequence[Tensor], divisor: int = 1) -> None:
        """Put the sum over all processes, divided, in the tensors' place."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().flatten().to(self.device) for tensor in tensors])
        with self._linked() as fabric:
            fabric.all_reduce(flat, reduce_op="sum")
        sizes = [tensor.numel() for tensor in tensors]
        with torch.no_grad():
            for tensor, part in zip(tensors, torch.split(flat, sizes), strict=True):
                tensor.copy_(part.view(tensor.shape) / divisor)

    def follow_first(self, tensors: Sequence[Tensor]) -> None:
        """Put what the first process has in the tensors' place."""
        with torch.no_grad():
            for tensor in tensors if not self.first else ():
                tensor.zero_()
        self.add_up(tensors)

    def told(self, value: T) -> T:
        """What the first process has to say."""
        if self.size == 1:
            return value
        with self._linked() as fabric:
            return fabric.broadcast(value)

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            with self._linked() as fabric:
                fabric.barrier()

    @contextmanager
    def _linked(self) -> Iterator[Fabric]:
        assert self.fabric is not None
        try:
            yield self.fabric
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            problem = f"process {self.number + 1} of {self.size} lost the others ({' '.join(str(error).split()):.100})"
            raise TrainingError(f"{problem}; one of them ended and says why; go on with --resume") from error


def processes() -> int:
    """How many processes ``torchrun`` has started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if TORCHRUN in os.environ else 1


def process_number() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ["RANK"]) if TORCHRUN in os.environ else 0


def _part() -> None:
    """Take leave of the other processes: gloo's threads end a process that forgets it with SIGABRT."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _own_device(device: torch.device, neighbours: int) -> torch.device:
    """The device of this process among its neighbours on the same machine. Raises ``RecipeError`` if there is none."""
    if device.type == "cpu":
        return device
    if device.type == "cuda" and neighbours <= torch.cuda.device_count():
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    found = f"{torch.cuda.device_count()} GPUs" if device.type == "cuda" else f"one device {device.type}"
    raise RecipeError(f"{neighbours} processes on this machine, which has {found}: start as many as there are")


def prepare(net: PoseNet, computing: Computing, group: Group) -> None:
    """Make a network that is going to learn compute as it was chosen. Its weights keep their names and places."""
    if group.size > 1 and group.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
    if computing.compile:
        # The compiler looks at the gradient of features, which have none of their own, and torch warns of it.
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf", UserWarning)
        for part in (net.backbone, net.head):
            part.compile()


ALLOCATORS = ("out of memory", "allocate memory", "not enough memory", "ALLOC_FAILED")
"""How errors of CUDA, cuDNN, Metal and the CPU's allocator can be told from others."""


@contextmanager
def want_of_memory_told(computing: Computing, batch_size: int, input_size: Size | None) -> Iterator[None]:
    """Inside, an allocation that fails becomes a ``TrainingError`` that names the numbers to change."""
    parts, size = computing.accumulate, f" at {input_size[0]}x{input_size[1]}" if input_size else ""
    whole = f"batches of {batch_size}" + (f" in {parts} parts" if parts > 1 else "")
    remedies = [f"--accumulate {2 * parts}"] if 4 * parts <= batch_size else []
    remedies += ["--precision bf16"] if computing.precision == "32" else []
    remedies += ["a smaller --set batch_size or --set input_size"]
    numbers = f"with {whole}{size}, precision {computing.precision}; start again with {', '.join(remedies)}"
    with out_of_memory_told(f"{numbers}; what was saved is intact"):
        yield


@contextmanager
def out_of_memory_told(where: str) -> Iterator[None]:
    """Inside, an allocation that fails becomes a ``TrainingError`` that says where, and what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        short = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not short and not any(words in str(error) for words in ALLOCATORS):
            raise
        raise TrainingError(f"out of memory {where}") from error
