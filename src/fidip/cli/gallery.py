"""``fidip gallery``: labelled images to look through in a browser, and synthetic ones to reject."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from fidip.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from fidip.annotations import LabelledImage
    from fidip.gallery.cards import Card
    from fidip.gallery.page import About


def gallery(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")],
    *,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.html")] = None,
    count: int | None = None,
    seed: int = 0,
    images: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    with_photos: bool = False,
    serve: bool = False,
    port: int = 0,
    reject: Annotated[tuple[int, ...], tyro.conf.arg(metavar="ID...")] = (),
    restore: Annotated[tuple[int, ...], tyro.conf.arg(metavar="ID...")] = (),
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Show labelled images with their poses in one HTML file, or serve that page to reject synthetic ones by hand.

    Pictures that their file does not call synthetic are left out, and only the poses shown, unless --with-photos is
    given. Rejected images move to FOLDER/rejected with their labels, and can be restored.

    Args:
        folder: A folder with annotations.json, as other commands here write it, or any COCO keypoint file.
        out: Where to write the page; FOLDER/gallery.html unless told.
        count: Show so many images, drawn by the seed; all unless told.
        seed: Decides which.
        images: Where the pictures are; without it they lie beside their file.
        with_photos: Put pictures into the page that are not known to be synthetic; it is then a copy of them.
        serve: Show the page at an address of this machine, where images can be rejected by a click; Ctrl-C ends it.
        port: The port for that; any free one unless told.
        reject: Ids of images of a synth folder to set aside.
        restore: Ids of rejected images to put back.
        json: Also write what was shown and how images are sorted to this file.
    """
    from fidip.cli.output import write_report
    from fidip.coco import read_coco
    from fidip.gallery.cards import choose
    from fidip.gallery.page import About
    from fidip.gallery.rejection import ANNOTATIONS, ASIDE, can_reject, decide

    _check(serve, out, count)
    annotations = folder / ANNOTATIONS if folder.is_dir() else folder
    if serve or reject or restore or can_reject(folder):
        sorted_images = decide(folder, reject, restore)
        kept, rejected = sorted_images.kept, sorted_images.rejected
    else:
        kept, rejected = tuple(read_coco(annotations)), ()
    shown = choose([*kept, *rejected] if serve else kept, count, seed)
    note = photo_note(shown, with_photos)
    about = About(folder.resolve().name, note, live=serve)
    report: dict[str, Any] = {"folder": folder, "kept": len(kept), "rejected": [image.id for image in rejected]}
    if serve:
        aside = {image.id for image in rejected}
        cards = _cards(annotations, [image for image in shown if image.id not in aside], images, with_photos)
        cards += _cards(
            folder / ASIDE / ANNOTATIONS, [image for image in shown if image.id in aside], None, with_photos
        )
        ids = serve_page(folder, about, sorted(cards, key=lambda card: int(card.facts["id"])), port)
        report |= {"kept": len(kept) + len(rejected) - len(ids), "rejected": sorted(ids)}
    elif out is not None or not (reject or restore):
        file = out or annotations.parent / "gallery.html"
        size = _write(file, about, _cards(annotations, shown, images, with_photos), with_photos)
        report |= {"page": file, "images": len(shown), "bytes": size}
        print(f"{len(shown)} images in {file} ({size / 1e6:.1f} MB)")
    if note:
        print(note)
    if serve or reject or restore or report["rejected"]:
        place = f" ({folder / ASIDE})" if report["rejected"] else ""
        print(f"{report['kept']} images kept, {len(report['rejected'])} rejected{place}")
    write_report(json, report)


def _check(serve: bool, out: Path | None, count: int | None) -> None:
    if serve and out is not None:
        raise RecipeError("--serve writes no page; leave out --out")
    if count is not None and count < 1:
        raise RecipeError(f"--count {count}: at least one image is needed")


def photo_note(images: Sequence[LabelledImage], with_photos: bool) -> str:
    """What is said where pictures are left out."""
    from fidip.annotations import Domain

    hidden = 0 if with_photos else sum(image.domain is not Domain.SYNTHETIC for image in images)
    if not hidden:
        return ""
    return (
        f"{hidden} of {len(images)} pictures are not shown, only their poses: the file does not say that they are "
        "synthetic. --with-photos shows them, and puts a copy of them into the page."
    )


def _cards(annotations: Path, images: Sequence[LabelledImage], folder: Path | None, with_photos: bool) -> list[Card]:
    from fidip.cli.progress import track
    from fidip.gallery.cards import make_cards

    return list(track(make_cards(annotations, images, folder, with_photos), "drawing", len(images))) if images else []


def _write(file: Path, about: About, cards: Sequence[Card], with_photos: bool) -> int:
    from fidip.gallery.page import write_page
    from fidip.platform import private_files

    with private_files() if with_photos else nullcontext():
        return write_page(file, about, cards)


def serve_page(folder: Path, about: About, cards: Sequence[Card], port: int) -> Collection[int]:
    """Serve a page and write its decisions down until Ctrl-C. Returns the ids that are rejected then."""
    from fidip.gallery.page import page
    from fidip.gallery.rejection import decide
    from fidip.gallery.server import GalleryServer

    def now() -> Iterator[bytes]:
        return page(about, cards, decide(folder).rejected_ids)

    server = GalleryServer(now, lambda reject, restore: decide(folder, reject, restore).rejected_ids, port)
    with server, suppress(KeyboardInterrupt):
        print(f"the gallery is at {server.url}\nEnd it with Ctrl-C; every decision is saved at once.", flush=True)
        server.serve_forever()
    with server.turn:  # what was just decided is carried out to its end
        return decide(folder).rejected_ids
