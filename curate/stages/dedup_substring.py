"""Long passages that stand twice in a corpus."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.stages.base import AT, KEY, PART, ROW, Context, Phase, Read, Span
from curate.stages.cuts_spans import CUTS, CutsSpans, Spans
from curate.stages.edges import addresses
from curate.stages.keep_order import KeepsFirst
from curate.stages.registry import register
from curate.stages.sorted_rows import changes
from curate.text.batch import Batch

LEAST_BYTES: Final = 800
"""Some 130 words of English: a passage, and no phrase. Lee et al. (2022) cut 50 tokens of BPE, about 200 bytes."""
SPREAD: float = 0.5
"""k-grams of a window, as a share of its symbols. With fewer, anchors are more; with more, they are shorter, and more texts
that have no window in common have an anchor in common (docs/decisions/0018)."""
_RUN: Final = 0xFFFFFFFF
"""Anchor of what has none: a run within a document, or a single window."""
_MOST: Final = 1024
"""Texts around one anchor that are compared with each other; where there are more, hashes of all their windows meet."""
_ROW_BYTES: Final = 96
"""About what a row takes that names an anchor and its document's place in keep order."""
_TEXTS_BYTES: Final = 8 << 20
"""Of texts around anchors, or rows of windows, that are made at once."""
_WINDOW_BYTES: Final = 128
"""About what a window's row takes."""
_CUT, _OPEN, _MANY = range(3)


