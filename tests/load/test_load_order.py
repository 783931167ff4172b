"""The order is a permutation, looks like a random one, and is the same for ever."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.load.order import ROUNDS, Order, _keys, permuted

ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


def twin(index: int, size: int, *of: int | str) -> int:
    """The construction in plain integers, as the module's text says it."""
    m = math.isqrt(size - 1) + 1
    x = index
    while True:
        left, right = divmod(x, m)
        for key in _keys(*of).tolist():
            z = right ^ key
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
            z ^= z >> 31
            left, right = right, (left + (z >> 32) * m // 2**32) % m
        x = left * m + right
        if x < size:
            return x


@given(st.integers(1, 2000), st.integers(0, 2**63), st.integers(0, 5))
def test_it_is_a_bijection_and_what_the_twin_gives(size: int, seed: int, epoch: int) -> None:
    """Each row once, for every size, seed and epoch."""
    found = permuted(np.arange(size), size, seed, epoch)
    assert sorted(found.tolist()) == list(range(size))
    some = range(0, size, max(1, size // 20))
    assert [int(found[i]) for i in some] == [twin(i, size, seed, epoch) for i in some]


def test_sizes_up_to_a_trillion() -> None:
    """In no memory: what is far apart or near never meets, and stays below the size."""
    size = 10**12 + 39
    index = np.concatenate([np.arange(50_000), np.arange(size - 50_000, size), np.arange(0, size, size // 100_000)])
    found = permuted(np.unique(index), size, 7)
    assert len(np.unique(found)) == len(np.unique(index))
    assert 0 <= found.min() < size // 1000
    assert size - size // 1000 < found.max() < size


def test_all_permutations_of_few_rows_are_equally_likely() -> None:
    """Over 12,000 seeds each of the 24 orders of four rows comes about 500 times (chi-squared, p > 0.001)."""
    orders = [tuple(permuted(np.arange(4), 4, seed)) for seed in range(12_000)]
    counts = np.array([orders.count(o) for o in set(orders)])
    assert len(counts) == 24
    assert ((counts - 500) ** 2 / 500).sum() < 49.7


def test_it_looks_shuffled() -> None:
    """A million rows: no trend, no correlation with neighbours, as many ascents, fixed points and near pairs as by chance."""
    n = 1_000_000
    one, two = permuted(np.arange(n), n, 1, 0), permuted(np.arange(n), n, 1, 1)
    for first, second in (
        (one, np.arange(n)),
        (one[1:], one[:-1]),
        (one[1000:], one[:-1000]),
        (one, two),
        (one[0::2], one[1::2]),
    ):
        assert abs(np.corrcoef(first, second)[0, 1]) < 4 / math.sqrt(len(first))
    ascents = (one[1:] > one[:-1]).sum()
    assert abs(ascents - n / 2) < 4 * math.sqrt(n / 12)
    assert (one == np.arange(n)).sum() < 8
    assert (np.abs(np.diff(one)) < 100).sum() < 200 + 4 * math.sqrt(200)
    # Rows of a hundredth of the positions are spread evenly over a hundred parts of the rows (chi-squared, p > 0.001).
    counts = np.bincount(one[: n // 100] * 100 // n, minlength=100)
    assert ((counts - 100) ** 2 / 100).sum() < 149


def test_the_order_never_changes() -> None:
    """What a seed means is part of every saved state."""
    assert ROUNDS == 8
    assert permuted(np.arange(10), 10, 7, 0).tolist() == [4, 2, 8, 1, 3, 9, 0, 7, 6, 5]
    assert Order("shards", 7, np.array([0, 4, 4, 10])).rows(np.arange(10)).tolist() == [3, 2, 1, 0, 5, 7, 9, 6, 4, 8]


@pytest.mark.parametrize("kind", ["all", "shards", "stored"])
def test_each_epoch_has_each_row_once(kind: str) -> None:
    """In an order of its own, but for the stored one; a request over the end of an epoch goes on in the next."""
    starts = np.array([0, 5, 5, 17, 30])
    order = Order(kind, 3, starts)
    stream = order.rows(np.arange(120)).reshape(4, 30)
    assert [sorted(epoch.tolist()) for epoch in stream] == [list(range(30))] * 4
    assert len({tuple(e) for e in stream.tolist()}) == (1 if kind == "stored" else 4)
    assert np.array_equal(order.rows(np.array([95, 3, 33])), stream.ravel()[[95, 3, 33]])
    if kind == "shards":
        shards = np.searchsorted(starts, stream, "right") - 1
        assert all((np.diff(epoch) != 0).sum() == 2 for epoch in shards)
        runs = list(zip(np.repeat(range(4), 30).tolist(), shards.ravel().tolist(), strict=True))
        for position in range(90):
            after = next(run for run in runs[position:] if run != runs[position])
            assert order.next_shard(position) == after[1]
    if kind == "all":
        assert order.next_shard(0) is None
