"""What labels are worth, by hand."""

from math import expm1, log1p

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidip.studies.learning_curve import LearningCurve


def curve_of(means):
    return LearningCurve.of(means, dict.fromkeys(means, 5))


def test_the_curve_goes_through_means_that_rise():
    curve = curve_of({10: 0.3, 0: 0.2, 60: 0.5})
    assert (curve.budgets, curve.ap) == ((0, 10, 60), (0.2, 0.3, 0.5))
    assert [curve.at(n) for n in (0, 10, 60)] == pytest.approx([0.2, 0.3, 0.5])


def test_means_that_fall_are_pooled():
    assert curve_of({0: 0.2, 10: 0.4, 30: 0.3, 60: 0.5}).ap == pytest.approx((0.2, 0.35, 0.35, 0.5))


def test_more_seeds_weigh_more():
    found = LearningCurve.of({0: 0.2, 10: 0.4, 30: 0.3}, {0: 8, 10: 8, 30: 2})
    assert found.ap == pytest.approx((0.2, 0.38, 0.38))


def test_between_the_budgets_ap_grows_with_the_logarithm():
    curve = curve_of({0: 0.0, 99: 1.0})
    assert curve.at(9) == pytest.approx(0.5)  # log 10 is half of log 100
    assert curve.labels_for(0.5) == pytest.approx(9)
    assert curve.more_for(9, 0.25) == pytest.approx(expm1(0.75 * log1p(99)) - 9)


def test_beyond_the_largest_budget_nothing_is_claimed():
    curve = curve_of({0: 0.1, 60: 0.4})
    assert curve.labels_for(0.41) is None
    assert curve.more_for(60, 0.01) is None
    assert curve.labels_for(0.05) == 0


def test_the_fewest_labels_of_a_plateau():
    assert curve_of({0: 0.1, 10: 0.3, 60: 0.3}).labels_for(0.3) == pytest.approx(10)


def test_one_budget_is_no_curve():
    assert curve_of({10: 0.3}) is None


@given(st.dictionaries(st.integers(0, 500), st.floats(0, 1), min_size=2, max_size=6), st.floats(0, 1))
def test_reading_it_both_ways_agrees(means, ap):
    curve = curve_of(means)
    assert all(low <= high for low, high in zip(curve.ap, curve.ap[1:], strict=False))
    labels = curve.labels_for(ap)
    if labels is None:
        assert ap > curve.ap[-1]
    else:
        assert curve.at(labels) >= ap - 1e-9 or ap <= curve.ap[0]
