"""The reduce: rows of one partition, sorted by key, to rows or verdicts; as many of them at a time as memory allows."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.run.exchange import even_bounds, group_sums, sort_rows, tables_of
from curate.run.merge import between, merged
from curate.run.pieces import Entries, Opened, Piece, Share, Sums, add_sums, read_pieces
from curate.run.spill import spilled
from curate.run.task import Task, at_step
from curate.spent import each, spending
from curate.stages.base import AGAIN, KEY, PART, ROW, WEIGHT, Context, Global, Span
from curate.stages.writer import Writer
from curate.store.files import Store
from curate.store.tables import BATCH_BYTES, TableWriter, batches_by_bytes, new_table, read_table

LOT_BYTES: Final = 48 << 20
"""Bytes of rows that a reduce task holds at once. A partition aims at PARTITION_BYTES of input, so only one that is far
larger than it should be is gone through in lots. Rows that share a key are never parted."""
READS: Final = 2
"""Times that a batch may be read, on average, for lots that overlap it: for more, rows are parted on a disk first."""
_ROWS: Final = 1 << 16
_KEYS_PER_BATCH: Final = 16


@dataclass(frozen=True)
class ReduceTask(Task):
    """Sorts one partition's rows and reduces them.

    Attributes:
        share: where the rows are.
        bytes: about how many bytes of memory they take.
        span: where the partition lies among all.
    """

    stage: Global | Writer
    ctx: Context
    phase: int
    share: Share
    bytes: int
    span: Span

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "reduce"

    def work(self) -> dict[str, Any]:
        """Reduce; rows that name others are written grouped by part, with an index; rows that AGAIN marks lie apart."""
        with ExitStack() as stack:
            done = Output(self.store, self.folder, f"reduce{self.phase}", stack, by_part=names(self.stage, self.phase))
            again = Output(self.store, self.folder, f"again{self.phase}", stack)
            for rows in self._reduced():
                divide(rows, done, again)
            stack.close()
            return {**done.receipt(), **({"again": again.receipt()} if again.rows else {})}

    def _reduced(self) -> Iterator[pa.Table]:
        """Reduced rows of each lot. What a lot's Span says is what that of a partition of just its keys would say."""
        phase = self.stage.phases()[self.phase]
        if phase.streamed:
            with at_step(self.ctx.step):
                yield from _reducing(lambda: phase.reduce(self._in_order(phase.sort_by), self.span, self.ctx))
            return
        done_rows = done_weight = 0
        done: Sums = {}
        for rows in lots(self.store, self.share.pieces(self.store), self.bytes):
            if not rows.num_rows:
                continue
            rows = sort_rows(rows, phase.sort_by)
            sums: Sums = group_sums(rows, phase.group) if phase.group is not None else {}
            span = _moved(self.span, done_rows, done_weight, done, set(sums))
            with at_step(self.ctx.step):
                yield from _reducing(partial(phase.reduce, rows, span, self.ctx))
            done_rows += rows.num_rows
            done_weight += int(pc.sum(rows.column(WEIGHT)).as_py() or 0) if WEIGHT in rows.schema.names else 0
            add_sums(done, sums)

    def _in_order(self, by: tuple[str, ...]) -> Iterator[pa.Table]:
        """All rows in order, in as many tables as memory asks for."""
        yield from in_order(self.store, self.share.pieces(self.store), self.bytes, by)


def _reducing(reduce: Callable[[], pa.Table | Iterable[pa.Table]]) -> Iterator[pa.Table]:
    """What a reduce gives, table by table."""
    with spending("reduce"):
        rows = reduce()
    yield from each("reduce", tables_of(rows))


def _moved(span: Span, rows: int, weight: int, done: Sums, here: set[str]) -> Span:
    """The Span of a lot, before which so many rows of its partition were reduced."""
    groups = {}
    for name, inner in span.groups.items():
        if name in here:
            rows_, weight_ = done.get(name, (0, 0))
            groups[name] = _moved(inner, rows_, weight_, {}, set())
    start_rows, start_weight = span.start_rows + rows, span.start_weight + weight
    return replace(span, start_rows=start_rows, start_weight=start_weight, groups=groups)


