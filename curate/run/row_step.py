"""One filter inside a segment, and what is done with rows around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.stages.base import Context, Filter, Signals
from curate.text.arrow import buffers
from curate.text.batch import Batch
from curate.text.hashing import content_hash

SLICE_ROWS: Final = 64
SLICE_BYTES: Final = 256 << 10
"""What a batch has at most after workers died: an eighth of what sources make, and a thirtieth of the store's."""


@dataclass(frozen=True)
class RowStep:
    """A filter inside a segment.

    Attributes:
        measure: identity of what it measures.
        reads: columns that it needs and some of its rows may lack, where ``from`` joins branches: null there.
    """

    id: str
    stage: Filter
    ctx: Context
    measure: str
    reads: tuple[tuple[str, pa.DataType], ...] = ()


def text_bytes(rows: pa.RecordBatch) -> int:
    """Bytes of UTF-8 text in a batch."""
    offsets, _ = buffers(rows.column("text"))
    return int(offsets[-1] - offsets[0])


def needed(docs: Batch, step: RowStep) -> Batch:
    """What a step measures: the rows, with nulls for a column that only another branch has."""
    rows = docs.rows
    for name, kind in step.reads:
        if name not in rows.schema.names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, kind))
    return docs if rows is docs.rows else docs.with_rows(rows)


def with_columns(rows: pa.RecordBatch, step: RowStep, signals: Signals | None) -> pa.RecordBatch:
    """Rows with the columns that a step adds, null where nothing was measured."""
    for name, kind in step.stage.adds().items():
        values = signals[name].cast(kind) if signals is not None else pa.nulls(rows.num_rows, kind)
        rows = rows.append_column(f"{step.id}.{name}", values)
    return rows


def no_rows(before: pa.Schema, steps: tuple[RowStep, ...]) -> pa.RecordBatch:
    """An empty batch with the columns that rows have after the steps."""
    for step in steps:
        for name, kind in step.stage.adds().items():
            before = before.append(pa.field(f"{step.id}.{name}", kind))
    return pa.RecordBatch.from_pylist([], schema=before)


def edited(step: RowStep, docs: Batch) -> Batch:
    """Rows with the text, and the meta, that a step that edits makes of theirs; ids stay, content hashes follow.

    Raises TypeError when that is not one large_string, and one string, for each.
    """
    seen = needed(docs, step)
    text = step.stage.edit(seen, step.ctx)
    if not isinstance(text, pa.Array) or text.type != pa.large_string() or len(text) != len(docs) or text.null_count:
        raise TypeError(f"{step.stage.name}: edit must give a large_string without nulls for every row")
    rows = with_text(docs.rows, text)
    if step.stage.edits_meta():
        meta = step.stage.edit_meta(seen, step.ctx)
        if not isinstance(meta, pa.Array) or meta.type != pa.string() or len(meta) != len(docs) or meta.null_count:
            raise TypeError(f"{step.stage.name}: edit_meta must give a string without nulls for every row")
        at = rows.schema.get_field_index("meta")
        rows = rows.set_column(at, rows.schema.field(at), meta)
    return Batch(rows)


def with_text(rows: pa.RecordBatch, text: pa.LargeStringArray) -> pa.RecordBatch:
    """Rows with another text; ids stay, content hashes follow."""
    for name, values in (("text", text), ("content_hash", content_hash(text))):
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), values)
    return rows


def slices(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows as batches of at most SLICE_ROWS and, but for a row that is larger, SLICE_BYTES; one if there is none."""
    ends = np.cumsum(np.asarray(pc.fill_null(pc.binary_length(rows.column("text")), 0)).astype(np.int64))
    start = 0
    while True:
        upto = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, upto + SLICE_BYTES, side="right"))
        stop = min(max(stop, start + 1), start + SLICE_ROWS, rows.num_rows)
        yield rows.slice(start, stop - start)
        start = stop
        if start >= rows.num_rows:
            return
