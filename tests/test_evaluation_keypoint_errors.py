"""Errors in torsos on poses whose torso and displacements are known."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from fidip.annotations import LabelledImage, Person
from fidip.errors import FidipError
from fidip.evaluation.keypoint_errors import keypoint_errors
from fidip.skeleton import COCO_17

INDEX = {name: i for i, name in enumerate(COCO_17.keypoints)}


def standing(**visibility):
    """Shoulders 60 apart, hips 60 apart and 80 below: both diagonals are 100 long."""
    keypoints = np.column_stack([np.full((17, 2), 50.0), np.full(17, 2.0)])
    for name, place in {
        "left_shoulder": (80, 20), "right_shoulder": (20, 20), "left_hip": (80, 100), "right_hip": (20, 100),
    }.items():  # fmt: skip
        keypoints[INDEX[name], :2] = place
    for name, value in visibility.items():
        keypoints[INDEX[name], 2] = value
    return Person(keypoints, box=(0.0, 0.0, 100.0, 120.0), area=6000.0)


def moved(person, score=1.0, **pixels):
    keypoints = person.keypoints.copy()
    for name, distance in pixels.items():
        keypoints[INDEX[name], :2] += 0.6 * distance, 0.8 * distance
    return replace(person, keypoints=keypoints, score=score)


def errors_of(people, predicted):
    image = LabelledImage(3, "a.jpg", 200, 200, tuple(people))
    return keypoint_errors([image], {3: predicted} if predicted else {}, area="file")


def test_one_keypoint_is_off_by_fifteen_hundredths_of_the_torso():
    errors = errors_of([standing()], [moved(standing(), nose=15)])
    assert errors.pck == pytest.approx({0.05: 16 / 17, 0.1: 16 / 17, 0.2: 1})
    assert errors.keypoint_median[INDEX["nose"]] == pytest.approx(0.15)
    assert errors.keypoint_pck[:, INDEX["nose"]].tolist() == [0, 0, 1]
    assert np.delete(errors.keypoint_pck, INDEX["nose"], axis=1).all()
    term = math.exp(-(15**2) / (2 * 6000 * (2 * COCO_17.oks_sigmas[0]) ** 2))
    assert errors.oks == pytest.approx({3: (16 + term) / 17})


def test_one_diagonal_serves_when_the_other_lacks_a_label():
    person = standing(left_hip=0)
    person.keypoints[INDEX["right_hip"], :2] = 80, 220  # straight below the left shoulder: 200 long
    assert errors_of([person], [moved(person, nose=15)]).keypoint_median[INDEX["nose"]] == pytest.approx(0.075)


def test_without_any_diagonal_only_oks_is_known():
    person = standing(left_hip=0, right_hip=0)
    errors = errors_of([person], [moved(person)])
    assert (errors.without_torso, errors.oks) == (1, {3: 1.0})
    assert errors.pck == {0.05: None, 0.1: None, 0.2: None}


def test_unlabelled_keypoints_do_not_count():
    person = standing(nose=0)
    errors = errors_of([person], [moved(person, nose=500)])
    assert errors.pck == pytest.approx({0.05: 1, 0.1: 1, 0.2: 1})
    assert np.isnan(errors.keypoint_median[INDEX["nose"]])


def test_each_person_takes_the_most_similar_prediction():
    first, second = standing(), standing()
    second.keypoints[:, 0] += 90
    found = [moved(second, 0.9, nose=3), moved(first, 0.2, nose=8), moved(first, 0.8, nose=40)]
    errors = errors_of([first, second], found)
    assert errors.keypoint_median[INDEX["nose"]] == pytest.approx((0.03 + 0.08) / 2)


def test_somebody_without_any_prediction_is_missed():
    errors = errors_of([standing()], [])
    assert errors.oks == {3: 0.0}
    assert errors.pck == {0.05: 0, 0.1: 0, 0.2: 0}
    assert np.isinf(errors.keypoint_median).all()


def test_crowds_are_nobody():
    errors = errors_of([replace(standing(), crowd=True)], [moved(standing())])
    assert errors.oks == {3: None}
    assert errors.without_torso == 0


def test_the_report_is_json():
    errors = errors_of([standing(nose=0), standing()], [moved(standing(nose=0))])
    report = json.loads(json.dumps(errors.to_json(), allow_nan=False))
    assert list(report["keypoints"]) == list(COCO_17.keypoints)
    assert report["keypoints"]["left_hip"] == {"pck": {"0.05": 1, "0.1": 1, "0.2": 1}, "median": 0}
    nobody = json.dumps(errors_of([standing()], []).to_json(), allow_nan=False)
    assert json.loads(nobody)["keypoints"]["nose"] == {"pck": {"0.05": 0, "0.1": 0, "0.2": 0}, "median": None}


def test_a_skeleton_without_hips_has_no_torso():
    head = replace(COCO_17, name="head", keypoints=COCO_17.keypoints[:5], oks_sigmas=COCO_17.oks_sigmas[:5])
    with pytest.raises(FidipError, match="the skeleton head has no left_hip"):
        keypoint_errors([], {}, area="file", skeleton=head)
