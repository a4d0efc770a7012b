"""The paired comparison: nothing where nothing differs, certain where all agree, honest where chance alone differs."""

from dataclasses import replace

import numpy as np
import pytest

from fidip.annotations import LabelledImage, Person
from fidip.errors import FidipError
from fidip.evaluation.average_precision import evaluate
from fidip.evaluation.statistics import paired_difference


def infants(count=60):
    """One infant an image, 17 keypoints anywhere in a box of 100 pixels."""
    rng = np.random.default_rng(0)
    poses = [np.column_stack([rng.uniform(0, 100, (17, 2)), np.full(17, 2.0)]) for _ in range(count)]
    people = [Person(pose, box=(0.0, 0.0, 100.0, 100.0), area=5000.0) for pose in poses]
    return [LabelledImage(number, "a.jpg", 128, 128, (person,)) for number, person in enumerate(people)]


def predictions(truth, pixels, seed=0):
    """Each pose with noise of so many pixels, and a random score."""
    rng = np.random.default_rng([seed, 1])
    found = {}
    for image in truth:
        noise = np.column_stack([rng.normal(0, pixels, (17, 2)), np.zeros(17)])
        found[image.id] = [Person(image.people[0].keypoints + noise, score=float(rng.random()))]
    return found


def result_of(pixels, seed=0, count=60, area="file"):
    truth = infants(count)
    return evaluate(truth, predictions(truth, pixels, seed), area=area, resamples=0)


def test_a_result_does_not_differ_from_itself():
    difference = paired_difference(result_of(4), result_of(4), np.random.default_rng(0))
    assert (difference.observed, difference.mean, difference.low, difference.high, difference.p) == (0, 0, 0, 0, 1)


def test_a_clear_difference_is_found_and_changes_sign_with_the_order():
    good, bad = result_of(3), result_of(6)
    forth = paired_difference(good, bad, np.random.default_rng(0))
    back = paired_difference(bad, good, np.random.default_rng(0))
    assert forth.observed == pytest.approx(good.AP - bad.AP)
    assert 0 < forth.low < forth.mean < forth.high
    assert forth.p == pytest.approx(2 / 1001)
    assert (back.low, back.high, back.p) == pytest.approx((-forth.high, -forth.low, forth.p))


def test_chance_alone_is_seldom_called_a_difference():
    """Of thirty pairs of equally good results about 1.5 should have p < 0.05; six or more have a chance of 1 in 300."""
    pairs = [(result_of(4, seed), result_of(4, seed + 100)) for seed in range(30)]
    found = [paired_difference(a, b, np.random.default_rng(0), resamples=200) for a, b in pairs]
    assert sum(difference.p < 0.05 for difference in found) < 6
    assert sum(difference.low <= 0 <= difference.high for difference in found) > 24


def test_pairing_narrows_the_interval():
    """Two results that share most of their mistakes differ by far less than either AP is uncertain."""
    truth = infants()
    common = predictions(truth, 4)
    corrected = {
        i: [replace(group[0], keypoints=truth[i].people[0].keypoints)] for i, group in list(common.items())[:5]
    }
    a, b = (evaluate(truth, results, area="file") for results in (common | corrected, common))
    difference = paired_difference(a, b, np.random.default_rng(0))
    assert difference.high - difference.low < 0.7 * (b.ci95[1] - b.ci95[0])


def test_what_cannot_be_paired_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(FidipError, match="area policies file and bbox cannot be compared"):
        paired_difference(result_of(4), result_of(4, area="bbox"), rng)
    with pytest.raises(FidipError, match="results of different images cannot be paired"):
        paired_difference(result_of(4), result_of(4, count=59), rng)


def test_one_image_has_no_difference():
    result = result_of(4, count=1)
    assert paired_difference(result, result, np.random.default_rng(0)) is None
