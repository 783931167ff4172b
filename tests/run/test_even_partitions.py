"""Partitions of scores: as many rows in each, wherever the scores crowd; sums before each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from exchange import CONTEXT, documents
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from curate.run.exchange import (
    even_bounds,
    group_sums,
    partition_bounds,
    sample_keys,
    sort_rows,
    write_partitions,
)
from curate.run.pieces import Entries, Partitions, spans
from curate.stages.base import KEY, PART, ROW, WEIGHT, Span
from curate.stages.dedup_exact import DedupExact
from curate.stages.select_where import SelectWhere
from curate.store.tables import read_batches, table_writer
from curate.text.batch import Batch


def scores(kind: str, rows: int) -> np.ndarray:
    """As models give them."""
    draw = np.random.default_rng(2)
    if kind == "sure":  # most of them next to 0 and 1
        return np.float32(1 / (1 + np.exp(-9 * draw.standard_normal(rows)))).astype(np.float64)
    if kind == "grades":  # six values
        return draw.integers(0, 6, rows).astype(np.float64)
    return np.where(draw.random(rows) < 0.4, 1.0, draw.random(rows))  # 40 % of one value


def written(path: Path, rows: pa.Table, bounds: np.ndarray) -> dict[str, Any]:
    """The index of what a map writes of sorted rows."""
    entries = Entries()
    with table_writer(path, rows.schema) as out:
        write_partitions(out, rows, bounds, "group", entries)
    return entries.dump()


@pytest.mark.parametrize("kind", ["sure", "grades", "one"])
def test_partitions_of_scores_are_even(kind: str, tmp_path: Path) -> None:
    """Of 60,000 rows in 12 maps and 16 partitions none has more than 1.15 of its share; equal ranges would not do."""
    stage = SelectWhere(column="s", top=0.5).concrete()
    phase = stage.phases()[0]  # type: ignore[attr-defined]
    values = scores(kind, 60_000)
    maps = []
    for i in range(12):
        docs = documents(["x"] * 5000, {"s": pa.array(values[i * 5000 :][:5000])})
        docs = docs.set_column(0, "id", pa.array([b"%016d" % (i * 5000 + n) for n in range(5000)], pa.binary(16)))
        docs = docs.append_column(PART, pa.array(np.full(5000, i), pa.uint32()))
        docs = docs.append_column(ROW, pa.array(np.arange(5000), pa.uint32()))
        maps.append(sort_rows(phase.reads[0].map(Batch(docs.combine_chunks().to_batches()[0]), CONTEXT), phase.sort_by))
    bounds = even_bounds([sample_keys(m) for m in maps], 16)

    def largest(bounds: np.ndarray) -> int:
        partitions = Partitions()
        for i, rows in enumerate(maps):
            partitions.add(str(i), written(tmp_path / f"{len(bounds)}-{i}", rows, bounds))
        sums = partitions.sums()
        assert sum(s[0] for s in sums.values()) == 60_000
        return max(s[0] for s in sums.values())

    assert largest(bounds) <= 1.15 * 60_000 / 16
    assert largest(partition_bounds(16)) > 2 * 60_000 / 16


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9), st.sampled_from(["a", "b", None])), max_size=40),
    st.integers(1, 6),
)
@how(deadline=None)
def test_sums_are_plain_sums(tmp_path_factory: pytest.TempPathFactory, rows, partitions) -> None:
    """Rows and weights before each partition, in all and by group; what is written is what was given."""
    rows = sorted(rows, key=lambda r: r[0])
    table = pa.table(
        {
            KEY: pa.array([k for k, *_ in rows], pa.uint64()),
            WEIGHT: pa.array([w for _, w, _ in rows], pa.int64()),
            "group": pa.array([g for *_, g in rows], pa.string()),
        }
    ).combine_chunks()
    bounds = even_bounds([sample_keys(table)] if rows else [], partitions)
    assert len(bounds) < partitions and (np.diff(bounds.astype(object)) > 0).all()
    path = tmp_path_factory.mktemp("cut") / "rows.arrow"
    partitions_ = Partitions()
    partitions_.add("f", written(path, table, bounds))
    sums = partitions_.sums()
    assert pa.Table.from_batches(list(read_batches(path)), table.schema).equals(table)
    order = sorted(sums)
    before: list[tuple[int, int, str | None]] = []
    for span, p in zip(spans([sums[p] for p in order]), order, strict=True):
        low, high = [0, *bounds.tolist()][p], [*bounds.tolist(), 1 << 64][p]
        here = [r for r in rows if low <= r[0] < high]
        assert (span.start_rows, span.total_rows) == (len(before), len(rows))
        assert (span.start_weight, span.total_weight) == (sum(w for _, w, _ in before), sum(w for _, w, _ in rows))
        for name in ("a", "b"):
            mine, first = ([w for _, w, g in some if g == name] for some in (rows, before))
            expected = Span(len(first), len(mine), sum(first), sum(mine))
            assert span.groups.get(name) == (expected if any(g == name for *_, g in here) else None)
        before += here
    assert before == rows


def test_sums_of_large_weights_are_exact() -> None:
    """Not as float64, which ends at 2^53."""
    table = pa.table({"group": ["a", "a"], WEIGHT: pa.array([2**53, 1], pa.int64())})
    assert group_sums(table, "group") == {"a": [2, 2**53 + 1]}


def test_only_scores_are_cut_later() -> None:
    """Keys that are hashes have equal ranges: their maps write partitions at once."""
    uneven = SelectWhere(column="s", top=0.5, within="source", floor=0.1).concrete()
    assert [p.even for p in uneven.phases()] == [False, False]  # type: ignore[attr-defined]
    assert all(p.even for p in DedupExact().phases())
