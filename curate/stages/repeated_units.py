"""What ``dedup.lines`` and ``dedup.paragraphs`` have in common: text that many documents share goes. No stage, used by two."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.stages.base import KEY, PART, ROW, Context, Phase, Read, Span
from curate.stages.cuts_spans import CUTS, CutsSpans
from curate.stages.keep_order import KeepsFirst
from curate.stages.sorted_rows import changes
from curate.text.batch import Batch


class RepeatedUnits(CutsSpans, KeepsFirst):
    """Cuts lines or paragraphs that occur in many documents."""

    seeded: ClassVar[bool] = False
    paragraphs: ClassVar[bool]

    least: int
    cut: Literal["all", "all_but_first"] = Field(
        "all", description="every occurrence, or all but the first one in the first document in keep order"
    )
    min_chars: int

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