def lots(store: Store, pieces: list[Piece], size: int, budget: int = LOT_BYTES) -> Iterator[pa.Table]:
    """The rows of some sorted pieces, in ranges of the key that take about ``budget`` bytes of the ``size`` of all."""
    if size <= budget:
        if pieces:
            yield read_pieces(store, pieces)  # held by nobody here, once it is handed on
        return
    with Opened(store) as opened:
        found = list(_ranges(opened, pieces, size, budget))
        with _reading(opened, pieces, found, [True] * len(found)) as read:
            for number in range(len(found)):
                yield read(number)


def in_order(
    store: Store, pieces: list[Piece], size: int, by: tuple[str, ...], budget: int | None = None
) -> Iterator[pa.Table]:
    """The same rows in the order of (KEY, *by), where rows that share a KEY may be parted: a lot that is far larger than it
    should be has hardly more than one KEY, and is merged from its runs, some rows of each at a time."""
    budget = LOT_BYTES if budget is None else budget
    if size <= budget:
        if pieces:
            yield sort_rows(read_pieces(store, pieces), by)
        return
    with Opened(store) as opened:
        found = list(_ranges(opened, pieces, size, budget))
        at_once = [lot.bytes <= 2 * budget for lot in found]
        with _reading(opened, pieces, found, at_once) as read:
            for number, lot in enumerate(found):
                if at_once[number]:
                    yield sort_rows(read(number), by)
                else:
                    yield from merged(store, lot.pieces, by, keys=(lot.begin, lot.end))


@dataclass(frozen=True)
class _Lot:
    """Rows of some batches, those with keys in [begin, end).

    Attributes:
        pieces: the batches, run by run.
        bytes: about how many the rows take.
    """

    pieces: list[Piece]
    begin: int
    end: int
    bytes: int

    def read(self, opened: Opened) -> pa.Table:
        batches = [opened.batch(p.file, i) for p in self.pieces for i in range(p.first, p.first + p.count)]
        return pa.Table.from_batches([between(batch, self.begin, self.end) for batch in batches])


@contextmanager
def _reading(
    opened: Opened, pieces: list[Piece], found: list[_Lot], at_once: list[bool]
) -> Iterator[Callable[[int], pa.Table]]:
    """What gives the rows of a lot by its number, of those that are read at once; from a file on this machine's disk where the
    batches would be read again and again."""
    numbers = ((piece.file, n) for piece in pieces for n in range(piece.first, piece.first + piece.count))
    reads = sum(piece.count for lot, there in zip(found, at_once, strict=True) if there for piece in lot.pieces)
    if reads <= READS * sum(piece.count for piece in pieces):
        yield lambda number: found[number].read(opened)
        return
    batches = (opened.batch(file, n) for file, n in numbers)
    with spilled(batches, [lot.begin for lot in found], at_once) as read:
        yield read


