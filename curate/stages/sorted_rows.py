"""Where something new begins among sorted rows. No stage, used by those whose reduces look at rows that are alike in some columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.stages.base import KEY


def changes(rows: pa.Table, *columns: str) -> npt.NDArray[np.bool_]:
    """bool[n]: the rows that differ from those before them in one of the columns (numbers, without nulls); the first one, too."""
    found = np.zeros(rows.num_rows, np.bool_)
    found[:1] = True
    for name in columns:
        values = rows.column(name).to_numpy()
        found[1:] |= values[1:] != values[:-1]
    return found


def firsts(rows: pa.Table, *columns: str) -> pa.Table:
    """The first of all rows that are alike in these columns and follow each other."""
    return rows.filter(pa.array(changes(rows, *columns)))


def id_changes(ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """bool[n]: ids of 16 bytes that differ from the one before; the first one, too. A null is zeros."""
    from curate.text.arrow import fixed

    raw = np.ascontiguousarray(fixed(ids)).view(np.uint64)
    found = np.ones(len(raw), np.bool_)
    found[1:] = (raw[1:] != raw[:-1]).any(axis=1)
    return found


def first_alike(group: npt.NDArray[np.int64], ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """int64[n]: of each row the first one that is in its group and has its id of 16 bytes; in any order."""
    from curate.text.arrow import fixed

    raw = np.ascontiguousarray(fixed(ids)).view(np.uint64)
    order = np.lexsort((np.arange(len(raw)), raw[:, 1], raw[:, 0], group))
    begins = np.ones(len(raw), np.bool_)
    before, after = order[:-1], order[1:]
    begins[1:] = (group[after] != group[before]) | (raw[after] != raw[before]).any(axis=1)
    found = np.empty(len(raw), np.int64)
    found[order] = order[np.maximum.accumulate(np.where(begins, np.arange(len(raw)), 0))]
    return found


def with_heads(tables: Iterable[pa.Table], head: Callable[[pa.Table], pa.Table]) -> Iterator[tuple[pa.Table, int]]:
    """Sorted rows that come in several tables; where a KEY goes on from one to the next, behind those of its rows that ``head``
    has chosen, and with how many these are.

    Args:
        head: of the rows of one KEY so far (those chosen before, then new ones) to those that later rows are held against.
    """
    held: pa.Table | None = None
    for some in tables:
        here = held is not None and held.num_rows and held.column(KEY)[0] == some.column(KEY)[0]
        rows = (pa.concat_tables([held, some]) if here else some).combine_chunks()
        yield rows, held.num_rows if here and held is not None else 0
        key = rows.column(KEY).to_numpy()
        # A copy: a slice would keep all rows.
        held = head(rows.slice(int(np.searchsorted(key, key[-1]))))
        held = held.take(pa.array(np.arange(held.num_rows)))


def whole_keys(tables: Iterable[pa.Table], head: Callable[[pa.Table], pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables that part no KEY; of one that goes on from table to table just what ``head`` chooses is held.

    Args:
        head: of the rows of one KEY so far (those chosen before, then new ones) to those that bear on what comes of it.
    """
    last: pa.Table | None = None
    for some in tables:
        rows = (some if last is None else pa.concat_tables([last, some])).combine_chunks()
        key = rows.column(KEY).to_numpy()
        end = int(np.searchsorted(key, key[-1]))
        if end:
            yield rows.slice(0, end)
        # A copy: a slice would keep all rows.
        last = head(rows.slice(end))
        last = last.take(pa.array(np.arange(last.num_rows)))
    if last is not None:
        yield last
