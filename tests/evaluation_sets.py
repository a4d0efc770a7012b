"""Random labelled sets with predictions for them, and pycocotools as the judge of both."""

import contextlib
import io
import warnings

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fidip.annotations import LabelledImage, Person
from fidip.skeleton import COCO_17

SIGMAS = np.array(COCO_17.oks_sigmas)
NAMES = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")


def random_person(rng):
    """A labelled person of any size; one in six has no labelled keypoint, one in six is a crowd."""
    size = rng.choice([25.0, 60.0, 150.0]) * rng.uniform(0.8, 1.2, 2)
    corner = rng.uniform(0, 300, 2)
    keypoints = np.zeros((17, 3))
    keypoints[:, :2] = corner + rng.uniform(0, 1, (17, 2)) * size
    keypoints[:, 2] = rng.choice([0, 1, 2], 17, p=[0.2, 0.2, 0.6])
    crowd = rng.random() < 1 / 6
    if rng.random() < 1 / 6:
        keypoints[:, 2] = 0
    keypoints[keypoints[:, 2] == 0] = 0
    area = float(size.prod() * rng.uniform(0.3, 0.7))
    return Person(keypoints, box=(*corner.tolist(), *size.tolist()), area=area, crowd=bool(crowd))


def random_prediction(rng, person, ties, boxes):
    """A pose near somebody's, at a distance that spreads OKS from 0 to 1; keypoints without a label go anywhere."""
    x, y, width, height = person.box
    keypoints = np.ones((17, 3))
    keypoints[:, :2] = np.where(
        person.labelled[:, None], person.keypoints[:, :2], rng.uniform((x, y), (x + width, y + height), (17, 2))
    )
    spread = 2 * SIGMAS[:, None] * np.sqrt(person.area) * rng.choice([0.0, 0.3, 0.8, 3.0])
    keypoints[:, :2] += rng.normal(0, 1, (17, 2)) * spread
    score = float(rng.integers(1, 5) / 4 if ties else rng.random())
    box = (float(x), float(y), width * 1.1, height * 1.1) if boxes else None
    return Person(keypoints, box=box, score=score)


def random_set(rng, images=None, ties=None):
    """Labelled images in no order of their ids, and predictions by image id: some missed, some found twice, some false.

    One image in four holds so many predictions that COCO looks at the first twenty only.
    """
    ties = bool(rng.random() < 0.5) if ties is None else ties
    boxes = bool(rng.random() < 0.5)
    ids = rng.permutation(100)[: images or rng.integers(1, 9)].tolist()
    truth, predictions = [], {}
    for image_id in ids:
        people = [random_person(rng) for _ in range(rng.integers(0, 5))]
        found = [p for p in people for _ in range(rng.integers(0, 3))]
        false = [random_person(rng) for _ in range(rng.integers(0, 3) + 20 * (rng.random() < 0.25))]
        group = [random_prediction(rng, p, ties, boxes) for p in found + false]
        if group:
            predictions[image_id] = [group[i] for i in rng.permutation(len(group))]
        truth.append(LabelledImage(image_id, f"{image_id}.jpg", 640, 480, tuple(people)))
    keypoints = np.ones((17, 3))
    keypoints[:, :2] = rng.uniform(100, 200, (17, 2))
    last = Person(keypoints, box=(100.0, 100.0, 100.0, 100.0), area=5000.0)  # somebody is always to be found
    truth[-1] = LabelledImage(ids[-1], "last.jpg", 640, 480, (*truth[-1].people, last))
    return truth, predictions


def pycocotools_numbers(truth, predictions, first_id=1, area=lambda person: person.area):
    """The ten numbers from pycocotools, people numbered from ``first_id`` in the order of the images."""
    annotations = [
        {
            "image_id": image.id,
            "category_id": 1,
            "keypoints": person.keypoints.ravel().tolist(),
            "num_keypoints": int(person.labelled.sum()),
            "bbox": list(person.box),
            "area": area(person),
            "iscrowd": int(person.crowd),
        }
        for image in truth
        for person in image.people
    ]
    results = [
        {
            "image_id": image_id,
            "category_id": 1,
            "keypoints": person.keypoints.ravel().tolist(),
            "score": person.score,
            **({"bbox": list(person.box)} if person.box else {}),
        }
        for image_id, group in predictions.items()
        for person in group
    ]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        judge = COCO()
        judge.dataset = {
            "info": {},
            "images": [{"id": image.id} for image in truth],
            "annotations": [{**a, "id": i} for i, a in enumerate(annotations, start=first_id)],
            "categories": [{"id": 1, "name": "person"}],
        }
        judge.createIndex()
        evaluation = COCOeval(judge, judge.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: None if v < 0 else v for name, v in zip(NAMES, evaluation.stats.tolist(), strict=True)}
