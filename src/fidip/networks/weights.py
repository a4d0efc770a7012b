"""Weights on disk: one safetensors file with the network's card in its metadata.

Tensors carry the names of the public Pose-ResNet checkpoints (``conv1.weight`` … ``final_layer.bias``), so that other
programs can use the files too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from fidip.errors import DataError, RecipeError, WeightsError
from fidip.files import sha256_of, write_bytes
from fidip.networks.card import NetworkCard
from fidip.networks.foreign import MAX_HEADER_BYTES, State, few, read_header, read_safetensors, unreadable
from fidip.networks.heads import HEAD_MODULES
from fidip.networks.pose import PoseNet, build_pose_net

CARD_KEY = "fidip_card"
"""The metadata's only entry: with several, safetensors would write them in a random order."""

FOREIGN_HINT = "a published file is imported by fidip weights import"


def to_published_names(state: Mapping[str, Tensor]) -> State:
    """The state of a ``PoseNet`` under the names of the public files: without ``backbone.`` and ``head.``."""
    return {name.partition(".")[2]: tensor for name, tensor in state.items()}


def from_published_names(state: Mapping[str, Tensor]) -> State:
    """The inverse of ``to_published_names``."""
    return {("head." if name.startswith(HEAD_MODULES) else "backbone.") + name: t for name, t in state.items()}


def save_pose_net(net: PoseNet, path: Path | str, half: bool = False) -> None:
    """Write a network and its card to one safetensors file, whole or not at all; the same network gives the same bytes.

    ``half`` stores kernels and matrices in 16 bits; vectors (batch norm, biases) stay exact.

    Raises:
        WeightsError: a weight is not finite, or becomes so in half precision, or the card is too long.
        StorageError: the file cannot be written.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in to_published_names(net.state_dict()).items()}
    _require_finite(state, path, "nothing was written; go back to an earlier checkpoint")
    if half:
        state = {n: t.half() if t.ndim > 1 and t.is_floating_point() else t for n, t in state.items()}
        _require_finite(state, path, "too large for 16 bits, nothing was written; save with half=False")
    data = safetensors.torch.save(state, {CARD_KEY: net.card.to_json()})
    if int.from_bytes(data[:8], "little") > MAX_HEADER_BYTES:
        raise WeightsError(f"{path}: the card is too long, nothing was written; shorten its training field")
    write_bytes(path, data)


def require_weights_name(path: Path) -> None:
    """Refuse a name for our files that does not say what they are. Raises ``WeightsError``."""
    if path.suffix.lower() != ".safetensors":
        raise WeightsError(f"{path}: weights are written as safetensors; let the name end in .safetensors")


def require_another_file(path: Path, source: Path | str) -> None:
    """Refuse to write over what is read: inputs are never changed. Raises ``WeightsError``."""
    if path.resolve() == Path(source).resolve():
        raise WeightsError(f"{path}: would replace the file that is read; choose another name")


def load_pose_net(source: Path | str) -> PoseNet:
    """The network of a safetensors file, or of a name in ``embedded_names()``; in evaluation mode, in float32.

    Raises:
        WeightsError: no such file or name, not such a file, damaged, or not the network that its card describes.
    """
    with _file_of(source) as path:
        return _load(path)


def weights_sha256(source: Path | str) -> str:
    """The SHA-256 of the file that ``load_pose_net`` would read. Raises ``WeightsError`` if it cannot be read."""
    try:
        with _file_of(source) as path:
            return sha256_of(path)
    except DataError as error:
        raise WeightsError(str(error)) from error


def holds_card(source: Path | str) -> bool:
    """Whether a file says that this program wrote it, or the name is that of an embedded network.

    Raises:
        WeightsError: a file of ours, by its name, that is damaged or cannot be read.
    """
    with _file_of(source) as path:
        return path.suffix.lower() == ".safetensors" and CARD_KEY in _header(path).get("__metadata__", {})


def embedded_names() -> tuple[str, ...]:
    """The networks that come with the package, which ``load_pose_net`` takes by name."""
    folder = resources.files("fidip.networks") / "embedded"
    files = [Path(entry.name) for entry in folder.iterdir()] if folder.is_dir() else []
    return tuple(sorted(file.stem for file in files if file.suffix == ".safetensors"))


@contextmanager
def _file_of(source: Path | str) -> Iterator[Path]:
    """The file itself, or the package's own where a name without a suffix stands for no file here."""
    path = Path(source)
    if isinstance(source, Path) or path.suffix or path.name != source or path.exists():
        yield path
    else:
        with _embedded(source) as embedded:
            yield embedded


