"""Published weights in, our file out, and back: the file's names become ours, and a card says the rest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from fidip.errors import DataError, RecipeError, WeightsError
from fidip.files import sha256_of, write_bytes
from fidip.networks.architectures import architecture_of
from fidip.networks.card import NetworkCard
from fidip.networks.foreign import State, few, read_foreign, without_prefix
from fidip.networks.heads import HEAD_MODULES
from fidip.networks.layouts import LAYOUTS, Layout, layouts_of
from fidip.networks.pose import PoseNet, build_pose_net
from fidip.networks.published import PUBLISHED
from fidip.networks.registry import known_as
from fidip.networks.weights import differences, filled_pose_net, to_published_names

COUNTER = "num_batches_tracked"
"""Batch norm's own count of batches; files of old versions of PyTorch do not have it, and nothing here needs it."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a file does not say."""

    card: str = ""  # a name in PUBLISHED; empty where the layout and the file leave no choice
    licence: str = ""  # of the file, where it is not the published one
    seed: int = 0  # of a head that is drawn anew


def import_weights(path: Path | str, layout: str, options: Options = Options()) -> PoseNet:
    """The network of a published file, in evaluation mode; its card says where it comes from, with the SHA-256.

    Raises:
        WeightsError: unreadable, refused, of another layout, or a tensor is missing, unknown or of another shape.
            Also if which card is meant cannot be told, or the named one does not exist.
        RecipeError: there is no such layout.
    """
    path = Path(path)
    if layout not in LAYOUTS:
        raise RecipeError(f"no layout {layout!r}: choose from {', '.join(LAYOUTS)}")
    origin = _origin(path, layout)
    state = read_foreign(path)
    left_out = _left_out(path, layout, state)
    theirs = {name: tensor for name, tensor in state.items() if name not in left_out}
    added = _add_counters(theirs)
    chosen = LAYOUTS[layout]
    try:
        ours = chosen.to_ours(theirs)
    except RuntimeError as error:  # parts of one matrix whose shapes do not belong together
        raise WeightsError(f"{path}: not of the layout {layout}: {error}") from error
    training: dict[str, Any] = {"origin": origin}
    origin |= {"left_out": chosen.summary(left_out)} if left_out else {}
    origin |= {"counters": False} if added else {}
    architecture = architecture_of(ours, path)
    try:
        card = _card(path.name, chosen, architecture, options)
        _require_same(path, chosen, card, theirs)
        if chosen.backbone_only:
            training["head"] = f"newly drawn with seed {options.seed}, not trained"
            ours |= _new_head(card, options.seed)
        return filled_pose_net(replace(card, training=training), ours, path)
    except RecipeError as error:
        raise WeightsError(f"{path}: {error}") from error


def export_weights(net: PoseNet, layout: str) -> State:
    """The tensors of a network as files of a layout have them, the inverse of ``import_weights``.

    Of a backbone's layout what the import left out stays out, and so does the head.

    Raises:
        RecipeError: there is no such layout, or it is not one of such networks.
    """
    if layout not in LAYOUTS:
        raise RecipeError(f"no layout {layout!r}: choose from {', '.join(LAYOUTS)}")
    chosen = LAYOUTS[layout]
    state = {name: tensor.detach().cpu() for name, tensor in to_published_names(net.state_dict()).items()}
    if not _of_such_networks(chosen, net.card):
        raise RecipeError(
            f"{net.card.backbone} with the head {net.card.head}: the layout {layout} has no such networks"
        )
    if chosen.backbone_only:
        state = {name: tensor for name, tensor in state.items() if not name.startswith(HEAD_MODULES)}
    origin = net.card.training.get("origin", {})
    if isinstance(origin, dict) and origin.get("counters") is False:
        state = {name: tensor for name, tensor in state.items() if not name.endswith(COUNTER)}
    return chosen.to_theirs(state)


def _origin(path: Path, layout: str) -> dict[str, Any]:
    """Where the file comes from, told before it is opened."""
    try:
        digest = sha256_of(path)
    except DataError as error:
        raise WeightsError(str(error)) from error
    origin = {"file": path.name, "sha256": digest, "layout": layout}
    published = known_as(path, digest)
    return origin | ({"published_as": published.name, "page": published.page} if published else {})


def write_state(state: State, path: Path | str) -> None:
    """Write a plain state dict as ``.safetensors`` or, by any other name, as PyTorch does.

    Raises:
        StorageError: the file cannot be written.
    """
    if Path(path).suffix.lower() == ".safetensors":
        data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in state.items()})
    else:
        stream = BytesIO()
        torch.save(OrderedDict(state), stream)
        data = stream.getvalue()
    write_bytes(path, data)


