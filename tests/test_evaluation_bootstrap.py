"""Reweighted AP against an evaluation of the set in which images really stand several times."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation_sets import random_set
from fidip.errors import DataError
from fidip.evaluation.average_precision import evaluate
from fidip.evaluation.bootstrap import (
    confidence_interval,
    percentile_interval,
    resample_weights,
    weighted_average_precision,
)


def duplicated(truth, predictions, weights):
    """The set with each image as often as its weight says, under new ids."""
    copies = [image for image, weight in zip(truth, weights, strict=True) for _ in range(weight)]
    renamed = [replace(image, id=number) for number, image in enumerate(copies)]
    return renamed, {number: predictions[image.id] for number, image in enumerate(copies) if image.id in predictions}


def test_weights_equal_duplicates():
    defined = 0
    for n in range(25):
        rng = np.random.default_rng([6, n])
        truth, predictions = random_set(rng, ties=False)
        truth.sort(key=lambda image: image.id)
        weights = rng.integers(0, 4, (3, len(truth)))
        matches = evaluate(truth, predictions, area="file", resamples=0).matches
        for row, value in zip(weights, weighted_average_precision(matches, weights), strict=True):
            try:
                expected = evaluate(*duplicated(truth, predictions, row), area="file", resamples=0).AP
            except DataError:  # nobody is left to be found
                assert np.isnan(value)
            else:
                assert value == pytest.approx(expected, abs=1e-9), n
                defined += 1
    assert defined > 60


def test_resamples_draw_as_many_images_as_there_are():
    weights = resample_weights(40, 2000, np.random.default_rng(0))
    assert weights.shape == (2000, 40)
    assert (weights.sum(axis=1) == 40).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(40), abs=0.1)
    assert weights.var() == pytest.approx(39 / 40, abs=0.02)  # binomial: n · 1/n · (1 − 1/n)


def test_the_interval_is_that_of_resampling_by_hand():
    """Draw images with return a hundred times, evaluate each draw, take the percentiles."""
    truth, predictions = random_set(np.random.default_rng(9), images=10, ties=False)
    truth.sort(key=lambda image: image.id)
    matches = evaluate(truth, predictions, area="file", resamples=0).matches
    low, high = confidence_interval(matches, np.random.default_rng(1), resamples=100)
    draws = resample_weights(10, 100, np.random.default_rng(1))
    values = [evaluate(*duplicated(truth, predictions, row), area="file", resamples=0).AP for row in draws]
    assert (low, high) == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=1e-9)


def test_an_interval_needs_two_images_with_people():
    truth, predictions = random_set(np.random.default_rng(9), images=1)
    matches = evaluate(truth, predictions, area="file", resamples=0).matches
    assert confidence_interval(matches, np.random.default_rng(0)) is None
    assert evaluate(*random_set(np.random.default_rng(9), images=5), area="file", resamples=0).ci95 is None


def test_samples_without_a_value_are_left_out():
    assert percentile_interval(np.array([np.nan, 0.5, 0.5])) == (0.5, 0.5)
    assert percentile_interval(np.array([np.nan])) is None
    assert percentile_interval(np.linspace(0, 1, 1001)) == pytest.approx((0.025, 0.975))
