"""Where something new begins among sorted rows. No stage, used by those whose reduces look at rows that are alike in some columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa


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