def _left_out(path: Path, layout: str, state: State) -> list[str]:
    """The names of what no pose network needs, in a file that is of this layout."""
    if missing := [mark for mark in LAYOUTS[layout].marks if mark not in state]:
        likely = f"; it may be of the layout {' or '.join(others)}" if (others := layouts_of(state)) else ""
        holds = f"it holds {few(list(state))}{likely}"
        raise WeightsError(f"{path}: not of the layout {layout}: {few(missing)} missing, {holds}")
    return LAYOUTS[layout].unused(state)


def _add_counters(state: State) -> bool:
    """Give batch norm its counters, at 0, where a file of an old version of PyTorch has none of them."""
    means = [name for name in state if name.endswith("running_mean")]
    missing = bool(means) and not any(name.endswith(COUNTER) for name in state)
    for name in means if missing else []:
        state[name.removesuffix("running_mean") + COUNTER] = torch.tensor(0)
    return missing


def _require_same(path: Path, layout: Layout, card: NetworkCard, theirs: State) -> None:
    """Compare names and shapes as the file has them, so that an error speaks the file's language."""
    with torch.device("meta"):
        ours = to_published_names(build_pose_net(card).state_dict())
    if layout.backbone_only:
        ours = {name: tensor for name, tensor in ours.items() if not name.startswith(HEAD_MODULES)}
    if problem := differences(without_prefix(layout.to_theirs(ours)), theirs):
        raise WeightsError(f"{path}: not a {card.backbone} of width {card.width:g}: {problem}")


def _card(name: str, layout: Layout, architecture: Mapping[str, Any], options: Options) -> NetworkCard:
    """The published card of this file, or the named card with this file's architecture."""
    if options.card and options.card not in PUBLISHED:
        raise RecipeError(f"no card {options.card!r}: choose from {', '.join(_cards_of(layout) or PUBLISHED)}")
    if layout.backbone_only:
        return _backbone_card(layout, architecture, options)
    cards = {name: PUBLISHED[name] for name in _cards_of(layout)}
    fitting = [each for each, card in cards.items() if all(getattr(card, key) == v for key, v in architecture.items())]
    sized = [each for each in fitting if each.rpartition("-")[2] in name.replace("×", "x")]  # as DarkPose writes
    if options.card:
        chosen = PUBLISHED[options.card]
    elif len(choice := sized or fitting) == 1:
        chosen = cards[choice[0]]
    else:
        network = f"{architecture['backbone']} of width {architecture['width']:g}"
        which = "was published in several ways" if choice else "was not published in this layout"
        raise RecipeError(f"a {network} {which}: name one with --card, of {', '.join(choice or cards)}")
    if any(getattr(chosen, key) != value for key, value in architecture.items()):
        chosen = replace(
            chosen, **architecture, name="", description=f"in the conventions of {chosen.name}", licence=""
        )
    return replace(chosen, licence=options.licence or chosen.licence)


def _backbone_card(layout: Layout, architecture: Mapping[str, Any], options: Options) -> NetworkCard:
    """ImageNet's networks were all shown RGB; the other conventions are ours unless a card was named."""
    backbone, width = architecture["backbone"], architecture["width"]
    chosen = PUBLISHED[options.card] if options.card else NetworkCard(backbone, width, (192, 256))
    if (chosen.backbone, chosen.width) != (backbone, width):
        raise RecipeError(f"--card {options.card}: of a {chosen.backbone}, but the file holds a {backbone}")
    return replace(
        chosen,
        colour_order="RGB",
        name=f"{backbone}-imagenet",
        description=f"{layout.origin}; the head is newly drawn",
        licence=options.licence or layout.licence,
    )


def _cards_of(layout: Layout) -> list[str]:
    return [name for name in PUBLISHED if layout.cards and name.startswith(layout.cards)]


def _of_such_networks(layout: Layout, card: NetworkCard) -> bool:
    if layout.backbone_only:
        family = "resnet" if "fc.weight" in layout.marks else "hrnet"
        return card.backbone.partition("-")[0] == family
    kinds = {(PUBLISHED[n].backbone.partition("-")[0], PUBLISHED[n].head) for n in _cards_of(layout)}
    return (card.backbone.partition("-")[0], card.head) in kinds


def _new_head(card: NetworkCard, seed: int) -> State:
    with torch.random.fork_rng(devices=[]):  # leave the caller's generator alone
        net = build_pose_net(card, torch.Generator().manual_seed(seed))
    return {name: t for name, t in to_published_names(net.state_dict()).items() if name.startswith(HEAD_MODULES)}
