"""COCO's keypoint AP and AR, with the area policy and the uncertainty that belong to every number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from fidip.annotations import LabelledImage, Person
from fidip.errors import DataError
from fidip.evaluation.area import AreaPolicy, choose_area, warn_of_areas
from fidip.evaluation.bootstrap import RESAMPLES, confidence_interval
from fidip.evaluation.matching import Candidates, Matches, candidates, match
from fidip.skeleton import COCO_17, Skeleton

PERSON = 1
"""The one category."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationResult:
    """The ten numbers of COCO's keypoint evaluation as fractions of 1, ``None`` where nobody of that size is labelled.

    ``area`` is the policy that OKS divided by: a number without it means nothing. ``ci95`` is the bootstrap interval of
    ``AP`` over images; ``people`` counts those who were to be found. ``matches`` is what a paired comparison with
    another result needs.
    """

    AP: float
    AP50: float
    AP75: float
    AP_medium: float | None
    AP_large: float | None
    AR: float
    AR50: float
    AR75: float
    AR_medium: float | None
    AR_large: float | None
    area: AreaPolicy
    ci95: tuple[float, float] | None
    images: int
    people: int
    matches: Matches = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Everything but the matches, in the types of JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "matches"}
        return {**values, "ci95": None if self.ci95 is None else list(self.ci95)}


def evaluate(
    images: Sequence[LabelledImage],
    predictions: Mapping[int, Sequence[Person]],
    *,
    area: AreaPolicy | None = None,
    skeleton: Skeleton = COCO_17,
    rng: np.random.Generator | None = None,
    resamples: int = RESAMPLES,
) -> EvaluationResult:
    """Compare predicted people, by image id, with the labelled ones.

    Equal to pycocotools on a file whose annotation ids start at 1 and whose ``num_keypoints`` counts the labelled ones:
    people are renumbered and recounted here. ``area=None`` takes the file's areas if they can be believed, else the
    boxes', with a ``DataWarning``. ``rng`` draws the bootstrap (default: seed 0); ``resamples=0`` leaves it out.

    Raises:
        DataError: nobody is labelled, a person lacks what the area policy needs, a prediction has no score or belongs
            to no image. Its ``file`` is ``truth`` or ``predictions``: the caller knows their names.
    """
    _check_ids(images, predictions)
    policy = choose_area(images) if area is None else area
    ordered = sorted(images, key=lambda image: image.id)  # COCO's order, which decides between equal scores
    sets = [candidates(image, predictions.get(image.id, ()), policy, skeleton) for image in ordered]
    matches = match([image.id for image in ordered], sets)
    people = int(matches.people.sum())
    if not people:
        problem = f"none of the {len(images)} images holds a person with a labelled keypoint; nothing can be measured"
        raise DataError("truth", "annotations", problem)
    if area == "file":
        warn_of_areas(images, area)
    return EvaluationResult(
        **_coco_numbers(sets),
        area=policy,
        ci95=confidence_interval(matches, rng or np.random.default_rng(0), resamples),
        images=len(images),
        people=people,
        matches=matches,
    )


def _check_ids(images: Sequence[LabelledImage], predictions: Mapping[int, Sequence[Person]]) -> None:
    repeated = [i for i, count in Counter(image.id for image in images).items() if count > 1]
    if repeated:
        raise DataError("truth", "images", f"the id {repeated[0]} stands there more than once; give each image its own")
    unknown = predictions.keys() - {image.id for image in images}
    if unknown:
        problem = f"{len(unknown)} of them belong to no image of the truth; evaluate them on their own file"
        raise DataError("predictions", f"image {min(unknown)}", problem)


def _coco_numbers(sets: Sequence[Candidates]) -> dict[str, Any]:
    """Let faster-coco-eval match and accumulate what ``candidates`` compared.

    It stores the id of the person found and takes 0 for nobody, as pycocotools does: so ids start at 1.
    """
    truth, results = COCO(), COCO()
    truth.dataset = {"annotations": [], "categories": [{"id": PERSON}], "images": [{"id": i} for i in range(len(sets))]}
    results.dataset = {**truth.dataset, "annotations": []}
    for i, c in enumerate(sets):
        of_truth, of_results = truth.dataset["annotations"], results.dataset["annotations"]
        common = {"image_id": i, "category_id": PERSON}
        for area, ignored, crowd in zip(c.areas.tolist(), c.ignored.tolist(), c.crowd.tolist(), strict=True):
            numbers = {"id": len(of_truth) + 1, "area": area, "iscrowd": int(crowd), "num_keypoints": int(not ignored)}
            of_truth.append(common | numbers)
        for area, score in zip(c.predicted_areas.tolist(), c.scores.tolist(), strict=True):
            of_results.append(common | {"id": len(of_results) + 1, "area": area, "score": score, "iscrowd": 0})
    truth.createIndex()
    results.createIndex()
    evaluator = COCOeval_faster(truth, results, "keypoints")
    # Compared once, for both matchers. The rows are by falling score, as the evaluator wants them.
    evaluator.computeOks = lambda image, _category: sets[image].oks
    evaluator.run()
    names = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")
    return {name: None if value < 0 else value for name, value in zip(names, evaluator.stats.tolist(), strict=True)}
