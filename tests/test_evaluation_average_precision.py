"""AP and AR against pycocotools, and against arithmetic done by hand."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation_sets import NAMES, pycocotools_numbers, random_set
from fidip.annotations import LabelledImage, Person
from fidip.errors import DataError, DataWarning
from fidip.evaluation.average_precision import evaluate
from fidip.evaluation.bootstrap import weighted_average_precision
from fidip.skeleton import COCO_17

MEDIUM, LARGE = (0.0, 0.0, 50.0, 100.0), (0.0, 0.0, 100.0, 200.0)
MEDIUM_AREA, LARGE_AREA = 2500.0, 10000.0


def labelled(box, area, keypoints=7):
    """A person with so many labelled keypoints on a diagonal of the box."""
    values = np.zeros((17, 3))
    values[:keypoints] = [(box[0] + 5 * k, box[1] + 5 * k, 2) for k in range(keypoints)]
    return Person(values, box=box, area=area)


def predicted(person, score, exact=17):
    """The person's pose, of which so many keypoints are exact and all others on another planet."""
    values = person.keypoints.copy()
    values[exact:, :2] = 1e6
    return Person(values, box=person.box, score=score)


def golden():
    """Three people to be found, in three images; the OKS of a pose with 5 of 7 keypoints exact is 5/7 = 0.714."""
    a, b, c = labelled(MEDIUM, MEDIUM_AREA), labelled(LARGE, LARGE_AREA), labelled(MEDIUM, MEDIUM_AREA)
    unlabelled = Person(np.zeros((17, 3)), box=(400.0, 0.0, 50.0, 100.0), area=MEDIUM_AREA)
    crowd = Person(np.zeros((17, 3)), box=(300.0, 300.0, 100.0, 100.0), area=5000.0, crowd=True)
    on_crowd = np.tile([350.0, 350.0, 1.0], (17, 1))
    truth = [
        LabelledImage(1, "1.jpg", 640, 480, (a, unlabelled)),
        LabelledImage(2, "2.jpg", 640, 480, (b, crowd)),
        LabelledImage(3, "3.jpg", 640, 480, (c,)),
    ]
    predictions = {
        1: [predicted(a, 0.90)],
        2: [Person(on_crowd, box=crowd.box, score=0.95), predicted(b, 0.80, exact=5)],
        3: [predicted(c, 0.85, exact=0)],
    }
    return truth, predictions


def test_three_images_by_hand():
    """By falling score: the crowd's prediction (never counted), a's (OKS 1), c's (OKS 0), b's (OKS 0.714).

    At the five thresholds 0.50 to 0.70 they are right, wrong, right: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3. The
    curve is read at recall 0, 0.01, …, 1. Up to 0.33 (34 readings) it is 1, up to 0.66 (33 readings) 2/3, then 0: AP is
    (34 + 33 · 2/3) / 101 = 56/101, recall 2/3.
    At the five thresholds 0.75 to 0.95 they are right, wrong, wrong: AP is 34/101, recall 1/3.
    Together AP = (56 + 34) / 2 / 101 = 45/101 and AR = (2/3 + 1/3) / 2 = 1/2.
    Medium, a and c: b's prediction has a large box and is not counted. Right, wrong: 51 readings of 1 up to recall 1/2,
    so 51/101 and 1/2. Large, b alone: found at five thresholds of ten, nothing wrong above it: 1/2 and 1/2.
    """
    result = evaluate(*golden(), area="file")
    expected = {"AP": 45 / 101, "AP50": 56 / 101, "AP75": 34 / 101, "AP_medium": 51 / 101, "AP_large": 1 / 2}
    expected |= {"AR": 1 / 2, "AR50": 2 / 3, "AR75": 1 / 3, "AR_medium": 1 / 2, "AR_large": 1 / 2}
    assert {name: getattr(result, name) for name in NAMES} == pytest.approx(expected, abs=1e-12)
    assert (result.images, result.people, result.area) == (3, 3, "file")


