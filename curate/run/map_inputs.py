"""What a map reads: documents, reduced rows of an earlier phase, tables from outside; all of them, or those that are named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.run.pieces import Share, read_pieces
from curate.stages.base import AT, OUTSIDE, PART, ROW, Context, Global, Stage
from curate.store.files import Store
from curate.store.parts import conform, read_part
from curate.store.records import Part
from curate.store.tables import read_batches
from curate.text.batch import Batch


class Feed(Protocol):
    """What a map task goes through."""

    def batches(self, store: Store, stage: Stage, ctx: Context) -> Iterator[tuple[Any, ...]]:
        """What the map is given, one call after the other, before the context."""
        ...


Given = tuple[Batch] | tuple[Batch, pa.Table]
"""What a stage's map is given before the context: a batch, and where rows are named, what names them."""


@dataclass(frozen=True)
class Inputs:
    """Some inputs of one of a phase's reads; of one kind.

    Attributes:
        files: reduced rows of an earlier phase.
        parts: documents: each part with its number among the step's parts, which goes into the rows' addresses.
        schema: of the rows of all parts of the step.
        columns: just these of them are read; None: all.
        table, numbers: a table from outside, and which of its files.
        named: for each part, or file of the table, where the rows are that name some of its rows; empty where all are read.
    """

    files: tuple[str, ...] = ()
    parts: tuple[tuple[int, Part], ...] = ()
    schema: pa.Schema | None = None
    columns: tuple[str, ...] | None = None
    table: str = ""
    numbers: tuple[int, ...] = ()
    named: tuple[Share, ...] = ()

    def batches(self, store: Store, stage: Stage, ctx: Context) -> Iterator[Given]:
        """Batch by batch, with PART and ROW where they have addresses."""
        for file in self.files:
            for rows in read_batches(store.data(file)):
                yield (Batch(rows),)
        for place, (number, part) in enumerate(self.parts):
            yield from self._chosen(store, place, self._documents(store, number, part))
        for place, number in enumerate(self.numbers):
            assert isinstance(stage, Global)
            yield from self._chosen(store, place, _outside(stage, self.table, number, ctx))

    def _documents(self, store: Store, number: int, part: Part) -> Iterator[pa.RecordBatch]:
        assert self.schema is not None
        for visible in read_part(store, part, self.columns):
            if visible.rows.num_rows:
                yield _with_address(conform(visible.rows, self.schema), number, visible.start + visible.position)

    def _chosen(self, store: Store, place: int, batches: Iterable[pa.RecordBatch]) -> Iterator[Given]:
        if not self.named:
            for rows in batches:
                yield (Batch(rows),)
            return
        naming = read_pieces(store, self.named[place].pieces(store))
        naming = naming.take(pc.sort_indices(naming.column(ROW))).combine_chunks()
        wanted = naming.column(ROW).to_numpy().astype(np.int64)
        for rows in batches:
            chosen = named_rows(rows, naming, wanted)
            if chosen is not None:
                yield chosen


def named_rows(rows: pa.RecordBatch, naming: pa.Table, wanted: npt.NDArray[np.int64]) -> tuple[Batch, pa.Table] | None:
    """The rows of a batch that are named, and what names them; None where none is.

    Args:
        rows: with ROW, each once.
        naming: sorted by ROW.
        wanted: int64[n], the ROW of each row of ``naming``.
    """
    place = rows.column(ROW).to_numpy().astype(np.int64)
    order = np.argsort(place, kind="stable")
    begin, end = np.searchsorted(wanted, [place[order[0]], place[order[-1]] + 1])
    if begin == end:
        return None
    here = wanted[begin:end]
    at = order[np.searchsorted(place, here, sorter=order)]
    hit = place[at] == here
    if not hit.any():
        return None
    kept = np.unique(at[hit])
    said = naming.slice(int(begin), int(end - begin)).filter(pa.array(hit))
    said = said.append_column(AT, pa.array(np.searchsorted(kept, at[hit])))
    return Batch(rows.take(pa.array(kept))), said


def _outside(stage: Global, table: str, number: int, ctx: Context) -> Iterator[pa.RecordBatch]:
    """A file of a table from outside."""
    start = 0
    for rows in read_batches(stage.tables(ctx)[table][number]):
        if rows.num_rows:
            yield _with_address(rows, OUTSIDE + number, np.arange(start, start + rows.num_rows))
        start += rows.num_rows


def _with_address(rows: pa.RecordBatch, part: int, row: npt.NDArray[np.int64]) -> pa.RecordBatch:
    if PART not in rows.schema.names:
        rows = rows.append_column(PART, pa.repeat(pa.scalar(part, pa.uint32()), rows.num_rows))
    if ROW not in rows.schema.names:
        rows = rows.append_column(ROW, pa.array(row.astype(np.uint32)))
    return rows
