"""Weights on disk: one safetensors file with the network's card in its metadata; and the public ``.pth`` files, read.

Tensors carry the names of the public Pose-ResNet checkpoints (``conv1.weight`` … ``final_layer.bias``), so that other
programs can use the files too.
"""

from __future__ import annotations

import json
import pickle
import warnings
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
from fidip.files import object_without_repeats, sha256_of, write_bytes
from fidip.networks.card import NetworkCard
from fidip.networks.heads import HEAD_MODULES
from fidip.networks.pose import PoseNet, build_pose_net

State = dict[str, Tensor]

CARD_KEY = "fidip_card"
"""The metadata's only entry: with several, safetensors would write them in a random order."""

MAX_HEADER_BYTES = 1 << 22
"""Names, shapes and card of the largest network here need a fortieth of it."""

DTYPES = ("F64", "F32", "F16", "BF16", "I64")
FOREIGN_STATES = ("best_state_dict", "state_dict")
"""Under which keys the published training scripts put the weights, the better ones first."""

COUNTER = "num_batches_tracked"
FOREIGN_HINT = "a published .pth file is read by fidip.networks.weights.import_pose_resnet"


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
    try:
        header = _read_header(path)
        state = safetensors.torch.load_file(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path}: damaged, or no safetensors file ({error}); copy it again; {FOREIGN_HINT}"
        ) from error
    metadata = header.get("__metadata__", {})
    if CARD_KEY not in metadata:
        raise WeightsError(f"{path}: holds no card, so it was not written by this program; {FOREIGN_HINT}")
    try:
        return _filled(NetworkCard.from_json(metadata[CARD_KEY]), state, path)
    except RecipeError as error:
        raise WeightsError(f"{path}: {error}") from error


def _read_header(path: Path) -> dict[str, Any]:
    """The JSON at the head of a safetensors file, read more strictly than by the library: no name twice, few types."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"a header of {length} bytes")
        text = stream.read(length).decode("utf-8")
    header = json.loads(text, object_pairs_hook=object_without_repeats)
    if not isinstance(header, dict):
        raise ValueError("the header is no JSON object")
    for name, entry in header.items():
        if name != "__metadata__" and (not isinstance(entry, dict) or entry.get("dtype") not in DTYPES):
            raise ValueError(f"{name} is of another type than {', '.join(DTYPES)}")
    return header


def _unreadable(path: Path | str, error: OSError) -> WeightsError:
    return WeightsError(f"{path}: cannot be read: {error.strerror or error}; check the path")


def _filled(card: NetworkCard, published: State, path: Path | str) -> PoseNet:
    with torch.device("meta"):  # compare before anything is allocated: the card may ask for any size
        expected = to_published_names(build_pose_net(card).state_dict())
    network = f"{card.backbone} of width {card.width:g}, head width {card.head_width}"
    differences = {
        "missing": [name for name in expected if name not in published],
        "unknown": [name for name in published if name not in expected],
        "of another shape": [n for n in expected if n in published and expected[n].shape != published[n].shape],
        "of another type": [n for n in expected if n in published and not _same_kind(expected[n], published[n])],
    }
    if found := [f"{_few(names)} {problem}" for problem, names in differences.items() if names]:
        raise WeightsError(f"{path}: not the weights of a {network}: {'; '.join(found)}; give the card of that network")
    _require_finite(published, path, "the file is damaged or its training diverged; use another")
    with torch.random.fork_rng(devices=[]):  # what is drawn here is overwritten: leave the caller's generator alone
        net = build_pose_net(card)
    net.load_state_dict(from_published_names(published))
    return net.eval()


def _same_kind(expected: Tensor, found: Tensor) -> bool:
    return expected.is_floating_point() == found.is_floating_point() and not found.is_complex()


def _require_finite(state: State, path: Path | str, remedy: str) -> None:
    if names := [n for n, t in state.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]:
        raise WeightsError(f"{path}: {_few(names)} not finite: {remedy}")


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


class _Ignored:
    """Stands for NumPy's scalars in a foreign checkpoint, whose figures nobody needs: holds nothing, does nothing."""

    def __new__(cls, *_: object) -> _Ignored:
        return object.__new__(cls)

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


NUMPY_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")


def read_foreign(path: Path | str) -> State:
    """The weights in a ``.pth`` file of somebody else's, on the CPU; nothing in the file is executed.

    Accepted: a plain state dict, one below ``best_state_dict`` or ``state_dict``, each with or without the prefix
    ``module.`` that data parallel training leaves.

    Raises:
        WeightsError: unreadable, holds more than plain data (it could run code), or holds no state dict.
    """
    allowed: list[Any] = [(_Ignored, name) for name in NUMPY_SCALARS]
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings(action="ignore"):  # of odd pickles
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise _unreadable(path, error) from error
    except pickle.UnpicklingError as error:
        reason = str(error).partition("WeightsUnpickler error: ")[2].split("\n")[0].strip()
        problem = f"refused, nothing in it was run: it holds more than weights ({reason or 'not a plain pickle'})"
        raise WeightsError(f"{path}: {problem}; ask its author for a plain state dict") from error
    except Exception as error:  # a damaged file makes the reader fail in any way whatever
        raise WeightsError(f"{path}: damaged, or no PyTorch file ({type(error).__name__}); copy it again") from error
    if isinstance(content, dict):
        content = next((content[key] for key in FOREIGN_STATES if isinstance(content.get(key), dict)), content)
    if not isinstance(content, dict) or not content or not all(isinstance(key, str) for key in content):
        raise WeightsError(f"{path}: holds no state dict; save one with torch.save(net.state_dict(), path)")
    if others := [name for name, value in content.items() if not isinstance(value, Tensor)]:
        raise WeightsError(f"{path}: {_few(others)} no tensor: no state dict; save net.state_dict() alone")
    prefix = "module." if all(name.startswith("module.") for name in content) else ""
    return {name.removeprefix(prefix): tensor.detach() for name, tensor in content.items()}


def import_pose_resnet(path: Path | str, card: NetworkCard) -> PoseNet:
    """The network of a published Pose-ResNet checkpoint, in evaluation mode.

    ``card`` says what the file does not: see ``published_pose_resnet``. Batch norm's counters may be absent, as they
    are in files of old versions of PyTorch; everything else must be there, and nothing more.

    Raises:
        WeightsError: unreadable, refused, or not the network of the card; the message names what differs.
    """
    state = read_foreign(path)
    for name in list(state):
        if name.endswith("running_mean"):
            state.setdefault(name.removesuffix("running_mean") + COUNTER, torch.tensor(0))
    return _filled(card, state, path)