def test_a_duplicate_of_a_right_prediction_is_wrong():
    """One person found twice: the better score is right, the other wrong, and AP stays 1 since recall is complete."""
    a = labelled(MEDIUM, MEDIUM_AREA)
    truth = [LabelledImage(1, "1.jpg", 640, 480, (a,)), LabelledImage(2, "2.jpg", 640, 480, (a,))]
    twice = [predicted(a, 0.9), predicted(a, 0.8)]
    assert pytest.approx(1) == evaluate(truth[:1], {1: twice}, area="file").AP
    # With a second person found after it: precision 1 up to recall 1/2 (51 readings), then 2/3 (50 readings).
    result = evaluate(truth, {1: twice, 2: [predicted(a, 0.1)]}, area="file")
    assert pytest.approx((51 + 50 * 2 / 3) / 101) == result.AP


def test_two_hundred_random_sets_equal_pycocotools():
    for n in range(200):
        truth, predictions = random_set(np.random.default_rng([1, n]))
        if predictions:  # pycocotools cannot read an empty list
            result = evaluate(truth, predictions, area="file", resamples=0)
            expected = pycocotools_numbers(truth, predictions)
            for name in NAMES:
                assert getattr(result, name) == pytest.approx(expected[name], abs=1e-6), (n, name)
            ours = weighted_average_precision(result.matches, np.ones((1, len(truth)), dtype=int))
            assert ours == pytest.approx([expected["AP"]], abs=1e-9), n


@pytest.mark.parametrize(("policy", "share"), [("bbox", 1.0), ("0.53bbox", 0.53)])
def test_box_areas_equal_pycocotools_on_a_file_with_these_areas(policy, share):
    for n in range(10):
        truth, predictions = random_set(np.random.default_rng([2, n]), images=5)
        result = evaluate(truth, predictions, area=policy, resamples=0)
        expected = pycocotools_numbers(truth, predictions, area=lambda p: share * p.box[2] * p.box[3])
        assert {name: getattr(result, name) for name in NAMES} == pytest.approx(expected, abs=1e-6)


def test_annotation_ids_from_zero_lose_no_match():
    truth, predictions = golden()
    numbered = [replace(image, people=tuple(replace(p, id=i) for p in image.people)) for i, image in enumerate(truth)]
    result = evaluate(numbered, predictions, area="file")
    ours = {name: getattr(result, name) for name in NAMES}
    assert ours == pytest.approx(pycocotools_numbers(truth, predictions, first_id=1), abs=1e-6)
    assert pycocotools_numbers(truth, predictions, first_id=0)["AP"] < ours["AP"] - 0.1


def test_ids_and_order_of_images_do_not_matter():
    truth, predictions = random_set(np.random.default_rng(5), images=6, ties=False)
    far = [replace(image, id=-image.id * 10**12) for image in reversed(truth)]
    moved = evaluate(far, {-i * 10**12: group for i, group in predictions.items()}, area="file")
    assert pytest.approx(evaluate(truth, predictions, area="file").AP, abs=1e-12) == moved.AP


def test_no_results_give_zero():
    truth, _ = golden()
    for nothing in ({}, {2: []}):
        result = evaluate(truth, nothing, area="file")
        assert all(getattr(result, name) == 0 for name in NAMES)
        assert result.ci95 == (0, 0)


def test_sizes_that_nobody_has_are_undefined():
    a = labelled(MEDIUM, MEDIUM_AREA)
    result = evaluate([LabelledImage(1, "1.jpg", 640, 480, (a,))], {1: [predicted(a, 1.0)]}, area="file")
    assert (result.AP_medium, result.AP_large, result.AR_large) == (pytest.approx(1), None, None)
    assert result.ci95 is None  # one image says nothing about others


