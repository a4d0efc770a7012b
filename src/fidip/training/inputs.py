"""The files that enter a run, checked against each other before anything is decoded."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fidip.annotations import Domain, LabelledImage
from fidip.coco import image_paths, read_coco
from fidip.data.leaks import Pictures, alike_pictures, pictures, shared_files, shared_origins
from fidip.data.video import Films
from fidip.errors import DataError, DataWarning, RecipeError
from fidip.files import sha256_of
from fidip.images import RGBImage, grey_shrunk, grey_thumbnail, read_image
from fidip.skeleton import COCO_17, Skeleton
from fidip.training.adaptation import ALIGNING
from fidip.training.recipe import Recipe


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSet:
    """An annotation file that was read, and where its images lie; some may be frames of ``films``."""

    file: Path
    images: list[LabelledImage]
    paths: list[Path]
    films: Films | None = None

    @classmethod
    def read(cls, file: Path | str, folder: Path | None = None, skeleton: Skeleton = COCO_17) -> LabelledSet:
        """Read a COCO keypoint file and find its images in ``folder``, else beside it.

        Raises:
            DataError: the file cannot be read, holds another skeleton, or an image is missing.
        """
        images = read_coco(file, skeleton)
        return cls(Path(file), images, image_paths(file, images, folder))

    def picture(self, path: Path) -> RGBImage:  # (H, W, 3)
        """One of the images. Raises ``ImageError``."""
        return self.films.read(path) if self.films is not None and path in self.films else read_image(path)

    def digest(self, path: Path) -> str:
        """The SHA-256 by which one of the images is known. Raises ``DataError``."""
        return self.films.digest(path) if self.films is not None and path in self.films else sha256_of(path)

    def thumbnail(self, path: Path, side: int) -> NDArray[np.uint8]:  # (side, side)
        """A small grey copy of one of the images. Raises ``ImageError``."""
        if self.films is not None and path in self.films:
            return grey_shrunk(self.films.read(path), side)
        return grey_thumbnail(path, side)


class Part(NamedTuple):
    """One set that is learnt from, and the option by which it entered."""

    option: str
    domain: Domain
    labelled: LabelledSet
    adults: bool = False
    unlabelled: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What a run learns from. The field a set stands in decides its domain, whatever its file claims."""

    real: LabelledSet | None = None
    synthetic: LabelledSet | None = None
    validation: LabelledSet | None = None
    adults: tuple[LabelledSet, LabelledSet] | None = None  # real, synthetic
    init: Path | str | None = None  # weights to start from: a file, or the name of an embedded network
    unlabelled: LabelledSet | None = None  # real, and nobody has a label: ``fidip.training.unlabelled`` reads photos so
    retain: LabelledSet | None = None  # adults on whom the initial weights and the kept ones are compared, and no more

    @property
    def training(self) -> tuple[Part, ...]:
        """Everything that is learnt from."""
        infants = ((Domain.REAL, self.real), (Domain.SYNTHETIC, self.synthetic))
        parts = [Part(f"--{domain.name.lower()}", domain, one) for domain, one in infants if one is not None]
        if self.unlabelled is not None:
            parts.append(Part("--unlabelled", Domain.REAL, self.unlabelled, unlabelled=True))
        adults = zip(Domain, self.adults or (), strict=False)
        return (*parts, *(Part(f"--adults ({d.name.lower()})", d, one, adults=True) for d, one in adults))

    @property
    def judging(self) -> dict[str, LabelledSet]:
        """What nothing is learnt from, by option."""
        sets = {"--validation": self.validation, "--retain": self.retain}
        return {option: labelled for option, labelled in sets.items() if labelled is not None}

    @property
    def reads(self) -> int:
        """How often an image is read before the first step; what is retained is decoded when the run is over."""
        return 2 * self.image_count - (len(self.retain.paths) if self.retain else 0)

    @property
    def image_count(self) -> int:
        """Images of all files."""
        sets = [*(part.labelled for part in self.training), *self.judging.values()]
        return sum(len(labelled.paths) for labelled in sets)


def check_inputs(recipe: Recipe, inputs: Inputs) -> None:
    """Check that the recipe's files are there and that nothing is learnt from what judges.

    Warns by a ``DataWarning`` where a file claims another domain than the option by which it enters.

    Raises:
        RecipeError: the recipe needs a file that is not given, or a file is given that it does not use.
        DataError: what judges shares an image or an origin with what is learnt from, or validates what is retained.
    """
    both, real = _needs_both(recipe), inputs.real or inputs.unlabelled
    reals = "it learns from real images" + " without their keypoints" * (recipe.real_images == "unlabelled")
    synthetics = "it learns from " + ("synthetic images alone" if recipe.real_images == "none" else "both domains")
    without_real = recipe.real_images != "none" and (_needs_real(recipe) or not inputs.synthetic)
    needed = {
        "--adults": (recipe.pretrain and not inputs.adults, "it has a pre-stage"),
        "--real": (not real and without_real, reals),
        "--synthetic": (not inputs.synthetic and (both or recipe.real_images == "none"), synthetics),
        "--unlabelled": (not inputs.unlabelled and _needs_unlabelled(recipe), "it learns from people without labels"),
        "--init": (inputs.init is None and recipe.network is None, f"it starts from {recipe.starts_from or 'weights'}"),
    }
    for option, (missing, reason) in needed.items():
        if missing:
            raise RecipeError(f"recipe {recipe.name} needs {option}: {reason}")
    if inputs.adults and not recipe.pretrain:
        raise RecipeError(f"recipe {recipe.name} has no pre-stage and does not use --adults: leave it out")
    if real and recipe.real_images == "none":
        option = "--real" if inputs.real else "--unlabelled"
        raise RecipeError(
            f"recipe {recipe.name} learns from synthetic images alone and does not use {option}: leave it out"
        )
    if inputs.unlabelled and recipe.learns_from_labels_only:
        raise RecipeError(f"recipe {recipe.name} learns from labels only and does not use --unlabelled: leave it out")
    for part in inputs.training:
        _warn_of_domain(part.option, part.domain, part.labelled)
    for option, labelled in inputs.judging.items():
        _refuse_leaks(inputs, option, labelled)


