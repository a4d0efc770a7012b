"""Time of a keypoint evaluation against pycocotools on the same random set, in the same run.

    python benchmarks/evaluation_speed.py --scale 0.1

The set has COCO's proportions: at scale 1, 5000 images, 11,000 people and 100,000 predictions. CPU seconds of this
process; the ten numbers of both must agree. Prints JSON.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import time
from importlib.metadata import version

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fidip.annotations import LabelledImage, Person
from fidip.evaluation.average_precision import evaluate
from fidip.evaluation.bootstrap import confidence_interval
from fidip.skeleton import COCO_17

PEOPLE_PER_IMAGE = 2.2
PREDICTIONS_PER_IMAGE = 20
NAMES = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")


def random_set(images, rng):
    truth, predictions = [], {}
    sigmas = np.array(COCO_17.oks_sigmas)[:, None]
    for image_id in range(1, images + 1):
        people = []
        for _ in range(rng.poisson(PEOPLE_PER_IMAGE)):
            size, corner = rng.uniform(30, 300, 2), rng.uniform(0, 300, 2)
            keypoints = np.column_stack([corner + rng.random((17, 2)) * size, rng.integers(0, 3, 17)])
            crowd = bool(rng.random() < 0.02)
            people.append(Person(keypoints, box=(*corner, *size), area=0.5 * size.prod(), crowd=crowd))
        group = []
        for i in range(PREDICTIONS_PER_IMAGE):
            if i < len(people):
                base, spread = people[i].keypoints[:, :2], 2 * sigmas * people[i].area ** 0.5 * rng.uniform(0, 1.5)
            else:
                base, spread = rng.uniform(0, 600, (17, 2)), sigmas
            keypoints = np.column_stack([base + rng.normal(size=(17, 2)) * spread, np.ones(17)])
            group.append(Person(keypoints, score=float(rng.random())))
        truth.append(LabelledImage(image_id, f"{image_id}.jpg", 640, 640, tuple(people)))
        predictions[image_id] = group
    return truth, predictions


def as_coco(truth, predictions):
    """The set as both evaluators would find it after reading the JSON files."""
    people = [(image.id, person) for image in truth for person in image.people]
    annotations = [
        {
            "id": i,
            "image_id": image_id,
            "category_id": 1,
            "keypoints": person.keypoints.ravel().tolist(),
            "num_keypoints": int(person.labelled.sum()),
            "bbox": list(person.box),
            "area": person.area,
            "iscrowd": int(person.crowd),
        }
        for i, (image_id, person) in enumerate(people, start=1)
    ]
    results = [
        {"image_id": image_id, "category_id": 1, "keypoints": p.keypoints.ravel().tolist(), "score": p.score}
        for image_id, group in predictions.items()
        for p in group
    ]
    images = [{"id": image.id} for image in truth]
    return {"info": {}, "images": images, "annotations": annotations, "categories": [{"id": 1}]}, results


def pycocotools_stats(document, results):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = document
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def timed(call):
    """What a call returns, and the CPU seconds of this process that it took."""
    start = time.process_time()
    value = call()
    return value, time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.1, help="size of the set in units of COCO's validation set")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    truth, predictions = random_set(max(1, round(5000 * options.scale)), np.random.default_rng(options.seed))
    document, results = as_coco(truth, predictions)
    ours, our_seconds = timed(lambda: evaluate(truth, predictions, area="file", resamples=0))
    theirs, their_seconds = timed(lambda: pycocotools_stats(document, results))
    _, bootstrap_seconds = timed(lambda: confidence_interval(ours.matches, np.random.default_rng(0)))
    difference = max(abs(getattr(ours, name) - value) for name, value in zip(NAMES, theirs, strict=True))
    if difference > 1e-6:
        raise SystemExit(f"the numbers differ by {difference}")
    report = {
        "images": len(truth),
        "people": ours.people,
        "predictions": sum(map(len, predictions.values())),
        "seed": options.seed,
        "cpu_seconds": {"fidip": our_seconds, "pycocotools": their_seconds, "bootstrap_1000": bootstrap_seconds},
        "times_faster_than_pycocotools": their_seconds / our_seconds,
        "largest_difference": difference,
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cpus": os.cpu_count()},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "faster-coco-eval", "pycocotools")},
        },
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