def test_the_report_holds_every_number_with_its_area():
    report = evaluate(*golden(), area="file").to_json()
    assert set(NAMES) | {"area", "ci95", "images", "people"} == set(report)
    assert report["area"] == "file"
    assert report["ci95"][0] <= report["AP"] <= report["ci95"][1]


def test_the_same_numbers_twice():
    truth, predictions = random_set(np.random.default_rng(8), images=8)
    first, second = (evaluate(truth, predictions, area="file").to_json() for _ in range(2))
    assert first == second
    other = evaluate(truth, predictions, area="file", rng=np.random.default_rng(1)).to_json()
    assert {**other, "ci95": None} == {**first, "ci95": None}


def test_impossible_areas_are_replaced_with_a_warning_unless_the_policy_is_named():
    truth, predictions = golden()
    wrong = [replace(i, people=tuple(replace(p, area=2e6) for p in i.people)) for i in truth]
    with pytest.warns(DataWarning, match="same although their boxes differ.*OKS uses the area policy bbox"):
        assert evaluate(wrong, predictions).area == "bbox"
    with pytest.warns(DataWarning, match="OKS uses the area policy file"):
        assert evaluate(wrong, predictions, area="file").area == "file"
    assert evaluate(wrong, predictions, area="0.53bbox").area == "0.53bbox"
    assert evaluate(truth, predictions).area == "file"


def with_person(**fields):
    truth, _ = golden()
    return [replace(truth[0], people=(replace(truth[0].people[0], **fields),)), *truth[1:]]


@pytest.mark.parametrize(
    ("truth", "predictions", "problem"),
    [
        ([], {}, "truth: annotations: none of the 0 images holds a person with a labelled keypoint"),
        ([LabelledImage(1, "1.jpg", 9, 9, golden()[0][1].people[1:])], {}, "none of the 1 images holds"),
        (golden()[0] + golden()[0][:1], {}, "truth: images: the id 1 stands there more than once"),
        (golden()[0], {7: []}, "predictions: image 7: 1 of them belong to no image of the truth"),
        (golden()[0], {2: [labelled(MEDIUM, None)]}, "predictions: image 2: prediction 1 of 1 has no score"),
        (golden()[0], {2: [predicted(labelled(MEDIUM, None), float("nan"))]}, "prediction 1 of 1 has no score"),
        (golden()[0], {2: [Person(np.full((17, 3), np.nan), score=1.0)]}, "image 2: a keypoint is not a finite number"),
        (
            golden()[0],
            {2: [Person(np.ones((5, 3)), score=1.0)]},
            r"expected keypoints of the shape \(17, 3\), found \(5",
        ),
        (with_person(area=None), {}, "truth: image 1: person 1 of 1 has no area: .* policy bbox"),
        (with_person(keypoints=np.zeros((17, 3)), box=None), {}, "neither a labelled keypoint nor a box"),
    ],
)
def test_what_cannot_be_measured_is_named(truth, predictions, problem):
    with pytest.raises(DataError, match=problem):
        evaluate(truth, predictions, area="file")


def test_another_skeleton_brings_its_own_keypoints_and_sigmas():
    """Five keypoints, all off by one spread: OKS is exp(−1/2) = 0.607, which passes 0.50, 0.55 and 0.60."""
    skeleton = replace(COCO_17, name="five", keypoints=COCO_17.keypoints[:5], oks_sigmas=(0.1, 0.2, 0.3, 0.4, 0.5))
    truth = Person(np.tile([10.0, 10.0, 2.0], (5, 1)), box=(0.0, 0.0, 50.0, 50.0), area=2500.0)
    moved = truth.keypoints + np.outer(2 * np.array(skeleton.oks_sigmas) * 50, [0.6, 0.8, 0])
    images = [LabelledImage(1, "1.jpg", 100, 100, (truth,))]
    result = evaluate(images, {1: [Person(moved, score=1.0)]}, area="file", skeleton=skeleton)
    assert pytest.approx((0.3, 0.3)) == (result.AP, result.AR)
