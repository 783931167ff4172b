"""Rows of the tables that say what was dropped, at which step, and why (schema.DROPPED)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from curate.schema import DROPPED, ID_BYTES


def dropped_rows(
    rows: pa.RecordBatch, step: str, reasons: pa.Array, detail: pa.Array | None = None, goes: pa.Array | None = None
) -> pa.RecordBatch:
    """Documents that go, all or those of a mask; ``reasons`` and ``detail`` have one value for each of them."""
    # Their texts are not copied: only how long they were is noted.
    size = pc.binary_length(rows.column("text")).cast(pa.int64())
    of_rows = [rows.column("id"), rows.column("source"), rows.column("origin"), size]
    ids, source, origin, size = of_rows if goes is None else [column.filter(goes) for column in of_rows]
    n = len(reasons)
    said = pa.nulls(n, pa.string()) if detail is None else detail
    return pa.RecordBatch.from_arrays([ids, source, origin, pa.repeat(step, n), reasons, said, size], schema=DROPPED)


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
