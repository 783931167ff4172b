"""The exchange: map, sort by key, cut into ranges, reduce. Dedup, quantiles and the shuffle are all made of it.

Each map task writes one file, sorted by key, with an index of where each partition lies; each reduce task reads its
ranges from all of them. Partitions are ranges of the key, so the concatenated output is the same rows in the same
order whatever the number of partitions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.errors import InputError, RecipeError
from curate.run.row_step import text_bytes
from curate.run.segment import conform
from curate.run.tally import tally
from curate.run.task import Task, at_step
from curate.stages.base import KEY, MOST_GROUPS, PART, ROW, VERDICTS, WEIGHT, Context, Global, Span, Writer
from curate.store.files import Store
from curate.store.parts import HIDDEN, read_part
from curate.store.records import Counts, Part, add_kept
from curate.store.tables import open_table, read_batches, table_writer
from curate.text.batch import Batch

PARTITION_BYTES: Final = 64 << 20
"""Bytes of input that a partition aims at: what bounds a reduce task's memory."""
ROWS_PER_BATCH: Final = 4096
KEYS_PER_MAP: Final = 256
"""Keys that a map says of its rows, where partitions are cut where rows are: a partition then has at most about 1/256
of every map's rows more than its share, and what shares one key."""


def partition_bounds(partitions: int) -> np.ndarray:
    """First key of each partition after the first, uint64: equal ranges of the key space."""
    return np.array([(p << 64) // partitions for p in range(1, partitions)], dtype=np.uint64)


def sort_rows(rows: pa.Table, by: tuple[str, ...]) -> pa.Table:
    """Rows in the total order (KEY, *by); input order decides only between rows that wrongly share an id."""
    if rows.num_rows < 2:
        return rows
    last = [name for name in (PART, ROW) if name in rows.schema.names]
    order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in dict.fromkeys((KEY, *by, *last))])
    return rows.take(order)


@dataclass(frozen=True)
class Piece:
    """Record batches [first, first + count) of a file."""

    file: str
    first: int
    count: int


@dataclass(frozen=True)
class MapTask(Task):
    """Maps one input (a part of documents, or a reduced file) to sorted, partitioned rows."""

    stage: Global | Writer
    ctx: Context
    phase: int
    partitions: int
    part: Part | None = None
    part_number: int = 0
    part_schema: pa.Schema | None = None
    file: str | None = None

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "map"

    @property
    def size(self) -> int:
        """Bytes of input, for progress."""
        return self.part.bytes if self.part else 0

    def _inputs(self) -> Iterator[Batch]:
        if self.part is None:
            assert self.file is not None
            for batch in read_batches(self.store.path(self.file)):
                yield Batch(batch)
            return
        assert self.part_schema is not None
        for visible in read_part(self.store, self.part):
            if not visible.rows.num_rows:
                continue
            rows = conform(visible.rows, self.part_schema)
            number = pa.repeat(pa.scalar(self.part_number, pa.uint32()), rows.num_rows)
            row = pa.array((visible.start + visible.position).astype(np.uint32))
            yield Batch(rows.append_column(PART, number).append_column(ROW, row))

    def work(self) -> dict[str, Any]:
        """Map, sort, write; the receipt says where each partition lies."""
        run: Callable[[Batch, Context], pa.Table]
        group: str | None = None
        even = True
        if isinstance(self.stage, Writer):
            run, by = self.stage.map, self.stage.sort_by()
        else:
            phase = self.stage.phases()[self.phase]
            run, by, group, even = phase.map, phase.sort_by, phase.group, phase.even
        with at_step(self.ctx.step):
            tables = [t for t in (run(batch, self.ctx) for batch in self._inputs()) if t.num_rows]
        if not tables:
            return {"file": None, "index": [], "rows": 0}
        rows = sort_rows(pa.concat_tables(tables), by).combine_chunks()
        bounds = partition_bounds(self.partitions) if even else partition_bounds(1)
        file = self.store.fresh(self.folder, f"map{self.phase}", ".arrow")
        written = write_partitions(self.store.path(file), rows, bounds, group)
        return {"file": file, **written, **({} if even else {"sample": sample_keys(rows)})}


