# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Views (words, lines) of some of a batch's rows, taken from those of all its rows."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["kept"]


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
            out[to : to + size] = values[rows[row] : rows[row + 1]]
            to += size


def kept(view: Any, keep: npt.NDArray[np.bool_]) -> Any:
    """A Words or Lines of the rows where ``keep``, bool[n], is true: ranges are the row's own, so they stay as they are."""
    rows = _rows(view.rows, keep)
    changed = {"rows": rows}
    for each in fields(view):
        if each.name != "rows":
            values = getattr(view, each.name)
            changed[each.name] = np.empty(int(rows[-1]), values.dtype)
            _values(view.rows, keep, values, changed[each.name])
    return replace(view, **changed)
