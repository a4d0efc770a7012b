"""Rate of training samples on one CPU thread, against the published loaders' way of making them, in the same run.

    python benchmarks/training_samples.py --json benchmarks/training_samples.json

Both sides make augmented 256x192 crops with targets of 17 keypoints from the same 640x480 photos: ours from resident
samples in batches of 32, the reference as SimpleBaseline's loader is described: decode the JPEG, draw, warp from the
whole picture, one Gaussian patch a joint in a loop, normalise, one sample at a time. Ours is normalised too, although
that is the network's affair. CPU seconds of this process. Prints JSON.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import cv2
import numpy as np
import torch

from fidip.annotations import Domain, LabelledImage, Person
from fidip.data.augment import Augmentation, TargetFormat, make_batch
from fidip.data.samples import load_samples
from fidip.files import write_json
from fidip.geometry import crop_around, crop_to_input
from fidip.networks.card import IMAGENET_MEAN, IMAGENET_STD
from fidip.skeleton import COCO_17

WIDTH, HEIGHT = 192, 256
HEATMAP = (48, 64)
SIGMA, STRIDE, BATCH = 2.0, 4, 32
MEAN, STD = np.array(IMAGENET_MEAN, dtype=np.float32), np.array(IMAGENET_STD, dtype=np.float32)


def photos(folder, count, rng):
    """Pictures with structure at every scale, as JPEG files of a photograph's size, with one person each."""
    images = []
    for n in range(count):
        layers = [
            cv2.resize(rng.normal(0, 50 / 2**k, (6 * 2**k, 8 * 2**k, 3)), (640, 480), interpolation=cv2.INTER_CUBIC)
            for k in range(6)
        ]
        picture = np.clip(127 + np.sum(layers, axis=0), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{n}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
        box = (*rng.uniform([60, 40], [240, 120]), *rng.uniform([180, 220], [300, 320]))
        keypoints = np.column_stack([rng.uniform(box[:2], np.add(box[:2], box[2:]), (17, 2)), rng.integers(1, 3, 17)])
        images.append(LabelledImage(n, f"{n}.jpg", 640, 480, (Person(keypoints, box=box),)))
    return images


def reference_sample(path, person, rng):
    """One sample the published way."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    keypoints = person.keypoints.copy()
    crop = crop_around(person.box, (WIDTH, HEIGHT), "simple-baseline")
    x, y = crop.center
    scale = np.clip(rng.normal(1, 0.3), 0.7, 1.3)
    angle = np.radians(np.clip(rng.normal(0, 40), -80, 80)) if rng.random() < 0.6 else 0.0
    if rng.random() < 0.5:
        image = image[:, ::-1, :]
        keypoints[:, 0] = image.shape[1] - 1 - keypoints[:, 0]
        for left, right in COCO_17.flip_pairs:
            keypoints[[left, right]] = keypoints[[right, left]]
        x = image.shape[1] - 1 - x
    window = type(crop)((x, y), (crop.size[0] * scale, crop.size[1] * scale), angle)
    affine = crop_to_input(window, (WIDTH, HEIGHT), "simple-baseline")
    picture = cv2.warpAffine(image, affine, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    for k in range(17):
        if keypoints[k, 2] > 0:
            keypoints[k, :2] = affine @ np.array([keypoints[k, 0], keypoints[k, 1], 1.0])
    tensor = torch.from_numpy(((picture.astype(np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1).copy())
    return tensor, *reference_target(keypoints)


def reference_target(keypoints):
    """Gaussian patches of radius 3 sigma, pasted joint by joint."""
    maps = np.zeros((17, HEATMAP[1], HEATMAP[0]), dtype=np.float32)
    weights = np.minimum(keypoints[:, 2:3], 1).astype(np.float32)
    reach = int(3 * SIGMA)
    side = np.arange(2 * reach + 1, dtype=np.float32)
    for k in range(17):
        x, y = (int(v / STRIDE + 0.5) for v in keypoints[k, :2])
        left, top, right, bottom = x - reach, y - reach, x + reach + 1, y + reach + 1
        if left >= HEATMAP[0] or top >= HEATMAP[1] or right < 0 or bottom < 0:
            weights[k] = 0
            continue
        patch = np.exp(-((side - reach) ** 2 + (side[:, None] - reach) ** 2) / (2 * SIGMA**2))
        rows, columns = slice(max(0, top), min(bottom, HEATMAP[1])), slice(max(0, left), min(right, HEATMAP[0]))
        if weights[k] > 0.5:
            maps[k, rows, columns] = patch[
                rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
            ]
    return torch.from_numpy(maps), torch.from_numpy(weights)


def rate(make, samples, repeats):
    """Median over repeats of samples a CPU second."""
    rates = []
    for repeat in range(repeats):
        started = time.process_time()
        make(repeat)
        rates.append(samples / (time.process_time() - started))
    return statistics.median(rates)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=128, help="photos")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = photos(folder, arguments.count, np.random.default_rng(0))
        paths = [folder / image.file_name for image in images]
        result = measure(images, paths, arguments.repeats)
    report = {
        "what": "augmented training samples a CPU second, 640x480 JPEG to 256x192, one thread, median",
        **result,
        "versions": {name: version(name) for name in ("torch", "numpy", "opencv-python-headless")},
        "python": platform.python_version(),
        "machine": {"processor": platform.processor() or platform.machine(), "cpus": os.cpu_count()},
        "photos": arguments.count,
        "repeats": arguments.repeats,
        "seed": 0,
    }
    print(json.dumps(report, indent=2))
    if arguments.json:
        write_json(arguments.json, report, indent=2)


def measure(images, paths, repeats):
    count = len(images)
    published, varied = Augmentation(), Augmentation(brightness=0.3, contrast=0.3, saturation=0.3)
    started = time.process_time()
    resident = load_samples(images, paths, Domain.REAL, ((WIDTH, HEIGHT), "simple-baseline"), published.reach)
    loading = time.process_time() - started
    format = TargetFormat((WIDTH, HEIGHT), HEATMAP, SIGMA, "simple-baseline", "quantised")
    mean, std = torch.from_numpy(MEAN).view(1, 3, 1, 1), torch.from_numpy(STD).view(1, 3, 1, 1)

    def ours(augmentation):
        def make(repeat):
            order = np.random.default_rng(repeat).permutation(count)
            for start in range(0, count, BATCH):
                rng = np.random.default_rng([repeat, start])
                batch = make_batch(resident, order[start : start + BATCH], format, augmentation, rng)
                (batch.images - mean).div_(std)

        return make

    def reference(repeat):
        rng = np.random.default_rng(repeat)
        for image, path in zip(images, paths, strict=True):
            reference_sample(path, image.people[0], rng)

    def decode(_):
        for path in paths:
            cv2.imread(str(path), cv2.IMREAD_COLOR)

    for make in (ours(published), reference):
        make(99)
    rates = {
        "ours": rate(ours(published), count, repeats),
        "ours_with_colours": rate(ours(varied), count, repeats),
        "reference": rate(reference, count, repeats),
        "decode_alone": rate(decode, count, repeats),
    }
    return {
        "samples_per_cpu_second": {name: round(value, 1) for name, value in rates.items()},
        "ratio": round(rates["ours"] / rates["reference"], 2),
        "ratio_with_colours": round(rates["ours_with_colours"] / rates["reference"], 2),
        "loading_once_cpu_seconds": round(loading, 2),
        "resident_megabytes": round(resident.bytes / 1e6, 1),
    }


if __name__ == "__main__":
    main()
