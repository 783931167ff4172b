# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
r"""Encoded data in code: base64, hexadecimal, escapes, after StarCoder2 (Lozhkov et al. 2024, section 2.1).

Three kinds of runs are found, each from left to right without overlap:

* base64: 64 or more of ``[A-Za-z0-9+/=\n]`` with a letter and a digit. StarCoder2's expression is the same without
  the last condition, so it also takes rulers of ``=`` under headings.
* hexadecimal: 8 or more pairs of digits, alone (between word boundaries) or behind ``0x`` or ``\x``, with commas or
  white space between them (``\x`` needs none), one of them with a prefix or a letter. StarCoder2's
  ``(?:\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*)){8,}`` does not match ``0x41, 0x42`` (comma and space), but does lists of
  two-digit decimals.
* Unicode escapes: 8 or more of ``\uXXXX`` in a row, as StarCoder2's ``(?:\\u[0-9a-fA-F]{4}){8,}``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets

__all__ = ["BASE64_RUN", "ESCAPES", "encoded_data"]

BASE64_RUN: Final = 64
"""Bytes of the shortest run of base64."""
ESCAPES: Final = 8
"""Units of the shortest run of hexadecimal pairs or Unicode escapes."""


def _table(chars: bytes) -> npt.NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    table[list(chars)] = 1
    return table


_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = b"0123456789"
_BASE64: Final = _table(_LETTERS + _DIGITS + b"+/=\n")
_ESCAPED: Final = _table(_DIGITS + b"abcdefABCDEFxXu\\, \t\r\n")
_HEX: Final = _table(_DIGITS + b"abcdefABCDEF")
_WORD: Final = _table(_DIGITS + _LETTERS + b"_")


@njit(nogil=True, cache=True, _nrt=False)
def _next_run(data, at, stop, table, least):
    """(first, end) of the next run of ``least`` or more bytes of the table from ``at`` on; first is stop if none."""
    while at + least <= stop:
        back = at + least - 1
        while back >= at and table[data[back]]:
            back -= 1
        if back >= at:
            at = back + 1
            continue
        end = at + least
        while end < stop and table[data[end]]:
            end += 1
        return at, end
    return stop, stop


@njit(nogil=True, cache=True, _nrt=False)
def _base64(data, start, stop):
    total = longest = 0
    end = start
    while True:
        first, end = _next_run(data, end, stop, _BASE64, BASE64_RUN)
        if first >= stop:
            return total, longest
        letter = digit = False
        for at in range(first, end):
            letter |= 97 <= (data[at] | 32) <= 122
            digit |= 48 <= data[at] <= 57
            if letter and digit:
                total += end - first
                longest = max(longest, end - first)
                break


@njit(nogil=True, cache=True, _nrt=False)
def _unit(data, at, base, stop):
    """Bytes of the hexadecimal unit at ``at`` (0: none), negative when it has neither a prefix nor a letter."""
    if at + 4 <= stop and data[at] == 92 and data[at + 1] == 120 and _HEX[data[at + 2]] and _HEX[data[at + 3]]:
        return 4
    if at > base and _WORD[data[at - 1]]:
        return 0
    size = 2
    if at + 4 <= stop and data[at] == 48 and (data[at + 1] | 32) == 120:
        size = 4
    end = at + size
    if end > stop or not _HEX[data[end - 1]] or not _HEX[data[end - 2]] or (end < stop and _WORD[data[end]]):
        return 0
    if size == 4 or data[at] > 57 or data[at + 1] > 57:
        return size
    return -size


@njit(nogil=True, cache=True, _nrt=False)
def _hex_run(data, at, base, stop):
    """(end, counts) of the longest sequence of units at ``at``; end is at where there are fewer than ESCAPES."""
    units = 0
    counts = False
    end = next_at = at
    while True:
        size = _unit(data, next_at, base, stop)
        if size == 0:
            break
        counts |= size > 0
        units += 1
        end = next_at + abs(size)
        next_at = end
        while next_at < stop and data[next_at] in (32, 9, 13, 10):
            next_at += 1
        if next_at < stop and data[next_at] == 44:
            next_at += 1
            while next_at < stop and data[next_at] in (32, 9, 13, 10):
                next_at += 1
    if units < ESCAPES:
        return at, False
    return end, counts


@njit(nogil=True, cache=True, _nrt=False)
def _unicode_run(data, at, stop):
    """End of the escapes at ``at``; at where there are fewer than ESCAPES."""
    end = at
    while end + 6 <= stop and data[end] == 92 and data[end + 1] == 117:
        if not (_HEX[data[end + 2]] and _HEX[data[end + 3]] and _HEX[data[end + 4]] and _HEX[data[end + 5]]):
            break
        end += 6
    return end if end - at >= 6 * ESCAPES else at


@njit(nogil=True, cache=True, _nrt=False)
def _escaped(data, start, stop):
    total = longest = 0
    end = start
    while True:
        first, end = _next_run(data, end, stop, _ESCAPED, 23)
        if first >= stop:
            return total, longest
        at = first
        while at < end:
            byte = data[at]
            if byte in (32, 9, 13, 10, 44):
                at += 1
                continue
            run, counts = _hex_run(data, at, start, stop)
            if run == at and byte == 92:
                run, counts = _unicode_run(data, at, stop), True
            if run > at:
                if counts:
                    total += run - at
                    longest = max(longest, run - at)
                at = run
            else:
                at += 1
        end = max(end, at)


@njit(nogil=True, cache=True)
def _encoded(offsets, data):
    count = len(offsets) - 1
    total = np.zeros(count, np.int64)
    longest = np.zeros(count, np.int64)
    for row in range(count):
        start, stop = offsets[row], offsets[row + 1]
        a, b = _base64(data, start, stop)
        c, d = _escaped(data, start, stop)
        # Pairs of digits on lines of their own are in both.
        total[row] = min(a + c, stop - start)
        longest[row] = max(b, d)
    return total, longest


def encoded_data(offsets: Offsets, data: Bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(total, longest) int64[n] each: bytes of each row in runs of encoded data, and of the longest such run."""
    return _encoded(offsets, data)
