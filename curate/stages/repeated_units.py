"""What ``dedup.lines`` and ``dedup.paragraphs`` have in common: text that many documents share goes. No stage, used by two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from curate.schema import ID_TYPE
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
        return (
            Phase("counts", (Read(self._map),), self._reduce, ("check", *order, PART, ROW, "start"), streamed=True),
        )

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

    def _reduce(self, tables: Iterable[pa.Table], span: Span, ctx: Context) -> Iterator[pa.Table]:
        """The occurrences to cut. Of a unit that may go on in the next table just those are held of which it can't be told yet."""
        last: _Last | None = None
        for rows in tables:
            if last is not None and last.unit != _unit(rows, 0):
                yield last.ended(self.least)
                last = None
            found, last = self._told(rows.combine_chunks(), last)
            yield found
        if last is not None:
            yield last.ended(self.least)

    def _told(self, rows: pa.Table, before: _Last | None) -> tuple[pa.Table, _Last]:
        """What goes, of rows and of those that are held of the unit that their first one goes on; and what is held now."""
        begins, other = changes(rows, KEY, "check"), changes(rows, KEY, "check", PART, ROW)
        group = np.cumsum(begins) - 1
        if before is not None:
            begins[0], other[0] = False, _document(rows, 0) != before.document
        may = ~begins if self.cut == "all_but_first" else np.ones(rows.num_rows, np.bool_)
        size = rows.column("stop").to_numpy().astype(np.int64) - rows.column("start").to_numpy()
        sums = np.stack([np.bincount(group, what).astype(np.int64) for what in (other, may, may * size)])
        firsts = self._firsts(rows, begins, before)
        mine = self._cuts(rows, firsts, group).filter(pa.array(may))
        of = group[may]
        if before is not None:
            sums[:, 0] += before.sums
            mine, of = pa.concat_tables([before.held, mine]), np.append(np.zeros(before.held.num_rows, np.int64), of)
        goes, waits = sums[0, of] >= self.least, of == group[-1]
        if sums[0, -1] >= self.least:
            waits[:-1] = False  # the last row of it waits, since what is said of all of them stands there
        # A copy: a slice would keep all rows.
        held = mine.take(pa.array(np.flatnonzero(waits)))
        last = _Last(_unit(rows, -1), _document(rows, -1), sums[:, -1], firsts.take(pa.array([group[-1]])), held)
        ends = np.append(of[1:] != of[:-1], True)[: len(of)]
        marks = rows.column(KEY).to_numpy()[np.searchsorted(group, of)]
        return _said(mine, ends, marks, sums[:, of]).filter(pa.array(goes & ~waits)), last

    def _firsts(self, rows: pa.Table, begins: npt.NDArray[np.bool_], before: _Last | None) -> pa.Table:
        """The first occurrence of each unit, and its document's id where that stays."""
        ids = pa.nulls(rows.num_rows, ID_TYPE) if self.cut == "all" else rows.column("id")
        found = pa.table({"kept": ids, "kept_start": rows.column("start")}).filter(pa.array(begins))
        return found if before is None else pa.concat_tables([before.first, found])

    def _cuts(self, rows: pa.Table, firsts: pa.Table, group: npt.NDArray[np.int64]) -> pa.Table:
        """All rows as spans that would go."""
        kept = firsts.take(pa.array(group))
        if self.cut == "all":
            kept = kept.set_column(1, "kept_start", pa.nulls(rows.num_rows, pa.uint32()))
        return pa.table(
            {
                **{name: rows.column(name) for name in (PART, ROW, "start", "stop")},
                **{name: kept.column(name) for name in kept.column_names},
            }
        )


@dataclass(frozen=True)
class _Last:
    """The unit that a table ends with.

    Attributes:
        unit: which one.
        document: its last row's.
        sums: int64[3]: documents that have it, rows of it that go, and their bytes.
        first: its first row, see RepeatedUnits._firsts.
        held: rows that go if it does; where that is known, the last one.
    """

    unit: tuple[int, int]
    document: tuple[int, int]
    sums: npt.NDArray[np.int64]
    first: pa.Table
    held: pa.Table

    def ended(self, least: int) -> pa.Table:
        """What goes of it, now that there are no more rows."""
        rows = self.held.slice(0, self.held.num_rows if self.sums[0] >= least else 0)
        ends = np.arange(rows.num_rows) == rows.num_rows - 1
        marks = np.full(rows.num_rows, self.unit[0], np.uint64)
        return _said(rows, ends, marks, np.repeat(self.sums[:, None], rows.num_rows, axis=1))


def _unit(rows: pa.Table, at: int) -> tuple[int, int]:
    return rows.column(KEY)[at].as_py(), rows.column("check")[at].as_py()


def _document(rows: pa.Table, at: int) -> tuple[int, int]:
    return rows.column(PART)[at].as_py(), rows.column(ROW)[at].as_py()


def _said(
    rows: pa.Table, here: npt.NDArray[np.bool_], marks: npt.NDArray[np.uint64], sums: npt.NDArray[np.int64]
) -> pa.Table:
    """Rows of CUTS, some of which say of all that are equal how many there are."""
    about = {"mark": marks, "documents": sums[0], "cut": sums[1], "bytes": sums[2]}
    columns = {name: rows.column(name) for name in rows.column_names}
    for name, values in about.items():
        kind = CUTS.field(name).type
        columns[name] = pa.array(values.astype(kind.to_pandas_dtype()), kind, mask=~here)
    return pa.table(columns, CUTS)
