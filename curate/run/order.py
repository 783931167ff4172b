"""An ordered phase: its rows in one global order, gone through window by window, from what its maps wrote.

Nothing is reduced in between: each task that needs a range of the order sorts the partitions that cover it, lot by lot.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from curate.fingerprint import fingerprint
from curate.run.exchange import ROWS_PER_BATCH, sorted_slices, tables_of
from curate.run.pieces import Partitions, Share
from curate.run.reduce import lots
from curate.run.task import at_step
from curate.stages.base import WEIGHT, Context, Cut, Global, Span, Stage
from curate.stages.writer import Writer
from curate.store.files import Store
from curate.store.tables import batches_by_bytes

TASK_BYTES: Final = 128 << 20
"""Bytes of rows whose windows one task goes through, or one window if it is larger: a partition (run/phases.py) is then
gone through by 1.3 tasks on average, and few enough bytes are lost with a task."""

SLICE_BYTES: Final = 8 << 20
"""Bytes of sorted rows that are copied at once. Who writes them keeps some until the next ones come: of a small copy, and of no whole lot."""

_NOWHERE: Final = Span(0, 0)
"""Rows of an ordered phase are reduced to themselves, wherever they lie."""


@dataclass(frozen=True)
class Partition:
    """A range of the order: where its rows are, about how many bytes of memory they take, the weight of all before it,
    and its own."""

    share: Share
    bytes: int
    start: int
    weight: int


@dataclass(frozen=True)
class Windows:
    """Some windows of an ordered phase, one after the other, and the partitions that cover them.

    Attributes:
        phase: which of the stage's phases is gone through.
    """

    phase: int
    windows: tuple[Cut, ...]
    partitions: tuple[Partition, ...]

    def batches(
        self, store: Store, stage: Stage, ctx: Context
    ) -> Iterator[tuple[Cut, Iterator[tuple[int, pa.RecordBatch]]]]:
        """Each window with the rows that lie in it or across its ends, in order: batches, each with the weight before it.

        A window's rows are read as they are asked for, and before the next window is.
        """
        rows = _InOrder(self._sorted(store, stage, ctx))
        for window in self.windows:
            here = rows.of(window)
            yield window, here
            for _ in here:  # what nobody asked for is passed over: the next window comes after it
                pass

    def _sorted(self, store: Store, stage: Stage, ctx: Context) -> Iterator[tuple[int, pa.RecordBatch]]:
        """All rows of the partitions in order, each batch with the weight before it."""
        assert isinstance(stage, Writer | Global)
        phase = stage.phases()[self.phase]
        for partition in self.partitions:
            before = partition.start
            for table in lots(store, partition.share.pieces(store), partition.bytes):
                slices = sorted_slices(table, phase.sort_by, SLICE_BYTES)
                del table
                for rows in slices:
                    with at_step(ctx.step):
                        reduced = list(tables_of(phase.reduce(rows, _NOWHERE, ctx)))
                    del rows
                    while reduced:
                        for batch in batches_by_bytes(reduced.pop(0).combine_chunks(), ROWS_PER_BATCH):
                            yield before, batch
                            before += _weight(batch)


class _InOrder:
    """Batches that are gone through once, for cuts that follow one another: what a cut ends in is the next one's, too."""

    def __init__(self, batches: Iterator[tuple[int, pa.RecordBatch]]) -> None:
        self._batches = batches
        self._held: tuple[int, pa.RecordBatch] | None = None

    def of(self, cut: Cut) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Those that cover a cut."""
        while (item := self._held or next(self._batches, None)) is not None:
            before, batch = item
            after = before + _weight(batch)
            self._held = item if after > cut.stop else None
            if before < cut.stop and after > cut.start:
                yield item
            if after >= cut.stop:
                return


def _weight(batch: pa.RecordBatch) -> int:
    return int(pc.sum(batch.column(WEIGHT)).as_py() or 0)


@dataclass(frozen=True)
class Order:
    """Where the rows of an ordered phase lie.

    Attributes:
        phase: its number among the stage's.
        above: stands for all that its maps gave.
        pieces, spans: of each partition.
    """

    phase: int
    above: str
    pieces: Partitions
    spans: tuple[Span, ...]

    @property
    def weight(self) -> int:
        """Of all rows."""
        return self.spans[0].total_weight if self.spans else 0

    @property
    def bytes(self) -> int:
        """About how many bytes of memory all rows take."""
        return sum(self.pieces.bytes().values())

    @contextmanager
    def cut(self, store: Store, folder: str, windows: Sequence[Cut]) -> Iterator[list[tuple[str, Windows, int]]]:
        """Windows in order, as many together as one task goes through: what stands for them, what the task reads, and about
        how many bytes that is. What the tasks read is there while the block lasts."""
        sizes, size = self.pieces.bytes(), max(1, self.bytes)
        with self.pieces.published(store, folder) as shares:
            ordered = self._partitions(shares, sizes)
            found = []
            starts, ends = [p.start for p in ordered], [p.start + p.weight for p in ordered]
            each = max(1, TASK_BYTES * len(windows) // size)
            for at in range(0, len(windows), each):
                some = tuple(windows[at : at + each])
                first, last = some[0].start, some[-1].stop
                cover = tuple(ordered[bisect_right(ends, first) : bisect_left(starts, last)])
                known = fingerprint(self.above, [(w.index, w.start, w.stop) for w in some])
                found.append((known, Windows(self.phase, some, cover), size * len(some) // len(windows)))
            yield found

    def _partitions(self, shares: Mapping[int, Share], sizes: Mapping[int, int]) -> list[Partition]:
        after = [*(span.start_weight for span in self.spans[1:]), self.weight]
        return [
            Partition(shares[p], sizes[p], span.start_weight, stop - span.start_weight)
            for p, span, stop in zip(shares, self.spans, after, strict=True)
        ]
