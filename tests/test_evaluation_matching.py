"""The matches behind the interval. That their AP is the evaluator's stands in the test of two hundred sets."""

import numpy as np
import pytest

from evaluation_sets import random_set
from fidip.annotations import LabelledImage, Person
from fidip.evaluation import bootstrap, matching
from fidip.evaluation.average_precision import evaluate
from fidip.evaluation.matching import candidates, match
from fidip.skeleton import COCO_17


def test_blocks_change_nothing(monkeypatch):
    truth, predictions = random_set(np.random.default_rng(4), images=11)
    whole = evaluate(truth, predictions, area="file")
    monkeypatch.setattr(matching, "BLOCK", 3)
    monkeypatch.setattr(bootstrap, "CELLS", 100)
    parts = evaluate(truth, predictions, area="file")
    assert np.array_equal(whole.matches.correct, parts.matches.correct)
    assert np.array_equal(whole.matches.ignored, parts.matches.ignored)
    assert whole.ci95 == parts.ci95


def test_candidates_are_the_twenty_of_the_highest_score_and_know_their_place():
    keypoints = np.ones((17, 3))
    image = LabelledImage(1, "1.jpg", 64, 64, (Person(keypoints, box=(0, 0, 9, 9), area=40.0),))
    scores = np.random.default_rng(0).permutation(30).tolist()
    compared = candidates(image, [Person(keypoints, score=s) for s in scores], "file", COCO_17)
    assert compared.scores.tolist() == list(range(29, 9, -1))
    assert [scores[i] for i in compared.order] == compared.scores.tolist()
    assert compared.oks == pytest.approx(np.ones((20, 1)))


def test_a_crowd_takes_many_predictions_and_an_unlabelled_person_one():
    """Three predictions inside a box: a crowd's box excuses all of them, an unlabelled person's the first only."""
    inside = [Person(np.full((17, 3), 5.0), score=s) for s in (0.9, 0.8, 0.7)]
    for crowd, expected in [(True, [True, True, True]), (False, [True, False, False])]:
        somebody = Person(np.zeros((17, 3)), box=(0, 0, 10, 10), area=50.0, crowd=crowd)
        image = LabelledImage(1, "1.jpg", 64, 64, (somebody,))
        matches = match([1], [candidates(image, inside, "file", COCO_17)])
        assert (matches.ignored == expected).all()
        assert not matches.correct.any()
        assert matches.people.tolist() == [0]


def test_nothing_to_match():
    matches = match([], [])
    assert (matches.correct.shape, matches.people.shape) == ((10, 0), (0,))
    image = LabelledImage(1, "1.jpg", 64, 64)
    assert match([1], [candidates(image, [], "file", COCO_17)]).correct.shape == (10, 0)
