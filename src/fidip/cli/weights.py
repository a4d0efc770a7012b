"""``fidip weights``: published weights listed, fetched, imported, exported and inspected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from fidip.errors import RecipeError

if TYPE_CHECKING:
    from fidip.networks.registry import PublishedFile

Report = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
Cache = Annotated[Path | None, tyro.conf.arg(metavar="DIR")]
LayoutName = Annotated[str, tyro.conf.arg(metavar="LAYOUT")]

MEBI = 1 << 20


def list_(*, cache: Cache = None, json: Report = None) -> None:
    """List the published weights that fidip can read: size, layout, licence, and what is at hand already.

    Args:
        cache: Where fetched files are; fidip's own cache unless told.
        json: Also write the list to this file.
    """
    from dataclasses import asdict

    from fidip.cli.output import write_report
    from fidip.networks.registry import registry
    from fidip.networks.weights import embedded_names, load_pose_net

    embedded = {name: load_pose_net(name).card for name in embedded_names()}
    print("with this package:")
    for name, card in embedded.items():
        print(f"  {name:<36}{card.backbone}, width {card.width:g}, {card.licence}")
    print("\npublished by others:")
    entries = {}
    for name, published in registry().items():
        path = published.path(cache)
        state = "in the cache" if path.is_file() else ("fetch" if published.address else "by hand")
        print(f"  {name:<36}{_size(published):>8}  {published.layout:<23}{state:<14}{published.licence}")
        entries[name] = {**asdict(published), "cached": path if path.is_file() else None}
    print("\nfetch: fidip weights fetch NAME. By hand: the same command says how.")
    write_report(json, {"embedded": list(embedded), "published": entries})


def _size(published: PublishedFile) -> str:
    if published.size:
        return f"{published.size / 1e6:.0f} MB"
    return f"{published.megabytes} MB" if published.megabytes else "?"


def fetch(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")],
    *,
    cache: Cache = None,
    address: Annotated[str, tyro.conf.arg(metavar="URL")] = "",
    json: Report = None,
) -> None:
    """Fetch published weights into the cache, resumed where it broke off and verified before anything is opened.

    This is the only command that opens a connection to another machine. A proxy is taken from HTTPS_PROXY. Where a
    licence or a form stands between, nothing is fetched and the steps are said.

    Args:
        name: A name that fidip weights list shows.
        cache: Where the file goes; fidip's own cache unless told.
        address: Another place that has the same file, such as your institution's server.
        json: Also write what came to this file.
    """
    from fidip.cli.output import write_report
    from fidip.cli.progress import bar
    from fidip.networks.registry import fetch as bring
    from fidip.networks.registry import published_file

    published = published_file(name)
    terms = f"; {published.terms}" if published.terms else ""
    print(f"{name}: licence {published.licence}{terms}; {published.page}")
    size = published.size or (published.megabytes or 0) * 1_000_000
    with bar(f"{name}, MiB", size // MEBI or None) as show:
        path, digest = bring(published, cache, show=lambda done, _: show(done // MEBI), address=address)
    print(f"{path}: {path.stat().st_size} bytes")
    print(f"sha256 {digest}: {_verdict(published.sha256)}")
    print(f"next: {published.import_line(path)}")
    write_report(json, {"name": name, "path": path, "bytes": path.stat().st_size, "sha256": digest})


def _verdict(known: str) -> str:
    if len(known) == 64:
        return "as it should be"
    if known:
        return f"begins with {known}, as it should; the publisher states no more of it"
    return "the publisher states none, so this is not verified: compare it with that of a colleague"


def import_(
    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")],
    *,
    layout: LayoutName,
    out: Annotated[Path, tyro.conf.arg(metavar="OURS.safetensors")],
    card: Annotated[str, tyro.conf.arg(metavar="NAME")] = "",
    licence: Annotated[str, tyro.conf.arg(metavar="TEXT")] = "",
    seed: int = 0,
    json: Report = None,
) -> None:
    """Turn a published weights file into one of fidip's, with a card that says how the network wants its pictures.

    Nothing that the file says is run. Every tensor must be there with its shape, and no other; what differs is named.

    Args:
        file: A .pth, .pth.tar, .pt or .safetensors file.
        layout: How its tensors are named: microsoft-pose-resnet, fidip, fidip-mobilenet, dark-hrnet, vitpose,
            vitpose-transformers, torchvision-resnet or hrnet-imagenet.
        out: Where the network goes.
        card: The published network whose conventions the file keeps, where file and layout leave a choice.
        licence: The licence of the file, if it is not the published one.
        seed: Decides the new head of a file that holds a backbone only.
        json: Also write the card to this file.
    """
    from dataclasses import asdict

    from fidip.cli.output import write_report
    from fidip.files import sha256_of
    from fidip.networks.importing import Options, import_weights
    from fidip.networks.weights import require_another_file, require_weights_name, save_pose_net

    if seed < 0:
        raise RecipeError(f"--seed {seed}: a seed is 0 or more")
    require_weights_name(out)
    require_another_file(out, file)
    net = import_weights(file, layout, Options(card, licence, seed))
    origin: dict[str, Any] = net.card.training["origin"]
    save_pose_net(net, out)
    print(f"{file}: sha256 {origin['sha256']}")
    if left_out := origin.get("left_out"):
        print(f"left out, since no pose network needs it: {', '.join(left_out)}")
    if head := net.card.training.get("head"):
        print(f"head: {head}")
    print(f"{out}: sha256 {sha256_of(out)}")
    for line in card_lines(asdict(net.card)):
        print(f"  {line}")
    write_report(json, {"file": file, "out": out, "card": asdict(net.card)})


def card_lines(card: dict[str, Any]) -> list[str]:
    """What a card says, for people."""
    width, height = card["input_size"]
    coding = f"encoding {card['encoding']}, decoding {card['decoding']}, blur {card['blur_kernel']}"
    lines = [
        f"{card['name'] or 'no name'}: {card['description'] or 'no description'}",
        f"{card['backbone']}, width {card['width']:g}, head {card['head']}, {card['parameters']:,} parameters",
        f"input {width}x{height} (W x H), {card['colour_order']}, mean {card['mean']}, std {card['std']}",
        f"skeleton {card['skeleton']}, affine {card['affine']}, heatmap sigma {card['heatmap_sigma']:g}",
        f"{coding}, flip shift {'yes' if card['flip_shift'] else 'no'}",
        f"licence: {card['licence'] or 'not stated'}",
    ]
    origin = card["training"].get("origin")
    if isinstance(origin, dict):
        lines.append(f"origin: {origin.get('file')}, sha256 {origin.get('sha256')}, layout {origin.get('layout')}")
    return lines


def export(
    weights: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WEIGHTS")],
    *,
    layout: LayoutName,
    out: Annotated[Path, tyro.conf.arg(metavar="THEIRS.pth")],
    json: Report = None,
) -> None:
    """Write the tensors of a network as other programs name them: a plain state dict, or safetensors by the name.

    What import left out, such as a classifier, does not come back.

    Args:
        weights: A weights file of fidip's, or the name of an embedded network.
        layout: One of those that fidip weights import knows.
        out: A new .pth or .safetensors file.
        json: Also write what was written to this file.
    """
    from fidip.cli.output import write_report
    from fidip.files import sha256_of
    from fidip.networks.importing import export_weights, write_state
    from fidip.networks.weights import load_pose_net, require_another_file

    require_another_file(out, weights)
    state = export_weights(load_pose_net(weights), layout)
    write_state(state, out)
    digest = sha256_of(out)
    print(f"{out}: {len(state)} tensors in the layout {layout}, sha256 {digest}")
    write_report(json, {"out": out, "layout": layout, "tensors": len(state), "sha256": digest})


def inspect(
    weights: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="WEIGHTS")],
    *,
    json: Report = None,
) -> None:
    """Say what a weights file holds: card, parameters, multiply-adds, tensors and hashes.

    Args:
        weights: A weights file, of fidip's or a published one, or the name of an embedded network.
        json: Also write it all to this file.
    """
    from fidip.cli.output import write_report
    from fidip.networks.inspection import inspect_weights

    report = inspect_weights(weights)
    print(f"{weights}: sha256 {report['sha256']}")
    if card := report.get("card"):
        for line in card_lines(card):
            print(f"  {line}")
        print(f"  {report['multiply_adds'] / 1e9:.2f} G multiply-adds an image")
    else:
        layouts = " or ".join(report["layouts"]) or "none that is known here"
        print(f"  of somebody else's, layout: {layouts}")
    print(f"  {report['tensors']} tensors, {report['numbers']:,} numbers, {report['bytes'] / MEBI:.1f} MiB")
    print(f"  sha256 of the tensors: {report['tensors_sha256']}")
    write_report(json, report)
