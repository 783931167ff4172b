# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""The lines of a batch as byte ranges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets

__all__ = ["Lines", "lines"]


@dataclass(frozen=True)
class Lines:
    """Lines of n rows; a newline at the very end begins no further line.

    Attributes:
        rows: int64[n + 1]; row ``i`` has the lines ``rows[i]:rows[i + 1]``.
        starts, stops: int64[m]; byte ranges in the row's own text, without the LF or CRLF that ends the line.
    """

    rows: Offsets
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]


@njit(nogil=True, cache=True)
def _lines(offsets, data):
    count = len(offsets) - 1
    rows = np.zeros(count + 1, np.int64)
    total = 0
    for row in range(count):
        stop = offsets[row + 1]
        for at in range(offsets[row], stop):
            total += data[at] == 10
        if stop > offsets[row] and data[stop - 1] != 10:
            total += 1
        rows[row + 1] = total
    starts = np.empty(total, np.int64)
    stops = np.empty(total, np.int64)
    line = 0
    for row in range(count):
        base = offsets[row]
        stop = offsets[row + 1]
        begin = base
        for at in range(base, stop + 1):
            if (at < stop and data[at] == 10) or (at == stop and begin < stop):
                end = at
                if at < stop and end > begin and data[end - 1] == 13:
                    end -= 1
                starts[line] = begin - base
                stops[line] = end - base
                line += 1
                begin = at + 1
    return rows, starts, stops


def lines(offsets: Offsets, data: Bytes) -> Lines:
    """Lines of every row, ended by LF or CRLF."""
    return Lines(*_lines(offsets, data))
