"""Candidate pairs, their blocks, and who stays: against the obvious loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text.pairs import candidates, located, spread
from curate.text.settle import kept_edges

BUCKETS = st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=12), max_size=8)


@given(BUCKETS, st.integers(2, 6), st.integers(1, 20), st.integers(10, 60))
@settings(max_examples=40)
def test_candidates_are_each_row_with_the_first_ones(buckets, bound, most, block_size):
    """All pairs of a row and a bucket's first rows before it, once, whatever is given at once; blocks hold little."""
    keys = np.repeat(np.arange(len(buckets), dtype=np.uint64) * 7, [len(b) for b in buckets])
    sizes = np.array([s for b in buckets for s in b], np.int64)
    bands = np.array([k % 5 for k, b in enumerate(buckets) for _ in b], np.uint8)
    found, blocks = [], {}
    for first, second, block in candidates(keys, bands, sizes, bound, most, block_size):
        assert len(first) <= most or len(set(second.tolist())) == 1
        for i, j, b in zip(first.tolist(), second.tolist(), block.tolist(), strict=True):
            found.append((i, j))
            blocks.setdefault(b, set()).update((i, j))
            assert b >> 56 == bands[j]
    wanted, start = [], 0
    for b in buckets:
        wanted += [(start + i, start + j) for j in range(len(b)) for i in range(min(j, bound))]
        start += len(b)
    assert sorted(found) == sorted(wanted)
    for rows in blocks.values():
        assert len({keys[r] for r in rows}) == 1
        assert sizes[sorted(rows)].sum() <= 2 * block_size or len(rows) == 2 or max(sizes[sorted(rows)]) > block_size


@given(BUCKETS, st.integers(2, 6), st.integers(10, 60), st.lists(st.integers(0, 100), max_size=8))
@settings(max_examples=60)
def test_candidates_of_rows_that_come_in_pieces(buckets, bound, block_size, cuts):
    """Behind the first rows of a bucket that goes on come some of the others, or none: the same pairs in the same blocks."""
    keys = np.repeat(np.arange(len(buckets), dtype=np.uint64) * 7, [len(b) for b in buckets])
    sizes, bands = np.array([s for b in buckets for s in b], np.int64), np.zeros(len(keys), np.uint8)

    def pairs(at, **more):
        given = candidates(keys[at], bands[at], sizes[at], bound, block_size=block_size, **more)
        return [
            row for i, j, block in given for row in zip(at[i].tolist(), at[j].tolist(), block.tolist(), strict=True)
        ]

    found, last, head = [], np.zeros(2, np.int64), np.zeros(0, np.int64)
    ends = sorted(min(cut, len(keys)) for cut in (0, *cuts, len(keys)))
    for begin, end in itertools.pairwise(ends):
        if begin < end and len(head) and keys[head[0]] != keys[begin]:
            head = head[:0]
        at = np.concatenate([head, np.arange(begin, end)])
        found += pairs(at, known=len(head), last=last)
        head = at[keys[at] == keys[at[-1]]][:bound] if len(at) else at
    assert sorted(found) == sorted(pairs(np.arange(len(keys))))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_located(nodes, rng):
    """Each end of a pair is found under its own key alone."""
    there = sorted(set(nodes))
    keys = np.array([k for k, _ in there], np.uint64)
    names = np.array([n for _, n in there], np.uint64)
    asked = sorted((rng.randrange(6), rng.randrange(10)) for _ in range(20))
    rng.shuffle(asked)
    asked.sort(key=lambda a: a[0])
    at = located(keys, names, np.array([k for k, _ in asked], np.uint64), np.array([n for _, n in asked], np.uint64))
    assert at.tolist() == [there.index(a) if a in there else -1 for a in asked]


def test_spread_parts_what_differs():
    """No two of 100,000 values share a key, and halves of the key space have half of them."""
    keys = spread(np.arange(100_000, dtype=np.uint64))
    assert len(np.unique(keys)) == 100_000
    assert abs((keys >> np.uint64(63)).mean() - 0.5) < 0.01
    one, two = np.array([1, 2, 1], np.uint64), np.array([2, 1, 2], np.uint64)
    assert len(set(spread(one, two).tolist())) == 2


def greedy(edges: list[tuple[int, int]], gone: set[int]) -> set[int]:
    """Who stays, by going through the numbers in order."""
    stays: set[int] = set()
    for node in sorted({n for e in edges for n in e}):
        if node not in gone and not any((e, node) in set(edges) for e in stays):
            stays.add(node)
    return stays


@given(
    st.sets(st.tuples(st.integers(0, 14), st.integers(0, 14)).filter(lambda e: e[0] < e[1]), max_size=50),
    st.sets(st.integers(0, 14), max_size=4),
)
@settings(max_examples=50)
def test_kept_edges_are_those_of_who_stays(edges, gone):
    """As one pass in order, also where some are known to be gone."""
    listed = list(edges)
    stays = greedy(listed, gone)
    got = kept_edges(
        np.array([a for a, _ in listed], np.uint64),
        np.array([b for _, b in listed], np.uint64),
        np.array(sorted(gone), np.uint64),
    )
    assert got.tolist() == [a in stays for a, _ in listed]


def test_chains_stars_and_cliques():
    """Of a chain every other one stays; of a star its middle, or all but it; of a clique the first."""
    n = 100_000
    chain = np.arange(n, dtype=np.uint64)
    none = np.zeros(0, np.uint64)
    assert kept_edges(chain[:-1], chain[1:], none).tolist() == [i % 2 == 0 for i in range(n - 1)]
    assert kept_edges(np.zeros(n - 1, np.uint64), chain[1:], none).all()
    assert kept_edges(chain[:-1], np.full(n - 1, n, np.uint64), none).all()
    first, second = np.triu_indices(300, 1)
    stays = kept_edges(first.astype(np.uint64), second.astype(np.uint64), none)
    assert stays.tolist() == (first == 0).tolist()


def test_a_circle_is_no_order():
    """Edges that follow no order are refused."""
    with pytest.raises(ValueError, match="circle"):
        kept_edges(np.array([1, 2], np.uint64), np.array([2, 1], np.uint64), np.zeros(0, np.uint64))
