"""All that is needed to go on as if nothing had happened, in one safetensors file: tensors and JSON, no pickle.

The file is written aside, flushed and renamed, so that at every moment either the old or the new one stands there,
whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fidip.errors import TrainingError, WeightsError
from fidip.files import write_bytes
from fidip.training.stages import Learners

KEY = "fidip_checkpoint"
"""The metadata's only entry, so that the same state gives the same bytes."""

CPU_GENERATOR, CUDA_GENERATOR = "generator/cpu", "generator/cuda"


def write_checkpoint(path: Path, learners: Learners, facts: Mapping[str, Any]) -> None:
    """Write networks, optimisers, torch's generators and ``facts`` (anything JSON can hold), whole or not at all.

    Raises:
        TrainingError: a weight is not finite; the file stays as it was.
        StorageError: it cannot be written; the file stays as it was.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in _state(learners).items()}
    _refuse_broken(path, state)
    write_bytes(path, safetensors.torch.save(state, {KEY: json.dumps(facts, allow_nan=False)}))


def refuse_broken(path: Path, learners: Learners) -> None:
    """Raise ``TrainingError`` if anything that a checkpoint would hold is not finite: such a network is not judged."""
    _refuse_broken(path, _state(learners))


def _refuse_broken(path: Path, state: Mapping[str, Tensor]) -> None:
    broken = [n for n, t in state.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    if broken:
        remedy = "the last checkpoint is intact: start again with a lower learning rate"
        raise TrainingError(f"{path}: not written, since {broken[0]} is not finite after the last step; {remedy}")


def read_facts(path: Path) -> dict[str, Any]:
    """The facts of a checkpoint. Raises ``WeightsError`` if the file is damaged or something else."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(json.loads((file.metadata() or {})[KEY]))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}; check the path") from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: damaged, or no checkpoint of this program; choose another --out") from error
    return facts


def restore(path: Path, learners: Learners) -> None:
    """Put the networks, their optimisers and torch's generators in the state that ``write_checkpoint`` saw.

    Raises:
        WeightsError: the file is damaged, or of other networks.
    """
    try:
        state = safetensors.torch.load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{path}: damaged: {error}; choose another --out") from error
    try:
        learners.pose_net.load_state_dict(_part(state, "pose_net/"))
        _restore_optimizer(learners.pose_optimizer, _part(state, "pose_optimizer/"))
        if learners.classifier is not None and learners.domain_optimizer is not None:
            learners.classifier.load_state_dict(_part(state, "classifier/"))
            _restore_optimizer(learners.domain_optimizer, _part(state, "domain_optimizer/"))
        for name, companion in learners.companions.items():
            companion.load_state_dict(_part(state, f"{name}/"))
    except (RuntimeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{path}: of another network: {reason:.200}; choose another --out") from error
    if CPU_GENERATOR not in state:
        raise WeightsError(f"{path}: damaged: it holds no {CPU_GENERATOR}; choose another --out")
    torch.set_rng_state(state[CPU_GENERATOR])
    if CUDA_GENERATOR in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state[CUDA_GENERATOR])


def difference(old: Any, new: Any, where: str = "") -> str | None:
    """The first place where two JSON values differ, and how; ``None`` if they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            found = difference(old.get(key), new.get(key), f"{where}.{key}" if where else key)
            if found:
                return found
        return None
    return None if old == new else f"{where} was {old!r:.60}, is {new!r:.60}"


def beside_the_pose_network(learners: Learners) -> list[Tensor]:
    """What every process of several computes for itself: classifier, its optimiser's moments, the mean of a share."""
    modules = [module for module in (learners.classifier, learners.balance) if module is not None]
    tensors = [tensor for module in modules for tensor in module.state_dict().values()]
    moments = {} if learners.domain_optimizer is None else learners.domain_optimizer.state
    tensors += [tensor for state in moments.values() for tensor in state.values()]
    return [tensor for tensor in tensors if tensor.is_floating_point()]


def _state(learners: Learners) -> dict[str, Tensor]:
    state = {f"pose_net/{name}": tensor for name, tensor in learners.pose_net.state_dict().items()}
    state |= _optimizer_state("pose_optimizer/", learners.pose_optimizer)
    if learners.classifier is not None and learners.domain_optimizer is not None:
        state |= {f"classifier/{name}": tensor for name, tensor in learners.classifier.state_dict().items()}
        state |= _optimizer_state("domain_optimizer/", learners.domain_optimizer)
    for part, companion in learners.companions.items():
        state |= {f"{part}/{name}": tensor for name, tensor in companion.state_dict().items()}
    state[CPU_GENERATOR] = torch.get_rng_state()
    if any(tensor.is_cuda for tensor in state.values()):
        state[CUDA_GENERATOR] = torch.cuda.get_rng_state()
    return state


def _optimizer_state(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's moments and counts by the position of their parameter; its settings are the recipe's."""
    moments = optimizer.state_dict()["state"]
    return {f"{prefix}{index}/{name}": value for index, entry in moments.items() for name, value in entry.items()}


def _restore_optimizer(optimizer: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in moments.items():
        index, _, entry = name.partition("/")
        like = parameters[int(index)]
        # In the parameter's memory layout, so that the same kernels go on with it.
        alike = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        state.setdefault(int(index), {})[entry] = alike
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
