"""Near copies are one group, and a group is never on both sides of a split."""

import random

import numpy as np
import pyarrow as pa
import pytest
from corpus import near_copy, prose
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.quality import split
from curate.quality.lessons import balanced
from curate.quality.links import links
from curate.text.components import connected
from curate.text.ngrams import Ngrams

M64 = (1 << 64) - 1


def slow_connected(rows):
    """Follow every link from every row."""
    number = [None] * len(rows)
    count = 0
    for i in range(len(rows)):
        if number[i] is not None:
            continue
        todo = [i]
        while todo:
            one = todo.pop()
            if number[one] is None:
                number[one] = count
                todo += [j for j in range(len(rows)) if any(a == b for a, b in zip(rows[one], rows[j], strict=True))]
        count += 1
    return number


@given(st.lists(st.tuples(*[st.integers(0, 12)] * 3), max_size=40))
def test_components_equal_following_every_link(rows):
    """Rows that hang together through a chain are one component, numbered by its first row."""
    assert connected(np.array(rows, np.uint64).reshape(-1, 3)).tolist() == slow_connected(rows)


def test_a_long_chain_and_a_star_are_one_component_each():
    """Neither the length of a chain nor its order matters."""
    n = 20_000
    order = np.random.default_rng(1).permutation(n)
    links = np.stack([order // 2, (order + 1) // 2 + n], axis=1).astype(np.uint64)
    assert connected(links).max() == 0
    assert connected(np.zeros((n, 2), np.uint64)).max() == 0
    assert connected(np.arange(2 * n, dtype=np.uint64).reshape(n, 2)).tolist() == list(range(n))


def mix64(x):
    """MurmurHash3's finaliser."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        x = (x ^ x >> 33) * factor & M64
    return x ^ x >> 33


@settings(max_examples=20)
@given(st.lists(st.lists(st.integers(0, M64), max_size=20), max_size=4))
def test_links_are_bytes_of_minima(rows):
    """A twin in plain integers: what the shipped classifiers' splits follow from never changes unseen."""
    drawn = []
    for i in range(1, 221):
        z = i * 0x9E3779B97F4A7C15 & M64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & M64
        z = (z ^ z >> 27) * 0x94D049BB133111EB & M64
        drawn.append(z ^ z >> 31)
    ends = np.cumsum([0, *map(len, rows)])
    got = links(Ngrams(ends, np.array([x for row in rows for x in row], np.uint64)))
    for row, found in zip(rows, got.tolist(), strict=True):
        minima = [
            min(((a * (x >> 32) + b & M64) >> 32 for x in row), default=None)
            for a, b in zip(drawn[::2], drawn[1::2], strict=True)
        ]
        sketch = [mix64(value) >> 56 if row else 0 for value in minima]
        assert found == [int.from_bytes(bytes(sketch[i : i + 5]), "little") for i in range(0, 110, 5)]


def texts(values):
    return pa.chunked_array([pa.array(values, pa.large_string())])


def test_planted_copies_are_found():
    """Copies with one word in sixty replaced (a Jaccard of 0.75 to 0.9): about 98 in 100 are in the group of their original."""
    originals = prose(300)
    rng = random.Random(5)
    copies = [near_copy(text, rng) for text in originals]
    group = split.groups(texts(originals + copies))
    n = len(originals)
    assert n > 150
    assert (group[:n] == group[n:]).mean() > 0.95
    # The originals themselves are apart, but for those that share paragraphs.
    assert len(np.unique(group[:n])) >= 0.85 * n


def test_short_texts_are_grouped_by_equality():
    """Texts without a shingle of five words have no signature: they are near copies of what equals them only."""
    group = split.groups(texts(["", "a b", "a b", "a  b", "", "c"]))
    assert group.tolist() == [0, 1, 1, 2, 0, 3]


MARKS = st.lists(st.tuples(st.integers(0, 15), st.integers(-1, 1)), min_size=1, max_size=120)


@given(MARKS, st.floats(0.05, 0.6), st.integers(0, 2**32))
def test_a_group_is_held_out_as_a_whole(rows, share, seed):
    """No group is on both sides; each class keeps about its share; a class with two groups has some on both sides."""
    group = np.unique([g for g, _ in rows], return_inverse=True)[1].astype(np.int64)
    good = np.array([m for _, m in rows], np.int8)
    order = np.random.default_rng(seed).integers(0, 2**63, group.max() + 1).astype(np.uint64)
    held = split.hold_out(group, good, order, share)
    for one in range(group.max() + 1):
        assert len(set(held[group == one])) == 1
    counts = split.classes_of(group, good)
    for kind in (False, True):
        mine = np.flatnonzero((counts.sum(axis=1) > 0) & ((counts[:, 1] >= counts[:, 0]) == kind))
        out = [g for g in mine if held[group == g][0]]
        size, whole = counts[out].sum(), counts[mine].sum()
        assert size <= max(np.ceil(share * whole), counts[mine].sum(axis=1).min(initial=10**9))
        if len(mine) > 1:
            assert out and len(out) < len(mine)
        if len(mine) == 1:
            assert not out
    permuted = np.random.default_rng(seed).permutation(len(rows))
    assert (split.hold_out(group[permuted], good[permuted], order, share) == held[permuted]).all()


@given(MARKS, st.integers(2, 6), st.integers(0, 2**32))
def test_groups_are_dealt_evenly(rows, folds, seed):
    """A group is in one fold; what is not trained on has none; a class's folds differ by no more than its largest group."""
    group = np.unique([g for g, _ in rows], return_inverse=True)[1].astype(np.int64)
    good = np.array([m for _, m in rows], np.int8)
    who = (np.random.default_rng(seed).random(len(rows)) < 0.8) & (good >= 0)
    order = np.random.default_rng(seed).integers(0, 2**63, group.max() + 1).astype(np.uint64)
    fold = split.deal(group, good, order, folds, who)
    for one in range(group.max() + 1):
        assert len(set(fold[group == one])) == 1
        assert (fold[group == one][0] >= 0) == who[group == one].any()
    counts = split.classes_of(group, np.where(who, good, -1))
    for kind in (False, True):
        mine = np.flatnonzero((counts.sum(axis=1) > 0) & ((counts[:, 1] >= counts[:, 0]) == kind))
        if len(mine):
            sizes = [counts[[g for g in mine if fold[group == g][0] == k]].sum() for k in range(folds)]
            assert max(sizes) - min(sizes) <= counts[mine].sum(axis=1).max()


def test_names_do_not_depend_on_the_order_of_rows():
    """A group is called by its smallest hash."""
    group, hashes = np.array([0, 1, 0, 1]), np.array([9, 4, 7, 5], np.uint64)
    assert split.names(group, hashes).tolist() == [7, 4]
    assert split.names(group[:0], hashes[:0]).tolist() == []


@pytest.mark.parametrize(("how", "sizes"), [("none", [90, 10]), ("equal", [10, 10]), ("sqrt", [30, 10])])
def test_balance(how, sizes):
    """No balance, as many of each, or a number that grows with the square root; the first rows of each class stay."""
    classes = np.array([0] * 90 + [1] * 10 + [1] * 30, np.int8)
    among = np.arange(130) < 100
    kept = balanced(classes, among, how)
    assert [int(kept[classes == m].sum()) for m in (0, 1)] == sizes
    assert (np.flatnonzero(kept & (classes == 0)) < sizes[0]).all() and not kept[100:].any()
    assert not balanced(classes, among & False, how).any()
