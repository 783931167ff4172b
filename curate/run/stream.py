"""The rows of a segment's task on their way through its steps, and the files that they come to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.run.documents import Documents, documents
from curate.run.dropped import Leaving, dropped_records, dropped_rows
from curate.run.measured import HASH, REASON, Known, signals_folder
from curate.run.row_step import RowStep, edited, no_rows, slices, text_bytes, with_columns
from curate.run.tally import tally
from curate.spent import each, spending
from curate.stages.removals import REASON as TAKEDOWN
from curate.stages.source import SetAside
from curate.store.files import Store
from curate.store.parts import HIDDEN, Visible, columns_of, part_schema, read_part, scatter
from curate.store.records import Counts, Part, add_kept
from curate.store.tables import BATCH_BYTES, TableWriter, as_schema, new_table
from curate.text.batch import Batch

if TYPE_CHECKING:
    from curate.run.segment import SegmentTask

SIDE_ROWS: Final = 8192
"""Rows of a batch of a side table, which are narrow: a column of a few hundred numbers costs as much to compress as one
of thousands, and measurements of so many rows take about a megabyte."""


@dataclass
class Output:
    """A file that is opened when the first batch for it comes, because only then its schema is known.

    Attributes:
        keeps: false where nothing is to be written at all.
        texts: whether documents are written, and no columns beside them.
        rows, bytes: batches wait until they have so many rows, or so many bytes; by default none waits.
        key: of the file, once it has a batch; its schema then, too.
    """

    store: Store
    folder: str
    name: str
    stack: ExitStack
    keeps: bool = True
    texts: bool = False
    rows: float = 0
    bytes: float = math.inf
    key: str | None = None
    schema: pa.Schema | None = None
    _writer: TableWriter | None = None
    _waiting: list[pa.RecordBatch] = field(default_factory=list)
    _waiting_rows: int = 0
    _waiting_bytes: int = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch."""
        if not self.keeps:
            return
        if self.schema is None:
            self.key, self.schema = self.store.fresh(self.folder, self.name, ".arrow"), batch.schema
            self._writer = self.stack.enter_context(new_table(self.store, self.key, batch.schema, dense=self.texts))
            self.stack.push(self._close)
        self._waiting.append(as_schema(batch, self.schema))
        self._waiting_rows += batch.num_rows
        # Arrow walks all buffers to tell the bytes of a batch: it is not asked in vain.
        self._waiting_bytes += batch.nbytes if self.bytes < math.inf else 0
        if self._waiting_rows >= self.rows or self._waiting_bytes >= self.bytes:
            self._flush()

    def _flush(self) -> None:
        if self._waiting and self._writer is not None:
            self._writer.write(pa.concat_batches(self._waiting) if len(self._waiting) > 1 else self._waiting[0])
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def _close(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()


class Stream:
    """One task's rows: read, decided about batch by batch, written.

    Args:
        stack: closes what is opened; after it was closed, everything is written.
        keeps: false for a rehearsal, which writes nothing.
    """

    def __init__(self, task: SegmentTask, stack: ExitStack, *, keeps: bool = True) -> None:
        self.task = task
        names = ([task.source_id] if task.source is not None else []) + [s.id for s in task.steps]
        self.counts = {name: Counts() for name in names}
        # An overlay's batches lie beside those of the base file: none of them waits.
        rows = math.inf if task.writes_text else 0
        texts = task.part is None or task.writes_text
        self.data = Output(task.store, task.folder, "part", stack, keeps, texts, rows, BATCH_BYTES // 2)
        self.dropped = Output(task.store, task.folder, "dropped", stack, keeps, rows=SIDE_ROWS)
        self.signals = {
            s.id: Output(task.store, signals_folder(s.measure, task.root), "signals", stack, keeps, rows=SIDE_ROWS)
            for s in task.steps
        }
        self.known = {s.id: Known(task.store, s.measure, task.root) for s in task.steps}
        self.rows, self.bytes = 0, 0
        # Rows read so far, and by step the numbers of those that it must not see.
        self.read = 0
        self.lethal: dict[str, list[int]] = {}
        for one in task.lethal:
            self.lethal.setdefault(one.step, []).append(one.row)

    # -- reading ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Take all rows through the steps."""
        task = self.task
        if task.part is None:
            assert task.source is not None
            self._from_source()
            before = task.source.documents_schema(task.source_id)
        else:
            self._from_part(task.part)
            before = part_schema(task.store, task.part)
        if task.writes_text and self.data.schema is None:
            self.data.write(no_rows(before, task.steps))

    def _documents(self) -> Iterator[Documents]:
        task = self.task
        assert task.source is not None
        assert task.split is not None
        return documents(task.source, task.split, task.source_id, task.sample, task.limit, task.removals)

    def _from_source(self) -> None:
        counts = self.counts[self.task.source_id]
        found = each("read", self._documents(), self.task.source_id, lambda docs: text_bytes(docs.rows))
        for rows, aside, removed, entries in found:
            self._set_aside(aside, counts)
            self._take_down(removed, entries, counts)
            size = text_bytes(rows)
            counts.rows_in += rows.num_rows
            counts.rows_out += rows.num_rows
            counts.bytes_in += size
            counts.bytes_out += size
            if rows.num_rows:
                survivors, _ = self._through(rows)
                self._keep(survivors)

    def _from_part(self, part: Part) -> None:
        for visible in read_part(self.task.store, part):
            rows, position = self._through(visible.rows)
            if self.task.writes_text:
                self._keep(rows)
            else:
                self._overlay(visible, rows, position)

    def rehearse(self, start: int, stop: int) -> dict[str, Any]:
        """Take the rows in [start, stop) through the steps, in slices; see RowTask."""
        origin, part = "", self.task.part
        batches = self._documents() if part is None else read_part(self.task.store, part)
        for rows in (batch.rows for batch in batches):
            first, self.read = self.read, self.read + rows.num_rows
            begin, end = max(start - first, 0), min(stop - first, rows.num_rows)
            if begin < end:
                here = rows.slice(begin, end - begin)
                origin = origin or here.column("origin")[0].as_py()
                for piece in slices(here):
                    self._steps(piece, first + begin)
            if self.read >= stop:
                break
        return {"rows": self.read, "origin": origin}

    def _set_aside(self, items: list[SetAside], counts: Counts) -> None:
        if not items:
            return
        name = self.task.source_id
        counts.rows_in += len(items)
        origins, reasons, details = zip(*((i.origin, i.reason, i.detail) for i in items), strict=True)
        counts.add_reasons(Counter(reasons))
        self.dropped.write(dropped_records(name, origins, reasons, details))

    def _take_down(self, rows: pa.RecordBatch, entries: pa.Array, counts: Counts) -> None:
        if rows.num_rows:
            counts.rows_in += rows.num_rows
            counts.bytes_in += text_bytes(rows)
            reasons = [TAKEDOWN] * rows.num_rows
            counts.add_reasons(Counter(reasons))
            self.dropped.write(dropped_rows(rows, self.task.source_id, pa.array(reasons), entries))

    # -- deciding -----------------------------------------------------------------------------------------

    def _through(self, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, np.ndarray]:
        """Rows that every step keeps, with the columns added, and their positions among the rows given."""
        first, self.read = self.read, self.read + rows.num_rows
        if not self.task.in_slices:
            return self._steps(rows, first)
        kept, positions, at = [], [], 0
        for piece in slices(rows):
            stay, position = self._steps(piece, first + at)
            kept.append(stay)
            positions.append(position + at)
            at += piece.num_rows
        return pa.concat_batches(kept), np.concatenate(positions)

    def _steps(self, rows: pa.RecordBatch, first: int) -> tuple[pa.RecordBatch, np.ndarray]:
        """The same for rows that are measured together; ``first`` is the number of the first one in the task."""
        position = np.arange(rows.num_rows, dtype=np.int64)
        # One batch goes through all steps: words that one of them asked for are there for the next.
        docs, leaving, size = Batch(rows), Leaving(rows), text_bytes(rows)
        for step in self.task.steps:
            counts = self.counts[step.id]
            counts.rows_in += len(docs)
            counts.bytes_in += size
            if step.id in self.lethal:
                docs, position = self._spare(step, docs, position, first, leaving)
                size = text_bytes(docs.rows)
            if len(docs) == 0:
                docs = docs.with_rows(with_columns(docs.rows, step, None))
                continue
            with spending("measure", step.id, size):
                signals, fresh = self.known[step.id].measured(step, docs)
            counts.measured += fresh
            with spending("decide", step.id):
                reasons = step.stage.decide(signals)
            side = {"id": docs.column("id"), HASH: docs.column(HASH), **signals, REASON: reasons}
            self.signals[step.id].write(pa.RecordBatch.from_pydict(side))
            docs = docs.with_rows(with_columns(docs.rows, step, signals))
            if (by := step.stage.counted_by()) is not None:
                add_kept(counts.kept_by, tally(docs, np.asarray(pc.is_null(reasons)), by))
            if reasons.null_count < len(reasons):
                goes = np.asarray(pc.is_valid(reasons))
                docs, position = _drop(step, docs, position, goes, reasons.drop_null(), counts, leaving)
                size = text_bytes(docs.rows)
            if step.stage.edits() and len(docs):
                docs, size = self._edit(step, docs, size, counts)
            counts.rows_out += len(docs)
            counts.bytes_out += size
        if leaving:
            self.dropped.write(leaving.batch())
        return docs.rows, position

    def _spare(
        self, step: RowStep, docs: Batch, position: np.ndarray, first: int, leaving: Leaving
    ) -> tuple[Batch, np.ndarray]:
        """Take out the rows that the step must not see."""
        goes = np.isin(position + first, self.lethal[step.id])
        if not goes.any():
            return docs, position
        counts = self.counts[step.id]
        if (by := step.stage.counted_by()) is not None:
            add_kept(counts.kept_by, tally(docs.filter(pa.array(goes)), np.zeros(int(goes.sum()), bool), by))
        reasons = pa.array([schema.KILLS_WORKER] * int(goes.sum()))
        return _drop(step, docs, position, goes, reasons, counts, leaving)

    def _edit(self, step: RowStep, docs: Batch, size: int, counts: Counts) -> tuple[Batch, int]:
        """The rows with the text and the meta that a step makes of theirs, and the text's bytes; ids stay, content hashes follow."""
        with spending("edit", step.id, size):
            after = edited(step, docs)
        counts.add_fields(step.stage.fields_found(docs))
        other = pc.not_equal(after.text, docs.text)
        if step.stage.edits_meta():
            other = pc.or_(other, pc.not_equal(after.column("meta"), docs.column("meta")))
        changed = int(pc.sum(other).as_py() or 0)
        if not changed:
            return docs, size
        now = text_bytes(after.rows)
        counts.edited += changed
        counts.removed += size - now
        return after, now

    # -- writing ------------------------------------------------------------------------------------------

    def _count(self, rows: pa.RecordBatch) -> None:
        self.rows += rows.num_rows
        self.bytes += text_bytes(rows)

    def _keep(self, rows: pa.RecordBatch) -> None:
        if rows.num_rows:
            self._count(rows)
            self.data.write(rows)

    def _overlay(self, visible: Visible, rows: pa.RecordBatch, position: np.ndarray) -> None:
        self._count(rows)
        shown = np.zeros(visible.size, dtype=bool)
        shown[visible.position[position]] = True
        columns = {HIDDEN: pa.array(~shown)}
        for step in self.task.steps:
            for name in step.stage.adds():
                full = f"{step.id}.{name}"
                columns[full] = scatter(rows.column(full), visible.position[position], visible.size)
        self.data.write(pa.RecordBatch.from_pydict(columns))

    def receipt(self) -> dict[str, Any]:
        """The part, counts by step, side tables; once everything is written."""
        task = self.task
        if task.part is None or task.writes_text:
            assert self.data.schema is not None
            columns = columns_of(self.data.schema)
            part = Part(task.key, task.root, str(self.data.key), (), self.rows, self.bytes, columns)
        else:
            old = task.part
            overlays = (*old.overlays, *([self.data.key] if self.data.key else []))
            columns = columns_of(self.data.schema, old.columns) if self.data.schema is not None else old.columns
            part = Part(task.key, task.root, old.data, overlays, self.rows, self.bytes, columns)
        return {
            "part": {**vars(part), "overlays": list(part.overlays)},
            "counts": {name: vars(c) for name, c in self.counts.items()},
            "dropped": self.dropped.key,
            "signals": {name: out.key for name, out in self.signals.items() if out.key},
        }


def _drop(
    step: RowStep,
    docs: Batch,
    position: np.ndarray,
    goes: np.ndarray,
    reasons: pa.Array,
    counts: Counts,
    leaving: Leaving,
) -> tuple[Batch, np.ndarray]:
    """The rows that stay at a step; those that go are counted and noted, with one reason for each of them."""
    counts.add_reasons(Counter(reasons.to_pylist()))
    leaving.add(step.id, position[goes], np.diff(docs.utf8[0])[goes], reasons)
    return docs.filter(pa.array(~goes)), position[~goes]
