"""Which area OKS divides by: a choice that moves AP by several points, so it has a name and is printed with the number.

``file``      what the annotation file says; COCO means the area of the person's silhouette
``bbox``      width times height of the box: larger than the silhouette, so more lenient
``0.53bbox``  0.53 times that, the stand-in for a missing silhouette in the evaluations of CrowdPose and MMPose
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import FloatArray, LabelledImage, Person
from fidip.errors import DataError, DataWarning

AreaPolicy = Literal["file", "bbox", "0.53bbox"]

BOX_SHARES: dict[AreaPolicy, float] = {"bbox": 1.0, "0.53bbox": 0.53}

ROUNDING = 1.01
"""A silhouette cannot be larger than its box, save for the rounding of both."""
SMALLEST_SHARE = 0.1
"""A silhouette fills about half of its box; far less is the area of something else."""
TOLERATED = 0.05
"""Share of people with an impossible area that leaves the others' areas believable."""
COMMON = 0.1
"""Share of people that cannot have one and the same area by chance."""


def person_area(person: Person, policy: AreaPolicy) -> float | None:
    """The person's area in pixels squared under a policy; ``None`` where the file lacks what the policy needs."""
    if policy == "file":
        return person.area
    if person.box is None or 0 in person.box[2:]:  # nothing fits a person of no size: AP would fall in silence
        return None
    return BOX_SHARES[policy] * person.box[2] * person.box[3]


def areas_of(image: LabelledImage, policy: AreaPolicy) -> FloatArray:  # (N,)
    """The area of everybody in an image under a policy.

    Raises:
        DataError: somebody has no area, or no box, for this policy; the message names what to do.
    """
    areas = [person_area(person, policy) for person in image.people]
    if None in areas:
        number = areas.index(None)
        lacks = "has no area" if policy == "file" else "has no box, or one of no size, to take the area of"
        others: tuple[AreaPolicy, ...] = ("bbox", "0.53bbox") if policy == "file" else ("file",)
        possible = [other for other in others if person_area(image.people[number], other) is not None]
        wanted = "area" if policy == "file" else "box"
        instead = f"evaluate with the area policy {' or '.join(possible)}, or add its {wanted}"
        remedy = instead if possible else "add its area or its box"
        raise DataError("truth", f"image {image.id}", f"person {number + 1} of {len(areas)} {lacks}: {remedy}")
    return np.array(areas, dtype=np.float64)


def check_areas(images: Sequence[LabelledImage]) -> list[str]:
    """What is impossible about a file's areas, one phrase for each kind of defect.

    A missing area counts whoever it belongs to; otherwise only labelled people are judged, not crowds.
    """
    everybody = [person for image in images for person in image.people]
    people = _judged(everybody)
    missing = sum(person.area is None for person in everybody)
    problems = [f"{missing} of {len(everybody)} people have no area"] if missing else []
    for problem, wrong in _defects(people).items():
        if wrong.any():
            problems.append(f"{int(wrong.sum())} of {len(people)} people have an area that {problem}")
    return problems


def choose_area(images: Sequence[LabelledImage]) -> AreaPolicy:
    """``file`` where the file's areas can be believed, else ``bbox`` with a ``DataWarning``.

    One impossible area in twenty is tolerated (with a warning too), a missing one is not.
    """
    everybody = [person for image in images for person in image.people]
    missing = any(person.area is None for person in everybody)
    wrong = np.any(list(_defects(_judged(everybody)).values()), axis=0)
    policy: AreaPolicy = "bbox" if missing or wrong.sum() > TOLERATED * len(wrong) else "file"
    warn_of_areas(images, policy)
    return policy


def warn_of_areas(images: Sequence[LabelledImage], policy: AreaPolicy) -> None:
    """Say by one ``DataWarning`` what is impossible about the file's areas, and which area is used."""
    problems = check_areas(images)
    if problems:
        warnings.warn(f"{'; '.join(problems)}: OKS uses the area policy {policy}", DataWarning, stacklevel=3)


def _judged(people: Sequence[Person]) -> list[Person]:
    return [person for person in people if not person.crowd and person.labelled.any()]


def _defects(people: Sequence[Person]) -> dict[str, NDArray[np.bool_]]:  # each (N,)
    area = np.array([np.nan if p.area is None else p.area for p in people], dtype=np.float64)
    box = np.array([np.nan if p.box is None else p.box[2] * p.box[3] for p in people], dtype=np.float64)
    return {
        "is the same although their boxes differ": _constant(area, box),
        "is larger than their box": area > ROUNDING * box,
        f"is less than {SMALLEST_SHARE:.0%} of their box": area < SMALLEST_SHARE * box,
    }


def _constant(area: FloatArray, box: FloatArray) -> NDArray[np.bool_]:  # (N,)
    """Whose area is shared by so many people of different boxes that it was not measured."""
    _, group, count = np.unique(area, return_inverse=True, return_counts=True, equal_nan=False)
    suspicious = (count >= max(3, COMMON * len(area))) | (count == max(2, len(area)))
    for index in np.flatnonzero(suspicious):
        boxes = box[(group == index) & ~np.isnan(box)]
        suspicious[index] = len(boxes) > 0 and boxes.max() > ROUNDING * boxes.min()
    constant: NDArray[np.bool_] = suspicious[group]
    return constant
