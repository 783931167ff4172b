"""What the engine's exchange does to a Global stage, in memory: for tests of stages.

``verdicts(stage, docs, parts=3, partitions=2, order=random.Random(1))`` cuts the documents into parts, shuffles the
order in which parts are mapped, sorts by KEY and ``sort_by``, cuts the key space into ranges and reduces each.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.schema import DOCUMENT
from curate.stages.base import KEY, PART, ROW, VERDICTS, WEIGHT, Context, Global, Span
from curate.text.batch import Batch
from curate.text.hashing import content_hash, hash128

CONTEXT = Context(step="test", seed=7)


def documents(texts: list[str | None], columns: Mapping[str, pa.Array] | None = None, source: list[str] | None = None):
    """A table in schema.DOCUMENT (and more columns): ids are hashes of position and text."""
    text = pa.array([t or "" for t in texts], pa.large_string())
    names = [f"{i}" for i in range(len(texts))]
    arrays = {
        "id": hash128(pa.array(names, pa.large_string()), 99),
        "text": text,
        "source": pa.array(source or ["test"] * len(texts), pa.string()),
        "origin": pa.array([f"f#{n}" for n in names], pa.string()),
        "meta": pa.array(["{}"] * len(texts), pa.string()),
        "content_hash": content_hash(text),
    }
    table = pa.table(arrays, DOCUMENT)
    for name, column in (columns or {}).items():
        table = table.append_column(name, column)
    return table


def batch(texts: list[str | None], columns: Mapping[str, pa.Array] | None = None) -> Batch:
    """One batch of documents."""
    table = documents(texts, columns).combine_chunks()
    return Batch(pa.RecordBatch.from_arrays([c.combine_chunks() for c in table.columns], schema=table.schema))


def _batches(table: pa.Table, size: int) -> list[Batch]:
    return [Batch(b) for b in table.combine_chunks().to_batches(max_chunksize=size)]


def _sorted(rows: pa.Table, by: tuple[str, ...]) -> pa.Table:
    return rows.take(pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in (KEY, *by)]))


def _span(table: pa.Table, a: int, b: int, group: str | None) -> Span:
    """Sums before row ``a`` and over all, and for each group with rows in [a, b) the same of its rows."""
    weights = table.column(WEIGHT).to_pylist() if WEIGHT in table.schema.names else [0] * table.num_rows
    inner = {}
    if group is not None:
        names = table.column(group).to_pylist()
        for name in {n for n in names[a:b] if n is not None}:
            mine = [i for i, n in enumerate(names) if n == name]
            before = [i for i in mine if i < a]
            inner[name] = Span(len(before), len(mine), sum(weights[i] for i in before), sum(weights[i] for i in mine))
    return Span(a, table.num_rows, sum(weights[:a]), sum(weights), inner)


def verdicts(
    stage: Global,
    docs: pa.Table,
    *,
    parts: int = 1,
    partitions: int = 1,
    seed: int = 0,
    batch_rows: int = 64,
    ctx: Context = CONTEXT,
) -> pa.Table:
    """The stage's verdicts joined to ids: a table with id, reason, detail, sorted by id."""
    rng = random.Random(seed)
    cuts = sorted(rng.randrange(docs.num_rows + 1) for _ in range(parts - 1))
    edges = [0, *cuts, docs.num_rows]
    pieces = [docs.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    inputs = []
    for number, piece in enumerate(pieces):
        piece = piece.append_column(PART, pa.array(np.full(piece.num_rows, number), pa.uint32()))
        piece = piece.append_column(ROW, pa.array(np.arange(piece.num_rows), pa.uint32()))
        inputs += _batches(piece, batch_rows)
    rng.shuffle(inputs)
    rows = pa.table({name: [] for name in VERDICTS.names})
    for phase in stage.phases():
        mapped = [t for t in (phase.map(b, ctx) for b in inputs) if t.num_rows]
        if not mapped:
            rows = VERDICTS.empty_table()
            break
        rng.shuffle(mapped)
        table = _sorted(pa.concat_tables(mapped), phase.sort_by)
        keys = table.column(KEY).to_numpy()
        bounds = np.array([(p << 64) // partitions for p in range(1, partitions)], np.uint64)
        edges = [0, *np.searchsorted(keys, bounds, side="left").tolist(), table.num_rows]
        reduced = []
        for a, b in itertools.pairwise(edges):
            if a < b:
                reduced.append(phase.reduce(table.slice(a, b - a), _span(table, a, b, phase.group), ctx))
        rows = pa.concat_tables(reduced)
        inputs = _batches(rows, batch_rows)
        rng.shuffle(inputs)
    if rows.num_rows == 0:
        return pa.table(
            {
                "id": pa.array([], pa.binary(16)),
                "reason": pa.array([], pa.string()),
                "detail": pa.array([], pa.string()),
            }
        )
    assert rows.schema.equals(VERDICTS), rows.schema
    starts = np.array([0, *np.cumsum([p.num_rows for p in pieces])])
    index = starts[rows.column(PART).to_numpy()] + rows.column(ROW).to_numpy()
    ids = docs.column("id").combine_chunks().take(pa.array(index, pa.int64()))
    out = pa.table({"id": ids, "reason": rows.column("reason"), "detail": rows.column("detail")})
    return out.take(pc.sort_indices(out, sort_keys=[("id", "ascending")]))


def dropped(stage: Global, docs: pa.Table, **how) -> set[int]:
    """Positions in ``docs`` of the rows that go."""
    where = {i: n for n, i in enumerate(docs.column("id").to_pylist())}
    return {where[i] for i in verdicts(stage, docs, **how).column("id").to_pylist()}
