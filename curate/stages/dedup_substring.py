"""Long passages that stand twice in a corpus."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
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
from curate.stages.sorted_rows import changes, with_heads
from curate.stages.substring_rows import (
    CONTENT,
    CUT,
    MANY,
    OPEN,
    RUN,
    Last,
    are_runs,
    content_of,
    first_ones,
    grouped,
    itself,
    long,
    narrow,
    opened,
    renamed,
    repeats,
    stretches,
)
from curate.text.batch import Batch

LEAST_BYTES: Final = 800
"""Some 130 words of English: a passage, and no phrase. Lee et al. (2022) cut 50 tokens of BPE, about 200 bytes."""
SPREAD: float = 0.5
"""k-grams of a window, as a share of its symbols. With fewer, anchors are more; with more, they are shorter, and more texts
that have no window in common have an anchor in common (docs/decisions/0018)."""
_MOST: Final = 1024
"""Texts around one anchor that are compared with each other; where there are more, hashes of all their windows meet."""
_MOST_BYTES: Final = 32 << 20
"""The same, where windows are long: such texts are in memory at once."""
_ROW_BYTES: Final = 96
"""About what a row takes that names an anchor and its document's place in keep order."""
_TEXTS_BYTES: Final = 8 << 20
"""Of texts around anchors, or rows of windows, that are made at once."""
_WINDOW_BYTES: Final = 128
"""About what a window's row takes."""


