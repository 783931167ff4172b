"""Rows of the tables that say what was dropped, at which step, and why (schema.DROPPED)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.schema import DROPPED, ID_BYTES
from curate.store.tables import BYTES


def dropped_rows(
    rows: pa.RecordBatch, step: str, reasons: pa.Array, detail: pa.Array | None = None, goes: pa.Array | None = None
) -> pa.RecordBatch:
    """Documents that go, all or those of a mask; ``reasons`` and ``detail`` have one value for each of them.

    Of their texts only how long they were is noted: rows may have BYTES (store/tables.py) instead.
    """
    sized = BYTES in rows.schema.names
    size = rows.column(BYTES) if sized else pc.binary_length(rows.column("text")).cast(pa.int64())
    of_rows = [rows.column("id"), rows.column("source"), rows.column("origin"), size]
    ids, source, origin, size = of_rows if goes is None else [column.filter(goes) for column in of_rows]
    n = len(reasons)
    said = pa.nulls(n, pa.string()) if detail is None else detail
    return pa.RecordBatch.from_arrays([ids, source, origin, pa.repeat(step, n), reasons, said, size], schema=DROPPED)


class Leaving:
    """Rows of one batch that go at one step or the other, noted together: of a few rows Arrow's calls cost more than
    what they do."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        self._rows = rows
        self._steps: list[str] = []
        self._at: list[npt.NDArray[np.int64]] = []
        self._sizes: list[npt.NDArray[np.int64]] = []
        self._reasons: list[pa.Array] = []

    def add(self, step: str, at: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], reasons: pa.Array) -> None:
        """Rows that go at a step: where they are in the batch, how many bytes their texts have by now, and why."""
        self._steps += [step] * len(at)
        self._at.append(at)
        self._sizes.append(sizes)
        self._reasons.append(reasons)

    def batch(self) -> pa.RecordBatch:
        """As the table has them, one step's after the other's."""
        few = self._rows.select(["id", "source", "origin"]).take(pa.array(np.concatenate(self._at)))
        n = len(self._steps)
        said = [pa.array(self._steps, pa.string()), pa.concat_arrays(self._reasons), pa.nulls(n, pa.string())]
        return pa.RecordBatch.from_arrays([*few.columns, *said, pa.array(np.concatenate(self._sizes))], schema=DROPPED)

    def __bool__(self) -> bool:
        return bool(self._steps)


def dropped_records(
    source: str, origins: Sequence[str], reasons: Sequence[str], details: Sequence[str | None]
) -> pa.RecordBatch:
    """Records, or whole files, of a source that never became documents."""
    ids = [hashlib.blake2b(f"{source}\x1f{o}".encode(), digest_size=ID_BYTES).digest() for o in origins]
    same = [source] * len(ids)
    values = [ids, same, origins, same, reasons, details, [None] * len(ids)]
    return pa.RecordBatch.from_arrays(
        [pa.array(v, f.type) for v, f in zip(values, DROPPED, strict=True)], schema=DROPPED
    )
