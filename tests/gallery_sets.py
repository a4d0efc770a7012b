"""Small folders as ``fidip synth`` leaves them, drawn without a renderer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fidip.annotations import Domain, LabelledImage, Person
from fidip.coco import write_coco
from fidip.files import write_bytes, write_json
from fidip.images import write_image

POSTURES = ("Supine", "Prone", "Sitting")


def labelled(number: int, size: tuple[int, int] = (40, 30), **fields: object) -> LabelledImage:
    """An image (width, height) with one person whose keypoints are visible, occluded and unlabelled in turn."""
    rng = np.random.default_rng(number)
    points = rng.uniform(3, min(size) - 3, (17, 2)).round(2)
    visibility = np.arange(17)[:, None] % 3
    known = {
        "id": number,
        "file_name": f"{number:06d}.png",
        "width": size[0],
        "height": size[1],
        "people": (
            Person(np.hstack([points * (visibility > 0), visibility]), (2.0, 3.0, 20.0, 12.0), 99.0, id=number),
        ),
        "domain": Domain.SYNTHETIC,
        "posture": POSTURES[number % 3],
        "extras": {"age_months": number + 0.5, "scene": {"bank": "a"}},
    }
    return LabelledImage(**(known | fields))  # type: ignore[arg-type]


def colours(image: LabelledImage) -> np.ndarray:
    """A smooth picture of a colour of its own."""
    ramp = np.linspace(0, 60, image.width)[None, :, None] + np.zeros((image.height, 1, 3))
    return (ramp + np.array([20 + 7 * (image.id % 20), 90, 140])).astype(np.uint8)


def made_folder(folder: Path, count: int = 5, truth: bool = True) -> list[LabelledImage]:
    """A finished folder of ``fidip synth`` with ground truth."""
    images = [labelled(number) for number in range(1, count + 1)]
    for name in ("images", "truth") if truth else ("images",):
        (folder / name).mkdir(parents=True)
    for image in images:
        write_image(folder / "images" / image.file_name, colours(image))
        for end in ("_mask.png", ".npz") if truth else ():
            write_bytes(folder / "truth" / f"{image.id:06d}{end}", f"{image.id}{end}".encode())
    write_json(folder / "synth.json", {"style": "infant-flat"})
    write_coco(folder / "annotations.json", images)
    return images


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by its path."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