@register("dedup.substring")
class DedupSubstring(CutsSpans, KeepsFirst):
    """Cut passages of at least 800 bytes that stand elsewhere, too, in all places but the first.

    A *window* is a run of ``least_bytes`` bytes, or of ``least_tokens`` words. It is cut if an equal window begins earlier
    in the same document, or anywhere in a document that is earlier in keep order. So what is cut stands, byte for byte, in
    an earlier place, and following these places ends at bytes that stay; nothing that is repeated over so long a stretch
    is missed (Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better", cut 50 tokens). A text that
    repeats itself is cut to its first period.

    With ``least_tokens`` words are compared instead of bytes, those of the ``folded`` view (letters and digits, in lower
    case), so that signs, case and white space don't count; with bytes everything does. Ends of a cut move inwards until no
    character and no word is cut apart.

    Windows are found by winnowing (``curate.text.winnow``) and compared symbol by symbol, or, where many are the same, by
    128-bit hashes. Keep order is what ``keep`` says. The result is a function of the set of documents, not of their order
    or partitioning.

    Put ``dedup.exact`` and ``dedup.near`` before it: they drop documents that would be cut to nothing here. What is cut on
    account of a document is not put back where too little of that one is left (``min_left_chars``, ``min_left_share``).
    """

    revision: ClassVar[int] = 1
    seeded: ClassVar[bool] = False

    least_bytes: int | None = Field(
        None, ge=16, le=1 << 20, description="bytes of a passage, at least (800 where least_tokens is not given)"
    )
    least_tokens: int | None = Field(
        None, ge=4, le=1 << 16, description="words of a passage, at least, instead of bytes"
    )

    @model_validator(mode="after")
    def _one_length(self) -> DedupSubstring:
        if self.least_bytes is not None and self.least_tokens is not None:
            raise ValueError("give least_bytes or least_tokens, not both")
        return self

    @property
    def length(self) -> int:
        """Symbols of a window."""
        return self.least_tokens or self.least_bytes or LEAST_BYTES

    @property
    def unit(self) -> int:
        """Bytes of a symbol: a byte, or a word's hash."""
        return 8 if self.least_tokens else 1

    def phases(self) -> tuple[Phase, ...]:
        """Anchors that several windows have; which of them stand in the same text; of others the texts themselves."""
        around = _ROW_BYTES + self.unit * self.length * 3 // 2
        return (
            Phase("anchors", (Read(self._anchors),), self._shared, (PART, ROW, "at", "start")),
            Phase(
                "groups",
                (Read(self._contents, at="anchors", row_bytes=_ROW_BYTES),),
                self._grouped,
                ("content", "content2", "before", *self.rank_names, "at", "start"),
            ),
            Phase("open", (Read(self._opened, "groups"),), self._as_they_are, (PART, ROW, "at")),
            Phase(
                "texts",
                (Read(self._texts, at="open", row_bytes=around),),
                self._compared,
                ("check", *self.rank_names, "at", "start"),
            ),
            Phase(
                "cuts", (Read(self._settled, "groups"), Read(self._settled, "texts")), self._cuts, (PART, ROW, "start")
            ),
        )

    def _symbols(self, docs: Batch) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        if self.least_tokens:
            words = docs.words("folded")
            return words.rows, words.hashes
        return docs.utf8

    # -- phases ----------------------------------------------------------------------------------------------

    def _anchors(self, docs: Batch, ctx: Context) -> pa.Table:
        """Every anchor, and runs of a document that repeat themselves."""
        from curate.text.pairs import spread
        from curate.text.winnow import anchors

        found = anchors(*self._symbols(docs), self.length, max(1, int(self.length * SPREAD)))
        runs = found.runs
        row = pa.array(np.concatenate([found.rows, runs[:, 0]]))
        alone = np.full(len(runs), _RUN)
        keys = np.concatenate([found.keys, spread(addresses(docs))[runs[:, 0]]])
        return pa.table(
            {
                KEY: pa.array(keys),
                PART: docs.column(PART).take(row),
                ROW: docs.column(ROW).take(row),
                "at": _narrow(found.at, alone),
                "start": _narrow(found.starts, runs[:, 1]),
                "stop": _narrow(found.stops, runs[:, 2]),
            }
        )

    def _shared(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Anchors that are not the only ones with their hash, and all runs."""
        run = rows.column("at").to_numpy() == _RUN
        bucket = np.cumsum(changes(rows, KEY)) - 1
        several = np.bincount(bucket, ~run)[bucket] > 1
        return _renamed(rows.filter(pa.array(run | several)), KEY, "anchor")

    def _contents(self, docs: Batch, named: pa.Table, ctx: Context) -> pa.Table:
        """What stands in all windows of an anchor, as a hash."""
        from curate.text.winnow import contents

        offsets, symbols = self._symbols(docs)
        row, start, stop = (_long(named, name) for name in (AT, "start", "stop"))
        begin = offsets[row]
        hashes = contents(symbols.view(np.uint8), self.unit * (begin + start), self.unit * (begin + stop))
        before = pc.subtract(named.column("at"), named.column("start"))
        order = pa.table(self.ranks(docs)).take(pa.array(row))
        return pa.table(
            {
                KEY: named.column("anchor"),
                "content": pa.array(hashes[:, 0]),
                "content2": pa.array(hashes[:, 1]),
                "before": before,
                **{name: named.column(name) for name in (PART, ROW, "at", "start", "stop")},
                **{name: order.column(name) for name in order.column_names},
            }
        )

    def _grouped(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Of equal texts all but the first are to be cut; the first ones of different texts may still have windows in common."""
        run = rows.column("at").to_numpy() == _RUN
        bucket = np.cumsum(changes(rows, KEY)) - 1
        first = changes(rows, KEY, "content", "content2", "before") & ~run
        groups = np.bincount(bucket, first)[bucket]
        state = np.where(first, np.where(groups > _MOST, _MANY, _OPEN), _CUT)
        kept = rows.select([PART, ROW, "at", "start", "stop", KEY]).append_column(
            "state", pa.array(state.astype(np.uint8))
        )
        return _renamed(kept.filter(pa.array(~first | (groups > 1))), KEY, "anchor")

    def _opened(self, rows: Batch, ctx: Context) -> pa.Table:
        table = pa.Table.from_batches([rows.rows])
        return _renamed(table.filter(pc.greater(table.column("state"), _CUT)), "anchor", KEY)

    def _as_they_are(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        return _renamed(rows, KEY, "anchor")

    def _texts(self, docs: Batch, named: pa.Table, ctx: Context) -> Iterator[pa.Table]:
        """The text around each anchor; where there are too many, a hash of each of its windows."""
        order = pa.table(self.ranks(docs))
        size = _long(named, "stop") - _long(named, "start")
        many = named.column("state").to_numpy() == _MANY
        cost = np.cumsum(np.where(many, _WINDOW_BYTES * (size - self.length + 1), self.unit * size))
        ends = np.flatnonzero(np.diff(cost // _TEXTS_BYTES, append=-1)) + 1
        for begin, end in itertools.pairwise([0, *ends.tolist()]):
            yield self._text_rows(docs, named.slice(begin, end - begin), order)

    def _text_rows(self, docs: Batch, named: pa.Table, order: pa.Table) -> pa.Table:
        from curate.text.cuts import pieces
        from curate.text.winnow import contents

        offsets, symbols = self._symbols(docs)
        raw = symbols.view(np.uint8)
        many = pc.equal(named.column("state"), _MANY)
        few = named.filter(pc.invert(many))
        row, start, stop = (_long(few, name) for name in (AT, "start", "stop"))
        ends, around = pieces(self.unit * offsets, raw, row, self.unit * start, self.unit * stop)
        lots = named.filter(many)
        size = _long(lots, "stop") - _long(lots, "start") - self.length + 1
        which = np.repeat(np.arange(lots.num_rows), size)
        since = _long(lots, "start")[which] + np.arange(len(which)) - np.repeat(np.cumsum(size) - size, size)
        begin = (offsets[_long(lots, AT)[which]] + since) * self.unit
        hashes = contents(raw, begin, begin + self.unit * self.length)
        every = pa.concat_tables([few, lots.take(pa.array(which))])
        order = order.take(every.column(AT))
        nothing = np.full(len(which), ends[-1])
        texts = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), every.num_rows, [None, pa.py_buffer(np.append(ends, nothing)), pa.py_buffer(around)]
        )
        return pa.table(
            {
                KEY: pa.array(np.concatenate([few.column("anchor").to_numpy(), hashes[:, 0]])),
                "check": pa.array(np.concatenate([np.zeros(few.num_rows, np.uint64), hashes[:, 1]])),
                PART: every.column(PART),
                ROW: every.column(ROW),
                "at": _narrow(_long(few, "at"), np.full(len(which), _RUN)),
                "start": _narrow(start, since),
                "stop": _narrow(stop, since + self.length),
                "around": texts,
                **{name: order.column(name) for name in order.column_names},
            }
        )

    def _compared(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Windows that equal an earlier one."""
        from curate.text.arrow import buffers
        from curate.text.winnow import matches

        single = rows.column("at").to_numpy() == _RUN
        repeats = single & ~changes(rows, KEY, "check")
        windows = rows.filter(pa.array(repeats)).select([PART, ROW, "start", "stop"])
        anchors = rows.filter(pa.array(~single)).combine_chunks()
        at, start, stop = (_long(anchors, name) for name in ("at", "start", "stop"))
        offsets, raw = buffers(anchors.column("around"))
        keys = anchors.column(KEY).to_numpy()
        found = matches(keys, offsets, raw, at - start, stop - at, self.length, self.unit)
        which = pa.array(found[:, 0])
        around = pa.table(
            {
                PART: anchors.column(PART).take(which),
                ROW: anchors.column(ROW).take(which),
                "start": _narrow(at[found[:, 0]] - found[:, 2]),
                "stop": _narrow(at[found[:, 0]] - found[:, 1] + self.length),
            }
        )
        both = pa.concat_tables([windows, around])
        return both.append_column("state", pa.array(np.full(both.num_rows, _CUT, np.uint8)))

    def _settled(self, rows: Batch, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        table = pa.Table.from_batches([rows.rows])
        table = table.filter(pc.equal(table.column("state"), _CUT)).select([PART, ROW, "start", "stop"])
        return table.append_column(KEY, pa.array(spread(addresses(table))))

    def _cuts(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        columns = {name: rows.column(name) for name in (PART, ROW, "start", "stop")}
        return pa.table(
            {
                **columns,
                "mark": pa.nulls(rows.num_rows, pa.uint64()),
                "documents": pa.nulls(rows.num_rows, pa.uint32()),
            },
            CUTS,
        )

    # -- edits -----------------------------------------------------------------------------------------------

    def spans(self, docs: Batch, cuts: Spans, ctx: Context) -> Spans:
        """Windows that overlap as one, from words to bytes, ends moved inwards to those of words and characters."""
        from curate.text.cuts import joined, whole_words

        owner, starts, stops = joined(*cuts)
        if not self.least_tokens:
            return Spans(owner, *whole_words(docs.text, owner, starts, stops))
        words = docs.words("folded")
        begin, end = words.rows[owner] + starts, words.rows[owner] + stops - 1
        return Spans(owner, words.starts[begin].astype(np.int64), words.stops[end].astype(np.int64))


def _narrow(*values: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(np.concatenate(values).astype(np.uint32))


def _long(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    return rows.column(name).to_numpy().astype(np.int64)


def _renamed(rows: pa.Table, name: str, to: str) -> pa.Table:
    return rows.rename_columns([to if column == name else column for column in rows.column_names])
