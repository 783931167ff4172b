# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Views (words, lines) of some of a batch's rows, taken from those of all its rows."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numba import njit

from curate.text.swar import copy

__all__ = ["RowAligned"]


@njit(nogil=True, cache=True)
def _rows(rows, keep):
    """int64[k + 1] of the rows that are kept."""
    out = np.zeros(keep.sum() + 1, np.int64)
    to = 0
    for row in range(len(keep)):
        if keep[row]:
            out[to + 1] = out[to] + rows[row + 1] - rows[row]
            to += 1
    return out


@njit(nogil=True, cache=True)
def _values(rows, keep, values, out):
    """The kept rows' values, one row's after another's."""
    to = 0
    for row in range(len(keep)):
        if keep[row]:
            size = rows[row + 1] - rows[row]
            copy(out, to, values, rows[row], size)
            to += size


class RowAligned:
    """A dataclass of arrays that belong to rows: ``rows``, int64[n + 1], says which of the other fields' values."""

    def kept(self, keep: pa.BooleanArray) -> Self:
        """The same of the rows where ``keep`` is true: ranges are the row's own, so they stay as they are."""
        view: Any = self
        mask = keep.to_numpy(zero_copy_only=False)
        rows = _rows(view.rows, mask)
        changed = {"rows": rows}
        for each in fields(view):
            if each.name != "rows":
                values = getattr(view, each.name)
                changed[each.name] = np.empty(int(rows[-1]), values.dtype)
                _values(view.rows, mask, values, changed[each.name])
        return replace(view, **changed)
