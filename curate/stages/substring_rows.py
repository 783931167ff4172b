"""Rows that the phases of dedup.substring give each other, and what is first among equal ones. No stage, used by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.schema import ID_TYPE
from curate.stages.base import KEY, PART, ROW
from curate.stages.sorted_rows import changes, id_changes

RUN: Final = 0xFFFFFFFF
"""Anchor of what has none: a single window; or a run within a document, less by how far before it stands what it repeats."""
RUNS: Final = RUN - (1 << 21)
"""Every run's is above this, no text's place is."""
CUT, OPEN, MANY = range(3)
CONTENT: Final = ("content", "content2", "before")
"""What stands in all windows of an anchor, and where in it the anchor is."""


@dataclass(frozen=True)
class Last:
    """The KEY that a table of anchors ends with.

    Attributes:
        content: it, and what stands around the last row's anchor.
        first: id and start of the first row around whose anchor that stands.
        groups: how many different texts stand around its anchors so far.
        held: the first row of each of them, unless they have been given.
    """

    content: tuple[int, ...]
    first: pa.Table
    groups: int
    held: pa.Table

    def ended(self) -> pa.Table:
        """What is to be compared, now that there are no more rows."""
        rows = self.held.slice(0, self.held.num_rows if self.groups > 1 else 0)
        return opened(rows, np.full(rows.num_rows, OPEN))


def content_of(rows: pa.Table, at: int) -> tuple[int, ...]:
    """KEY of a row, and what stands around its anchor."""
    return tuple(rows.column(name)[at].as_py() for name in (KEY, *CONTENT))


def are_runs(rows: pa.Table) -> npt.NDArray[np.bool_]:
    """bool[rows]; whether a row is a run within its document."""
    return rows.column("at").to_numpy() > RUNS


def grouped(rows: pa.Table, kept: pa.Table, state: npt.NDArray[np.int64]) -> pa.Table:
    """Rows of phase ``groups``; ``kept`` has the id and the start of what equals each of them."""
    return pa.table(
        {
            **{name: rows.column(name) for name in (PART, ROW, "at", "start", "stop")},
            "anchor": rows.column(KEY),
            "state": pa.array(state.astype(np.uint8)),
            "kept": kept.column("id"),
            "kept_start": kept.column("start"),
        }
    )


def opened(rows: pa.Table, state: npt.NDArray[np.int64]) -> pa.Table:
    """Rows of phase ``groups`` that nothing is known to equal."""
    count = rows.num_rows
    return grouped(rows, pa.table({"id": pa.nulls(count, ID_TYPE), "start": pa.nulls(count, pa.uint32())}), state)


def itself(runs: pa.Table) -> pa.Table:
    """Rows of phase ``groups`` from runs, which repeat what stands before them in their document."""
    start = long(runs, "start") - (RUN - long(runs, "at"))
    kept = pa.table({"id": runs.column("id"), "start": narrow(start)})
    return grouped(runs, kept, np.full(runs.num_rows, CUT))


def repeats(
    rows: pa.Table, before: tuple[tuple[int, int], pa.Table] | None
) -> tuple[pa.Table, tuple[tuple[int, int], pa.Table]]:
    """Single windows that equal an earlier one; ``before`` and what is given beside them: the last one's hash, and the first
    row that has it."""
    begins = changes(rows, KEY, "check")
    if before is not None:
        begins[0] = before[0] != _hash(rows, 0)
    kept = first_ones(rows, begins, before and before[1])
    found = pa.table(
        {
            **{name: rows.column(name) for name in (PART, ROW, "start", "stop")},
            "state": pa.array(np.full(len(begins), CUT, np.uint8)),
            "kept": kept.column("id"),
            "kept_start": kept.column("start"),
        }
    )
    return found.filter(pa.array(~begins)), (_hash(rows, -1), kept.take(pa.array([len(begins) - 1])))


def first_ones(rows: pa.Table, begins: npt.NDArray[np.bool_], before: pa.Table | None) -> pa.Table:
    """Id and start of the first row of those that equal each row; ``before``: that of the last one that was seen earlier.

    Args:
        begins: bool[rows]; whether a row equals none before it.
    """
    firsts = rows.select(["id", "start"])
    if before is not None:
        firsts = pa.concat_tables([before, firsts])
    at = np.maximum.accumulate(np.where(begins, np.arange(len(begins)) + firsts.num_rows - len(begins), 0))
    return firsts.take(pa.array(at))


def stretches(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Spans in the order of PART, ROW, start and stop; those that follow each other here and in one other document are one.

    So what is written of a passage is not a row for each of its windows.
    """
    last: pa.Table | None = None
    for some in tables:
        rows = _joined((some if last is None else pa.concat_tables([last, some])).combine_chunks())
        yield rows.slice(0, rows.num_rows - 1)
        # A copy: a slice would keep all rows.
        last = rows.take(pa.array([rows.num_rows - 1]))
    if last is not None:
        yield last


def _joined(rows: pa.Table) -> pa.Table:
    from curate.text.cuts import joined

    start, stop = long(rows, "start"), long(rows, "stop")
    shift = long(rows, "kept_start") - start
    begins = changes(rows, PART, ROW) | id_changes(rows.column("kept"))
    begins[1:] |= shift[1:] != shift[:-1]
    group = np.cumsum(begins) - 1
    which, since, until = joined(group, start, stop)
    first = np.searchsorted(group * (1 << 32) + start, which * (1 << 32) + since)
    found = rows.take(pa.array(first))
    return found.set_column(found.column_names.index("stop"), "stop", narrow(until))


def _hash(rows: pa.Table, at: int) -> tuple[int, int]:
    return rows.column(KEY)[at].as_py(), rows.column("check")[at].as_py()


def narrow(*values: npt.NDArray[np.int64]) -> pa.Array:
    """uint32 of all of them, one after the other."""
    return pa.array(np.concatenate(values).astype(np.uint32))


def long(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    """A column as int64."""
    return rows.column(name).to_numpy().astype(np.int64)


def renamed(rows: pa.Table, name: str, to: str) -> pa.Table:
    """Rows with one column called otherwise."""
    return rows.rename_columns([to if column == name else column for column in rows.column_names])
