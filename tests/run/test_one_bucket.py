"""Rows that share one key, a million of them where a task may hold a twentieth: the same rows, in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curate.run import reduce
from curate.run.exchange import RUN_BYTES, sort_rows, write_partitions
from curate.run.pieces import Entries, Partitions
from curate.run.reduce import in_order
from curate.stages.base import KEY, PART, ROW, Context, Global, Span
from curate.stages.dedup_exact import DedupExact
from curate.stages.dedup_lines import DedupLines
from curate.stages.dedup_near import DedupNear
from curate.stages.dedup_substring import DedupSubstring
from curate.stages.edges import EARLIER, LATER
from curate.store.files import Store
from curate.store.tables import new_table

ROWS = {"near": 1_000_000, "exact": 200_000, "settle": 200_000}
ROWS |= {"lines": 400_000, "anchors": 400_000, "groups": 200_000, "texts": 200_000, "cluster": 200_000}
ROWS |= {"places": 400_000, "cuts": 400_000}
LIMIT = 4 << 20
CTX = Context("near", None)


def near(stage: DedupNear, count: int) -> tuple[Any, pa.Table]:
    """Documents of one bucket, but for a few of others on both sides."""
    rng, key = np.random.default_rng(1), np.full(count, 2**63, np.uint64)
    key[:1000], key[-1000:] = 5, 2**64 - 5
    ids = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), count, [None, pa.py_buffer(rng.bytes(16 * count))])
    columns = {KEY: key, "band": np.full(count, 3, np.uint8), "content_hash": ids, "id": ids}
    columns |= {PART: np.zeros(count, np.uint32), ROW: np.arange(count, dtype=np.uint32)}
    return stage.phases()[0], pa.table({**columns, "size": np.full(count, 40, np.uint32)})


def exact(stage: DedupExact, count: int) -> tuple[Any, pa.Table]:
    """Copies of one text."""
    _, rows = near(DedupNear(), count)
    halves = np.stack([rows.column(KEY).to_numpy(), np.zeros(count, np.uint64)], axis=1)
    hashes = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), count, [None, pa.py_buffer(halves)])
    rows = rows.drop_columns(["band", "size"]).append_column("hash", hashes)
    return stage.phases()[0], rows.append_column("age", pa.array(np.zeros(count, np.uint32)))


def settle(stage: DedupNear, count: int) -> tuple[Any, pa.Table]:
    """A document that stays, and all that it leads to."""
    (phase,) = (p for p in stage.phases() if p.name == "settle")
    later = np.arange(count, dtype=np.uint64) + np.uint64(7)
    columns = {KEY: np.full(count, 77, np.uint64), "side": np.full(count, 2, np.uint8)}
    columns |= {EARLIER: np.full(count, 3, np.uint64), LATER: later, "similarity": np.full(count, 0.8)}
    return phase, pa.table({**columns, "kept": pa.array([b"k" * 16] * count, pa.binary(16))})


def lines(stage: DedupLines, count: int) -> tuple[Any, pa.Table]:
    """A line of all documents."""
    _, rows = near(DedupNear(), count)
    columns = {"check": np.full(count, 9, np.uint32), "start": np.zeros(count, np.uint32)}
    columns["stop"] = np.full(count, 60, np.uint32)
    return stage.phases()[0], pa.table(
        {**columns, **{n: rows.column(n) for n in (KEY, PART, ROW, "content_hash", "id")}}
    )


def anchors(stage: DedupSubstring, count: int) -> tuple[Any, pa.Table]:
    """An anchor of all documents, and some that repeat themselves."""
    _, rows = near(DedupNear(), count)
    at = np.full(count, 500, np.uint32)
    at[::100_000] = 2**32 - 20
    ends = {"start": np.full(count, 100, np.uint32), "stop": np.full(count, 1400, np.uint32)}
    return stage.phases()[0], pa.table({"at": at, **ends, **{n: rows.column(n) for n in (KEY, PART, ROW)}})


def groups(stage: DedupSubstring, count: int) -> tuple[Any, pa.Table]:
    """The same with what stands around it: three texts, but for many of one bucket."""
    _, rows = anchors(stage, count)
    _, ids = near(DedupNear(), count)
    content = np.arange(count, dtype=np.uint64) % np.uint64(3)
    content[1000:4000] = np.arange(3000)
    for name, values in {"content": content, "content2": content, "before": np.full(count, 400, np.uint32)}.items():
        rows = rows.append_column(name, pa.array(values))
    return stage.phases()[1], rows.append_column("content_hash", ids["content_hash"]).append_column("id", ids["id"])


def windows(stage: DedupSubstring, count: int) -> tuple[Any, pa.Table]:
    """A window of all documents."""
    _, rows = groups(stage, count)
    rows = rows.drop_columns(["content", "content2", "before", "at"])
    rows = rows.append_column("check", pa.array(np.full(count, 4, np.uint64)))
    rows = rows.append_column("at", pa.array(np.full(count, 2**32 - 1, np.uint32)))
    return stage.phases()[3], rows.append_column("around", pa.array([b""] * count, pa.large_binary()))


def cluster(stage: DedupNear, count: int) -> tuple[Any, pa.Table]:
    """Documents of one cluster."""
    _, rows = near(stage, count)
    (phase,) = (p for p in stage.phases() if p.name == "members")
    named = rows.append_column("cluster", rows.column(KEY))
    return phase, named.append_column("bytes", pa.array(np.full(count, 1000, np.int64)))


def places(stage: DedupNear, count: int) -> tuple[Any, pa.Table]:
    """Documents of one bucket that stay, or go, behind places of earlier ones."""
    _, rows = near(stage, count)
    (phase,) = (p for p in stage.phases() if p.name == "places")
    columns = {"age": np.ones(count, np.uint32), "there": np.arange(count) % 7 > 2, "places": np.ones(count, np.uint16)}
    columns["age"][1000:1005], columns["there"][1000:1005], columns["places"][1000:1005] = 0, False, 5
    columns["document"] = np.arange(count, dtype=np.uint32)
    for name, values in columns.items():
        rows = rows.append_column(name, pa.array(values))
    return phase, rows


def cuts(stage: DedupSubstring, count: int) -> tuple[Any, pa.Table]:
    """Windows of one document that follow each other; half of them stand in one other document, half in another."""
    _, rows = near(DedupNear(), count)
    start = np.arange(count, dtype=np.uint32)
    kept = pa.array([b"a" * 16, b"b" * 16], pa.binary(16)).take(pa.array(start * 2 // count))
    columns = {"start": start, "stop": start + np.uint32(800), "kept": kept, "kept_start": start + np.uint32(7)}
    row = pa.array(np.zeros(count, np.uint32))
    return stage.phases()[4], pa.table({KEY: rows.column(KEY), PART: rows.column(PART), ROW: row, **columns})


CASES = {"near": (near, DedupNear(bound=2)), "exact": (exact, DedupExact()), "settle": (settle, DedupNear(bound=2))}
CASES |= {"lines": (lines, DedupLines(cut="all_but_first")), "anchors": (anchors, DedupSubstring())}
CASES |= {"groups": (groups, DedupSubstring()), "texts": (windows, DedupSubstring())}
CASES |= {"cluster": (cluster, DedupNear(mode="components"))}
CASES |= {"places": (places, DedupNear(index=True, against=["earlier"])), "cuts": (cuts, DedupSubstring())}
FEW = {"places": 3 * 64, "cuts": 4}
"""Rows that come of so many, at most."""


@pytest.mark.parametrize("case", list(CASES))
def test_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """What is given is what one table of all rows would give; of the larger ones Arrow holds less than half at any time."""
    make, stage = CASES[case]
    phase, rows = make(stage, ROWS[case])
    assert phase.streamed
    monkeypatch.setattr(reduce, "LOT_BYTES", LIMIT)
    store, entries, partitions = Store(tmp_path), Entries(), Partitions()
    file = store.fresh("maps", "map", ".arrow")
    runs = -(-rows.nbytes // (RUN_BYTES // 4))
    with new_table(store, file, rows.schema, fast=True) as out:
        order = np.random.default_rng(2).permutation(rows.num_rows)
        for some in np.array_split(order, runs):
            run = sort_rows(rows.take(pa.array(some)), phase.sort_by)
            write_partitions(out, run, np.zeros(0, np.uint64), None, entries)
    partitions.add(file, entries.dump())
    size = rows.nbytes
    whole = digest(iter([sort_rows(rows, phase.sort_by)]), phase, stage)
    del rows, run
    with partitions.published(store, "index") as shares:
        before, most, tables = pa.total_allocated_bytes(), 0, 0

        def watched(tables_: Iterator[pa.Table]) -> Iterator[pa.Table]:
            nonlocal most, tables
            for table in tables_:
                most, tables = max(most, pa.total_allocated_bytes() - before), tables + 1
                yield table

        pieces = shares[0].pieces(store)
        assert len(pieces) == runs
        found = digest(watched(in_order(store, pieces, size, phase.sort_by)), phase, stage)
    assert found == whole
    assert found[0] <= FEW.get(case, found[0])
    assert tables > 10
    assert ROWS[case] < 400_000 or most < size / 2


def digest(tables: Iterator[pa.Table], phase: Any, stage: Global) -> tuple[int, int]:
    """How many rows a reduce gives, and a sum over them that their order and cuts have no part in."""
    count = total = 0
    for given in phase.reduce(tables, Span(0, 1), CTX):
        count += given.num_rows
        for name in given.schema.names:
            column = given.column(name)
            if pa.types.is_boolean(column.type):
                column = column.cast(pa.uint8())
            # Blocks of pairs are cut where enough documents have come: in whatever order.
            if pa.types.is_integer(column.type) and name != "block":
                column, factor = column.fill_null(1), np.uint64(len(name) * 2 + 1)
                total += int((column.to_numpy().astype(np.uint64) * factor + np.uint64(1)).sum())
    return count, total & (2**64 - 1)
