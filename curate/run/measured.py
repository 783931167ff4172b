"""What earlier runs measured: signals tables, found again by what was measured and where the rows came from."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from curate.store.files import Store
from curate.store.tables import read_batches

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
        self.table = pa.Table.from_batches(batches) if batches else None
        if self.table is not None:
            ids = _row_view(self.table)
            self._order = np.argsort(ids, kind="stable")
            self._ids = ids[self._order]

    def find(self, rows: pa.RecordBatch) -> np.ndarray | None:
        """Row of each of ``rows`` in ``table``, -1 where unknown; None when nothing is known at all."""
        if self.table is None:
            return None
        wanted = _row_view(rows)
        at = np.minimum(np.searchsorted(self._ids, wanted), len(self._ids) - 1)
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
