"""Verdicts of a global step, and columns that it adds, joined back to the parts they are about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.run.dropped import dropped_rows
from curate.run.pieces import Share, read_pieces
from curate.run.row_step import text_bytes
from curate.run.tally import tally
from curate.run.task import Task
from curate.stages.base import ROW, VERDICTS
from curate.store.parts import HIDDEN, columns_of, read_part, scatter
from curate.store.records import Counts, Part, add_kept
from curate.store.tables import BYTES, new_table
from curate.text.batch import Batch

_NOTED: Final = ("id", "source", "origin", BYTES)
"""What is noted of a document that goes."""


@dataclass(frozen=True)
class ApplyTask(Task):
    """Joins verdicts back to one part: an overlay that hides rows and adds columns, and what was dropped and why.

    Attributes:
        by: what kept rows are counted by (Stage.counted_by).
        step: id of the step, which the names of added columns begin with.
        schema: of the verdicts, see Global.verdicts.
    """

    part: Part
    share: Share
    by: str | None = None
    step: str = ""
    schema: pa.Schema = VERDICTS

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "apply"

    @property
    def size(self) -> int:
        """Bytes of input, for progress."""
        return self.part.bytes

    @property
    def cost(self) -> int | None:
        """Bytes of input."""
        return self.part.bytes

    def work(self) -> dict[str, Any]:
        """Write the overlay and the dropped rows."""
        pieces = self.share.pieces(self.store)
        verdicts = read_pieces(self.store, pieces) if pieces else self.schema.empty_table()
        verdicts = verdicts.select(self.schema.names).take(pc.sort_indices(verdicts.column(ROW))).combine_chunks()
        added = [field for field in self.schema if field.name not in VERDICTS.names]
        going = verdicts.filter(pc.is_valid(verdicts.column("reason"))) if added else verdicts
        rows, going_rows = verdicts.column(ROW).to_numpy(), going.column(ROW).to_numpy()
        beside = pa.schema([pa.field(f"{self.step}.{field.name}", field.type) for field in added])
        # Rows that all stay are not hidden one by one: whoever reads the part would copy them.
        hides = bool(len(going_rows)) or not added
        counts = Counts()
        overlay = self.store.fresh(self.folder, "overlay", ".arrow")
        dropped = self.store.fresh(self.folder, "dropped", ".arrow")
        with (
            new_table(self.store, overlay, pa.schema([*([(HIDDEN, pa.bool_())] if hides else []), *beside])) as out,
            new_table(self.store, dropped, schema.DROPPED) as gone,
        ):
            for visible in read_part(self.store, self.part, None if self.by is not None else _NOTED):
                begin, end = np.searchsorted(going_rows, [visible.start, visible.start + visible.size])
                hidden = np.zeros(visible.size, dtype=bool)
                hidden[going_rows[begin:end] - visible.start] = True
                columns = {HIDDEN: pa.array(hidden)} if hides else {}
                first, last = np.searchsorted(rows, [visible.start, visible.start + visible.size])
                for name, field in zip(beside.names, added, strict=True):
                    values = verdicts.column(field.name).slice(int(first), int(last - first)).combine_chunks()
                    columns[name] = scatter(values, rows[first:last].astype(np.int64) - visible.start, visible.size)
                out.write(pa.RecordBatch.from_pydict(columns))
                goes = hidden[visible.position]
                counts.rows_in += visible.rows.num_rows
                counts.bytes_in += _bytes(visible.rows)
                if self.by is not None:
                    add_kept(counts.kept_by, tally(Batch(visible.rows), ~goes, self.by))
                if goes.any():
                    said = going.slice(int(begin), int(end - begin))
                    reasons, detail = (said.column(name).combine_chunks() for name in ("reason", "detail"))
                    lost = dropped_rows(visible.rows, self.step, reasons, detail, pa.array(goes))
                    counts.bytes_out -= pc.sum(lost.column("bytes")).as_py()
                    gone.write(lost)
        counts.rows_out = counts.rows_in - going.num_rows
        counts.bytes_out += counts.bytes_in
        counts.add_reasons(
            {each["values"]: each["counts"] for each in pc.value_counts(going.column("reason")).to_pylist()}
        )
        part = replace(
            self.part,
            key=self.key,
            overlays=(*self.part.overlays, overlay),
            rows=counts.rows_out,
            bytes=counts.bytes_out,
            columns=columns_of(beside, self.part.columns),
        )
        return {"part": {**vars(part), "overlays": list(part.overlays)}, "counts": vars(counts), "dropped": dropped}


def _bytes(rows: pa.RecordBatch) -> int:
    return int(pc.sum(rows.column(BYTES)).as_py() or 0) if BYTES in rows.schema.names else text_bytes(rows)
