"""A segment: consecutive row-local steps, fused into one task per split that streams its batches once.

A segment that begins with a source writes the survivors' text once. One that begins with parts writes no text at
all: an overlay beside each part says which rows go and holds the columns that were added. Only where a step of it
edits text, it writes the survivors anew, as a part of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.errors import DamagedError
from curate.run.documents import documents
from curate.run.measured import HASH, REASON, Known, signals_folder
from curate.run.mend import CURE, check_file
from curate.run.quarantine import Lethal, RowTask
from curate.run.row_step import RowStep, edited, no_rows, slices, text_bytes, with_columns
from curate.run.tally import tally
from curate.run.warm import measure
from curate.stages.base import Signals
from curate.stages.catalog import check_unchanged
from curate.stages.removals import REASON as TAKEDOWN
from curate.stages.removals import Removals
from curate.stages.source import SetAside, Source, Split
from curate.store.files import Store, crash_point
from curate.store.parts import HIDDEN, Visible, columns_of, part_schema, read_part, scatter
from curate.store.records import Counts, Part, add_kept
from curate.store.tables import BATCH_BYTES, TableWriter, as_schema, new_table
from curate.text.batch import Batch

SIDE_ROWS: Final = 8192
"""Rows of a batch of a side table: measurements of them take about a megabyte."""


@dataclass(frozen=True)
class SegmentTask(RowTask):
    """Streams one split, or one part, through the steps of a segment.

    Attributes:
        root: lineage of the text, under which measurements are kept for later runs with other thresholds.
        steps: the filters, in order.
        source, split, source_id: what to read when the segment begins with a source.
        part: what to read otherwise.
        sample, limit: see recipe.plan.Options; limit counts down over the splits of a source.
        removals: documents of the source that must not be used.
        in_slices: whether steps get batches as small as can be; results are the same.
        lethal: rows that steps must not see: they are dropped there, for killing workers.
    """

    root: str
    steps: tuple[RowStep, ...]
    source: Source | None = None
    split: Split | None = None
    source_id: str = ""
    part: Part | None = None
    sample: float = 1.0
    limit: int | None = None
    removals: Removals | None = None
    in_slices: bool = False
    lethal: tuple[Lethal, ...] = ()

    @property
    def writes_text(self) -> bool:
        """Whether it makes a base file, and not an overlay."""
        return self.part is None or any(step.stage.edits() for step in self.steps)

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "segment"

    @property
    def place(self) -> str:
        """The split, or the part."""
        if self.split is None:
            return f"step '{self.steps[-1].id}', part {self.key[:12]}"
        return f"{self.split.name} [{self.split.start}, {self.split.stop})"

    @property
    def depth(self) -> int:
        """How many filters there are."""
        return len(self.steps)

    def step_at(self, number: int) -> str:
        """Id of a filter."""
        return self.steps[number].id

    def careful(self, lethal: tuple[Lethal, ...] = ()) -> SegmentTask:
        """In slices, without some rows."""
        return replace(self, in_slices=True, lethal=lethal)

    def rehearse(self, start: int, stop: int, depth: int) -> dict[str, Any]:
        """Take some rows through the first filters and keep nothing; see RowTask."""
        with ExitStack() as stack:
            return _Run(replace(self, steps=self.steps[:depth]), stack, keeps=False).rehearse(start, stop)

    @property
    def size(self) -> int:
        """Bytes of input, for progress."""
        return self.split.bytes if self.split else self.part.bytes if self.part else 0

    @property
    def cost(self) -> int | None:
        """Bytes of input."""
        return self.size

    def settled(self, value: dict[str, Any]) -> dict[str, Any]:
        """With pointers put that make side tables known to later runs, whatever becomes of this step's receipt.

        Two steps may measure the same, of texts that were edited in between. Where a killed attempt came so far, its
        table is the one: it has the same rows.
        """
        signals = dict(value["signals"])
        for step in self.steps:
            if step.id in signals:
                pointer = f"{signals_folder(step.measure, self.root)}/{self.key}-{step.id}.json"
                signals[step.id] = self.store.put_if_absent(pointer, {"file": signals[step.id]})["file"]
        return {**value, "signals": signals}

    def work(self) -> dict[str, Any]:
        """Stream the batches; returns the receipt: the part, counts by step, side tables."""
        with ExitStack() as stack:
            run = _Run(self, stack)
            if self.source is not None and self.split is not None:
                run.from_source(self.source, stack.enter_context(self._near(self.split)))
            elif self.part is not None:
                run.from_part(self.part)
            stack.close()
        if self.split is not None:
            check_unchanged(self.split.files())  # what was read of a file that was changed since is not committed
        crash_point("segment.before-data")
        return run.receipt()

    @contextmanager
    def _near(self, split: Split) -> Iterator[Split]:
        """The split; a piece of a file that was cut lies in the store, and is read from a disk. Raises DamagedError for
        a piece that is not what was written."""
        key = self.store.key_of(split.path)
        if key is None or not key.startswith("pieces/"):
            yield split
            return
        try:
            with self.store.reading(key) as path:
                if split.xxh3:
                    check_file(self.store.name(key), path, split.xxh3)
                yield replace(split, path=str(path))
        except FileNotFoundError:
            raise DamagedError("is missing", place=self.store.name(key), cure=CURE) from None


@dataclass
class _Out:
    """A file that is opened when the first batch for it comes, because only then its schema is known.

    With ``keeps`` false nothing is written at all. With ``together`` batches wait until they have as many rows: side
    tables are narrow, and a column of a few hundred numbers costs as much to compress as one of thousands.
    """

    store: Store
    folder: str
    name: str
    stack: ExitStack
    keeps: bool = True
    together: int = 0
    key: str | None = None
    writer: TableWriter | None = None
    schema: pa.Schema | None = None
    waiting: list[pa.RecordBatch] = field(default_factory=list)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch."""
        if not self.keeps:
            return
        if self.writer is None:
            self.key, self.schema = self.store.fresh(self.folder, self.name, ".arrow"), batch.schema
            self.writer = self.stack.enter_context(new_table(self.store, self.key, batch.schema))
            self.stack.push(self._close)
        assert self.schema is not None
        self.waiting.append(as_schema(batch, self.schema))
        if sum(b.num_rows for b in self.waiting) >= self.together:
            self._flush()

    def _flush(self) -> None:
        assert self.writer is not None
        if self.waiting:
            self.writer.write(pa.concat_batches(self.waiting) if len(self.waiting) > 1 else self.waiting[0])
        self.waiting = []

    def _close(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()


@dataclass
class _Pending:
    """Survivors waiting until they fill a batch worth writing."""

    rows: list[pa.RecordBatch] = field(default_factory=list)
    bytes: int = 0


class _Run:
    def __init__(self, task: SegmentTask, stack: ExitStack, *, keeps: bool = True) -> None:
        self.task = task
        self.names = ([task.source_id] if task.source is not None else []) + [s.id for s in task.steps]
        self.counts = {name: Counts() for name in self.names}
        self.data = _Out(task.store, task.folder, "part", stack, keeps)
        self.dropped = _Out(task.store, task.folder, "dropped", stack, keeps, SIDE_ROWS)
        self.signals = {
            s.id: _Out(task.store, signals_folder(s.measure, task.root), "signals", stack, keeps, SIDE_ROWS)
            for s in task.steps
        }
        self.known = {s.id: Known(task.store, s.measure, task.root) for s in task.steps}
        self.rows, self.bytes = 0, 0
        self.pending = _Pending()
        # Rows read so far, and by step the numbers of those that it must not see.
        self.read = 0
        self.lethal: dict[str, list[int]] = {}
        for one in task.lethal:
            self.lethal.setdefault(one.step, []).append(one.row)

    # -- reading ------------------------------------------------------------------------------------------

    def from_source(self, source: Source, split: Split) -> None:
        counts = self.counts[self.task.source_id]
        task = self.task
        for rows, aside, removed, entries in documents(
            source, split, task.source_id, task.sample, task.limit, task.removals
        ):
            self._set_aside(aside, counts)
            self._take_down(removed, entries, counts)
            size = text_bytes(rows)
            counts.rows_in += rows.num_rows
            counts.rows_out += rows.num_rows
            counts.bytes_in += size
            counts.bytes_out += size
            survivors, _ = self._through(rows)
            self._keep(survivors)
        self._flush()
        if self.data.writer is None:
            self.data.write(no_rows(schema.DOCUMENT, self.task.steps))

    def from_part(self, part: Part) -> None:
        anew = self.task.writes_text
        for visible in read_part(self.task.store, part):
            rows, position = self._through(visible.rows)
            if anew:
                self._keep(rows)
            else:
                self.rows += rows.num_rows
                self.bytes += text_bytes(rows)
                self._overlay(visible, rows, position)
        if anew:
            self._flush()
            if self.data.writer is None:
                self.data.write(no_rows(part_schema(self.task.store, part), self.task.steps))

    def rehearse(self, start: int, stop: int) -> dict[str, Any]:
        origin = ""
        for rows in self._rows():
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

    def _rows(self) -> Iterator[pa.RecordBatch]:
        task = self.task
        if task.source is not None and task.split is not None:
            how = (task.source_id, task.sample, task.limit, task.removals)
            yield from (rows for rows, *_ in documents(task.source, task.split, *how))
        elif task.part is not None:
            yield from (visible.rows for visible in read_part(task.store, task.part))

    def _set_aside(self, items: list[SetAside], counts: Counts) -> None:
        if not items:
            return
        name = self.task.source_id
        counts.rows_in += len(items)
        for item in items:
            counts.reasons[item.reason] = counts.reasons.get(item.reason, 0) + 1
        ids = [hashlib.blake2b(f"{name}\x1f{i.origin}".encode(), digest_size=schema.ID_BYTES).digest() for i in items]
        same, origins = [name] * len(items), [i.origin for i in items]
        values = [ids, same, origins, same, [i.reason for i in items], [i.detail for i in items], [None] * len(items)]
        self.dropped.write(
            pa.RecordBatch.from_arrays(
                [pa.array(v, f.type) for v, f in zip(values, schema.DROPPED, strict=True)], schema=schema.DROPPED
            )
        )

    def _take_down(self, rows: pa.RecordBatch, entries: pa.Array, counts: Counts) -> None:
        if rows.num_rows:
            counts.rows_in += rows.num_rows
            counts.bytes_in += text_bytes(rows)
            self._drop(self.task.source_id, rows, pa.array([TAKEDOWN] * rows.num_rows), counts, entries)

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
        docs = Batch(rows)
        for step in self.task.steps:
            counts = self.counts[step.id]
            size = text_bytes(docs.rows)
            counts.rows_in += len(docs)
            counts.bytes_in += size
            if step.id in self.lethal:
                docs, position = self._spare(step, docs, position, first)
                size = text_bytes(docs.rows)
            if len(docs) == 0:
                docs = docs.with_rows(with_columns(docs.rows, step, None))
                continue
            signals = self._measured(step, docs, counts)
            reasons = step.stage.decide(signals)
            side = {"id": docs.column("id"), HASH: docs.column(HASH), **signals, REASON: reasons}
            self.signals[step.id].write(pa.RecordBatch.from_pydict(side))
            docs = docs.with_rows(with_columns(docs.rows, step, signals))
            if (by := step.stage.counted_by()) is not None:
                add_kept(counts.kept_by, tally(docs, np.asarray(pc.is_null(reasons)), by))
            if reasons.null_count < len(reasons):
                goes = pc.is_valid(reasons)
                self._drop(step.id, docs.rows, reasons.filter(goes), counts, goes=goes)
                stays = pc.invert(goes)
                docs = docs.filter(stays)
                position = position[stays.to_numpy(zero_copy_only=False)]
                size = text_bytes(docs.rows)
            if step.stage.edits() and len(docs):
                docs, size = self._edit(step, docs, size, counts)
            counts.rows_out += len(docs)
            counts.bytes_out += size
        return docs.rows, position

    def _spare(self, step: RowStep, docs: Batch, position: np.ndarray, first: int) -> tuple[Batch, np.ndarray]:
        """Take out the rows that the step must not see."""
        goes = np.isin(position + first, self.lethal[step.id])
        if not goes.any():
            return docs, position
        counts = self.counts[step.id]
        if (by := step.stage.counted_by()) is not None:
            add_kept(counts.kept_by, tally(docs.filter(pa.array(goes)), np.zeros(int(goes.sum()), bool), by))
        reasons = pa.array([schema.KILLS_WORKER] * int(goes.sum()))
        self._drop(step.id, docs.rows, reasons, counts, goes=pa.array(goes))
        return docs.filter(pa.array(~goes)), position[~goes]

    def _edit(self, step: RowStep, docs: Batch, size: int, counts: Counts) -> tuple[Batch, int]:
        """The rows with the text that a step makes of theirs, and its bytes; ids stay, content hashes follow."""
        after = edited(step, docs)
        changed = int(pc.sum(pc.not_equal(after.text, docs.text)).as_py() or 0)
        if not changed:
            return docs, size
        now = text_bytes(after.rows)
        counts.edited += changed
        counts.removed += size - now
        return after, now

    def _measured(self, step: RowStep, docs: Batch, counts: Counts) -> Signals:
        found = self.known[step.id].find(docs.rows)
        if found is None:
            counts.measured += len(docs)
            return measure(step, docs)
        missing = found < 0
        old = self.known[step.id].table
        assert old is not None
        if not missing.any():
            return {
                name: old.column(name).combine_chunks().take(pa.array(found))
                for name in old.schema.names
                if name not in ("id", HASH, REASON)
            }
        fresh = measure(step, docs.filter(pa.array(missing)))
        counts.measured += int(missing.sum())
        where = found.copy()
        where[missing] = old.num_rows + np.arange(int(missing.sum()))
        joined = {}
        for name, values in fresh.items():
            both = pa.chunked_array([*old.column(name).chunks, values]).combine_chunks()
            joined[name] = both.take(pa.array(where))
        return joined

    def _drop(
        self,
        step: str,
        rows: pa.RecordBatch,
        reasons: pa.Array,
        counts: Counts,
        detail: pa.Array | None = None,
        goes: pa.Array | None = None,
    ) -> None:
        """Note rows that go, all or those of a mask; ``reasons`` and ``detail`` have one value for each of them."""
        for pair in pc.value_counts(reasons).to_pylist():
            counts.reasons[pair["values"]] = counts.reasons.get(pair["values"], 0) + pair["counts"]
        n = len(reasons)
        # Their texts are not copied: only how long they were is noted.
        size = pc.binary_length(rows.column("text")).cast(pa.int64())
        of_rows = (rows.column("id"), rows.column("source"), rows.column("origin"), size)
        ids, source, origin, size = of_rows if goes is None else (column.filter(goes) for column in of_rows)
        said = pa.nulls(n, pa.string()) if detail is None else detail
        columns = [ids, source, origin, pa.repeat(step, n), reasons, said, size]
        self.dropped.write(pa.RecordBatch.from_arrays(columns, schema=schema.DROPPED))

    # -- writing ------------------------------------------------------------------------------------------

    def _keep(self, rows: pa.RecordBatch) -> None:
        if rows.num_rows == 0:
            return
        size = text_bytes(rows)
        self.rows += rows.num_rows
        self.bytes += size
        self.pending.rows.append(rows)
        # All columns: a document's fields may be larger than its text.
        self.pending.bytes += rows.nbytes
        if self.pending.bytes >= BATCH_BYTES // 2:
            self._flush()

    def _flush(self) -> None:
        if self.pending.rows:
            self.data.write(pa.concat_batches(self.pending.rows))
            self.pending = _Pending()

    def _overlay(self, visible: Visible, rows: pa.RecordBatch, position: np.ndarray) -> None:
        shown = np.zeros(visible.size, dtype=bool)
        shown[visible.position[position]] = True
        columns = {HIDDEN: pa.array(~shown)}
        for step in self.task.steps:
            for name in step.stage.adds():
                full = f"{step.id}.{name}"
                columns[full] = scatter(rows.column(full), visible.position[position], visible.size)
        self.data.write(pa.RecordBatch.from_pydict(columns))

    def receipt(self) -> dict[str, Any]:
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