@contextmanager
def _embedded(name: str) -> Iterator[Path]:
    if name not in (names := embedded_names()):
        known = f"names that come with this package: {', '.join(names)}" if names else "this package comes with none"
        raise WeightsError(f"{name}: no such weights: {known}; or give the path of a .safetensors file")
    with resources.as_file(resources.files("fidip.networks") / "embedded" / f"{name}.safetensors") as path:
        yield path


def _load(path: Path) -> PoseNet:
    header = _header(path)
    try:
        state = read_safetensors(path)
    except OSError as error:
        raise unreadable(path, error) from error
    except SafetensorError as error:
        raise _damaged(path, error) from error
    metadata = header.get("__metadata__", {})
    if CARD_KEY not in metadata:
        raise WeightsError(f"{path}: holds no card, so it was not written by this program; {FOREIGN_HINT}")
    try:
        return filled_pose_net(NetworkCard.from_json(metadata[CARD_KEY]), state, path)
    except RecipeError as error:
        raise WeightsError(f"{path}: {error}") from error


def _header(path: Path) -> dict[str, Any]:
    try:
        return read_header(path)
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"{path}: damaged, or no safetensors file ({error}); copy it again; {FOREIGN_HINT}")


def filled_pose_net(card: NetworkCard, published: State, path: Path | str) -> PoseNet:
    """The network of a card with these tensors, in evaluation mode; ``path`` is what an error names.

    Raises:
        WeightsError: a tensor is missing, unknown, of another shape or type, or not finite.
    """
    with torch.device("meta"):  # compare before anything is allocated: the card may ask for any size
        expected = to_published_names(build_pose_net(card).state_dict())
    network = f"{card.backbone} of width {card.width:g}, head width {card.head_width}"
    if problem := differences(expected, published):
        raise WeightsError(f"{path}: not the weights of a {network}: {problem}; give the card of that network")
    _require_finite(published, path, "the file is damaged or its training diverged; use another")
    with torch.random.fork_rng(devices=[]):  # what is drawn here is overwritten: leave the caller's generator alone
        net = build_pose_net(card)
    net.load_state_dict(from_published_names(published))
    return net.eval()


def differences(expected: State, found: State) -> str:
    """What distinguishes two state dicts in names, shapes and kinds of numbers, in a few words; empty if nothing."""
    common = [name for name in expected if name in found]
    misshapen = [name for name in common if expected[name].shape != found[name].shape]
    names = {
        "missing": [name for name in expected if name not in found],
        "unknown": [name for name in found if name not in expected],
        "of another shape": misshapen,
        "of another type": [name for name in common if not _same_kind(expected[name], found[name])],
    }
    problems = [f"{few(those)} {problem}" for problem, those in names.items() if those]
    if misshapen:
        here, there = (tuple(state[misshapen[0]].shape) for state in (found, expected))
        problems.append(f"{misshapen[0]} is {here}, not {there}")
    return "; ".join(problems)


def _same_kind(expected: Tensor, found: Tensor) -> bool:
    return expected.is_floating_point() == found.is_floating_point() and not found.is_complex()


def _require_finite(state: State, path: Path | str, remedy: str) -> None:
    if names := [n for n, t in state.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]:
        raise WeightsError(f"{path}: {few(names)} not finite: {remedy}")
