# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""White space and characters at the level of bytes, for kernels: what ``str.strip`` and ``len`` see."""

from __future__ import annotations

from numba import njit

from curate.text.swar import continuations, load, marks_in
from curate.text.utf8 import read64

__all__ = ["chars", "space_after", "space_before", "stripped"]


@njit(nogil=True, cache=True)
def chars(data, start, stop):
    """Code points in ``data[start:stop]``: its bytes that continue no UTF-8 sequence, so that any bytes have a count.

    A byte that is no valid UTF-8 counts as one unless it has the form of a continuation.
    """
    count = stop - start
    while start + 8 <= stop:
        count -= marks_in(continuations(read64(data, start)))
        start += 8
    if start < stop:
        count -= marks_in(continuations(load(data, start, stop)))
    return count


@njit(nogil=True, cache=True)
def _wide_space(a, b, c):
    """Whether three bytes are a white space of U+1680, U+2000-200A, 2028, 2029, 202F, 205F or 3000."""
    if a == 0xE2:
        return (b == 0x80 and (0x80 <= c <= 0x8A or c in (0xA8, 0xA9, 0xAF))) or (b == 0x81 and c == 0x9F)
    return (a == 0xE1 and b == 0x9A and c == 0x80) or (a == 0xE3 and b == 0x80 and c == 0x80)


@njit(nogil=True, cache=True)
def space_after(data, at, stop):
    """Bytes of the white space (as ``str.isspace`` has it) that begins at ``data[at]``, or 0; ``at < stop``."""
    byte = data[at]
    if byte < 128:
        return 1 if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31 else 0
    if byte == 0xC2:
        return 2 if at + 2 <= stop and data[at + 1] in (0x85, 0xA0) else 0
    if 0xE1 <= byte <= 0xE3 and at + 3 <= stop and _wide_space(byte, data[at + 1], data[at + 2]):
        return 3
    return 0


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def stripped(data, start, stop):
    """(start, stop) without the white space on both sides, as ``str.strip``."""
    if start < stop and 32 < data[start] < 128 and 32 < data[stop - 1] < 128:
        return start, stop
    while start < stop:
        width = space_after(data, start, stop)
        if width == 0:
            break
        start += width
    while start < stop:
        width = space_before(data, start, stop)
        if width == 0:
            break
        stop -= width
    return start, stop