@register("dedup.substring")
class DedupSubstring(CutsSpans, KeepsFirst):
    """Cut passages of at least 800 bytes that stand elsewhere, too, in all places but the first.

    A *window* is a run of ``least_bytes`` bytes, or of ``least_tokens`` words. It is cut if an equal window begins earlier
    in the same document, or anywhere in a document that is earlier in keep order. So what is cut stands, byte for byte, in
    an earlier place, and following these places ends at bytes that stay; nothing that is repeated over so long a stretch
    is missed (Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better", cut 50 tokens). A text that
    repeats itself is cut to its first period.

    With ``least_tokens`` words are compared instead of bytes, those of the ``folded`` view (letters and digits, in lower
    case) of the text in NFC, so that signs, case, white space and normal forms don't count; with bytes everything does. Ends of a cut move inwards until no
    character and no word is cut apart.

    Windows are found by winnowing (``curate.text.winnow``) and compared symbol by symbol, or, where many are the same, by
    128-bit hashes. Keep order is what ``keep`` says. The result is a function of the set of documents, not of their order
    or partitioning.

    Put ``dedup.exact`` and ``dedup.near`` before it: they drop documents that would be cut to nothing here. What is cut on
    account of a document is not put back where too little of that one is left (``min_left_chars``, ``min_left_share``).
    """

    revision: ClassVar[int] = 3
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
        place = (PART, ROW, "at", "start")
        content = (*CONTENT, *self.rank_names, "at", "start")
        ranks = ("check", *self.rank_names, "at", "start")
        contents = Read(self._contents, at="anchors", row_bytes=_ROW_BYTES)
        texts = Read(self._texts, at="open", row_bytes=_ROW_BYTES + self._around)
        settled = (Read(self._settled, "groups"), Read(self._settled, "texts"))
        return (
            Phase("anchors", (Read(self._anchors),), self._shared, place, streamed=True),
            Phase("groups", (contents,), self._grouped, content, streamed=True),
            Phase("open", (Read(self._opened, "groups"),), self._as_they_are, (PART, ROW, "at"), streamed=True),
            Phase("texts", (texts,), self._compared, ranks, streamed=True),
            Phase("cuts", settled, self._cuts, (PART, ROW, "start", "stop"), streamed=True),
        )

    @property
    def _around(self) -> int:
        """About how many bytes stand around an anchor."""
        return self.unit * self.length * 3 // 2

    @property
    def _most(self) -> int:
        return max(1, min(_MOST, _MOST_BYTES // self._around))

    def _symbols(self, docs: Batch) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        if self.least_tokens:
            words = docs.composed.words("folded")
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
        alone = RUN - runs[:, 3]
        keys = np.concatenate([found.keys, spread(addresses(docs))[runs[:, 0]]])
        return pa.table(
            {
                KEY: pa.array(keys),
                PART: docs.column(PART).take(row),
                ROW: docs.column(ROW).take(row),
                "at": narrow(found.at, alone),
                "start": narrow(found.starts, runs[:, 1]),
                "stop": narrow(found.stops, runs[:, 2]),
            }
        )

    def _shared(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """Anchors that are not the only ones with their hash, and all runs."""
        for rows, known in with_heads(tables, lambda some: some.filter(pa.array(~are_runs(some))).slice(0, 2)):
            run = are_runs(rows)
            bucket = np.cumsum(changes(rows, KEY)) - 1
            several = (np.bincount(bucket, ~run)[bucket] > 1) & ~run
            # Of those that were seen before one alone was not given, if now it has company.
            several[:known] &= known == 1
            run[:known] = False
            yield renamed(rows.filter(pa.array(run | several)), KEY, "anchor")

    def _contents(self, docs: Batch, named: pa.Table, ctx: Context) -> pa.Table:
        """What stands in all windows of an anchor, as a hash."""
        from curate.text.winnow import contents

        offsets, symbols = self._symbols(docs)
        row, start, stop = (long(named, name) for name in (AT, "start", "stop"))
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

    def _grouped(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """Of equal texts all but the first are to be cut; the first ones of different texts may still have windows in common.

        Those of a KEY that may go on are held, until they are too many to be compared as texts.
        """
        last: Last | None = None
        for rows in tables:
            run = are_runs(rows)
            if run.any():
                yield itself(rows.filter(pa.array(run)))
            if run.all():
                continue
            anchors = rows.filter(pa.array(~run)).combine_chunks()
            if last is not None and last.content[0] != anchors.column(KEY)[0].as_py():
                yield last.ended()
                last = None
            same, different, last = self._same(anchors, last)
            yield same
            yield different
        if last is not None:
            yield last.ended()

    def _same(self, rows: pa.Table, before: Last | None) -> tuple[pa.Table, pa.Table, Last]:
        """What equals a first text, first texts that others are held against, and what is held of the last KEY."""
        bucket, begins = np.cumsum(changes(rows, KEY)) - 1, changes(rows, KEY, *CONTENT)
        if before is not None:
            begins[0] = before.content != content_of(rows, 0)
        firsts = first_ones(rows, begins, before and before.first)
        groups = np.bincount(bucket, begins).astype(np.int64)
        held, of = rows.filter(pa.array(begins)), bucket[begins]
        if before is not None:
            groups[0] += before.groups
            held = pa.concat_tables([before.held, held])
            of = np.append(np.zeros(before.held.num_rows, np.int64), of)
        waits = (of == bucket[-1]) & (groups[-1] <= self._most)
        # A copy: a slice would keep all rows.
        left = held.take(pa.array(np.flatnonzero(waits)))
        last = Last(content_of(rows, -1), firsts.take(pa.array([len(begins) - 1])), int(groups[-1]), left)
        goes, many = ~waits & (groups[of] > 1), groups[of] > self._most
        different = opened(held, np.where(many, MANY, OPEN)).filter(pa.array(goes))
        same = grouped(rows, firsts, np.full(len(begins), CUT))
        return same.filter(pa.array(~begins)), different, last

    def _opened(self, rows: Batch, ctx: Context) -> pa.Table:
        table = pa.Table.from_batches([rows.rows]).drop_columns(["kept", "kept_start"])
        return renamed(table.filter(pc.greater(table.column("state"), CUT)), "anchor", KEY)

    def _as_they_are(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        for rows in tables:
            yield renamed(rows, KEY, "anchor")

    def _texts(self, docs: Batch, named: pa.Table, ctx: Context) -> Iterator[pa.Table]:
        """The text around each anchor; where there are too many, a hash of each of its windows."""
        order = pa.table(self.ranks(docs))
        size = long(named, "stop") - long(named, "start")
        many = named.column("state").to_numpy() == MANY
        cost = np.cumsum(np.where(many, _WINDOW_BYTES * (size - self.length + 1), self.unit * size))
        ends = np.flatnonzero(np.diff(cost // _TEXTS_BYTES, append=-1)) + 1
        for begin, end in itertools.pairwise([0, *ends.tolist()]):
            yield self._text_rows(docs, named.slice(begin, end - begin), order)

    def _text_rows(self, docs: Batch, named: pa.Table, order: pa.Table) -> pa.Table:
        from curate.text.cuts import pieces
        from curate.text.winnow import contents

        offsets, symbols = self._symbols(docs)
        raw = symbols.view(np.uint8)
        many = pc.equal(named.column("state"), MANY)
        few = named.filter(pc.invert(many))
        row, start, stop = (long(few, name) for name in (AT, "start", "stop"))
        ends, around = pieces(self.unit * offsets, raw, row, self.unit * start, self.unit * stop)
        lots = named.filter(many)
        size = long(lots, "stop") - long(lots, "start") - self.length + 1
        which = np.repeat(np.arange(lots.num_rows), size)
        since = long(lots, "start")[which] + np.arange(len(which)) - np.repeat(np.cumsum(size) - size, size)
        begin = (offsets[long(lots, AT)[which]] + since) * self.unit
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
                "at": narrow(long(few, "at"), np.full(len(which), RUN)),
                "start": narrow(start, since),
                "stop": narrow(stop, since + self.length),
                "around": texts,
                **{name: order.column(name) for name in order.column_names},
            }
        )

    def _compared(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """Windows that equal an earlier one."""
        texts: pa.Table | None = None
        first: tuple[tuple[int, int], pa.Table] | None = None
        for rows in tables:
            single = rows.column("at").to_numpy() == RUN
            if single.any():
                found, first = repeats(rows.filter(pa.array(single)).combine_chunks(), first)
                yield found
            if single.all():
                continue
            # Few texts share a KEY: they wait until it ends.
            anchors = rows.filter(pa.array(~single))
            texts = anchors if texts is None else pa.concat_tables([texts, anchors])
            key = texts.column(KEY).to_numpy()
            end = int(np.searchsorted(key, key[-1]))
            yield self._around_anchors(texts.slice(0, end))
            texts = texts.take(pa.array(np.arange(end, len(key))))
        if texts is not None:
            yield self._around_anchors(texts)

    def _around_anchors(self, anchors: pa.Table) -> pa.Table:
        """The same of windows around anchors, all those of some KEYs."""
        from curate.text.arrow import buffers
        from curate.text.winnow import matches

        anchors = anchors.combine_chunks()
        at, start, stop = (long(anchors, name) for name in ("at", "start", "stop"))
        offsets, raw = buffers(anchors.column("around"))
        keys = anchors.column(KEY).to_numpy()
        found, before, after, earlier = matches(keys, offsets, raw, at - start, stop - at, self.length, self.unit).T
        which = pa.array(found)
        return pa.table(
            {
                PART: anchors.column(PART).take(which),
                ROW: anchors.column(ROW).take(which),
                "start": narrow(at[found] - after),
                "stop": narrow(at[found] - before + self.length),
                "state": pa.array(np.full(len(found), CUT, np.uint8)),
                "kept": anchors.column("id").take(pa.array(earlier)),
                "kept_start": narrow(at[earlier] - after),
            }
        )

    def _settled(self, rows: Batch, ctx: Context) -> pa.Table:
        from curate.text.pairs import spread

        table = pa.Table.from_batches([rows.rows])
        table = table.filter(pc.equal(table.column("state"), CUT))
        table = table.select([PART, ROW, "start", "stop", "kept", "kept_start"])
        return table.append_column(KEY, pa.array(spread(addresses(table))))

    def _cuts(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        for rows in stretches(tables):
            yield pa.table(
                {
                    field.name: rows.column(field.name)
                    if field.name in rows.column_names
                    else pa.nulls(rows.num_rows, field.type)
                    for field in CUTS
                },
                CUTS,
            )

    # -- edits -----------------------------------------------------------------------------------------------

    def bytes_of(self, docs: Batch, spans: Spans) -> Spans:
        """Of words from the first one's first byte to the last one's last."""
        if not self.least_tokens:
            return spans
        from curate.text.written import as_written

        normal = docs.composed
        words = normal.words("folded")
        owner, starts, stops = spans
        begin, end = words.rows[owner] + starts, words.rows[owner] + stops - 1
        first, last = words.starts[begin].astype(np.int64), words.stops[end].astype(np.int64)
        if normal is not docs:
            first, last = as_written(docs.text, normal.text, owner, first, last)
        return Spans(owner, first, last)

    def spans(self, docs: Batch, cuts: Spans, ctx: Context) -> Spans:
        """Windows that overlap as one, from words to bytes, ends moved inwards to those of words and characters."""
        from curate.text.cuts import joined, whole_words

        found = Spans(*joined(*cuts))
        if self.least_tokens:
            return self.bytes_of(docs, found)
        return Spans(found.owner, *whole_words(docs.text, *found))
