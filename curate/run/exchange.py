"""The exchange: map, sort by key, cut into ranges, reduce. Dedup, quantiles and the shuffle are all made of it.

Each map task writes one file, sorted by key, with an index of where each partition lies; each reduce task reads its
ranges from all of them. Partitions are ranges of the key, so the concatenated output is the same rows in the same
order whatever the number of partitions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.run.map_inputs import Feed
from curate.run.pieces import Entries
from curate.run.task import Task, at_step
from curate.spent import each, spending
from curate.stages.base import KEY, PART, ROW, WEIGHT, Context, Global, Read
from curate.stages.writer import Writer
from curate.store.tables import TableWriter, batches_by_bytes, new_table, read_batches

PARTITION_BYTES: Final = 32 << 20
"""Bytes of input that a partition aims at: what bounds a reduce task's memory."""
RUN_BYTES: Final = 24 << 20
"""Bytes of mapped rows that a map task sorts at once: what bounds its memory, whatever its input. Several such runs stand
in its file one after the other, each with entries of its own in the index."""
ROWS_PER_BATCH: Final = 4096
MANY: Final = 1 << 13
"""Rows for which it is worth while to load a kernel that sorts them."""
LARGE: Final = 1 << 20
"""Bytes of rows for which it is worth while to load one that copies them."""
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
    with spending("sort", size=rows.nbytes):
        return _taken(rows, _places(rows, by))


