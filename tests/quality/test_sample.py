"""Samples by smallest keyed hash do not depend on how the rows arrive."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.quality.sample import HASH, Smallest, keyed_hash, unit

MASK = (1 << 64) - 1


def slow_hash(value: bytes, key: int) -> int:
    def mix(v: int) -> int:
        v = ((v ^ (v >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        v = ((v ^ (v >> 27)) * 0x94D049BB133111EB) & MASK
        return v ^ (v >> 31)

    golden = 0x9E3779B97F4A7C15
    low, high = int.from_bytes(value[:8], "little"), int.from_bytes(value[8:], "little")
    return mix(mix((low + key + golden) & MASK) ^ ((high + golden) & MASK))


def rows(values: list[int], texts: list[str] | None = None) -> pa.RecordBatch:
    texts = texts or ["x" * (v % 7) for v in values]
    ids = [v.to_bytes(16, "big") for v in values]
    return pa.RecordBatch.from_pydict({"id": pa.array(ids, pa.binary(16)), "text": pa.array(texts, pa.large_string())})


@settings(deadline=None)
@given(st.lists(st.binary(min_size=16, max_size=16)), st.integers(0, MASK))
def test_the_hash_equals_its_slow_twin_on_slices_too(values, key):
    """The vectorised hash is the documented one, also for an array that starts inside its buffer."""
    array = pa.array(values, pa.binary(16))
    assert keyed_hash(array, key).tolist() == [slow_hash(v, key) for v in values]
    assert keyed_hash(array[1:], key).tolist() == [slow_hash(v, key) for v in values[1:]]


def test_hashes_are_spread_evenly():
    """A tenth of consecutive numbers falls into each tenth of [0, 1)."""
    places = unit(keyed_hash(rows(list(range(20_000))).column("id"), 7))
    counts, _ = np.histogram(places, bins=10, range=(0, 1))
    assert counts.min() > 1_850 and counts.max() < 2_150


def test_null_and_narrow_ids_are_refused():
    """An id is 16 bytes and never null."""
    with pytest.raises(ValueError):
        keyed_hash(pa.array([None], pa.binary(16)), 1)
    with pytest.raises(TypeError):
        keyed_hash(pa.array([b"x"], pa.binary(1)), 1)


def sampled(values: list[int], batch: int, **limits) -> list[tuple[int, bytes]]:
    sample = Smallest(**limits)
    for start in range(0, len(values), batch):
        part = rows(values[start : start + batch])
        sample.add(part, keyed_hash(part.column("id"), 3))
    table = sample.rows()
    return (
        [] if table is None else list(zip(table.column(HASH).to_pylist(), table.column("id").to_pylist(), strict=True))
    )


@settings(deadline=None)
@given(st.lists(st.integers(0, 10_000), unique=True, max_size=60), st.integers(1, 9), st.integers(1, 20), st.randoms())
def test_rows_equal_a_full_sort(values, batch, limit, random):
    """Streaming gives the first rows of the full sort, whatever the order and the size of the batches."""
    expected = sorted((slow_hash(v.to_bytes(16, "big"), 3), v.to_bytes(16, "big")) for v in values)[:limit]
    random.shuffle(values)
    assert sampled(values, batch, rows=limit) == expected


@settings(deadline=None)
@given(st.lists(st.integers(0, 10_000), unique=True, max_size=60), st.integers(1, 9), st.integers(1, 60), st.randoms())
def test_bytes_equal_a_full_sort(values, batch, limit, random):
    """By bytes, the row that reaches the limit is the last."""
    expected, total = [], 0
    for h, v in sorted((slow_hash(v.to_bytes(16, "big"), 3), v) for v in values):
        if total >= limit:
            break
        expected.append((h, v.to_bytes(16, "big")))
        total += v % 7
    random.shuffle(values)
    assert sampled(values, batch, text_bytes=limit) == expected


def test_copies_count_once_when_asked():
    """Of rows with equal hashes the one with the smallest id stays."""
    sample = Smallest(rows=2, distinct=True)
    for values in ([9, 4], [5, 1], [8, 7]):
        sample.add(rows(values), np.array([1, 2], np.uint64))
    table = sample.rows()
    assert [int.from_bytes(v, "big") for v in table.column("id").to_pylist()] == [5, 1]


def test_memory_is_bounded_by_the_limit():
    """Far fewer rows are held than were offered."""
    sample = Smallest(rows=10)
    for start in range(0, 100_000, 1_000):
        part = rows(list(range(start, start + 1_000)))
        sample.add(part, keyed_hash(part.column("id"), 3))
        assert sum(t.num_rows for t in sample._held) <= 20