def write_partitions(path: Path, rows: pa.Table, bounds: np.ndarray, group: str | None) -> dict[str, Any]:
    """Write sorted rows, no batch across a bound; ``index``: of each partition that has rows its number, first batch,
    batches, rows, weight, and sums by group."""
    cuts = np.searchsorted(rows.column(KEY).to_numpy(), bounds, side="left")
    edges = [0, *cuts.tolist(), rows.num_rows]
    weights = rows.column(WEIGHT).to_numpy() if WEIGHT in rows.schema.names else None
    index = []
    with table_writer(path, rows.schema) as out:
        for p, (begin, end) in enumerate(itertools.pairwise(edges)):
            if begin == end:
                continue
            first = out.batches
            for batch in rows.slice(begin, end - begin).to_batches(max_chunksize=ROWS_PER_BATCH):
                out.write(batch)
            weight = int(weights[begin:end].sum()) if weights is not None else 0
            sums = group_sums(rows.slice(begin, end - begin), group) if group is not None else {}
            index.append([p, first, out.batches - first, end - begin, weight, sums])
    return {"index": index, "rows": rows.num_rows}


def sample_keys(rows: pa.Table) -> list[list[int]]:
    """Some keys of sorted rows, each with the number of rows from it to the next one: what even_bounds needs."""
    at = np.unique(np.linspace(0, rows.num_rows, KEYS_PER_MAP, endpoint=False).astype(np.int64))
    keys = rows.column(KEY).to_numpy()[at].tolist()
    return [[key, int(n)] for key, n in zip(keys, np.diff(np.append(at, rows.num_rows)), strict=True)]