def fingerprints(inputs: Inputs, tick: Callable[[], None]) -> dict[str, Any]:
    """What each set holds, by content: the same files anywhere give the same fingerprints. ``tick`` counts images.

    Warns by a ``DataWarning`` where pictures of a set that judges look like some that are learnt from.

    Raises:
        DataError: a file cannot be read, one picture enters with both domains, or trains and judges.
        ImageError: a file is no picture.
    """
    judging = inputs.judging
    sets = {part.option: part.labelled for part in inputs.training} | judging
    seen: dict[str, tuple[str, Path]] = {}
    looks = {}
    prints = {}
    for name, labelled in sets.items():
        looks[name] = pictures(labelled, looks=bool(judging), tick=tick)
        for path, digest in zip(labelled.paths, looks[name].digests, strict=True):
            other, place = seen.setdefault(digest, (name, path))
            if other != name:
                problem = f"the same picture as {place.name} of {other}; take it out of one of them"
                raise DataError(path, "", problem)
        prints[name.removeprefix("--")] = {
            "file": labelled.file.name,
            "annotations_sha256": sha256_of(labelled.file) if labelled.file.is_file() else None,  # a folder of photos
            "images_sha256": hashlib.sha256("".join(looks[name].digests).encode()).hexdigest(),
            "images": len(labelled.images),
        }
    for option, labelled in judging.items():
        _warn_of_likeness(inputs, option, labelled, looks)
    return prints


def _needs_both(recipe: Recipe) -> bool:
    if recipe.real_images == "none":
        return False
    weight = recipe.domain_weight or recipe.domain_share
    aligned = bool(weight and recipe.learning in ALIGNING)
    borrowed = recipe.augmentation.borrowed_colours > 0
    return aligned or borrowed or recipe.synthetic_share is not None or recipe.real_images == "unlabelled"


def _needs_real(recipe: Recipe) -> bool:
    return _needs_both(recipe) or recipe.learning == "adabn"


def _needs_unlabelled(recipe: Recipe) -> bool:
    kept = recipe.unlabelled or recipe.real_images == "unlabelled"
    return not kept and (recipe.learning == "mean-teacher" or recipe.unlabelled_share is not None)


def _warn_of_domain(option: str, domain: Domain, labelled: LabelledSet) -> None:
    others = sum(image.domain not in (None, domain) for image in labelled.images)
    if others:
        claim = Domain(1 - domain).name.lower()
        used = f"they enter as {domain.name.lower()} because {option} decides"
        warnings.warn(f"{labelled.file}: {others} images say they are {claim}; {used}", DataWarning, stacklevel=3)


def _refuse_leaks(inputs: Inputs, option: str, judged: LabelledSet) -> None:
    others = [(part.option, part.labelled, "trains on", "are trained on") for part in inputs.training]
    if option != "--validation" and inputs.validation is not None:
        others.append(("--validation", inputs.validation, "chooses the weights by", "the weights are chosen by"))
    what = "validate" if option == "--validation" else "measure retention"
    for other, labelled, uses, used in others:
        if shared := shared_files(labelled, judged):
            problem = f"holds the image {shared[0].name}, which {other} {labelled.file.name} {uses}; take it out of one"
            raise DataError(judged.file, "images", problem)
        origins = [(kind, value) for kind, values in shared_origins(labelled, judged).items() for value in values]
        if origins:
            kind, value = origins[0]
            problem = f"shares the {kind.replace('_', ' ')} {value} with {other} {labelled.file.name}"
            more = f" and {len(origins) - 1} more" if len(origins) > 1 else ""
            raise DataError(judged.file, "images", f"{problem}{more}; {what} on others than {used}")


def _warn_of_likeness(inputs: Inputs, option: str, judged: LabelledSet, looks: Mapping[str, Pictures]) -> None:
    found = [(part, alike) for part in inputs.training if (alike := alike_pictures(looks[part.option], looks[option]))]
    if found:
        part, ((known, path, similarity), *_) = found[0]
        count = len({place for _, alike in found for _, place, _ in alike})
        example = f"{path.name} like {known.name} of {part.option} ({similarity:.2f})"
        told = f"{count} of {len(judged.paths)} pictures look like some that are learnt from, such as {example}"
        advice = "take out copies and frames of the same film; fidip check lists them"
        warnings.warn(f"{option} {judged.file}: {told}; {advice}", DataWarning, stacklevel=3)
