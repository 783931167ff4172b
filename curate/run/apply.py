"""Verdicts of a global step joined back to the parts they are about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

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
from curate.store.parts import HIDDEN, read_part
from curate.store.records import Counts, Part, add_kept
from curate.store.tables import new_table
from curate.text.batch import Batch


@dataclass(frozen=True)
class ApplyTask(Task):
    """Joins verdicts back to one part: an overlay that hides rows, and the list of what was dropped and why.

    ``by`` is what kept rows are counted by (Stage.counted_by).
    """

    part: Part
    share: Share
    by: str | None = None

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
        verdicts = read_pieces(self.store, self.share.pieces(self.store), VERDICTS)
        verdicts = verdicts.take(pc.sort_indices(verdicts.column(ROW))).combine_chunks()
        rows = verdicts.column(ROW).to_numpy()
        step = self.folder.split("/")[1]
        counts = Counts()
        overlay = self.store.fresh(self.folder, "overlay", ".arrow")
        dropped = self.store.fresh(self.folder, "dropped", ".arrow")
        with (
            new_table(self.store, overlay, pa.schema([(HIDDEN, pa.bool_())])) as out,
            new_table(self.store, dropped, schema.DROPPED) as gone,
        ):
            for visible in read_part(self.store, self.part):
                begin, end = np.searchsorted(rows, [visible.start, visible.start + visible.size])
                here = rows[begin:end] - visible.start
                hidden = np.zeros(visible.size, dtype=bool)
                hidden[here] = True
                out.write(pa.RecordBatch.from_pydict({HIDDEN: pa.array(hidden)}))
                goes = hidden[visible.position]
                counts.rows_in += visible.rows.num_rows
                counts.bytes_in += text_bytes(visible.rows)
                if self.by is not None:
                    add_kept(counts.kept_by, tally(Batch(visible.rows), ~goes, self.by))
                if goes.any():
                    said = verdicts.slice(int(begin), int(end - begin))
                    reasons, detail = (said.column(name).combine_chunks() for name in ("reason", "detail"))
                    lost = dropped_rows(visible.rows, step, reasons, detail, pa.array(goes))
                    counts.bytes_out -= pc.sum(lost.column("bytes")).as_py()
                    gone.write(lost)
        counts.rows_out = counts.rows_in - verdicts.num_rows
        counts.bytes_out += counts.bytes_in
        counts.add_reasons(
            {each["values"]: each["counts"] for each in pc.value_counts(verdicts.column("reason")).to_pylist()}
        )
        part = replace(
            self.part,
            key=self.key,
            overlays=(*self.part.overlays, overlay),
            rows=counts.rows_out,
            bytes=counts.bytes_out,
        )
        return {"part": {**vars(part), "overlays": list(part.overlays)}, "counts": vars(counts), "dropped": dropped}
