# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""White space, line ends and characters in kernels: what ``str.strip``, ``str.splitlines`` and ``len`` see.

White space is what ``str.isspace`` says: 29 code points, the same in every version of Unicode since 6.3.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from curate.text.blocks import BLOCK, before, block_masks
from curate.text.swar import continuations, load, marks_in, ones, trailing

__all__ = ["chars", "end_width", "line_end", "space_at", "space_before", "stripped"]

_BREAKS: Final = np.zeros(256, np.bool_)
"""Bytes that begin one of the ten signs where ``str.splitlines`` ends a line."""
_BREAKS[[10, 11, 12, 13, 28, 29, 30, 0xC2, 0xE2]] = True
_break_marks = block_masks(
    lambda block: block.any(block.among(10, 13), block.among(28, 30), block.among(0xC2, 0xC2), block.among(0xE2, 0xE2))
)
_newline_marks = block_masks(lambda block: block.among(10, 10))
_continuation_marks = block_masks(lambda block: block.among(0x80, 0xBF))


@njit(nogil=True, cache=True, _nrt=False)
def chars(data, start, stop):
    """Code points in ``data[start:stop]``: its bytes that continue no UTF-8 sequence, so that any bytes have a count.

    A byte that is no valid UTF-8 counts as one unless it has the form of a continuation.
    """
    count = stop - start
    while start < stop and start + BLOCK <= len(data):
        count -= ones(_continuation_marks(data, start)[0] & before(start, stop))
        start += BLOCK
    while start < stop:
        count -= marks_in(continuations(load(data, start, stop)))
        start += 8
    return count


@njit(nogil=True, cache=True, _nrt=False)
def _wide_space(a, b, c):
    """Whether three bytes are a white space of U+1680, U+2000-200A, 2028, 2029, 202F, 205F or 3000."""
    if a == 0xE2:
        return (b == 0x80 and (0x80 <= c <= 0x8A or c in (0xA8, 0xA9, 0xAF))) or (b == 0x81 and c == 0x9F)
    return (a == 0xE1 and b == 0x9A and c == 0x80) or (a == 0xE3 and b == 0x80 and c == 0x80)


@njit(nogil=True, cache=True, _nrt=False)
def space_at(data, at, stop):
    """Bytes of the white space (as ``str.isspace`` has it) that begins at ``data[at]``, or 0; ``at < stop``."""
    byte = data[at]
    if byte < 128:
        return 1 if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31 else 0
    if byte == 0xC2:
        return 2 if at + 2 <= stop and data[at + 1] in (0x85, 0xA0) else 0
    if 0xE1 <= byte <= 0xE3 and at + 3 <= stop and _wide_space(byte, data[at + 1], data[at + 2]):
        return 3
    return 0


@njit(nogil=True, cache=True, _nrt=False)
def space_before(data, start, at):
    """Bytes of the white space that ends before ``data[at]``, or 0; ``start < at``."""
    byte = data[at - 1]
    if byte < 128:
        return 1 if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31 else 0
    if byte in (0x85, 0xA0) and at - start >= 2 and data[at - 2] == 0xC2:
        return 2
    if at - start >= 3 and _wide_space(data[at - 3], data[at - 2], byte):
        return 3
    return 0


@njit(nogil=True, cache=True, _nrt=False)
def stripped(data, start, stop):
    """(start, stop) without the white space on both sides, as ``str.strip``."""
    if start < stop and 32 < data[start] < 128 and 32 < data[stop - 1] < 128:
        return start, stop
    while start < stop:
        width = space_at(data, start, stop)
        if width == 0:
            break
        start += width
    while start < stop:
        width = space_before(data, start, stop)
        if width == 0:
            break
        stop -= width
    return start, stop


@njit(nogil=True, cache=True, _nrt=False)
def end_width(data, at, stop):
    """Bytes of the line end (as ``str.splitlines`` has it, CRLF is one) that begins at ``data[at]``, or 0; ``at < stop``."""
    byte = data[at]
    if byte < 32:
        if byte == 13:
            return 2 if at + 1 < stop and data[at + 1] == 10 else 1
        return 1 if 10 <= byte <= 12 or 28 <= byte <= 30 else 0
    if byte == 0xC2:
        return 2 if at + 1 < stop and data[at + 1] == 0x85 else 0
    if byte == 0xE2 and at + 2 < stop and data[at + 1] == 0x80 and data[at + 2] in (0xA8, 0xA9):
        return 3
    return 0


@njit(nogil=True, cache=True, _nrt=False)
def line_end(data, at, stop, every):
    """(end of the line that begins at ``at``, begin of the next; ``stop`` for the last).

    Lines end at LF, or, if ``every``, at each of the ten signs (and CRLF) where ``str.splitlines`` ends one.
    """
    while at < stop:
        if at + BLOCK <= len(data):
            marks = (_break_marks(data, at) if every else _newline_marks(data, at))[0] & before(at, stop)
        else:
            marks = np.uint64(0)
            for i in range(min(BLOCK, stop - at)):
                marks |= np.uint64(_BREAKS[data[at + i]]) << np.uint64(i)
        while marks:
            end = at + trailing(marks)
            marks &= marks - np.uint64(1)
            width = end_width(data, end, stop)
            if width and (every or data[end] == 10):
                return end, end + width
        at += BLOCK
    return stop, stop
