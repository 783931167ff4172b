"""Sorted runs come out in one order, a bounded number of rows at a time, whatever shares a key."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curate.run.exchange import sort_rows
from curate.run.merge import merged
from curate.run.pieces import Piece
from curate.stages.base import KEY, PART, ROW
from curate.store.files import Store
from curate.store.tables import new_table


def written(store: Store, rows: pa.Table, sizes: list[int], lead: int) -> Piece:
    """Sorted rows in batches of some sizes, behind ``lead`` batches of other rows in the same file."""
    key = store.fresh("t", "run", ".arrow")
    with new_table(store, key, rows.schema) as out:
        for _ in range(lead):
            out.write(rows.slice(0, 1).to_batches()[0])
        at = count = 0
        while at < rows.num_rows:
            size = sizes[count % len(sizes)]
            out.write(rows.slice(at, size).combine_chunks().to_batches()[0])
            at, count = at + size, count + 1
    return Piece(key, lead, count, rows.num_rows)


@pytest.mark.parametrize(("keys", "runs", "held"), [(1, 5, 16), (3, 4, 8), (10**6, 6, 32), (2, 1, 8)])
def test_one_order(tmp_path: Path, keys: int, runs: int, held: int) -> None:
    """The order is that of sorting all rows together; no table has more than twice what is held of each run."""
    rng = random.Random(keys)
    store, pieces, everything = Store(tmp_path), [], []
    for part in range(runs):
        n = rng.randrange(200, 600)
        rows = pa.table(
            {
                KEY: np.array([rng.randrange(keys) for _ in range(n)], np.uint64),
                "kind": np.array([rng.randrange(3) for _ in range(n)], np.uint8),
                "text": [f"{rng.randrange(50)}" for _ in range(n)],
                PART: np.full(n, part, np.uint32),
                ROW: np.arange(n).astype(np.uint32),
            }
        )
        everything.append(rows)
        pieces.append(written(store, sort_rows(rows, ("kind", "text")), [1, held, held // 2], lead=part % 2))
    found = list(merged(store, pieces, ("kind", "text"), held))
    assert pa.concat_tables(found).equals(sort_rows(pa.concat_tables(everything), ("kind", "text")))
    assert max(t.num_rows for t in found) <= 2 * held * runs
    assert len(found) > 3
    assert list(merged(store, [], ("kind",))) == []
    assert all(t.num_rows for t in found)


def test_no_table_is_empty(tmp_path: Path) -> None:
    """Also where a run ends with a batch after which it could have had more: whoever is given tables looks at their last row."""
    store, rows = Store(tmp_path), pa.table({KEY: np.full(16, 5, np.uint64), ROW: np.arange(16, dtype=np.uint32)})
    found = list(merged(store, [written(store, rows, [8], 0)], (), 8))
    assert [t.num_rows for t in found] == [8, 8]