def sorted_slices(rows: pa.Table, by: tuple[str, ...], size: int) -> Iterator[pa.Table]:
    """The same rows, about ``size`` bytes at a time, each time with memory of its own; those of one KEY are never parted."""
    each = max(1, rows.num_rows * size // max(1, rows.nbytes))
    if rows.num_rows <= each:
        yield sort_rows(rows, by)
        return
    with spending("sort"):
        order = _places(rows, by)
        keys = rows.column(KEY).to_numpy()[order]
        begins = np.append(np.flatnonzero(keys[1:] != keys[:-1]) + 1, len(keys))
        ends = np.unique(
            begins[np.searchsorted(begins, np.arange(each, len(keys) + each, each)).clip(max=len(begins) - 1)]
        )
    for begin, end in itertools.pairwise([0, *ends.tolist()]):
        with spending("sort", size=rows.nbytes * (end - begin) // len(keys)):
            found = _taken(rows, order[begin:end])
        yield found


def _places(rows: pa.Table, by: tuple[str, ...]) -> npt.NDArray[np.int64]:
    last = [name for name in (PART, ROW) if name in rows.schema.names]
    return _order(rows.select(list(dict.fromkeys((KEY, *by, *last)))))


def _taken(rows: pa.Table, order: npt.NDArray[np.int64]) -> pa.Table:
    if rows.nbytes < LARGE:
        return rows.take(pa.array(order))
    from curate.text.gathered import gathered

    return gathered(rows, order)


def _order(keys: pa.Table) -> npt.NDArray[np.int64]:
    """Places of rows in the order of their columns, of which the first is KEY.

    Keys are mostly spread over all of their range, and seldom equal: rows are sorted by them alone, which takes a fifth of the
    time, and only those that agree there by all their columns.
    """
    by = [(name, "ascending") for name in keys.schema.names]
    if keys.num_rows >= MANY:
        from curate.text.order import nearly_sorted

        order, equal = nearly_sorted(keys.column(KEY).to_numpy())
        tied = np.flatnonzero(equal)
        if len(tied) <= len(order) // 2:
            few = np.sort(order[tied])  # as they came, which decides in the end
            order[tied] = few[pc.sort_indices(keys.take(pa.array(few)), sort_keys=by).to_numpy()]
            return order
    return pc.sort_indices(keys, sort_keys=by).to_numpy().astype(np.int64, copy=False)


@dataclass(frozen=True)
class MapTask(Task):
    """Maps some inputs of a phase to sorted, partitioned rows.

    Attributes:
        read: which of the phase's reads they are.
        mapped: about how many bytes of rows it gives.
        bytes: of text, where it reads whole documents: what a step's progress is measured by.
    """

    stage: Global | Writer
    ctx: Context
    phase: int
    partitions: int
    read: int
    inputs: Feed
    mapped: int
    bytes: int

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "map"

    @property
    def size(self) -> int:
        """Bytes of input, for progress."""
        return self.bytes

    @property
    def cost(self) -> int | None:
        """Bytes that it writes."""
        return self.mapped

    def work(self) -> dict[str, Any]:
        """Map, sort, write, as many rows at a time as memory allows; the receipt says where each partition lies."""
        phase = self.stage.phases()[self.phase]
        file = self.store.fresh(self.folder, f"map{self.phase}", ".arrow")
        bounds = partition_bounds(self.partitions if phase.even else 1)
        entries, samples, total = Entries(), [], 0
        with ExitStack() as stack:
            out: TableWriter | None = None
            for rows in _runs(self._mapped(phase.reads[self.read]), phase.sort_by):
                if out is None:
                    out = stack.enter_context(new_table(self.store, file, rows.schema, fast=True, dense=phase.dense))
                write_partitions(out, rows, bounds, phase.group, entries)
                total += rows.num_rows
                samples += [] if phase.even else sample_keys(rows)
                del rows  # before the next ones are mapped
        if not total:
            return {"file": None, "rows": 0}
        return {"file": file, "rows": total, "index": entries.dump(), **({} if phase.even else {"sample": samples})}

    def _mapped(self, read: Read) -> Iterator[pa.Table]:
        for given in self.inputs.batches(self.store, self.stage, self.ctx):
            with at_step(self.ctx.step):
                with spending("map"):
                    rows = read.map(*given, self.ctx)
                yield from each("map", tables_of(rows))
                del rows


def tables_of(rows: pa.Table | Iterable[pa.Table]) -> Iterator[pa.Table]:
    """What a map or a reduce gives, table by table; those without rows are left out."""
    for table in (rows,) if isinstance(rows, pa.Table) else rows:
        if table.num_rows:
            yield table


def _runs(tables: Iterable[pa.Table], by: tuple[str, ...]) -> Iterator[pa.Table]:
    """The rows of some tables, sorted, RUN_BYTES or little more at a time."""
    held: list[pa.Table] = []
    size = 0
    for table in tables:
        held.append(table)
        size += table.nbytes
        if size >= RUN_BYTES:
            rows = sort_rows(pa.concat_tables(held), by)
            held, size = [], 0
            yield rows
            del rows
    if held:
        yield sort_rows(pa.concat_tables(held), by)


def write_partitions(out: TableWriter, rows: pa.Table, bounds: np.ndarray, group: str | None, entries: Entries) -> None:
    """Append sorted rows to a file, no batch across a bound, and say in ``entries`` where each partition lies."""
    rows = rows.combine_chunks()
    cuts = np.searchsorted(rows.column(KEY).to_numpy(), bounds, side="left")
    edges = [0, *cuts.tolist(), rows.num_rows]
    weights = rows.column(WEIGHT).to_numpy() if WEIGHT in rows.schema.names else None
    for p, (begin, end) in enumerate(itertools.pairwise(edges)):
        if begin == end:
            continue
        here, first = rows.slice(begin, end - begin), out.batches
        for batch in batches_by_bytes(here, ROWS_PER_BATCH):
            out.write(batch)
        weight = int(weights[begin:end].sum()) if weights is not None else 0
        sums = group_sums(here, group) if group is not None else None
        entries.add(p, out.batches - first, end - begin, here.nbytes, weight, sums)


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
    """Cuts what one map wrote as a whole at bounds that are known now that all maps are done.

    Attributes:
        runs: batches of each sorted run of the file.
    """

    file: str
    runs: tuple[int, ...]
    bounds: tuple[int, ...]
    group: str | None

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "map"

    def work(self) -> dict[str, Any]:
        """Read, cut, write, run by run."""
        file = self.store.fresh(self.folder, "cut", ".arrow")
        bounds, entries, total = np.array(self.bounds, np.uint64), Entries(), 0
        batches = read_batches(self.store.data(self.file))
        with ExitStack() as stack:
            out: TableWriter | None = None
            for count in self.runs:
                rows = pa.Table.from_batches(list(itertools.islice(batches, count)))
                if out is None:
                    out = stack.enter_context(new_table(self.store, file, rows.schema, fast=True))
                write_partitions(out, rows, bounds, self.group, entries)
                total += rows.num_rows
        return {"file": file, "rows": total, "index": entries.dump()}


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
