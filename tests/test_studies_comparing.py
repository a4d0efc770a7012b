"""Means, intervals and paired differences over seeds, against SciPy and by hand."""

import numpy as np
import pytest
from scipy import stats

from fidip.evaluation.bootstrap import weighted_average_precision
from fidip.evaluation.matching import THRESHOLDS, Matches
from fidip.studies.comparing import holm, mean_of, paired


def matches(passed):
    """One person and one prediction an image; the predictions are sorted by score already."""
    count = len(passed)
    correct = np.arange(len(THRESHOLDS))[:, None] < np.asarray(passed)
    return Matches(np.arange(1, count + 1), np.ones(count, np.int64), np.arange(count), correct, np.zeros_like(correct))


def test_the_interval_is_that_of_student():
    values = np.array([0.31, 0.35, 0.28, 0.40, 0.33])
    found = mean_of(values)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high))
    assert (found.count, found.mean, found.sd) == (5, pytest.approx(values.mean()), pytest.approx(values.std(ddof=1)))


def test_one_seed_has_a_mean_and_nothing_else():
    found = mean_of([0.5])
    assert (found.mean, found.sd, found.interval) == (0.5, None, None)


def test_differences_are_paired_by_seed():
    """Two arms that vary much from seed to seed in the same way differ by a constant: 1 of 10 thresholds."""
    rng = np.random.default_rng(0)
    worse = {seed: rng.integers(0, 9, size=60) for seed in range(6)}
    better = {seed: matches(passed + 1) for seed, passed in worse.items()}
    found = paired(better, {seed: matches(passed) for seed, passed in worse.items()}, np.random.default_rng(1))
    separate = np.array([passed.mean() / 10 for passed in worse.values()])
    assert found.over_seeds.sd < separate.std(ddof=1)
    assert found.over_seeds.interval[0] > 0
    assert found.interval[0] > 0
    assert found.p < 0.001


def test_the_paired_test_is_scipys():
    rng = np.random.default_rng(3)
    a = {seed: matches(rng.integers(2, 10, size=40)) for seed in range(5)}
    b = {seed: matches(rng.integers(1, 10, size=40)) for seed in range(5)}
    ones = np.ones((1, 40), np.int64)
    ap = weighted_average_precision
    expected = stats.ttest_rel([ap(a[s], ones)[0] for s in a], [ap(b[s], ones)[0] for s in b])
    found = paired(a, b, np.random.default_rng(0))
    assert found.over_seeds.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.p > expected.pvalue
    assert found.over_seeds.mean == pytest.approx(np.mean([ap(a[s], ones)[0] - ap(b[s], ones)[0] for s in a]))


def test_only_seeds_of_both_arms_count():
    one = matches([5, 5, 5])
    assert paired({0: one}, {1: one}, np.random.default_rng(0)) is None
    found = paired({0: one, 1: one}, {1: one, 2: one}, np.random.default_rng(0))
    assert (found.over_seeds.count, found.p, found.interval) == (1, None, None)


def test_arms_that_are_the_same_do_not_differ():
    same = {seed: matches([seed, 5, 9]) for seed in range(4)}
    found = paired(same, same, np.random.default_rng(0))
    assert (found.over_seeds.mean, found.p, found.interval) == (0.0, 1.0, (0.0, 0.0))


def test_other_images_widen_the_interval_by_their_variance():
    """One difference in every seed, so the seeds have no noise; the images have that of a mean of so many."""
    rng = np.random.default_rng(4)
    passed = rng.integers(1, 10, size=200)
    a = {seed: matches(passed) for seed in range(5)}
    b = {seed: matches(np.maximum(passed - rng.permutation(2).repeat(100), 0)) for seed in range(5)}
    found = paired(a, b, np.random.default_rng(0), resamples=4000)
    both = paired(
        dict.fromkeys(range(5), a[0]), dict.fromkeys(range(5), b[0]), np.random.default_rng(0), resamples=4000
    )
    assert both.over_seeds.sd == pytest.approx(0, abs=1e-12)
    alone = paired_difference_sd(a[0], b[0])
    half = (both.interval[1] - both.interval[0]) / 2
    assert half == pytest.approx(stats.t.ppf(0.975, 4) * alone, rel=0.1)
    assert found.interval[0] < found.over_seeds.interval[0]
    assert found.interval[1] > found.over_seeds.interval[1]


def paired_difference_sd(a, b):
    """Of the difference of two APs over draws of other images, by drawing them one by one."""
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(2000):
        weights = np.bincount(rng.integers(200, size=200), minlength=200)[None]
        drawn.append(weighted_average_precision(a, weights)[0] - weighted_average_precision(b, weights)[0])
    return np.std(drawn, ddof=1)


def test_without_any_difference_few_comparisons_are_called_one():
    """Of arms of the same quality at most about one in twenty has p below 5 %."""
    rng = np.random.default_rng(7)
    called = 0
    for _ in range(100):
        a, b = ({seed: matches(rng.integers(0, 11, size=30)) for seed in range(6)} for _ in range(2))
        called += paired(a, b, rng, resamples=100).p < 0.05
    assert called <= 10  # of a binomial of 100 and 0.05, more than 10 has probability 0.01


def test_holms_correction_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}
