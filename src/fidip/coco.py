"""COCO keypoint JSON, read safely and written plainly: the only code that knows the format.

Beside COCO's own fields an image may say ``is_synthetic``, ``posture``, ``image_source`` (SyRIP's words), ``subject``
and ``body_seed``. Known defects of published infant files are read without harm and reported once per file by a
``DataWarning``: no ``info``, ids from 0 (kept; the evaluation renumbers), ``num_keypoints`` that do not count the
labelled keypoints (recounted), deleted keypoints stored as (−45, −45). Everything else that is wrong is a ``DataError``
that names the file, the place in it and what was expected.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fidip.annotations import NO_EXTRAS, Box, Domain, LabelledImage, Person
from fidip.errors import DataError, DataWarning
from fidip.fields import Fields
from fidip.files import read_json, safe_join, write_json
from fidip.skeleton import COCO_17, Skeleton

DELETED = -45.0
"""Coordinate by which the published labelling tool marks a deleted keypoint."""

PERSON = 1
"""COCO's id of the category of people, and the one that is written."""

IMAGE_FIELDS = frozenset(
    ("id", "file_name", "width", "height", "is_synthetic", "posture", "image_source", "subject", "body_seed")
)
PERSON_FIELDS = frozenset(
    ("id", "image_id", "category_id", "keypoints", "num_keypoints", "bbox", "area", "iscrowd", "score")
)


def read_coco(path: Path | str, skeleton: Skeleton = COCO_17) -> list[LabelledImage]:
    """Read a COCO keypoint file, in the file's order of images and, within one, of annotations.

    Raises ``DataError`` for anything that cannot be read without guessing.
    """
    path = Path(path)
    document = Fields.of(path, "", read_json(path))
    categories = _person_categories(document, skeleton)
    images = [_read_image(fields) for fields in document.objects("images")]
    _check_unique((image.id for image in images), document, "images")
    people: dict[int, list[Person]] = {image.id: [] for image in images}
    defects: Counter[str] = Counter()
    for fields in document.objects("annotations"):
        if fields.integer("category_id", default=min(categories)) not in categories:
            continue
        image_id = fields.integer("image_id")
        if image_id not in people:
            raise fields.error("image_id", f"no image of this file has the id {image_id}")
        people[image_id].append(_read_person(fields, skeleton, defects))
    ids = (person.id for group in people.values() for person in group)
    _check_unique((i for i in ids if i is not None), document, "annotations")
    for defect, count in defects.items():
        warnings.warn(f"{path}: {defect} ({count} of them)", DataWarning, stacklevel=2)
    return [replace(image, people=tuple(people[image.id])) for image in images]


def write_coco(path: Path | str, images: Sequence[LabelledImage], skeleton: Skeleton = COCO_17) -> None:
    """Write images and people as a COCO keypoint file, atomically.

    Annotation ids are kept if all are set, distinct and positive, else numbered from 1; ``num_keypoints`` is counted. A
    missing area is left out: whoever needs one chooses by an area policy.
    """
    ids = [person.id for image in images for person in image.people]
    keep = len(set(ids)) == len(ids) and all(i is not None and i > 0 for i in ids)
    annotations = [
        {
            **person.extras,
            "id": person.id if keep else number,
            "image_id": image_id,
            "category_id": PERSON,
            "keypoints": _flat(person),
            "num_keypoints": int(person.labelled.sum()),
            "iscrowd": int(person.crowd),
            **({"bbox": list(person.box)} if person.box is not None else {}),
            **({"area": person.area} if person.area is not None else {}),
            **({"score": person.score} if person.score is not None else {}),
        }
        for number, (image_id, person) in enumerate(((i.id, p) for i in images for p in i.people), start=1)
    ]
    category = {
        "id": PERSON,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
    }
    document = {
        "info": {"description": "keypoints in COCO form"},
        "images": [_image_entry(image) for image in images],
        "annotations": annotations,
        "categories": [category],
    }
    write_json(path, document)


