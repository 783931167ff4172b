"""The stratified sample: what a slow twin takes going round, in any order, with nothing held that is not needed."""

import hashlib

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.quality.strata import Stratified, bounds

KEY = 77


def turn(name):
    """A class's turn, as the twin has it."""
    return hashlib.blake2b(str(name).encode(), digest_size=16, key=KEY.to_bytes(8, "little")).digest()


def rounds(rows, depth):
    """The slow twin: go round the classes, one row of each in turn, until nothing is left."""
    if depth == len(rows[0][0]) if rows else True:
        return sorted(rows, key=lambda r: (r[1], r[2]))
    classes = {}
    for row in rows:
        classes.setdefault(row[0][depth], []).append(row)
    queues = [rounds(classes[name], depth + 1) for name in sorted(classes, key=turn)]
    taken = []
    while any(queues):
        taken += [queue.pop(0) for queue in queues if queue]
    return taken


def table(rows):
    return pa.table(
        {
            "id": pa.array([r[2].to_bytes(16, "big") for r in rows], pa.binary(16)),
            "a": pa.array([r[0][0] for r in rows], pa.string()),
            "b": pa.array([r[0][1] for r in rows], pa.int64()),
            "c": pa.array([r[0][2] for r in rows], pa.int64()),
        }
    )


ROWS = st.lists(
    st.tuples(st.tuples(st.sampled_from("xyz"), st.integers(0, 2), st.integers(0, 1)), st.integers(0, 6)), max_size=60
).map(lambda rows: [(c, h, i) for i, (c, h) in enumerate(rows)])


@settings(max_examples=66)
@given(ROWS, st.integers(1, 20), st.integers(1, 9), st.randoms(use_true_random=False))
def test_equal_to_going_round(rows, limit, size, random):
    """Any batches in any order give what the twin takes first of all rows at once."""
    random.shuffle(rows)
    sample = Stratified(limit, ["a", "b", "c"], KEY)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        sample.add(table(part), np.array([r[1] for r in part], np.uint64))
    found = sample.rows()
    expected = rounds(rows, 0)[:limit]
    ids = [int.from_bytes(i, "big") for i in found.column("id").to_pylist()] if found else []
    assert ids == [r[2] for r in expected]


def test_a_class_with_few_rows_leaves_its_share_to_the_others():
    """Of 100, 100 and 3 rows, 43 taken: 20, 20, 3; each class's smallest hashes."""
    rows = [
        ((a, 0, 0), i % 17, n) for n, (a, i) in enumerate((a, i) for a in "xyz" for i in range(3 if a == "z" else 100))
    ]
    sample = Stratified(43, ["a", "b", "c"], KEY)
    sample.add(table(rows), np.array([r[1] for r in rows], np.uint64))
    found = sample.rows()
    counts = {a: found.column("a").to_pylist().count(a) for a in "xyz"}
    assert counts == {"x": 20, "y": 20, "z": 3}
    for a in "xy":
        taken = sorted(h for h, b in zip(*(found.column(n).to_pylist() for n in ("_hash", "a")), strict=True) if a == b)
        assert taken == sorted(r[1] for r in rows if r[0][0] == a)[:20]


def test_bounds_are_quantiles():
    """Equal shares; NaN passed over; repeated values are not torn apart."""
    values = np.arange(100) / 100
    ends = bounds(np.concatenate((values[::-1], [np.nan] * 7)), 5)
    assert ends.tolist() == [0.2, 0.4, 0.6, 0.8]
    assert np.bincount(np.searchsorted(ends, values, side="right")).tolist() == [20] * 5
    assert bounds(np.array([0.5] * 9), 5).tolist() == []
    assert bounds(np.array([0.0] * 50 + [1.0] * 50), 4).tolist() == [1.0]
    assert bounds(np.zeros(0), 5).tolist() == []