def even_bounds(samples: Iterable[list[list[int]]], partitions: int) -> np.ndarray:
    """First key of each partition after the first, uint64: about as many rows between any two of them."""
    every = sorted((key, rows) for sample in samples for key, rows in sample)
    if not every:
        return partition_bounds(1)
    upto = np.cumsum([rows for _, rows in every])
    wanted = np.array([(p * int(upto[-1])) // partitions for p in range(1, partitions)], np.int64)
    at = np.minimum(np.searchsorted(upto, wanted, side="right"), len(every) - 1)
    return np.unique(np.array([key for key, _ in every], np.uint64)[at])


@dataclass(frozen=True)
class CutTask(Task):
    """Cuts what one map wrote as a whole at bounds that are known now that all maps are done."""

    file: str
    bounds: tuple[int, ...]
    group: str | None

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "map"

    def work(self) -> dict[str, Any]:
        """Read, cut, write."""
        rows = pa.Table.from_batches(list(read_batches(self.store.path(self.file)))).combine_chunks()
        file = self.store.fresh(self.folder, "cut", ".arrow")
        bounds = np.array(self.bounds, np.uint64)
        return {"file": file, **write_partitions(self.store.path(file), rows, bounds, self.group)}


def group_sums(rows: pa.Table, group: str) -> dict[str, list[int]]:
    """By each value of a string column how many rows have it, and the sum of their weights; null rows are left out."""
    codes = rows.column(group).combine_chunks().dictionary_encode()
    there = pc.is_valid(codes.indices)
    at = codes.indices.filter(there).to_numpy()
    names = codes.dictionary.to_pylist()
    counts, weights = np.bincount(at, minlength=len(names)), np.zeros(len(names), np.int64)
    if WEIGHT in rows.schema.names:
        # Whole numbers: bincount would sum them as float64.
        np.add.at(weights, at, rows.column(WEIGHT).filter(there).to_numpy())
    return {name: [int(n), int(w)] for name, n, w in zip(names, counts, weights, strict=True)}


def gathered(receipts: Iterable[Mapping[str, Any]]) -> tuple[dict[int, list[Piece]], dict[int, list[Any]]]:
    """By partition its pieces, in the order of the maps, and its ``[rows, weight, groups]``."""
    pieces: dict[int, list[Piece]] = {}
    sums: dict[int, list[Any]] = {}
    for receipt in receipts:
        for p, first, count, rows, weight, *groups in receipt["index"]:
            pieces.setdefault(p, []).append(Piece(receipt["file"], first, count))
            here = sums.setdefault(p, [0, 0, {}])
            here[0] += rows
            here[1] += weight
            add_sums(here[2], groups[0] if groups else {})  # receipts of earlier versions know no groups
    return pieces, sums


def spans(partitions: Sequence[list[Any]]) -> list[Span]:
    """A Span for each partition from its ``[rows, weight, groups]``, partitions in the order of their keys."""
    rows, weight = sum(p[0] for p in partitions), sum(p[1] for p in partitions)
    totals: dict[str, list[int]] = {}
    for _, _, groups in partitions:
        add_sums(totals, groups)
    result: list[Span] = []
    before_rows = before_weight = 0
    before = {name: [0, 0] for name in totals}
    for here in partitions:
        inner = {n: Span(before[n][0], totals[n][0], before[n][1], totals[n][1]) for n in here[2]}
        result.append(Span(before_rows, rows, before_weight, weight, inner))
        before_rows, before_weight = before_rows + here[0], before_weight + here[1]
        add_sums(before, here[2])
    return result


def add_sums(sums: dict[str, list[int]], more: Mapping[str, list[int]]) -> None:
    """Add sums by group to others, in place."""
    for name, (rows, weight) in more.items():
        here = sums.setdefault(name, [0, 0])
        here[0] += rows
        here[1] += weight


def check_groups(sums: Mapping[int, list[Any]], stage: Global | Writer, phase: int, place: str) -> None:
    """Raise RecipeError when a phase has more groups than sums are held for."""
    groups: set[str] = set()
    for _, _, inner in sums.values():
        groups.update(inner)
        if len(groups) > MOST_GROUPS and isinstance(stage, Global):
            raise RecipeError(
                f"{stage.phases()[phase].group_label}: has more than {MOST_GROUPS:,} different values",
                place=place,
                cure="name a column with fewer, as the source or the language",
            )


def read_pieces(store: Store, pieces: tuple[Piece, ...]) -> pa.Table | None:
    """All rows of some pieces, in their order."""
    batches: list[pa.RecordBatch] = []
    for piece in pieces:
        with open_table(store.path(piece.file)) as reader:
            batches += [reader.get_batch(i) for i in range(piece.first, piece.first + piece.count)]
    return pa.Table.from_batches(batches) if batches else None


@dataclass(frozen=True)
class ReduceTask(Task):
    """Sorts one partition's rows and reduces them."""

    stage: Global | Writer
    ctx: Context
    phase: int
    partition: int
    pieces: tuple[Piece, ...]
    span: Span

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "reduce"

    def work(self) -> dict[str, Any]:
        """Reduce; verdicts are written grouped by part, with an index."""
        rows = read_pieces(self.store, self.pieces)
        assert rows is not None
        if isinstance(self.stage, Writer):
            return self._sorted(sort_rows(rows, self.stage.sort_by()))
        phase = self.stage.phases()[self.phase]
        last = self.phase == len(self.stage.phases()) - 1
        result = phase.reduce(sort_rows(rows, phase.sort_by), self.span, self.ctx)
        if result.num_rows == 0:
            return {"file": None, "parts": [], "rows": 0}
        return self._verdicts(result) if last else self._rows(result)

    def _rows(self, rows: pa.Table) -> dict[str, Any]:
        file = self.store.fresh(self.folder, f"reduce{self.phase}", ".arrow")
        with table_writer(self.store.path(file), rows.schema) as out:
            for batch in rows.combine_chunks().to_batches(max_chunksize=ROWS_PER_BATCH * 16):
                out.write(batch)
        return {"file": file, "parts": [], "rows": rows.num_rows}

    def _sorted(self, rows: pa.Table) -> dict[str, Any]:
        """A writer's rows in order; the same id twice means that branches were joined that share documents."""
        ids = rows.column("id").combine_chunks()
        if rows.num_rows > 1:
            same = pc.equal(ids.slice(1), ids.slice(0, rows.num_rows - 1))
            if pc.any(same).as_py():
                which = ids[pc.index(same, True).as_py()].as_py().hex()
                raise InputError(
                    f"document {which} comes twice",
                    place=f"step {self.ctx.step}",
                    cure="two rows of a source share an id, or 'from' joins steps that hold the same documents",
                )
        return self._rows(rows)

    def _verdicts(self, rows: pa.Table) -> dict[str, Any]:
        rows = rows.take(pc.sort_indices(rows, sort_keys=[(PART, "ascending"), (ROW, "ascending")])).combine_chunks()
        part = rows.column(PART).to_numpy()
        numbers, starts = np.unique(part, return_index=True)
        ends = [*starts[1:].tolist(), len(part)]
        file = self.store.fresh(self.folder, f"verdicts{self.phase}", ".arrow")
        with table_writer(self.store.path(file), rows.schema) as out:
            for begin, end in zip(starts.tolist(), ends, strict=True):
                for batch in rows.slice(begin, end - begin).to_batches():
                    out.write(batch)
        return {"file": file, "parts": [[int(n), i] for i, n in enumerate(numbers)], "rows": rows.num_rows}


@dataclass(frozen=True)
class ApplyTask(Task):
    """Joins verdicts back to one part: an overlay that hides rows, and the list of what was dropped and why.

    ``by`` is what kept rows are counted by (Stage.counted_by).
    """

    part: Part
    pieces: tuple[Piece, ...]
    by: str | None = None

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "apply"

    @property
    def size(self) -> int:
        """Bytes of input, for progress."""
        return self.part.bytes

    def work(self) -> dict[str, Any]:
        """Write the overlay and the dropped rows."""
        verdicts = read_pieces(self.store, self.pieces)
        if verdicts is None:
            verdicts = VERDICTS.empty_table()
        verdicts = verdicts.take(pc.sort_indices(verdicts.column(ROW))).combine_chunks()
        rows = verdicts.column(ROW).to_numpy()
        step = self.folder.split("/")[1]
        counts = Counts()
        overlay = self.store.fresh(self.folder, "overlay", ".arrow")
        dropped = self.store.fresh(self.folder, "dropped", ".arrow")
        with (
            table_writer(self.store.path(overlay), pa.schema([(HIDDEN, pa.bool_())])) as out,
            table_writer(self.store.path(dropped), schema.DROPPED) as gone,
        ):
            for visible in read_part(self.store, self.part):
                begin, end = np.searchsorted(rows, [visible.start, visible.start + visible.size])
                here = rows[begin:end] - visible.start
                hidden = np.zeros(visible.size, dtype=bool)
                hidden[here] = True
                out.write(pa.RecordBatch.from_pydict({HIDDEN: pa.array(hidden)}))
                counts.rows_in += visible.rows.num_rows
                counts.bytes_in += text_bytes(visible.rows)
                if self.by is not None:
                    add_kept(counts.kept_by, tally(Batch(visible.rows), ~hidden[visible.position], self.by))
                which = np.flatnonzero(hidden[visible.position])
                if len(which):
                    lost = visible.rows.take(pa.array(which))
                    counts.bytes_out -= text_bytes(lost)
                    said = verdicts.slice(int(begin), int(end - begin))
                    gone.write(_dropped(step, lost, said))
        counts.rows_out = counts.rows_in - verdicts.num_rows
        counts.bytes_out += counts.bytes_in
        for pair in pc.value_counts(verdicts.column("reason")).to_pylist():
            counts.reasons[pair["values"]] = pair["counts"]
        part = Part(
            self.key, self.part.root, self.part.data, (*self.part.overlays, overlay), counts.rows_out, counts.bytes_out
        )
        return {"part": {**vars(part), "overlays": list(part.overlays)}, "counts": vars(counts), "dropped": dropped}


def _dropped(step: str, lost: pa.RecordBatch, said: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            lost.column("id"),
            lost.column("source"),
            lost.column("origin"),
            pa.repeat(step, lost.num_rows),
            said.column("reason").combine_chunks(),
            said.column("detail").combine_chunks(),
            pc.binary_length(lost.column("text")).cast(pa.int64()),
        ],
        schema=schema.DROPPED,
    )
