# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Lines and paragraphs by what they say: hashes of their normal form, to find those that documents share.

The normal form of a line or paragraph is NFC, in lower case (Unicode's simple case folding), with each run of white space
as one space and none at its ends. Digits, signs and accents stay what they are: ``3+4`` and ``5-70`` differ.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curate.text.arrow import buffers
from curate.text.hashing import xxh64
from curate.text.normal import composed, is_space
from curate.text.swar import TOPS, lowered, trailing, write64, zeros
from curate.text.unicode import folding
from curate.text.utf8 import decode, encode, read64

__all__ = ["Units", "units"]

_SEED: Final = np.uint64(0x6C696E65)
_SECOND: Final = np.uint64(0x9E3779B97F4A7C15)
_SPACE: Final = 1
_HIGH: Final = 2
_NONE: Final = np.uint64(0)
_EIGHT: Final = np.uint64(8)
_HALF: Final = np.uint64(32)
_FIRST: Final = np.uint64(0x80)
_LAST: Final = np.uint64(1 << 63)
_SPACES: Final = np.uint64(0x2020202020202020)
_NEWLINES: Final = np.uint64(0x0A0A0A0A0A0A0A0A)
_BELOW: Final = np.uint64(0x6060606060606060)
"""What makes each ASCII byte from the space on reach 0x80."""


def _bytes() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """What a byte becomes, and whether it is white space or begins a character above ASCII."""
    small = np.arange(256, dtype=np.uint8)
    small[65:91] += 32
    kind = np.zeros(256, np.uint8)
    kind[[9, 10, 11, 12, 13, 32]] = _SPACE
    kind[128:] = _HIGH
    return small, kind


_SMALL, _KIND = _bytes()


class Units(NamedTuple):
    """Lines or paragraphs of n rows, those that count.

    Attributes:
        rows: int64[m]; which row each lies in, ascending.
        starts, stops: int64[m]; byte ranges in the row's own text: from its beginning to that of the next one, or to the
            text's end.
        hashes: uint64[m]; of its normal form.
        checks: uint32[m]; 32 bits more.
    """

    rows: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    checks: npt.NDArray[np.uint32]


@njit(nogil=True, cache=True, inline="always")
def _small(data, at, stop, fold):
    """The character at a place in lower case, 32 for any white space, a byte that begins none as its negative; where the
    next one is."""
    byte = data[at]
    kind = _KIND[byte]
    if kind == 0:
        return np.int64(_SMALL[byte]), at + 1
    if kind == _SPACE:
        return np.int64(32), at + 1
    point, width = decode(data, at, stop)
    if point < 0:
        return -np.int64(byte), at + 1
    if is_space(point):
        return np.int64(32), at + width
    return np.int64(fold[point]) if point < len(fold) else point, at + width


@njit(nogil=True, cache=True, _nrt=False)
def _fold(data, at, stop, fold, out):
    """Write the normal form of ``data[at:stop]``; returns its bytes and code points.

    A folded code point takes at most 3 bytes for 2 (U+023A and U+2C65), so ``out`` has that much room, and 16 bytes more.
    """
    to = 0
    chars = 0
    gap = False
    while at < stop:
        if at + 8 <= stop:
            chunk = read64(data, at)
            spaces = zeros(chunk ^ _SPACES)
            odd = (chunk | ~(chunk + _BELOW)) & TOPS  # above ASCII, or a control
            twice = spaces & ((spaces << _EIGHT) | (_FIRST if gap or to == 0 else _NONE))
            if not (odd | twice):
                if gap:
                    out[to] = 32
                    to += 1
                    chars += 1
                write64(out, to, lowered(chunk))
                size = np.int64(8)
                gap = (spaces & _LAST) != 0  # that one is not written yet
                if gap:
                    size -= 1
                to += size
                chars += size
                at += 8
                continue
        upto = min(at + 8, stop)
        while at < upto:
            point, at = _small(data, at, stop, fold)
            if point == 32:
                gap = to > 0
                continue
            if gap:
                out[to] = 32
                to += 1
                chars += 1
                gap = False
            if point < 0x80:
                out[to] = abs(point)
                to += 1
            else:
                to = encode(out, to, point)
            chars += 1
    return to, chars


@njit(nogil=True, cache=True, _nrt=False)
def _blank(data, at, stop):
    while at < stop:
        kind = _KIND[data[at]]
        if kind == 0:
            return False
        width = 1
        if kind == _HIGH:
            point, width = decode(data, at, stop)
            if not is_space(point):
                return False
        at += width
    return True


@njit(nogil=True, cache=True, _nrt=False)
def _newline(data, at, end):
    """Where the next line feed stands, or ``end``."""
    while at + 8 <= end:
        found = zeros(read64(data, at) ^ _NEWLINES)
        if found:
            return at + (trailing(found) >> 3)
        at += 8
    while at < end and data[at] != 10:
        at += 1
    return at


@njit(nogil=True, cache=True)
def _grown(array):
    return np.concatenate((array, np.empty_like(array)))


@njit(nogil=True, cache=True)
def _ranges(offsets, data, paragraphs):
    """Of each line or paragraph that is not blank its row, and where in it it begins, has its last line's end, and where
    what comes after it begins: blank lines behind a paragraph are its own."""
    size = max(np.int64(64), (offsets[-1] - offsets[0]) // 32)
    rows, starts, stops, ends = (
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
    )
    found = 0
    for row in range(len(offsets) - 1):
        first, end = offsets[row], offsets[row + 1]
        at = first
        inside = False
        none = found
        while at < end:
            line = at
            stop = _newline(data, at, end)
            at = min(stop + 1, end)
            if _blank(data, line, stop):
                inside = False
                if paragraphs and found > none:
                    ends[found - 1] = at - first
                continue
            if not (paragraphs and inside):
                if found == len(rows):
                    rows, starts, stops, ends = _grown(rows), _grown(starts), _grown(stops), _grown(ends)
                rows[found] = row
                starts[found] = line - first
                found += 1
            inside = True
            stops[found - 1] = stop - first
            ends[found - 1] = at - first
    return rows[:found], starts[:found], stops[:found], ends[:found]


@njit(nogil=True, cache=True)
def _hashes(offsets, data, rows, starts, stops, fold):
    """Two hashes of the normal form of each range, and its code points."""
    hashes = np.empty(len(rows), np.uint64)
    checks = np.empty(len(rows), np.uint32)
    chars = np.empty(len(rows), np.int64)
    buffer = np.empty(1 << 12, np.uint8)
    for i in range(len(rows)):
        first = offsets[rows[i]]
        room = 2 * (stops[i] - starts[i]) + 16
        if room > len(buffer):
            buffer = np.empty(2 * room, np.uint8)
        size, chars[i] = _fold(data, first + starts[i], first + stops[i], fold, buffer)
        hashes[i] = xxh64(buffer, np.int64(0), np.int64(size), _SEED)
        checks[i] = np.uint32(xxh64(buffer, np.int64(0), np.int64(size), _SEED ^ _SECOND) >> _HALF)
    return hashes, checks, chars


def units(text: pa.Array, least: int, *, paragraphs: bool) -> Units:
    """The lines of every row, ended by LF, or its paragraphs, ended by lines of white space alone, whose normal form has
    at least ``least`` code points. Blank lines are none, and belong to the paragraph before them."""
    offsets, data = buffers(text)
    rows, starts, stops, ends = _ranges(offsets, data, paragraphs)
    where = (offsets, data, rows, starts, stops)
    normal = composed(text)
    if normal is not text:
        # NFC changes neither how many lines there are nor which of them are blank.
        other = buffers(normal)
        where = (*other, *_ranges(*other, paragraphs)[:3])
    hashes, checks, chars = _hashes(*where, folding())
    counts = chars >= max(least, 1)
    return Units(rows[counts], starts[counts], ends[counts], hashes[counts], checks[counts])
