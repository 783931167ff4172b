"""Buckets with earlier documents: snapshot after snapshot, the same are compared as when all are there at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text.buckets import comparable, placed
from curate.text.pairs import candidates

SNAPSHOTS = st.lists(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=12), min_size=1, max_size=4)
"""By snapshot, in keep order: the bucket of each document, and whether it was kept."""

Row = tuple[int, int, str, bool, int]
"""Key, age, name, whether it is there, places."""


def columns(rows: list[Row], age: int) -> tuple[np.ndarray, ...]:
    """What the kernels take; rows of the snapshot ``age`` are the new ones."""
    keys = np.array([row[0] for row in rows], np.uint64)
    old = np.array([row[1] < age for row in rows], bool)
    there = np.array([row[3] for row in rows], bool)
    return keys, old, there, np.array([row[4] for row in rows], np.int64)


@given(SNAPSHOTS, st.integers(2, 5))
@settings(max_examples=40)
def test_snapshots_in_a_row_are_all_at_once(snapshots, bound):
    """Of pairs with a new document, those with earlier ones that were kept, and those among the new ones, are the same."""
    kept = {f"{n}-{i}" for n, some in enumerate(snapshots) for i, (_, stays) in enumerate(some) if stays}
    every: dict[int, list[str]] = {}
    index: list[Row] = []
    for age, some in enumerate(snapshots):
        wanted = set()
        for i, (key, _) in enumerate(some):
            bucket = every.setdefault(key, [])
            wanted |= {(other, f"{age}-{i}") for other in bucket[:bound]}
            bucket.append(f"{age}-{i}")
        # Earlier documents that were dropped can't make another one go.
        wanted = {(a, b) for a, b in wanted if a in kept or a.startswith(f"{age}-")}
        new = [(key, age, f"{age}-{i}", True, 1) for i, (key, _) in enumerate(some)]
        rows = sorted([*index, *new], key=lambda row: row[:2])
        which, stops = comparable(*columns(rows, age), bound)
        taken = [rows[i] for i in which]
        ones, zeros = np.ones(len(taken), np.int64), np.zeros(len(taken), np.uint8)
        keys = np.array([row[0] for row in taken], np.uint64)
        found = [
            (taken[i][2], taken[j][2])
            for first, second, _ in candidates(keys, zeros, ones, bound, stops=stops)
            for i, j in zip(first.tolist(), second.tolist(), strict=True)
        ]
        assert len(set(found)) == len(found)
        assert set(found) == wanted
        rows = sorted([*index, *((k, a, n, n in kept, p) for k, a, n, _, p in new)], key=lambda row: row[:2])
        which, places = placed(*columns(rows, age), bound)
        left = [rows[i] for i in which]
        index += [(k, a, n, t, p) for (k, a, n, t, _), p in zip(left, places.tolist(), strict=True)]
        assert len({(row[0], row[1]) for row in index if not row[3]}) == sum(not row[3] for row in index)
        for key, bucket in every.items():
            mine = [row for row in index if row[0] == key]
            assert sum(row[4] for row in mine) == min(bound, len(bucket))
            assert {row[2] for row in mine if row[3]} == kept & set(bucket[:bound])
