"""``fidip check``: what data sets share that should be strangers to each other."""

from __future__ import annotations

from itertools import combinations, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from fidip.errors import FidipError, RecipeError

if TYPE_CHECKING:
    from fidip.data.leaks import Shared
    from fidip.training.inputs import LabelledSet

NAMED = 3
"""So many of a kind are printed; all stand in the JSON."""

KINDS = {"source": "sources", "subject": "subjects", "body_seed": "bodies"}


def check(
    sets: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SET...")],
    *,
    images: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR...")] = (),
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Say what data sets share: subjects, sources, bodies, identical files, and pictures that look the same.

    The exit code is 2 if two of them are related, so that one may not judge what the other taught. Pictures that only
    look the same (copies, frames of one film, or chance) are listed and decide nothing.

    Args:
        sets: Two or more: COCO keypoint files, folders of photos and films, or films.
        images: The folder of each file's images, in the same order; without it they lie beside their file.
        json: Also write the report to this file.
    """
    from fidip.cli.output import write_report
    from fidip.cli.progress import bar
    from fidip.data.leaks import compare, pictures

    if len(sets) < 2:
        raise RecipeError("check needs two sets or more")
    if images and len(images) != len(sets):
        raise RecipeError(f"--images names {len(images)} folders for {len(sets)} sets; name one for each")
    read = [_read(file, images[number] if images else None) for number, file in enumerate(sets)]
    done = count(1)
    with bar("reading", sum(len(labelled.paths) for labelled in read)) as show:
        looks = [pictures(labelled, tick=lambda: show(next(done))) for labelled in read]
    for file, labelled in zip(sets, read, strict=True):
        unknown = sum(not image.origins for image in labelled.images)
        print(f"{file}: {len(labelled.images)} images, {unknown} without a subject, source or body")
    related, report = [], []
    for i, j in combinations(range(len(sets)), 2):
        shared = compare(read[i], read[j], looks[i], looks[j])
        _print(f"{sets[i]} and {sets[j]}", shared)
        report.append({"sets": [sets[i], sets[j]], "related": shared.leaks, **shared.to_json()})
        related += [f"{sets[i]} and {sets[j]} share {_counts(shared)}"] if shared.leaks else []
    counted = [{"file": file, "images": len(one.images)} for file, one in zip(sets, read, strict=True)]
    write_report(json, {"sets": counted, "pairs": report})
    if related:
        raise FidipError(f"{'; '.join(related)}: keep what is related on one side, or one set out")


def _read(place: Path, folder: Path | None) -> LabelledSet:
    from fidip.training.inputs import LabelledSet
    from fidip.training.unlabelled import is_film, read_unlabelled

    if place.is_dir() or is_film(place):
        return read_unlabelled(place)
    return LabelledSet.read(place, folder)


def _counts(shared: Shared) -> str:
    """The related things in numbers."""
    counts = [f"{len(values)} {KINDS.get(kind, kind)}" for kind, values in shared.origins.items()]
    return ", ".join(counts + ([f"{len(shared.same)} identical pictures"] if shared.same else []))


def _print(pair: str, shared: Shared) -> None:
    alike = f"{len(shared.alike)} pictures look the same" if shared.alike else ""
    print(f"{pair}: {', '.join(filter(None, (_counts(shared), alike))) or 'nothing in common'}")
    lines = {f"the same {kind.replace('_', ' ')}": values for kind, values in shared.origins.items()}
    lines["identical"] = [f"{a.name} = {b.name}" for a, b in shared.same]
    lines["look the same"] = [f"{a.name} ~ {b.name} ({likeness:.2f})" for a, b, likeness in shared.alike]
    for what, found in lines.items():
        if found:
            print(f"  {what}: {', '.join(found[:NAMED])}{', …' if len(found) > NAMED else ''}")
