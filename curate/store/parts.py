"""Reading parts: the base file's rows, without those that an overlay hides, with the columns that overlays add."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.fingerprint import fingerprint
from curate.schema import DOCUMENT
from curate.store.files import Store
from curate.store.records import Part
from curate.store.tables import open_table

HIDDEN = "_hidden"
"""Boolean column of an overlay: the row is no longer there for later steps. Why stands in the dropped rows."""


@dataclass(frozen=True)
class Visible:
    """One batch of a part.

    Attributes:
        rows: the visible rows, base columns and added ones.
        position: int64, their positions in the base batch.
        start: row number of the base batch's first row in the base file.
        size: rows of the base batch, hidden ones included.
    """

    rows: pa.RecordBatch
    position: np.ndarray
    start: int
    size: int


def read_part(store: Store, part: Part, columns: Collection[str] | None = None) -> Iterator[Visible]:
    """A part batch by batch; batches without a visible row come too, so that overlays can stay aligned.

    Args:
        columns: read just those of them that there are, beside the id, and BYTES (store/tables.py); all where it is None.
    """
    wanted = None if columns is None else {"id", HIDDEN, *columns}
    with ExitStack() as stack:
        # Of texts, which are most of a part, nothing stays once they were gone through.
        mapped = wanted is not None and "text" not in wanted
        base = stack.enter_context(open_table(store.data(part.data), wanted, mapped=mapped))
        overlays = [stack.enter_context(open_table(store.data(key), wanted)) for key in part.overlays]
        if wanted is not None:
            # Of a small file, or one without any of them, all columns are read.
            overlays = [overlay for overlay in overlays if wanted.intersection(overlay.schema.names)]
        start = 0
        for i in range(base.num_record_batches):
            batch = base.get_batch(i)
            names = [name for name in batch.schema.names if wanted is None or name in wanted]
            arrays = [batch.column(name) for name in names]
            keep = None
            for overlay in overlays:
                beside = overlay.get_batch(i)
                for name in beside.schema.names:
                    if name == HIDDEN:
                        shown = pc.invert(beside.column(name))
                        keep = shown if keep is None else pc.and_(keep, shown)
                    elif wanted is None or name in wanted:
                        names.append(name)
                        arrays.append(beside.column(name))
            rows = pa.RecordBatch.from_arrays(arrays, names=names)
            position = np.arange(batch.num_rows, dtype=np.int64)
            if keep is not None:
                rows = rows.filter(keep)
                position = np.flatnonzero(keep.to_numpy(zero_copy_only=False))
            yield Visible(rows, position, start, batch.num_rows)
            start += batch.num_rows


def part_schema(store: Store, part: Part) -> pa.Schema:
    """Schema of a part's visible rows."""
    with ExitStack() as stack:
        schema = stack.enter_context(open_table(store.data(part.data))).schema
        for key in part.overlays:
            for column in stack.enter_context(open_table(store.data(key))).schema:
                if column.name != HIDDEN:
                    schema = schema.append(column)
    return schema


def common_schema(store: Store, parts: Sequence[Part]) -> pa.Schema:
    """Schema of the visible rows of all of some parts; one is opened of those that have the same columns."""
    kinds: dict[str, Part] = {}
    for part in parts:
        kinds.setdefault(part.columns or part.key, part)
    return pa.unify_schemas([part_schema(store, part) for part in kinds.values()]) if kinds else DOCUMENT


def columns_of(added: pa.Schema, before: str | None = None) -> str:
    """What stands for the columns of a part: those of its base file, or those that an overlay adds to others."""
    return _columns_of(tuple((f.name, str(f.type)) for f in added if f.name != HIDDEN), before)


@lru_cache
def _columns_of(shown: tuple[tuple[str, str], ...], before: str | None) -> str:
    if before == "" or (before is not None and not shown):
        return before
    return fingerprint(before, shown)[:16]


def scatter(values: pa.Array, position: np.ndarray, size: int) -> pa.Array:
    """An array of ``size`` with ``values`` at ``position`` and null elsewhere."""
    index = np.full(size, -1, dtype=np.int64)
    index[position] = np.arange(len(position), dtype=np.int64)
    return values.take(pa.array(index, mask=index < 0))


def conform(rows: pa.RecordBatch, whole: pa.Schema) -> pa.RecordBatch:
    """Rows in a schema: its order of columns, nulls for those that are not there."""
    if rows.schema.names == whole.names and rows.schema.types == whole.types:
        return rows
    there = set(rows.schema.names)
    columns = [rows.column(f.name).cast(f.type) if f.name in there else pa.nulls(rows.num_rows, f.type) for f in whole]
    return pa.RecordBatch.from_arrays(columns, names=whole.names)
