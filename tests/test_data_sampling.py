"""Orders checked as multisets: who is in which batch how often."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidip.data.sampling import UNLABELLED, Order, epoch_batches, generator
from fidip.errors import DataError

DOMAINS = np.array([0] * 5 + [1] * 18)


def counts(batches):
    return Counter(np.concatenate(batches).tolist())


@given(st.integers(2, 60), st.integers(2, 40), st.integers(0, 99))
def test_shuffled_batches_hold_everybody_once(count, size, seed) -> None:
    batches = epoch_batches(np.zeros(count, dtype=int), Order(size), generator(seed, 1, 0))
    rest = count % size
    assert [len(batch) for batch in batches] == [size] * (count // size) + ([rest] if rest > 1 else [])
    assert len(counts(batches)) == count - (rest == 1)  # a rest of one is dropped
    assert set(counts(batches).values()) == {1}


@given(st.integers(2, 12), st.floats(0.05, 0.95), st.integers(0, 99))
def test_balanced_batches_have_exact_shares_and_leave_nobody_out(size, share, seed) -> None:
    batches = epoch_batches(DOMAINS, Order(size, share), generator(seed, 1, 0))
    synthetic = min(max(round(size * share), 1), size - 1)
    assert {int(DOMAINS[batch].sum()) for batch in batches} == {synthetic}
    assert {len(batch) for batch in batches} == {size}
    assert set(counts(batches)) == set(range(len(DOMAINS)))
    for members in (range(5), range(5, 23)):  # nobody is seen twice more often than another of the same domain
        seen = [counts(batches)[i] for i in members]
        assert max(seen) - min(seen) <= 1


@pytest.mark.parametrize("share", [None, 0.5])
def test_a_number_of_steps_is_obeyed(share) -> None:
    batches = epoch_batches(DOMAINS, Order(4, share, steps=20), generator(0, 1, 0))
    assert [len(batch) for batch in batches] == [4] * 20


@pytest.mark.parametrize("order", [Order(4), Order(4, 0.5)])
def test_the_order_depends_on_seed_stage_and_epoch_alone(order) -> None:
    def of(*key):
        return [batch.tolist() for batch in epoch_batches(DOMAINS, order, generator(*key))]

    assert of(7, 1, 3) == of(7, 1, 3)
    assert len({str(of(*key)) for key in [(7, 1, 3), (8, 1, 3), (7, 0, 3), (7, 1, 4)]}) == 4


def test_streams_of_an_epoch_and_of_its_batches_differ() -> None:
    streams = [generator(7, 1, 3), *(generator(7, 1, 3, batch) for batch in range(3)), generator(7, 1, 4)]
    assert len({float(stream.random()) for stream in streams}) == 5


def test_too_few_people_are_refused() -> None:
    with pytest.raises(DataError, match="at least 2"):
        epoch_batches(np.array([1]), Order(4), generator(0, 1, 0))
    with pytest.raises(DataError, match="balanced batches need real people"):
        epoch_batches(np.array([1, 1, 1]), Order(4, 0.5), generator(0, 1, 0))


def test_the_unlabelled_have_their_part_of_every_batch() -> None:
    groups = np.array([0] * 3 + [1] * 20 + [UNLABELLED] * 9)
    order = Order(10, synthetic_share=0.5, unlabelled_share=0.4)
    batches = epoch_batches(groups, order, generator(0, 1, 0))
    assert len(batches) == 7  # of twenty synthetic people three a batch
    for batch in batches:
        assert np.bincount(groups[batch], minlength=3).tolist() == [3, 3, 4]
    mixed = epoch_batches(groups, Order(10, unlabelled_share=0.4), generator(0, 1, 0))
    assert all((groups[batch] == UNLABELLED).sum() == 4 for batch in mixed)
    with pytest.raises(DataError, match="balanced batches need unlabelled people"):
        epoch_batches(groups[:20], order, generator(0, 1, 0))


def test_whoever_is_unlabelled_the_others_are_met_as_often() -> None:
    for count in (1, 9, 500):
        groups = np.array([0] * 4 + [1] * 6 + [UNLABELLED] * count)
        for batch in epoch_batches(groups, Order(8, 0.5, 5, 0.5), generator(0, 1, 0)):
            assert np.bincount(groups[batch], minlength=3).tolist() == [2, 2, 4]
