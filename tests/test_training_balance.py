"""λ from a share of the pose gradient, against the closed form of the running mean."""

import math

import pytest
import torch

from fidip.training.balance import Balance


def test_a_constant_ratio_gives_exactly_its_share() -> None:
    balance = Balance()
    assert [balance.weight(4.0, 0.2) for _ in range(5)] == pytest.approx([0.05] * 5)


def test_the_mean_of_the_logarithms_is_a_geometric_series() -> None:
    ratios = [2.0, 0.5, 30.0, 1.0, 7.0]
    balance = Balance()
    weights = [balance.weight(ratio, 1.0) for ratio in ratios]
    for n in range(len(ratios)):
        mean = 0.9**n * math.log(ratios[0]) + sum(0.1 * 0.9 ** (n - i) * math.log(ratios[i]) for i in range(1, n + 1))
        assert weights[n] == pytest.approx(math.exp(-mean))


@pytest.mark.parametrize("nothing", [None, 0.0, math.nan, math.inf])
def test_a_step_without_a_gradient_counts_for_nothing(nothing) -> None:
    balance = Balance()
    assert balance.weight(nothing, 0.5) == 0.0
    balance.weight(2.0, 0.5)
    assert balance.weight(nothing, 0.5) == pytest.approx(0.25)
    assert int(balance.seen) == 1


def test_a_share_of_nothing_is_nothing() -> None:
    assert Balance().weight(3.0, 0.0) == 0.0


def test_it_goes_on_from_its_state() -> None:
    first, second = Balance(), Balance()
    first.weight(3.0, 1.0)
    first.weight(5.0, 1.0)
    second.load_state_dict({name: torch.clone(t) for name, t in first.state_dict().items()})
    assert second.weight(0.1, 1.0) == first.weight(0.1, 1.0)
