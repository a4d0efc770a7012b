"""``fidip predict``: poses of the people in photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from fidip.errors import FidipError, ImageError

if TYPE_CHECKING:
    from fidip.inference.photos import Photo


def predict(
    photos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO...")],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    weights: Annotated[str, tyro.conf.arg(metavar="FILE|NAME")] = "infant-small",
    boxes: Annotated[Path | None, tyro.conf.arg(metavar="TRUTH.json")] = None,
    device: Literal["cpu", "cuda", "mps"] = "cpu",
) -> None:
    """Estimate the poses of the people in photos; write results, an annotation file and pictures.

    Args:
        photos: Photos, or folders of photos.
        out: A new folder for results.json, predictions.json and overlays/.
        weights: A .safetensors file, or the name of an embedded network.
        boxes: A COCO file whose boxes say where the people are; photos are joined to it by file name. Without it every
            photo is taken to show one person.
        device: Where the network runs.
    """
    from fidip.cli.progress import track
    from fidip.coco import read_coco
    from fidip.files import new_folder
    from fidip.inference.photos import plan_photos, predict_photos, write_predictions
    from fidip.inference.predictor import Predictor

    given = _photos(photos)
    planned, unread = plan_photos(given, None if boxes is None else read_coco(boxes), boxes)
    if not planned:
        raise _unreadable(unread, len(given))
    predictor = Predictor.load(weights, device)
    folder = new_folder(out)
    overlays = new_folder(folder / "overlays")
    people = {}
    for photo, found in track(predict_photos(predictor, planned, overlays), "looking at photos", len(planned)):
        if isinstance(found, ImageError):
            unread.append(found)
        else:
            people[photo.record.id] = found
    write_predictions(folder, people, planned)
    seen = [photo for photo in planned if photo.record.id in people]
    print(_summary(folder, weights, seen, sum(map(len, people.values()))))
    if unread:
        raise _unreadable(unread, len(given))


def _photos(given: tuple[Path, ...]) -> list[Path]:
    from fidip.images import photos_in

    if not given:
        raise FidipError("no photo given; name photos or a folder of photos")
    photos: list[Path] = []
    for path in given:
        if path.is_dir():
            photos += photos_in(path)
        else:
            photos.append(path)
    return photos


def _unreadable(unread: list[ImageError], total: int) -> FidipError:
    return FidipError(f"{len(unread)} of {total} photos could not be read: {'; '.join(map(str, unread))}")


def _summary(folder: Path, weights: str, photos: list[Photo], people: int) -> str:
    boxes = "truth boxes" if any(photo.boxes for photo in photos) else "boxes refined from a first look"
    return f"{people} people in {len(photos)} photos by {weights} ({boxes}): {folder}"