def _ranges(opened: Opened, pieces: list[Piece], size: int, budget: int) -> Iterator[_Lot]:
    found: list[tuple[Piece, list[int], list[int]]] = []
    samples = []
    for piece in pieces:
        first, last = [], []
        for number in range(piece.first, piece.first + piece.count):
            batch = opened.batch(piece.file, number)
            keys = batch.column(KEY).to_numpy()
            first.append(int(keys[0]))
            last.append(int(keys[-1]))
            samples.append(_sample(keys, batch.nbytes))
        found.append((piece, first, last))
    every = sorted((key, weight) for sample in samples for key, weight in sample)
    keys, upto = [key for key, _ in every], [0, *itertools.accumulate(weight for _, weight in every)]
    for begin, end in itertools.pairwise([0, *even_bounds(samples, -(-size // budget)).tolist(), 1 << 64]):
        here = []
        for piece, first, last in found:
            # A run is sorted: those of its batches that have such keys follow each other.
            since, until = bisect_left(last, begin), bisect_left(first, end)
            if since < until:
                here.append(Piece(piece.file, piece.first + since, until - since))
        if here:
            yield _Lot(here, begin, end, upto[bisect_left(keys, end)] - upto[bisect_left(keys, begin)])


def _sample(keys: npt.NDArray[np.uint64], size: int) -> list[list[int]]:
    """Some keys of a sorted batch, each with the bytes from it to the next one."""
    at = np.unique(np.linspace(0, len(keys), _KEYS_PER_BATCH, endpoint=False).astype(np.int64))
    rows = np.diff(np.append(at, len(keys)))
    return [[key, max(1, size * int(n) // len(keys))] for key, n in zip(keys[at].tolist(), rows, strict=True)]


@dataclass(frozen=True)
class RestTask(Task):
    """Ends the rounds of a phase: all rows that are left, in one task.

    Attributes:
        files: where they lie.
        bytes: of all of them.
    """

    stage: Global | Writer
    ctx: Context
    phase: int
    files: tuple[str, ...]
    bytes: int

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "reduce"

    @property
    def cost(self) -> int | None:
        """Bytes of input."""
        return self.bytes

    def work(self) -> dict[str, Any]:
        """Read, finish, write."""
        rounds = self.stage.phases()[self.phase].rounds
        assert rounds is not None
        rows = pa.concat_tables([read_table(self.store.data(file)) for file in self.files])
        with ExitStack() as stack:
            out = Output(self.store, self.folder, f"reduce{self.phase}", stack, by_part=names(self.stage, self.phase))
            with at_step(self.ctx.step):
                with spending("reduce", size=rows.nbytes):
                    rest = rounds.rest(rows, self.ctx)
                out.write(rest)
            stack.close()
            return out.receipt()


def names(stage: Global | Writer, phase: int) -> bool:
    """Whether a phase's rows name others by PART and ROW: as verdicts, or so that a later phase reads them."""
    phases = stage.phases()
    name = phases[phase].name
    decides = isinstance(stage, Global) and name == stage.decides()
    return decides or any(read.at == name for later in phases for read in later.reads)


class Output:
    """A file of reduced rows that is there when the first row of it comes.

    Args:
        name: what its name begins with.
        stack: closes it.
        by_part: group rows by PART, sorted by ROW, and say in the receipt where each part's are.
    """

    def __init__(self, store: Store, folder: str, name: str, stack: ExitStack, *, by_part: bool = False) -> None:
        self._store, self._key, self._stack, self._by_part = store, store.fresh(folder, name, ".arrow"), stack, by_part
        self._out: TableWriter | None = None
        self._entries = Entries()
        self.rows = self.bytes = 0

    def write(self, rows: pa.Table) -> None:
        """Append some rows."""
        if not rows.num_rows:
            return
        if self._out is None:
            self._out = self._stack.enter_context(new_table(self._store, self._key, rows.schema, fast=True))
        if self._by_part:
            _write_by_part(self._out, rows, self._entries)
        else:
            for batch in batches_by_bytes(rows.combine_chunks(), _ROWS, BATCH_BYTES):
                self._out.write(batch)
        self.rows, self.bytes = self.rows + rows.num_rows, self.bytes + rows.nbytes

    def receipt(self) -> dict[str, Any]:
        """What a task's receipt says of it; of an empty one that it is none."""
        if self._out is None:
            return {"file": None, "rows": 0, "bytes": 0}
        index = {"index": self._entries.dump()} if self._by_part else {}
        return {"file": self._key, "rows": self.rows, "bytes": self.bytes, **index}


def divide(rows: pa.Table, done: Output, again: Output) -> None:
    """Append reduced rows to those that are done, and those that AGAIN marks to the others."""
    if AGAIN not in rows.schema.names:
        done.write(rows)
        return
    marked = rows.column(AGAIN)
    rows = rows.drop_columns([AGAIN])
    again.write(rows.filter(marked))
    done.write(rows.filter(pc.invert(marked)))


def _write_by_part(out: TableWriter, rows: pa.Table, entries: Entries) -> None:
    """Append rows grouped by part, an entry for each part."""
    rows = rows.take(pc.sort_indices(rows, sort_keys=[(PART, "ascending"), (ROW, "ascending")])).combine_chunks()
    part = rows.column(PART).to_numpy()
    numbers, starts = np.unique(part, return_index=True)
    for number, begin, end in zip(numbers.tolist(), starts.tolist(), [*starts[1:].tolist(), len(part)], strict=True):
        here, first = rows.slice(begin, end - begin), out.batches
        for batch in batches_by_bytes(here, _ROWS, BATCH_BYTES):
            out.write(batch)
        entries.add(number, out.batches - first, here.num_rows, here.nbytes)
