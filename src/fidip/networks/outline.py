"""Networks without numbers: what they would take of a device's memory, counted tensor by tensor."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

Module = TypeVar("Module", bound=nn.Module)

LOWERED = frozenset({torch.conv2d, torch.conv_transpose2d, F.linear, F.scaled_dot_product_attention})
"""What autocast computes in bf16 on a GPU, of all that networks here are made of."""

RAISED = frozenset({F.layer_norm, F.softmax, Tensor.softmax})
"""What it computes in float32; everything else takes what it is given."""


def outline(module: Module) -> Module:
    """A copy on the meta device: the same layers, modes and shapes, and none of the numbers."""
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
    for buffer in module.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return deepcopy(module, memo)


class Tally(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, the bytes of all tensors that are made are counted: those that live, and the most that ever did.

    Tensors that share a storage count once, for as long as any of them or any graph of autograd refers to it.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.is_meta:
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


class Kernels(TorchFunctionMode):
    """Inside, layers keep what those of a GPU would: attention is one kernel, and with ``bf16`` autocast is at work.

    The meta device knows neither: there attention keeps its whole matrix of weights.
    """

    def __init__(self, bf16: bool = False) -> None:
        super().__init__()
        self.bf16 = bf16
        self._lowered: dict[int, Tensor] = {}

    @contextmanager
    def once(self) -> Iterator[None]:
        """One pass: autocast makes one copy of a learning weight, and lets go of it at the end."""
        with self:
            yield
        self._lowered.clear()

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.bf16 and function in LOWERED:
            args, kwargs = tree_map_only(Tensor, self._lower, (args, kwargs))
        elif self.bf16 and function in RAISED:
            args, kwargs = tree_map_only(Tensor, Tensor.float, (args, kwargs))
        if function is F.scaled_dot_product_attention:
            return _FusedAttention.apply(*args)  # type: ignore[no-untyped-call]
        return function(*args, **kwargs)

    def _lower(self, tensor: Tensor) -> Tensor:
        if tensor.dtype != torch.float32:
            return tensor
        if not (tensor.is_leaf and tensor.requires_grad):
            return tensor.bfloat16()
        if id(tensor) not in self._lowered:
            self._lowered[id(tensor)] = tensor.bfloat16()
        return self._lowered[id(tensor)]


class _FusedAttention(torch.autograd.Function):
    """Shapes alone: keeps queries, keys, values, the result, and one number a query."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        result = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, result, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return result

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.empty_like(tensor) for tensor in ctx.saved_tensors[:3])
