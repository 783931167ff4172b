"""Samples by smallest keyed hash do not depend on how the rows arrive."""

import numpy as np
import pyarrow as pa
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from curate.quality.sample import HASH, Contents, Smallest, held_out, unit
from curate.text.hashing import keyed_hash

MASK = (1 << 64) - 1


def slow_hash(value: bytes, key: int) -> int:
    return xxhash.xxh64_intdigest(value, key)


def rows(values: list[int], texts: list[str] | None = None) -> pa.RecordBatch:
    texts = texts or ["x" * (v % 7) for v in values]
    ids = [v.to_bytes(16, "big") for v in values]
    return pa.RecordBatch.from_pydict({"id": pa.array(ids, pa.binary(16)), "text": pa.array(texts, pa.large_string())})


def test_hashes_are_spread_evenly():
    """A tenth of consecutive numbers falls into each tenth of [0, 1)."""
    places = unit(keyed_hash(rows(list(range(20_000))).column("id"), 7))
    counts, _ = np.histogram(places, bins=10, range=(0, 1))
    assert counts.min() > 1_850 and counts.max() < 2_150


def sampled(values: list[int], batch: int, **limits) -> list[tuple[int, bytes]]:
    sample = Smallest(**limits)
    for start in range(0, len(values), batch):
        part = rows(values[start : start + batch])
        sample.add(part, keyed_hash(part.column("id"), 3))
    table = sample.rows()
    return (
        [] if table is None else list(zip(table.column(HASH).to_pylist(), table.column("id").to_pylist(), strict=True))
    )


@given(st.lists(st.integers(0, 10_000), unique=True, max_size=60), st.integers(1, 9), st.integers(1, 20), st.randoms())
def test_rows_equal_a_full_sort(values, batch, limit, random):
    """Streaming gives the first rows of the full sort, whatever the order and the size of the batches."""
    expected = sorted((slow_hash(v.to_bytes(16, "big"), 3), v.to_bytes(16, "big")) for v in values)[:limit]
    random.shuffle(values)
    assert sampled(values, batch, rows=limit) == expected


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


def test_copies_are_held_out_together():
    """The split is a function of the content; its share is about what was asked for."""
    hashes = pa.array([(i * 2**64 + 1).to_bytes(16, "big") for i in range(2_000)] * 2, pa.binary(16))
    out = held_out(hashes, 5, 0.2)
    assert (out[:2_000] == out[2_000:]).all()
    assert 340 < out[:2_000].sum() < 460
    assert (held_out(hashes, 6, 0.2) != out).any()


def slow_contents(found, limit, per_source):
    """The rule itself: of each class and source the smallest, of those the smallest of the class."""
    chosen = set()
    for mark in {m for _, m, _ in found if m >= 0}:
        mine = {(h, s if per_source else "") for h, m, s in found if m == mark}
        if per_source:
            mine = {
                row for source in {s for _, s in mine} for row in sorted(r for r in mine if r[1] == source)[:per_source]
            }
        chosen |= {h for h, _ in sorted(mine)[:limit]}
    return sorted(chosen)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(-1, 2), st.sampled_from("abc")), max_size=80),
    st.integers(1, 12),
    st.sampled_from([None, 1, 2, 5]),
    st.integers(1, 9),
    st.randoms(),
)
def test_contents_equal_the_rule_in_any_order(found, limit, per_source, size, random):
    """What is chosen is a function of the set of rows, although most of them are forgotten on the way."""
    expected = slow_contents(found, limit, per_source)
    random.shuffle(found)
    chosen = Contents(limit, per_source)
    chosen._bound = 4  # prunes from the start
    for i in range(0, len(found), size):
        part = found[i : i + size]
        chosen.add(
            np.array([h for h, _, _ in part], np.uint64),
            np.array([m for _, m, _ in part], np.int8),
            pa.array([s for _, _, s in part]),
        )
        chosen._bound = 4
    assert chosen.chosen().tolist() == expected
