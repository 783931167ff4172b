# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
r"""What FineWeb's rules look at: lines as datatrove counts them, int64 each.

Lines are ``text.split("\n")`` without those of white space alone; a line keeps the white space around it, a carriage
return before the LF too. Characters are code points.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets, columns
from curate.text.hashing import xxh64
from curate.text.sorted_values import lower_bound
from curate.text.spaces import chars, line_end, space_at, stripped
from curate.text.utf8 import decode

__all__ = ["SHAPE_COUNTS", "TERMINAL_POINTS", "line_shapes"]

SHAPE_COUNTS: Final = (
    "chars",  # all characters but LF
    "newlines",  # LF
    "lines",  # lines that are more than white space
    "ended_lines",  # of these, those whose last character is one of the ends
    "short_lines",  # of these, those of at most short_chars characters
    "duplicate_lines",  # of these, those equal to an earlier line of the row
    "duplicate_chars",  # their characters
)
"""Names of the columns of ``line_shapes``, in order."""

_TERMINAL: Final = (
    "21 2E 3F 589 61D 61E 61F 6D4 700 701 702 7F9 837 839 83D 83E 964 965 104A 104B 1362 1367 1368 166E 1735 1736 "
    "17D4 17D5 17D6 17D9 17DA 1803 1809 1944 1945 1AA8 1AA9 1AAA 1AAB 1B5A 1B5B 1B5E 1B5F 1B7D 1B7E 1C3B 1C3C "
    "1C7E 1C7F 203C 203D 2047 2048 2049 2E2E 2E3C 2E53 2E54 3002 A4FF A60E A60F A6F3 A6F7 A876 A877 A8CE A8CF "
    "A92F A9C8 A9C9 AA5D AA5E AA5F AAF0 AAF1 ABEB FE52 FE56 FE57 FF01 FF0E FF1F FF61 10A56 10A57 10F55 10F56 "
    "10F57 10F58 10F59 10F86 10F87 10F88 10F89 11047 11048 110BE 110BF 110C0 110C1 11141 11142 11143 111C5 111C6 "
    "111CD 111DE 111DF 11238 11239 1123B 1123C 112A9 1144B 1144C 115C2 115C3 115C9 115CA 115CB 115CC 115CD 115CE "
    "115CF 115D0 115D1 115D2 115D3 115D4 115D5 115D6 115D7 11641 11642 1173C 1173D 1173E 11944 11946 11A42 11A43 "
    "11A9B 11A9C 11C41 11C42 11EF7 11EF8 11F43 11F44 16A6E 16A6F 16AF5 16B37 16B38 16B44 16E98 1BC9F 1DA88"
)
TERMINAL_POINTS: Final = tuple(int(point, 16) for point in _TERMINAL.split())
"""Code points that end a sentence in any script: TERMINAL_PUNCTUATION of datatrove 0.10.1 (Apache-2.0)."""


@njit(nogil=True, cache=True, _nrt=False)
def _last_point(data, start, stop):
    """The code point that ends ``data[start:stop]``, not empty; -1 where no valid one does."""
    at = stop - 1
    while at > start and stop - at < 4 and data[at] & 0xC0 == 0x80:
        at -= 1
    point, width = decode(data, at, stop)
    return point if at + width == stop else np.int64(-1)


@njit(nogil=True, cache=True)
def _grown(keys, marks, mark):
    """The set of this row's hashes in twice the room."""
    size = 2 * len(keys)
    wider = np.empty(size, np.uint64)
    used = np.zeros(size, np.int64)
    mask = np.uint64(size - 1)
    for i in range(len(keys)):
        if marks[i] == mark:
            slot = keys[i] & mask
            while used[slot] == mark:
                slot = (slot + np.uint64(1)) & mask
            wider[slot] = keys[i]
            used[slot] = mark
    return wider, used


@njit(nogil=True, cache=True)
def _shapes(offsets, data, ends, short):
    rows = len(offsets) - 1
    out = np.zeros((rows, len(SHAPE_COUNTS)), np.int64)
    # A set of hashes of lines, emptied for each row by a new mark.
    keys = np.empty(1024, np.uint64)
    marks = np.zeros(1024, np.int64)
    ascii_ends = np.zeros(128, np.bool_)
    for point in ends:
        if point < 128:
            ascii_ends[point] = True
    for row in range(rows):
        mark = row + 1
        held = 0
        at, stop = offsets[row], offsets[row + 1]
        every = newlines = lines = ended = short_lines = repeats = repeat_chars = np.int64(0)
        while at < stop:
            end, following = line_end(data, at, stop, False)
            begin = at
            at = following
            newlines += following - end
            size = chars(data, begin, end)
            every += size
            if begin == end or (space_at(data, begin, end) and stripped(data, begin, end)[0] == end):
                continue
            lines += 1
            short_lines += size <= short
            last = data[end - 1]
            if last < 128:
                ended += ascii_ends[last]
            else:
                point = _last_point(data, begin, end)
                place = lower_bound(ends, point)
                ended += place < len(ends) and ends[place] == point
            if 2 * held >= len(keys):
                keys, marks = _grown(keys, marks, mark)
            mask = np.uint64(len(keys) - 1)
            key = xxh64(data, begin, end, np.uint64(0))
            slot = key & mask
            while marks[slot] == mark and keys[slot] != key:
                slot = (slot + np.uint64(1)) & mask
            if marks[slot] == mark:
                repeats += 1
                repeat_chars += size
            else:
                marks[slot] = mark
                keys[slot] = key
                held += 1
        values = (every, newlines, lines, ended, short_lines, repeats, repeat_chars)
        for i in range(len(values)):
            out[row, i] = values[i]
    return out


def line_shapes(
    offsets: Offsets, data: Bytes, short_chars: int, ends: tuple[int, ...] = TERMINAL_POINTS
) -> dict[str, npt.NDArray[np.int64]]:
    """Counts of each row, int64[n] each, by the names of SHAPE_COUNTS; lines are equal by their 64-bit hash.

    ``ends``: code points that end a line like a sentence.
    """
    counts = _shapes(offsets, data, np.array(sorted(set(ends)), np.int64), short_chars)
    return columns(counts, SHAPE_COUNTS)
