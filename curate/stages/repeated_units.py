"""What ``dedup.lines`` and ``dedup.paragraphs`` have in common: text that many documents share goes. No stage, used by two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.stages.base import KEY, PART, ROW, Context, Phase, Read, Span
from curate.stages.cuts_spans import CUTS, CutsSpans
from curate.stages.keep_order import KeepsFirst
from curate.stages.sorted_rows import changes
from curate.text.batch import Batch


class RepeatedUnits(KeepsFirst, CutsSpans):
    """Cuts lines or paragraphs that occur in many documents."""

    seeded: ClassVar[bool] = False
    paragraphs: ClassVar[bool]

    least: int = Field(ge=2, le=1 << 31, description="documents in which it occurs, at least")
    cut: Literal["all", "all_but_first"] = Field(
        "all", description="every occurrence, or all but the first one in the first document in keep order"
    )
    min_chars: int = Field(ge=1, description="shorter ones (characters of the normal form) are never counted or cut")
    min_left_chars: int = Field(1, ge=0, description="characters that a document is left with, at least, or it goes")
    min_left_share: float = Field(0.0, ge=0, le=1, description="share of its characters that is left, at least")

    def phases(self) -> tuple[Phase, ...]:
        """One: by hash, then in keep order."""
        order = self.rank_names if self.cut == "all_but_first" else ()
        return (Phase("counts", (Read(self._map),), self._reduce, ("check", *order, PART, ROW, "start")),)

    def _map(self, docs: Batch, ctx: Context) -> pa.Table:
        """A row for each line: its hash, and where it stands."""
        from curate.text.units import units

        found = units(docs.text, self.min_chars, paragraphs=self.paragraphs)
        beside = {PART: docs.column(PART), ROW: docs.column(ROW)}
        if self.cut == "all_but_first":
            beside |= self.ranks(docs)
        rows = pa.table(beside).take(pa.array(found.rows))
        columns = {
            KEY: pa.array(found.hashes),
            "check": pa.array(found.checks),
            "start": pa.array(found.starts.astype(np.uint32)),
            "stop": pa.array(found.stops.astype(np.uint32)),
        }
        return pa.table({**columns, **dict(zip(rows.column_names, rows.columns, strict=True))})

    def _reduce(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """The occurrences to cut."""
        begins = changes(rows, KEY, "check")
        group = np.cumsum(begins) - 1
        documents = np.bincount(group, changes(rows, KEY, "check", PART, ROW)).astype(np.int64)[group]
        goes = documents >= self.least
        if self.cut == "all_but_first":
            goes &= ~begins
        gone = rows.filter(pa.array(goes))
        return pa.table(
            {
                **{name: gone.column(name) for name in (PART, ROW, "start", "stop")},
                "mark": gone.column(KEY),
                "documents": pa.array(documents[goes].astype(np.uint32)),
            },
            CUTS,
        )

    def leaves(self, docs: Batch, left: pa.Array, ctx: Context) -> tuple[pa.Array, pa.Array]:
        """Documents that have too little left, white space at both ends not counted."""
        return little_left(docs.text, left, self.min_left_chars, self.min_left_share)


def little_left(before: pa.Array, left: pa.Array, chars: int, share: float) -> tuple[pa.Array, pa.Array]:
    """Reason ``little_left`` and a detail for each text that was cut to fewer characters, or to less of its characters."""
    had, has = (pc.utf8_length(pc.utf8_trim_whitespace(text)).cast(pa.int64()) for text in (before, left))
    few = pc.or_(
        pc.less(has, chars), pc.less(pc.cast(has, pa.float64()), pc.multiply(pc.cast(had, pa.float64()), share))
    )
    said = pc.binary_join_element_wise(
        '{"chars": ', had.cast(pa.string()), ', "left": ', has.cast(pa.string()), "}", ""
    )
    nothing = pa.scalar(None, pa.string())
    return pc.if_else(few, pa.scalar("little_left"), nothing), pc.if_else(few, said, nothing)


REASONS: Mapping[str, str] = {
    "little_left": "without what many documents share, fewer than min_left_chars characters, or less than min_left_share "
    "of them, are left",
}
