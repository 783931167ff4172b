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
