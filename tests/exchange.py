"""What the engine's exchange does to a Global stage, in memory: for tests of stages.

``verdicts(stage, docs, parts=3, partitions=2, order=random.Random(1))`` cuts the documents into parts, shuffles the
order in which parts are mapped, sorts by KEY and ``sort_by``, cuts the key space into ranges and reduces each.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.run.exchange import tables_of
from curate.schema import DOCUMENT
from curate.stages.base import (
    AGAIN,
    AT,
    DOCUMENTS,
    KEY,
    OUTSIDE,
    PART,
    ROW,
    WEIGHT,
    Context,
    Cut,
    Global,
    Phase,
    Read,
    Span,
)
from curate.stages.cuts_spans import CUTS, CutsSpans, Spans
from curate.stages.writer import Writer
from curate.store.tables import read_table
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


def ids(snapshot: int, rows: int) -> pa.Array:
    """Ids of documents of a snapshot, those of no other."""
    return hash128(pa.array([f"{snapshot}-{i}" for i in range(rows)], pa.large_string()), 99)


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
    return Span(a, table.num_rows, sum(weights[:a]), sum(weights), inner, sums(table, group))


def sums(table: pa.Table, group: str | None) -> dict[str, tuple[int, int]]:
    """Rows and weight of each group; null rows are in none."""
    found: dict[str, tuple[int, int]] = {}
    if group is not None:
        for name, weight in zip(table.column(group).to_pylist(), table.column(WEIGHT).to_pylist(), strict=True):
            if name is not None:
                rows, total = found.get(name, (0, 0))
                found[name] = rows + 1, total + weight
    return dict(sorted(found.items()))


def in_cuts(
    table: pa.Table, cuts: list[Cut], batch_rows: int
) -> Iterator[tuple[Cut, list[tuple[int, pa.RecordBatch]]]]:
    """Each cut with the batches of sorted rows that cover it, and the weight before each."""
    for cut in cuts:
        before, given = 0, []
        for rows in table.combine_chunks().to_batches(max_chunksize=batch_rows):
            weight = pc.sum(rows.column(WEIGHT)).as_py()
            if before < cut.stop and before + weight > cut.start:
                given.append((before, rows))
            before += weight
        yield cut, given


def results(
    stage: Global | Writer,
    documents: list[Batch],
    partitions: int,
    rng: random.Random,
    batch_rows: int = 64,
    ctx: Context = CONTEXT,
) -> dict[str, pa.Table]:
    """The rows of each phase by its name, from documents with PART and ROW."""
    found: dict[str, pa.Table] = {}
    for phase in stage.phases():
        given = []
        for read in phase.reads:
            if read.windows is not None:
                order = found[read.of]
                windows = list(in_cuts(order, read.windows(sum(order.column(WEIGHT).to_pylist())), batch_rows))
                rng.shuffle(windows)
                given += [read.map(cut, iter(rows), ctx) for cut, rows in windows]
                continue
            inputs = documents if read.of == DOCUMENTS else _inputs(stage, read, found, batch_rows, ctx)
            rng.shuffle(inputs)
            for batch in inputs:
                if read.at is None:
                    given.append(read.map(batch, ctx))
                elif (named := _named(batch, found[read.at])) is not None:
                    given.append(read.map(*named, ctx))
        if phase.rounds is None:
            found[phase.name] = _reduce(phase, given, partitions, rng, ctx)
            continue
        (read,), done = phase.reads, []
        left = found[read.of]
        while left.num_rows > phase.rounds.few:
            rows = _reduce(phase, [read.map(b, ctx) for b in _batches(left, batch_rows)], partitions, rng, ctx)
            if not rows.num_rows:
                left = rows
                break
            marked = rows.column(AGAIN)
            done.append(rows.drop_columns([AGAIN]).filter(pc.invert(marked)))
            left = rows.drop_columns([AGAIN]).filter(marked)
        if left.num_rows:
            order = list(range(left.num_rows))
            rng.shuffle(order)
            done.append(phase.rounds.rest(left.take(order), ctx))
        found[phase.name] = pa.concat_tables(done) if done else pa.table({})
    return found


def _inputs(stage: Global, read: Read, found: dict[str, pa.Table], batch_rows: int, ctx: Context) -> list[Batch]:
    if read.of in found:
        return _batches(found[read.of], batch_rows)
    inputs = []
    for number, path in enumerate(stage.tables(ctx)[read.of]):
        rows = read_table(path)
        if PART not in rows.schema.names:
            rows = rows.append_column(PART, pa.array(np.full(rows.num_rows, OUTSIDE + number), pa.uint32()))
        if ROW not in rows.schema.names:
            rows = rows.append_column(ROW, pa.array(np.arange(rows.num_rows), pa.uint32()))
        inputs += _batches(rows, batch_rows)
    return inputs


def _named(batch: Batch, naming: pa.Table) -> tuple[Batch, pa.Table] | None:
    """Rows of a batch that are named, found one by one, and what names them."""
    address = list(zip(batch.column(PART).to_pylist(), batch.column(ROW).to_pylist(), strict=True))
    said = (
        list(zip(naming.column(PART).to_pylist(), naming.column(ROW).to_pylist(), strict=True))
        if naming.num_rows
        else []
    )
    kept = [i for i, a in enumerate(address) if a in set(said)]
    if not kept:
        return None
    where = {address[i]: n for n, i in enumerate(kept)}
    mine = sorted((i for i, a in enumerate(said) if a in where), key=lambda i: said[i][1])
    named = naming.take(mine).append_column(AT, pa.array([where[said[i]] for i in mine], pa.int64()))
    return Batch(batch.rows.take(pa.array(kept))), named


def _reduce(phase: Phase, given: list, partitions: int, rng: random.Random, ctx: Context) -> pa.Table:
    mapped = [t for some in given for t in tables_of(some)]
    if not mapped:
        return pa.table({})
    rng.shuffle(mapped)
    table = _sorted(pa.concat_tables(mapped), phase.sort_by)
    keys = table.column(KEY).to_numpy()
    bounds = np.array([(p << 64) // partitions for p in range(1, partitions)], np.uint64)
    edges = [0, *np.searchsorted(keys, bounds, side="left").tolist(), table.num_rows]
    reduced: list[pa.Table] = []
    for a, b in itertools.pairwise(edges):
        if a < b:
            given_ = _pieces(table.slice(a, b - a), rng) if phase.streamed else table.slice(a, b - a)
            reduced += tables_of(phase.reduce(given_, _span(table, a, b, phase.group), ctx))
    return pa.concat_tables(reduced) if reduced else pa.table({})


@dataclass
class Written:
    """What a writer wrote: shards and the tables beside them, what is said of each, its report, and its small files."""

    shards: list[Path]
    sides: list[Path]
    facts: list[dict]
    report: dict
    files: dict[str, bytes]

    def rows(self) -> pa.Table:
        """Of all shards."""
        return pa.concat_tables([pa.ipc.open_stream(pa.memory_map(str(path))).read_all() for path in self.shards])

    def pieces(self) -> list[dict]:
        """Rows of all tables beside the shards."""
        return [row for path in self.sides for row in pq.read_table(path).to_pylist()]

    def bytes(self) -> list[bytes]:
        """Of every file."""
        return [path.read_bytes() for path in (*self.shards, *self.sides)]


def written(
    stage: Writer,
    docs: pa.Table,
    folder: Path,
    ctx: Context,
    *,
    parts: int = 1,
    partitions: int = 1,
    seed: int = 0,
    batch_rows: int = 64,
) -> Written:
    """The dataset that a writer makes of documents."""
    rng = random.Random(seed)
    inputs = [b for piece in in_parts(docs, parts, rng) for b in _batches(piece, batch_rows)]
    rng.shuffle(inputs)
    phases = stage.phases()
    found = results(stage, inputs, partitions, rng, batch_rows, ctx)
    last = found[phases[-1].name]
    cuts = stage.layout(sum(last.column(WEIGHT).to_pylist())) if last.num_rows else []
    out = Written([], [], [], {}, {})
    folder.mkdir(parents=True, exist_ok=True)
    for cut, rows in in_cuts(last, cuts, batch_rows):
        path, name = folder / stage.file_name(cut, len(cuts)), stage.side_name(cut, len(cuts))
        side = folder / name if name is not None else None
        out.facts.append({"name": path.name, **stage.write(cut, iter(rows), path, side, ctx)})
        out.facts[-1] |= {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}
        out.shards.append(path)
        out.sides += [side] if side is not None else []
    totals = {}
    for phase in phases:
        if phase.group is not None:  # of what its maps gave
            mapped = [read.map(b, ctx) for read in phase.reads if read.at is None for b in inputs]
            totals[phase.name] = sums(pa.concat_tables(mapped) if mapped else found[phase.name], phase.group)
    out.report = dict(stage.report(out.facts, totals))
    out.files = dict(stage.finish(out.facts, out.report, ctx))
    return out


def in_parts(docs: pa.Table, parts: int, rng: random.Random) -> list[pa.Table]:
    """Documents cut somewhere into parts, with PART and ROW."""
    cuts = sorted(rng.randrange(docs.num_rows + 1) for _ in range(parts - 1))
    pieces = []
    for number, (a, b) in enumerate(itertools.pairwise([0, *cuts, docs.num_rows])):
        piece = docs.slice(a, b - a).append_column(PART, pa.array(np.full(b - a, number), pa.uint32()))
        pieces.append(piece.append_column(ROW, pa.array(np.arange(b - a), pa.uint32())))
    return pieces


def _pieces(table: pa.Table, rng: random.Random) -> Iterator[pa.Table]:
    """A table in pieces, cut anywhere."""
    cuts = sorted(rng.randrange(1, table.num_rows + 1) for _ in range(rng.randrange(4)))
    for a, b in itertools.pairwise([0, *cuts, table.num_rows]):
        if a < b:
            yield table.slice(a, b - a).combine_chunks()


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
    """The stage's verdicts joined to ids: a table with id, reason, detail and the columns that it adds, sorted by id.

    Of a stage that edits the rows that it cuts: reason and detail of those that go, and ``text``, which is left of them.
    """
    rng = random.Random(seed)
    pieces = in_parts(docs, parts, rng)
    inputs = [b for piece in pieces for b in _batches(piece, batch_rows)]
    rng.shuffle(inputs)
    rows = results(stage, inputs, partitions, rng, batch_rows, ctx)[stage.decides()]
    if rows.num_rows == 0:
        return pa.table(
            {
                "id": pa.array([], pa.binary(16)),
                "reason": pa.array([], pa.string()),
                "detail": pa.array([], pa.string()),
                **{name: pa.array([], kind) for name, kind in stage.adds().items()},
                **({"text": pa.array([], pa.large_string())} if isinstance(stage, CutsSpans) else {}),
            }
        )
    if isinstance(stage, CutsSpans):
        return _edited(stage, rows, pieces, ctx)
    rows = rows.select(stage.verdicts().names)
    assert rows.schema.equals(stage.verdicts()), rows.schema
    starts = np.array([0, *np.cumsum([p.num_rows for p in pieces])])
    index = starts[rows.column(PART).to_numpy()] + rows.column(ROW).to_numpy()
    ids = docs.column("id").combine_chunks().take(pa.array(index, pa.int64()))
    out = pa.table({"id": ids, **{name: rows.column(name) for name in ("reason", "detail", *stage.adds())}})
    return out.take(pc.sort_indices(out, sort_keys=[("id", "ascending")]))


def _edited(stage: CutsSpans, rows: pa.Table, pieces: list[pa.Table], ctx: Context) -> pa.Table:
    assert rows.schema.equals(CUTS), rows.schema
    said: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row in rows.to_pylist():
        said.setdefault((row[PART], row[ROW]), []).append((row["start"], row["stop"]))
    cut = pa.concat_tables([pieces[part].slice(row, 1) for part, row in said]).combine_chunks()
    docs = Batch(cut.to_batches()[0])
    every = sorted((n, *pair) for n, found in enumerate(said.values()) for pair in found)
    spans = stage.spans(docs, Spans(*(np.array(column, np.int64) for column in zip(*every, strict=True))), ctx)
    left = [
        cut_out(text, [(a, b) for n, a, b in zip(*(s.tolist() for s in spans), strict=True) if n == i])
        for i, text in enumerate(cut.column("text").to_pylist())
    ]
    text = pa.array(left, pa.large_string())
    reason, detail = stage.leaves(docs, text, ctx)
    out = pa.table({"id": cut.column("id"), "reason": reason, "detail": detail, "text": text})
    return out.take(pc.sort_indices(out, sort_keys=[("id", "ascending")]))


def cut_out(text: str, spans: list[tuple[int, int]]) -> str:
    """A text without spans of its bytes; where its end goes, so does the white space before it."""
    raw = text.encode()
    gone = np.zeros(len(raw), bool)
    for start, stop in spans:
        assert 0 <= start <= stop <= len(raw)
        gone[start:stop] = True
    left = bytes(b for b, g in zip(raw, gone.tolist(), strict=True) if not g)
    return (left.rstrip(b" \t\n\v\f\r") if len(raw) and gone[-1] else left).decode()


def dropped(stage: Global, docs: pa.Table, **how) -> set[int]:
    """Positions in ``docs`` of the rows that go."""
    where = {i: n for n, i in enumerate(docs.column("id").to_pylist())}
    said = verdicts(stage, docs, **how)
    return {where[i] for i in said.filter(said.column("reason").is_valid()).column("id").to_pylist()}
