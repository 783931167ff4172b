"""What earlier runs measured: signals tables, found again by what was measured and where the rows came from."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from curate.run.row_step import RowStep
from curate.run.warm import measure
from curate.stages.base import Signals
from curate.store.files import Store
from curate.store.tables import read_batches
from curate.text.batch import Batch

REASON: Final = "reason"
"""Column of a signals table: why the row went, null where it stayed."""
HASH: Final = "content_hash"
"""Column of a signals table: which text was measured, also where a source gives one id twice."""


def signals_folder(measure: str, root: str) -> str:
    """Key of the folder with what was measured of the texts of one split."""
    return f"signals/{measure[:16]}/{root[:16]}"


class Known:
    """What earlier runs measured of the same text under the same settings, looked up by id and content."""

    def __init__(self, store: Store, measure: str, root: str) -> None:
        batches: list[pa.RecordBatch] = []
        pointers = [entry.key for entry in store.list(signals_folder(measure, root)) if entry.key.endswith(".json")]
        for pointer in store.read_wholes(pointers).values():
            batches += (b for b in read_batches(store.data(pointer["file"])) if HASH in b.schema.names)
        self._rows = sum(batch.num_rows for batch in batches)
        if self._rows:
            # One array for each column, once for all batches that are looked up.
            old = pa.Table.from_batches(batches)
            ids = _row_view(old)
            self._order = np.argsort(ids, kind="stable")
            self._ids = ids[self._order]
            names = [name for name in old.schema.names if name not in ("id", HASH, REASON)]
            self._signals = {name: old.column(name).combine_chunks() for name in names}

    def measured(self, step: RowStep, docs: Batch) -> tuple[Signals, int]:
        """What a step measures of some rows, and of how many of them that was not known."""
        if not self._rows:
            return measure(step, docs), len(docs)
        at = self._find(docs.rows)
        missing = at < 0
        count = int(missing.sum())
        if not count:
            return {name: values.take(pa.array(at)) for name, values in self._signals.items()}, 0
        fresh = measure(step, docs.filter(pa.array(missing)))
        at[missing] = self._rows + np.arange(count)
        both = {name: pa.concat_arrays([self._signals[name], values]) for name, values in fresh.items()}
        return {name: values.take(pa.array(at)) for name, values in both.items()}, count

    def _find(self, rows: pa.RecordBatch) -> np.ndarray:
        """Where each of the rows is among those that are known, -1 where it is not."""
        wanted = _row_view(rows)
        at = np.minimum(np.searchsorted(self._ids, wanted), self._rows - 1)
        return np.where(self._ids[at] == wanted, self._order[at], -1)


def _row_view(rows: pa.RecordBatch | pa.Table) -> np.ndarray:
    """64 bits of each row's id and content: enough to tell the rows of one split apart."""
    mixed = np.zeros(rows.num_rows, np.uint64)
    for name in ("id", HASH):
        column = rows.column(name)
        ids = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        raw = np.frombuffer(ids.buffers()[1], dtype=np.uint8)[ids.offset * 16 : (ids.offset + len(ids)) * 16]
        halves = np.ascontiguousarray(raw).view(">u8").astype(np.uint64).reshape(-1, 2)
        for half in (halves[:, 0], halves[:, 1]):
            mixed = mixed * np.uint64(0x9E3779B97F4A7C15) ^ half
    return mixed