def person_categories(path: Path | str, skeleton: Skeleton = COCO_17) -> frozenset[int]:
    """The ids that a COCO keypoint file gives to people of a skeleton. Raises ``DataError``."""
    return frozenset(_person_categories(Fields.of(Path(path), "", read_json(path)), skeleton))


def read_results(
    path: Path | str,
    images: Sequence[LabelledImage],
    skeleton: Skeleton = COCO_17,
    categories: Collection[int] = frozenset({PERSON}),
) -> dict[int, list[Person]]:
    """Read a COCO result file: predicted people by image id, in the file's order; images without any are absent.

    ``categories`` are the ids that mean a person; a truth file's own are ``person_categories`` of it.
    The third value of a keypoint is its confidence (COCO ignores it), the person's ``score`` is required. A detection
    that is repeated is kept, with a ``DataWarning``: people who share a box have the same.
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, list):
        raise DataError(path, "", f"expected a JSON list of results, found {type(content).__name__}")
    known = {image.id for image in images}
    people: dict[int, list[Person]] = {}
    seen: set[tuple[int, float, bytes]] = set()
    repeated = 0
    for i, value in enumerate(content):
        fields = Fields.of(path, f"[{i}]", value)
        image_id = fields.integer("image_id")
        if image_id not in known:
            raise fields.error("image_id", f"{image_id} is no image of the truth file")
        category = fields.integer("category_id", default=min(categories))
        if category not in categories:
            wanted = " or ".join(map(str, sorted(categories)))
            raise fields.error("category_id", f"expected {wanted} (person), found {category}")
        keypoints = fields.numbers("keypoints", 3 * len(skeleton)).reshape(-1, 3)
        score = fields.number("score")
        fingerprint = (image_id, score, keypoints.tobytes())
        repeated += fingerprint in seen
        seen.add(fingerprint)
        box = _read_box(fields) if "bbox" in fields else None
        people.setdefault(image_id, []).append(Person(keypoints, box=box, score=score))
    if repeated:
        problem = f"{repeated} detections stand in the file more than once, kept: at most one of them can be right"
        warnings.warn(f"{path}: {problem}", DataWarning, stacklevel=2)
    return people


def write_results(path: Path | str, people: Mapping[int, Sequence[Person]]) -> None:
    """Write predicted people by image id as a COCO result file, atomically. Every person needs a score."""
    entries = [
        {
            "image_id": image_id,
            "category_id": PERSON,
            "keypoints": _flat(person),
            "score": person.score,
            **({"bbox": list(person.box)} if person.box is not None else {}),
        }
        for image_id, group in people.items()
        for person in group
    ]
    write_json(path, entries)


def image_paths(path: Path | str, images: Sequence[LabelledImage], folder: Path | None = None) -> list[Path]:
    """Where the images of an annotation file lie: in ``folder``, else in ``images/`` beside the file or beside it."""
    path = Path(path)
    roots = [folder] if folder is not None else [path.parent / "images", path.parent]
    found = [next((p for p in (safe_join(r, image.file_name) for r in roots) if p.is_file()), None) for image in images]
    missing = [image.file_name for image, place in zip(images, found, strict=True) if place is None]
    if missing:
        searched = " and ".join(str(root) for root in roots)
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(path, "images", f"{missing[0]}{others} not found in {searched}; name the folder with --images")
    return [place for place in found if place is not None]


def _person_categories(document: Fields, skeleton: Skeleton) -> set[int]:
    expected = list(skeleton.keypoints)
    wanted = f"the file needs a category whose keypoints are the {len(expected)} names of {skeleton.name}"
    ids = set()
    for fields in document.objects("categories"):
        names = fields.values.get("keypoints")
        if names == expected:
            ids.add(fields.integer("id"))
        elif names is not None:
            found = f"{len(names)} others" if isinstance(names, list) else f"{names!r:.40}"
            raise fields.error("keypoints", f"another skeleton: {wanted}, found {found}")
    if not ids:
        raise document.error("categories", wanted)
    return ids


def _read_image(fields: Fields) -> LabelledImage:
    synthetic = fields.flag("is_synthetic")
    return LabelledImage(
        id=fields.integer("id"),
        file_name=fields.text("file_name"),
        width=_read_side(fields, "width"),
        height=_read_side(fields, "height"),
        domain=None if synthetic is None else Domain(int(synthetic)),
        posture=fields.optional_text("posture"),
        source=fields.optional_text("image_source"),
        subject=fields.optional_text("subject"),
        body_seed=fields.integer("body_seed") if "body_seed" in fields else None,
        extras=fields.others(IMAGE_FIELDS) or NO_EXTRAS,
    )


def _read_side(fields: Fields, side: str) -> int:
    pixels = fields.integer(side)
    if pixels < 1:
        raise fields.error(side, f"expected a size in pixels, found {pixels}")
    return pixels


def _read_person(fields: Fields, skeleton: Skeleton, defects: Counter[str]) -> Person:
    keypoints = fields.numbers("keypoints", 3 * len(skeleton)).reshape(-1, 3)
    unknown = np.flatnonzero(~np.isin(keypoints[:, 2], (0, 1, 2)))
    if unknown.size:
        k = int(unknown[0])
        problem = f"the visibility of {skeleton.keypoints[k]} is {keypoints[k, 2]:g}, expected 0, 1 or 2"
        raise fields.error(f"keypoints[{3 * k + 2}]", problem)
    deleted = (keypoints[:, :2] == DELETED).all(axis=1)
    if (deleted & (keypoints[:, 2] > 0)).any():
        defects["labelled keypoints at (-45, -45) are deleted ones, read as unlabelled"] += 1
    keypoints[deleted | (keypoints[:, 2] == 0)] = 0.0
    labelled = int((keypoints[:, 2] > 0).sum())
    if fields.values.get("num_keypoints", labelled) != labelled:
        defects["num_keypoints is not the number of labelled keypoints, recounted"] += 1
    area = fields.number("area") if "area" in fields else None
    if area is not None and area < 0:
        raise fields.error("area", f"expected an area in pixels squared, found {area:g}")
    return Person(
        keypoints=keypoints,
        box=_read_box(fields) if fields.values.get("bbox") else None,
        area=area,
        score=fields.number("score") if "score" in fields else None,
        crowd=fields.flag("iscrowd") or False,
        id=fields.integer("id") if "id" in fields else None,
        extras=fields.others(PERSON_FIELDS) or NO_EXTRAS,
    )


def _read_box(fields: Fields) -> Box:
    x, y, width, height = fields.numbers("bbox", 4).tolist()
    if width < 0 or height < 0:
        raise fields.error("bbox", f"expected x, y, width, height, found the size {width:g} x {height:g}")
    return (x, y, width, height)


def _check_unique(ids: Iterable[int], document: Fields, key: str) -> None:
    repeated = next((i for i, count in Counter(ids).items() if count > 1), None)
    if repeated is not None:
        raise document.error(key, f"the id {repeated} stands in the file more than once")


def _image_entry(image: LabelledImage) -> dict[str, Any]:
    optional = {
        "is_synthetic": None if image.domain is None else image.domain is Domain.SYNTHETIC,
        "posture": image.posture,
        "image_source": image.source,
        "subject": image.subject,
        "body_seed": image.body_seed,
    }
    return {
        **image.extras,
        "id": image.id,
        "file_name": image.file_name,
        "width": image.width,
        "height": image.height,
        **{key: value for key, value in optional.items() if value is not None},
    }


def _flat(person: Person) -> list[float]:
    """Keypoints as COCO writes them: whole numbers without a point, so that files stay small and readable."""
    return [int(x) if x.is_integer() else x for x in person.keypoints.ravel().tolist()]
