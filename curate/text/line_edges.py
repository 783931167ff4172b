# ruff: noqa: ANN001, ANN201 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Where lines break and what stands at their edges, in kernels: Python's ``str.splitlines`` and ``str.strip``.

Loops run over slices: an index that can't be negative is several times faster. White space is what ``str.isspace`` says: 29 code points, the same in every version of Unicode since 6.3.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

__all__ = ["chars", "line_end", "space_at", "space_before", "stripped"]


_BREAKS: Final = np.zeros(256, np.bool_)
"""Bytes that begin one of the ten signs where ``str.splitlines`` ends a line."""
_BREAKS[[10, 11, 12, 13, 28, 29, 30, 0xC2, 0xE2]] = True


@njit(nogil=True, cache=True)
def space_at(data, at, stop):
    """Bytes of the white space character at ``data[at]``, 0 for any other."""
    byte = data[at]
    if byte < 128:
        return np.int64(byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31)
    if byte == 0xC2:
        return np.int64(2 if at + 1 < stop and data[at + 1] in (0x85, 0xA0) else 0)
    if byte < 0xE1 or byte > 0xE3 or at + 2 >= stop:
        return np.int64(0)
    b, c = data[at + 1], data[at + 2]
    if byte == 0xE2:
        general = b == 0x80 and (0x80 <= c <= 0x8A or c in (0xA8, 0xA9, 0xAF))  # U+2000-200A, 2028, 2029, 202F
        return np.int64(3 if general or (b == 0x81 and c == 0x9F) else 0)  # U+205F
    if byte == 0xE1:
        return np.int64(3 if b == 0x9A and c == 0x80 else 0)  # U+1680
    return np.int64(3 if b == 0x80 and c == 0x80 else 0)  # U+3000


@njit(nogil=True, cache=True)
def space_before(data, start, at):
    """Bytes of the white space character that ends at ``at`` (not before ``start``), 0 for any other."""
    byte = data[at - 1]
    if byte < 128:
        return np.int64(byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31)
    for width in (2, 3):
        if at - width >= start and space_at(data, at - width, at) == width:
            return np.int64(width)
    return np.int64(0)


@njit(nogil=True, cache=True)
def stripped(data, start, stop):
    """(first byte, end) of ``data[start:stop]`` without white space around it; an empty range at ``stop`` if all is."""
    while start < stop:
        width = space_at(data, start, stop)
        if width == 0:
            break
        start += width
    while stop > start:
        width = space_before(data, start, stop)
        if width == 0:
            break
        stop -= width
    return start, stop


@njit(nogil=True, cache=True)
def line_end(data, at, stop, every):
    """(end of the line that begins at ``at``, begin of the next; ``stop`` for the last).

    Lines end at LF, or, if ``every``, at each of the ten signs (and CRLF) where ``str.splitlines`` ends one.
    """
    rest = data[at:stop]
    for i in range(len(rest)):
        byte = rest[i]
        if not _BREAKS[byte]:
            continue
        if byte == 10:
            return at + i, at + i + 1
        if not every:
            continue
        if byte == 13:
            return at + i, at + i + (2 if i + 1 < len(rest) and rest[i + 1] == 10 else 1)
        if byte < 32:
            return at + i, at + i + 1
        if byte == 0xC2 and i + 1 < len(rest) and rest[i + 1] == 0x85:
            return at + i, at + i + 2
        if byte == 0xE2 and i + 2 < len(rest) and rest[i + 1] == 0x80 and rest[i + 2] in (0xA8, 0xA9):
            return at + i, at + i + 3
    return stop, stop


@njit(nogil=True, cache=True)
def chars(data, start, stop):
    """Code points of ``data[start:stop]``: bytes that continue none."""
    count = np.int64(0)
    part = data[start:stop]
    for i in range(len(part)):
        count += np.int64((part[i] & np.uint8(0xC0)) != np.uint8(0x80))
    return count
