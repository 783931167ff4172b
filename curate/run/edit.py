"""Spans that a global step cuts out of texts, joined back to the parts they are about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.run.apply import ApplyTask
from curate.run.dropped import dropped_rows
from curate.run.measured import HASH, REASON
from curate.run.pieces import Opened, Piece
from curate.run.row_step import no_rows, text_bytes, with_text
from curate.run.stream import SIDE_ROWS, Output
from curate.run.tally import tally
from curate.run.task import at_step
from curate.stages.base import ROW, Context
from curate.stages.cuts_spans import CUTS, CutsSpans, Spans
from curate.store.parts import Visible, columns_of, part_schema, read_part
from curate.store.records import Counts, Part, add_kept
from curate.text.batch import Batch

if TYPE_CHECKING:
    from curate.text.cuts import Cuts

MOST: Final = 20
"""Spans of the most frequent ones that a report shows."""
_SHOWN: Final = 300
"""Characters of each that it shows."""

SIGNALS: Final = pa.schema(
    [
        pa.field("id", schema.ID_TYPE),
        pa.field(HASH, schema.ID_TYPE),
        pa.field("cut_spans", pa.int64()),
        pa.field("cut_bytes", pa.int64()),
        pa.field(schema.SPANS, pa.list_(pa.uint32())),
        pa.field(schema.COPIES, pa.list_(schema.ID_TYPE)),
        pa.field(schema.PLACES, pa.list_(pa.uint32())),
        pa.field(REASON, pa.string()),
    ]
)
"""A row that was cut: how many spans, and of how many bytes; where the same stands; why it went, where it did."""
_ROW: Final = 1 << 33
"""More than the bytes of any text."""


@dataclass(frozen=True)
class EditTask(ApplyTask):
    """Writes the rows of one part anew, without the spans that verdicts name.

    Side tables say which rows were dropped for what was left of them, and what was cut out of each row. Rows that hold a
    span and go are among the signals, too: ``explain`` shows what they were cut to.

    Attributes:
        stage, ctx: says which rows have too little left.
    """

    stage: CutsSpans = field(kw_only=True)
    ctx: Context = field(kw_only=True)

    def work(self) -> dict[str, Any]:
        """Write the part, the dropped rows, and what was cut."""
        with ExitStack() as stack:
            spans = _Spans(stack.enter_context(Opened(self.store)), self.share.pieces(self.store))
            cutter = _Cutter(self, spans, stack)
            for visible in read_part(self.store, self.part):
                with at_step(self.ctx.step):
                    cutter.cut(visible)
            cutter.finish()
        return cutter.receipt()


class _Spans:
    """The spans of a part, from pieces that are each sorted by ROW: of each piece a batch is held, not all of them."""

    def __init__(self, opened: Opened, pieces: Sequence[Piece]) -> None:
        self._left = [_batches(opened, piece) for piece in pieces]
        self._held = [next(batches) for batches in self._left]

    def before(self, row: int) -> pa.Table:
        """Those of rows before this one that were not given yet, by ROW, start and stop."""
        found = [CUTS.empty_table()]
        for run, batches in enumerate(self._left):
            while (held := self._held[run]).num_rows:
                end = int(np.searchsorted(held.column(ROW).to_numpy(), row))
                if end:
                    found.append(pa.Table.from_batches([held.slice(0, end)]))
                    self._held[run] = held.slice(end)
                if end < held.num_rows:
                    break
                self._held[run] = next(batches, self._held[run])
        spans = pa.concat_tables(found).combine_chunks()
        order = pc.sort_indices(spans, [(ROW, "ascending"), ("start", "ascending"), ("stop", "ascending")])
        return spans.take(order)


def _batches(opened: Opened, piece: Piece) -> Iterator[pa.RecordBatch]:
    for number in range(piece.first, piece.first + piece.count):
        yield opened.batch(piece.file, number)


class _Cutter:
    """Cuts spans out of the batches of one part; its files are closed with the stack."""

    def __init__(self, task: EditTask, spans: _Spans, stack: ExitStack) -> None:
        self.task, self.spans = task, spans
        self.counts, self.most = Counts(), Most()
        self.spans_cut = 0
        self.part = Output(task.store, task.folder, "part", stack, texts=True)
        self.dropped = Output(task.store, task.folder, "dropped", stack, rows=SIDE_ROWS)
        self.signals = Output(task.store, task.folder, "signals", stack, rows=SIDE_ROWS)

    def cut(self, visible: Visible) -> None:
        """One batch of the part."""
        from curate.text.cuts import without

        rows, counts = visible.rows, self.counts
        here = self.spans.before(visible.start + visible.size)
        owner = np.searchsorted(visible.position, _long(here, ROW) - visible.start)
        text = rows.column("text")
        starts, stops = (here.column(name).to_numpy().astype(np.int64) for name in ("start", "stop"))
        spans = self.task.stage.spans(Batch(rows), Spans(owner, starts, stops), self.task.ctx)
        cuts = without(text, *spans)
        which = np.flatnonzero(np.diff(cuts.rows))
        reasons, details = self._judged(rows, cuts.text, which)
        goes = pc.is_valid(reasons)
        self.most.add(here, Batch(rows), owner, self.task.stage)
        self.spans_cut += len(cuts.starts)
        counts.rows_in += rows.num_rows
        counts.bytes_in += text_bytes(rows)
        lost = np.zeros(rows.num_rows, bool)
        lost[which] = goes.to_numpy(zero_copy_only=False)
        if self.task.by is not None:
            add_kept(counts.kept_by, tally(Batch(rows), ~lost, self.task.by))
        self._note(rows, cuts, which, self._copies(rows, here, owner, cuts), reasons, details)
        changed = pa.array(which[~lost[which]])
        counts.edited += len(changed)
        counts.removed += pc.sum(_removed(text, cuts.text).take(changed)).as_py() or 0
        kept = with_text(rows, cuts.text).filter(pa.array(~lost))
        counts.rows_out += kept.num_rows
        counts.bytes_out += text_bytes(kept)
        if kept.num_rows:
            self.part.write(kept)

    def _judged(self, rows: pa.RecordBatch, left: pa.Array, which: npt.NDArray[np.int64]) -> tuple[pa.Array, pa.Array]:
        """Reasons and details of rows that were cut."""
        at = pa.array(which)
        reasons, details = self.task.stage.leaves(Batch(rows.take(at)), left.take(at), self.task.ctx)
        if not (len(reasons) == len(details) == len(which)) or reasons.type != pa.string():
            raise TypeError(f"{self.task.stage.name}: leaves must give a reason and a detail for every row")
        return reasons, details

    def _copies(
        self, rows: pa.RecordBatch, here: pa.Table, owner: npt.NDArray[np.int64], cuts: Cuts
    ) -> tuple[pa.Array, npt.NDArray[np.uint32]]:
        """Of each span that was cut which document has the longest stretch of it, null where none has; and where in this
        document it begins, where in that one, and how long it is, uint32[m, 3], as CUTS counts."""
        from curate.text.arrow import fixed
        from curate.text.cuts import joined

        start, stop, there = (_long(here, name) for name in ("start", "stop", "kept_start"))
        found = self.task.stage.bytes_of(Batch(rows), Spans(owner, start, stop))
        of = np.repeat(np.arange(rows.num_rows), np.diff(cuts.rows))
        # Spans that overlap are one cut, so a span lies about in one; its ends may have been moved inwards.
        at = np.searchsorted(of * _ROW + cuts.starts, owner * _ROW + found.stops) - 1
        good = (at >= 0) & here.column("kept").is_valid().to_numpy(zero_copy_only=False)
        good[good] = (of[at[good]] == owner[good]) & (found.starts[good] < cuts.stops[at[good]])
        # Windows that stand in one document as they follow each other here are one stretch.
        some = np.flatnonzero(good)
        ids = np.ascontiguousarray(fixed(here.column("kept").take(pa.array(some)).combine_chunks())).view(np.uint64)
        about = np.stack([at[some], *ids.astype(np.int64).T, there[some] - start[some]])
        order = np.lexsort((start[some], *about[::-1]))
        some, about = some[order], about[:, order]
        begins = np.ones(len(some), np.bool_)
        begins[1:] = (about[:, 1:] != about[:, :-1]).any(axis=0)
        first = np.flatnonzero(begins)
        which, since, until = joined(np.cumsum(begins) - 1, start[some], stop[some])
        span = about[0, first][which]
        longest = np.lexsort((since, since - until, span))
        spans, best = np.unique(span[longest], return_index=True)
        best = longest[best]
        chosen, places = np.full(len(of), -1), np.zeros((len(of), 3), np.uint32)
        chosen[spans] = some[first[which[best]]]
        shift = about[3, first[which[best]]]
        places[spans] = np.stack([since[best], since[best] + shift, until[best] - since[best]], axis=1)
        return here.column("kept").combine_chunks().take(pa.array(chosen, mask=chosen < 0)), places

    def _note(
        self,
        rows: pa.RecordBatch,
        cuts: Cuts,
        which: npt.NDArray[np.int64],
        copies: tuple[pa.Array, npt.NDArray[np.uint32]],
        reasons: pa.Array,
        details: pa.Array,
    ) -> None:
        """What was cut out of each row, and which rows go."""
        if not len(which):
            return
        at = pa.array(which)
        pairs = pa.array(np.stack([cuts.starts, cuts.stops], axis=1).reshape(-1), pa.uint32())
        ends = np.append(0, cuts.rows[which + 1]).astype(np.int32)
        kept, places = copies
        columns = [
            rows.column("id").take(at),
            rows.column(HASH).take(at),
            pa.array(np.diff(cuts.rows)[which], pa.int64()),
            _removed(rows.column("text"), cuts.text).take(at),
            pa.ListArray.from_arrays(pa.array(2 * ends), pairs),
            pa.ListArray.from_arrays(pa.array(ends), kept),
            pa.ListArray.from_arrays(pa.array(3 * ends), pa.array(places.reshape(-1))),
            reasons,
        ]
        self.signals.write(pa.RecordBatch.from_arrays(columns, schema=SIGNALS))
        goes = pc.is_valid(reasons)
        gone = rows.take(at.filter(goes))
        if gone.num_rows:
            said = reasons.filter(goes)
            self.dropped.write(dropped_rows(gone, self.task.ctx.step, said, details.filter(goes)))
            self.counts.add_reasons(Counter(said.to_pylist()))

    def finish(self) -> None:
        """A part of which no row is left has its columns, still."""
        if self.part.schema is None:
            self.part.write(no_rows(part_schema(self.task.store, self.task.part), ()))

    def receipt(self) -> dict[str, Any]:
        """The part, counts, side tables, and what was cut most often."""
        assert self.part.schema is not None
        before, counts = self.task.part, self.counts
        part = Part(
            self.task.key,
            before.root,
            str(self.part.key),
            (),
            counts.rows_out,
            counts.bytes_out,
            columns_of(self.part.schema),
        )
        return {
            "part": {**vars(part), "overlays": []},
            "counts": vars(counts),
            "dropped": self.dropped.key,
            "signals": [self.signals.key] if self.signals.key else [],
            "spans": self.spans_cut,
            "most": self.most.dump(),
        }


def _removed(before: pa.Array, after: pa.Array) -> pa.Array:
    """Bytes that each text lost, int64."""
    return pc.subtract(pc.binary_length(before), pc.binary_length(after)).cast(pa.int64())


def _long(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    return rows.column(name).fill_null(0).to_numpy().astype(np.int64)


@dataclass
class Most:
    """The spans that stand in the most documents, of those that were cut: of equal ones one row says what there is of them."""

    found: dict[int, dict[str, Any]] = field(default_factory=dict)

    def add(self, spans: pa.Table, docs: Batch, owner: npt.NDArray[np.int64], stage: CutsSpans) -> None:
        """Spans of one batch of rows, span ``i`` of row ``owner[i]``."""
        from curate.text.cuts import spans_of
        from curate.text.normal import folded

        there = np.flatnonzero(pc.is_valid(spans.column("documents")).to_numpy())
        documents, mark = (spans.column(name).take(pa.array(there)).to_numpy() for name in ("documents", "mark"))
        there = there[np.lexsort((mark, -documents.astype(np.int64)))[:MOST]]
        if not len(there):
            return
        where = Spans(owner[there], *(_long(spans, name)[there] for name in ("start", "stop")))
        # The form in which they are equal: which of them says it does not matter.
        texts = folded(spans_of(docs.text, *stage.bytes_of(docs, where))).to_pylist()
        said = spans.select(["mark", "documents", "cut", "bytes"]).take(pa.array(there)).to_pylist()
        self._first({row.pop("mark"): {"text": text[:_SHOWN], **row} for text, row in zip(texts, said, strict=True)})

    def _first(self, more: Mapping[int, dict[str, Any]]) -> None:
        every = {**self.found, **more}
        order = sorted(every, key=lambda mark: (-every[mark]["documents"], mark))
        self.found = {mark: every[mark] for mark in order[:MOST]}

    def dump(self) -> list[dict[str, Any]]:
        """For a receipt: the first first."""
        return [{"mark": f"{mark:016x}", **said} for mark, said in self.found.items()]

    def load(self, receipts: Iterable[Mapping[str, Any]]) -> None:
        """Add what tasks found."""
        for receipt in receipts:
            self._first(
                {int(said["mark"], 16): {k: v for k, v in said.items() if k != "mark"} for said in receipt["most"]}
            )


def edit_report(receipts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """For the manifest: how many spans were cut, and the most frequent ones, each with the documents that have it, and how
    often and how many bytes of it were cut."""
    most = Most()
    most.load(receipts)
    shown = [{k: v for k, v in said.items() if k != "mark"} for said in most.dump()]
    return {"spans": sum(r["spans"] for r in receipts), **({"most": shown} if shown else {})}
