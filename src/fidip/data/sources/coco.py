"""People of a COCO folder (Lin et al. 2014): real adults, for pre-stages and as a check against forgetting.

Layout: ``annotations/person_keypoints_val2017.json`` and ``val2017/000000000139.jpg`` (or another split). Crowds and
people with too few labelled keypoints are left out, outlines are dropped, areas (of the outlines) are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fidip.annotations import Box, Domain, LabelledImage, Person
from fidip.data.folder import Picture
from fidip.data.sources.checks import checked_person, read_annotations, usable_image
from fidip.data.sources.conversion import Progress, reasons
from fidip.data.tally import Tally
from fidip.errors import DataError, RecipeError
from fidip.files import safe_join
from fidip.images import encode_image, read_image

CROP_MARGIN = 1.5
"""A crop is the box this many times as large: more than the 1.25 of the networks' windows, so that these can vary."""

CROP_QUALITY = 95
"""Of the JPEG that a crop is written as: its pixels have been compressed once before."""


@dataclass(frozen=True, slots=True)
class Coco:
    """A COCO folder and the people wanted of it: all, or ``count`` drawn by ``seed``."""

    folder: Path
    split: str = "val2017"
    min_keypoints: int = 1
    crop: bool = False
    count: int | None = None
    seed: int = 0

    def pictures(self, tally: Tally, progress: Progress) -> Iterator[Picture]:
        """See :class:`~fidip.data.sources.conversion.Source`. A unit is an image, or a person where people are drawn.

        Raises:
            DataError: also if fewer people than ``count`` can be used.
        """
        if self.count is not None and self.count < 1:
            raise RecipeError(f"--count {self.count}: give a number of people from 1")
        file = self.folder / "annotations" / f"person_keypoints_{self.split}.json"
        images = [_bare(image) for image in read_annotations(file, tally)]
        roots = [self.folder / self.split, self.folder / "images" / self.split, self.folder]
        root = next((root for root in roots if root.is_dir()), roots[0])
        usable = [replace(image, people=tuple(self._usable(image, tally))) for image in images]
        chosen: Iterable[LabelledImage]
        if self.count is None:
            chosen = self._readable([image for image in usable if image.people], root, tally, progress)
        else:
            chosen = self._drawn(usable, root, tally, progress)
        for image in chosen:
            path = safe_join(root, image.file_name)
            if self.crop:
                yield from _crops(image, path, tally)
            else:
                yield Picture(_record(image, self.split), path)

    def _usable(self, image: LabelledImage, tally: Tally) -> Iterator[Person]:
        for person in image.people:
            place = f"annotation {person.id}"
            labelled = int(person.labelled.sum())
            if person.crowd:
                tally.leave_out("a crowd", place)
            elif labelled == 0:
                tally.leave_out("no labelled keypoint", place)
            elif labelled < self.min_keypoints:
                tally.leave_out(f"fewer than {self.min_keypoints} labelled keypoints", place)
            elif checked := checked_person(person, (image.width, image.height), tally, place):
                yield checked

    def _readable(
        self, images: list[LabelledImage], root: Path, tally: Tally, progress: Progress
    ) -> Iterator[LabelledImage]:
        for done, image in enumerate(images, start=1):
            if _is_there(image, root, tally):
                yield image
            progress(done, len(images))

    def _drawn(self, images: list[LabelledImage], root: Path, tally: Tally, progress: Progress) -> list[LabelledImage]:
        """The images of ``count`` people drawn by the seed, with these people only, in the file's order."""
        wanted = self.count or 0
        people = sorted(
            (person.id or 0, i, j) for i, image in enumerate(images) for j, person in enumerate(image.people)
        )
        readable: dict[int, bool] = {}
        drawn: dict[int, list[int]] = {}
        found = 0
        for index in np.random.default_rng(self.seed).permutation(len(people)):
            _, i, j = people[index]
            if i not in readable:
                readable[i] = _is_there(images[i], root, tally)
            if readable[i]:
                drawn.setdefault(i, []).append(j)
                found += 1
                progress(found, wanted)
            if found == wanted:
                break
        else:
            problem = f"{wanted} people wanted, {found} can be used ({reasons(tally)}); ask for fewer"
            raise DataError(self.folder, self.split, problem)
        return [
            replace(images[i], people=tuple(images[i].people[j] for j in sorted(js))) for i, js in sorted(drawn.items())
        ]


def _is_there(image: LabelledImage, root: Path, tally: Tally) -> bool:
    path = safe_join(root, image.file_name)
    if not path.is_file():
        tally.leave_out("the picture is not there", image.file_name)
        return False
    return usable_image(path, (image.width, image.height), tally, image.file_name)


def _bare(image: LabelledImage) -> LabelledImage:
    """Without the outlines, which are most of the file, and with the ids that the data set gave."""
    people = tuple(
        replace(p, extras={k: v for k, v in p.extras.items() if k != "segmentation"} | {"original_id": p.id})
        for p in image.people
    )
    return replace(image, people=people)


def _record(image: LabelledImage, split: str) -> LabelledImage:
    return replace(
        image, domain=Domain.REAL, source=f"coco/{image.id}",
        extras={**image.extras, "original_id": image.id, "split": split},
    )  # fmt: skip


def _crops(image: LabelledImage, path: Path, tally: Tally) -> Iterator[Picture]:
    """Each person as an image of their own; what lies outside it is no longer labelled."""
    pixels = read_image(path)
    for person in image.people:
        place = f"annotation {person.id}"
        if person.box is None:
            tally.leave_out("no box to cut out", place)
            continue
        x, y, width, height = window(person.box, (image.width, image.height))
        keypoints = person.keypoints.copy()
        keypoints[keypoints[:, 2] > 0, :2] -= (x, y)
        box = (person.box[0] - x, person.box[1] - y, *person.box[2:])
        cut = replace(person, keypoints=keypoints, box=box)
        if (checked := checked_person(cut, (width, height), tally, place)) is None:
            continue
        content = encode_image(np.ascontiguousarray(pixels[y : y + height, x : x + width]), ".jpg", CROP_QUALITY)
        name = f"{Path(image.file_name).stem}-{person.id}.jpg"
        record = replace(
            _record(image, ""), file_name=name, width=width, height=height, people=(checked,),
            extras={**image.extras, "original_id": image.id, "crop": [x, y, width, height]},
        )  # fmt: skip
        yield Picture(record, content)


def window(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x, y, width and height of the crop around a box, in whole pixels inside the image."""
    grown_x, grown_y = box[2] * (CROP_MARGIN - 1) / 2, box[3] * (CROP_MARGIN - 1) / 2
    left, top = max(int(np.floor(box[0] - grown_x)), 0), max(int(np.floor(box[1] - grown_y)), 0)
    right = min(int(np.ceil(box[0] + box[2] + grown_x)), size[0])
    bottom = min(int(np.ceil(box[1] + box[3] + grown_y)), size[1])
    return left, top, right - left, bottom - top
