# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Normal forms of text, vectorised: NFC with LF line ends, and what exact duplicates of prose and of code compare
(``curate.text.maths`` has that of mathematics).

No profile folds case, punctuation or digits: ``3+4`` and ``5-70``, ``a[i]`` and ``a(i)`` stay different.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from curate.text import unicode
from curate.text.arrow import buffers, from_text
from curate.text.utf8 import decode, read64

__all__ = [
    "CARRIAGE_RETURN",
    "INVALID",
    "NON_ASCII",
    "UNSTABLE",
    "canonical",
    "code_profile",
    "composed",
    "folded",
    "is_space",
    "prose_profile",
    "row_flags",
]

NON_ASCII: Final = 1
INVALID: Final = 2
CARRIAGE_RETURN: Final = 4
UNSTABLE: Final = 8
_HIGH_BITS: Final = np.uint64(0x8080808080808080)
_ONES: Final = np.uint64(0x0101010101010101)
_RETURNS: Final = np.uint64(0x0D0D0D0D0D0D0D0D)


@njit(nogil=True, cache=True)
def _flags(offsets, data, unstable):
    rows = len(offsets) - 1
    out = np.zeros(rows, np.uint8)
    for row in range(rows):
        stop = offsets[row + 1]
        at = offsets[row]
        flags = 0
        while at < stop:
            while at + 8 <= stop:
                chunk = read64(data, at)
                if chunk & _HIGH_BITS:
                    break
                # Bit 7 of a byte that is CR (exact for the first of them, which is all that is asked).
                other = chunk ^ _RETURNS
                if (other - _ONES) & ~other & _HIGH_BITS:
                    flags |= CARRIAGE_RETURN
                at += 8
            # The eight bytes that hold one above ASCII, or the end.
            end = min(at + 8, stop)
            while at < end:
                if data[at] < 128:
                    if data[at] == 13:
                        flags |= CARRIAGE_RETURN
                    at += 1
                    continue
                point, width = decode(data, at, stop)
                flags |= NON_ASCII
                if point < 0:
                    flags |= INVALID
                elif unstable[point]:
                    flags |= UNSTABLE
                at += width
        out[row] = flags
    return out


def row_flags(text: pa.Array) -> npt.NDArray[np.uint8]:
    """uint8[n]: the bits NON_ASCII, INVALID (no valid UTF-8), CARRIAGE_RETURN and UNSTABLE (NFC may change it) of each row."""
    return _flags(*buffers(text), unicode.unstable())


def _replaced(text: pa.Array, mask: npt.NDArray[np.bool_], rows: pa.Array) -> pa.Array:
    return pc.replace_with_mask(text, pa.array(mask), rows)


def composed(text: pa.Array, flags: npt.NDArray[np.uint8] | None = None) -> pa.Array:
    """Text (large_string, no nulls) in NFC; the same array where no row changes. ``flags``: ``row_flags(text)``, if known.

    NFC is utf8proc's through ``pyarrow.compute.utf8_normalize``, asked for rows that the committed tables do not know to
    be in NFC already; rows that are no valid UTF-8 keep their form.
    """
    flags = row_flags(text) if flags is None else flags
    compose = (flags & (UNSTABLE | INVALID)) == UNSTABLE
    if not compose.any():
        return text
    return _replaced(text, compose, pc.utf8_normalize(text.filter(pa.array(compose)), form="NFC"))


def canonical(text: pa.Array) -> pa.Array:
    """Text in NFC with CRLF and CR as LF, large_string, nulls as empty rows; untouched rows are not copied (see ``composed``)."""
    if not pa.types.is_large_string(text.type):
        text = text.cast(pa.large_string())
    if text.null_count:
        text = pc.fill_null(text, "")
    flags = row_flags(text)
    text = composed(text, flags)
    returns = (flags & CARRIAGE_RETURN) != 0
    if returns.any():
        rows = text.filter(pa.array(returns))
        rows = pc.replace_substring(rows, pattern="\r\n", replacement="\n")
        text = _replaced(text, returns, pc.replace_substring(rows, pattern="\r", replacement="\n"))
    return text


@njit(nogil=True, cache=True, inline="always")
def is_space(point):
    """Unicode's White_Space property (PropList.txt, stable since Unicode 6.3)."""
    if point <= 32:
        return point == 32 or (9 <= point <= 13)
    if point < 0x85:
        return False
    return point in (0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000) or 0x2000 <= point <= 0x200A


@njit(nogil=True, cache=True)
def _prose(offsets, data):
    rows = len(offsets) - 1
    out = np.empty(offsets[rows] - offsets[0], np.uint8)
    ends = np.zeros(rows + 1, np.int64)
    to = 0
    for row in range(rows):
        at = offsets[row]
        stop = offsets[row + 1]
        begin = to
        gap = False
        while at < stop:
            point = np.int64(data[at])
            width = 1
            if point >= 128:
                point, width = decode(data, at, stop)
            if point >= 0 and is_space(point):
                gap = True
            else:
                if gap and to > begin:
                    out[to] = 32
                    to += 1
                gap = False
                for i in range(width):
                    out[to + i] = data[at + i]
                to += width
            at += width
        ends[row + 1] = to
    return ends, out[:to]


@njit(nogil=True, cache=True)
def _code(offsets, data):
    rows = len(offsets) - 1
    out = np.empty(offsets[rows] - offsets[0], np.uint8)
    ends = np.zeros(rows + 1, np.int64)
    to = 0
    for row in range(rows):
        begin = to
        solid = to  # end of what is not white space in the line being written
        for at in range(offsets[row], offsets[row + 1]):
            byte = data[at]
            if byte == 10:
                to = solid
            out[to] = byte
            to += 1
            if byte == 10 or not (byte == 32 or 9 <= byte <= 13):
                solid = to
        to = solid
        while to > begin and out[to - 1] == 10:
            to -= 1
        ends[row + 1] = to
    return ends, out[:to]


def prose_profile(text: pa.Array) -> pa.LargeStringArray:
    """Canonical text with each run of Unicode white space as one space, none at the ends. Case is kept."""
    offsets, data = buffers(canonical(text))
    return from_text(*_prose(offsets, data))


def code_profile(text: pa.Array) -> pa.LargeStringArray:
    """Canonical text without (ASCII) white space at line ends and without blank lines at the end.

    Indentation and blank lines in between stay: they carry meaning, or cost nothing.
    """
    offsets, data = buffers(canonical(text))
    return from_text(*_code(offsets, data))


def folded(text: pa.Array) -> pa.LargeStringArray:
    """``prose_profile`` in lower case: what documents too short for shingles are compared by.

    Lower case is ``pyarrow.compute.utf8_lower``'s; in rows that are no valid UTF-8 only ASCII letters change.
    """
    rows = prose_profile(text)
    broken = (row_flags(rows) & INVALID) != 0
    if not broken.any():
        return pc.utf8_lower(rows)
    lower = pc.utf8_lower(rows.filter(pa.array(~broken)))
    return _replaced(pc.ascii_lower(rows), ~broken, lower)
