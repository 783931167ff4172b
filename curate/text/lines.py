# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""The lines and paragraphs of a batch as byte ranges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets
from curate.text.atoms import NEWLINE, Atoms, atoms, within
from curate.text.rows import RowAligned
from curate.text.swar import ones, trailing

__all__ = ["Lines", "lines", "paragraphs"]

_ONE = np.uint64(1)


@dataclass(frozen=True)
class Lines(RowAligned):
    """Lines, or paragraphs, of n rows.

    Attributes:
        rows: int64[n + 1]; row ``i`` has the lines ``rows[i]:rows[i + 1]``.
        starts, stops: int64[m]; byte ranges in the row's own text, without the LF or CRLF that ends the line.
    """

    rows: Offsets
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]


@njit(nogil=True, cache=True)
def _count(offsets, data, masks):
    base = offsets[0]
    rows = np.zeros(len(offsets), np.int64)
    total = 0
    for row in range(len(offsets) - 1):
        first = offsets[row] - base
        stop = offsets[row + 1] - base
        for block in range(first >> 6, (stop + 63) >> 6):
            total += ones(masks[NEWLINE, block] & within(block, first, stop))
        # A newline at the very end begins no further line.
        total += stop > first and data[base + stop - 1] != 10
        rows[row + 1] = total
    return rows


@njit(nogil=True, cache=True)
def _lines(offsets, data, masks, starts, stops):
    base = offsets[0]
    line = 0
    for row in range(len(offsets) - 1):
        first = offsets[row] - base
        stop = offsets[row + 1] - base
        begin = first
        for block in range(first >> 6, (stop + 63) >> 6):
            ends = masks[NEWLINE, block] & within(block, first, stop)
            while ends:
                at = 64 * block + trailing(ends)
                ends &= ends - _ONE
                starts[line] = begin - first
                stops[line] = at - first - (at > begin and data[base + at - 1] == 13)
                line += 1
                begin = at + 1
        if begin < stop:
            starts[line] = begin - first
            stops[line] = stop - first
            line += 1


@njit(nogil=True, cache=True)
def _paragraphs(line_rows, line_starts, line_stops, rows, starts, stops):
    """Fill the arrays, as long as there are lines; returns how many paragraphs there are."""
    found = 0
    for row in range(len(line_rows) - 1):
        inside = False
        for line in range(line_rows[row], line_rows[row + 1]):
            if line_stops[line] == line_starts[line]:
                inside = False
                continue
            if not inside:
                starts[found] = line_starts[line]
                found += 1
                inside = True
            stops[found - 1] = line_stops[line]
        rows[row + 1] = found
    return found


def lines(offsets: Offsets, data: Bytes, masks: Atoms | None = None) -> Lines:
    """Lines of every row, ended by LF or CRLF; a newline at the very end begins no further line.

    ``masks`` are the batch's atoms, where they were found before.
    """
    if masks is None:
        masks = atoms(offsets, data)
    rows = _count(offsets, data, masks)
    starts, stops = np.empty(int(rows[-1]), np.int64), np.empty(int(rows[-1]), np.int64)
    _lines(offsets, data, masks, starts, stops)
    return Lines(rows, starts, stops)


def paragraphs(found: Lines) -> Lines:
    """Paragraphs of every row: runs of lines that are not empty, from the first one's start to the last one's stop."""
    rows = np.zeros(len(found.rows), np.int64)
    starts, stops = np.empty_like(found.starts), np.empty_like(found.stops)
    count = _paragraphs(found.rows, found.starts, found.stops, rows, starts, stops)
    return Lines(rows, starts[:count].copy(), stops[:count].copy())
