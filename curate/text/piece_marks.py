# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Where no merge can pass: between two characters that stand side by side in no piece of the model.

Each piece that a merge makes is a piece of the model, so none ever reaches across such a place, and what stands on one side
has no say in what is merged on the other. Texts cut there are encoded part by part, with the same ids. It needs no rule
about words or spaces, which are what a model happens to have learnt: pieces like ``:`` + line feed + spaces are common.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.fixed_strings import next_fixed
from curate.text.space_sign import ESCAPE, SPACE
from curate.text.utf8 import decode, read64

__all__ = ["Neighbours", "neighbours", "piece_marks"]

_ONE: Final = np.uint64(1)
_TOPS: Final = np.uint64(0x8080808080808080)
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_NONE: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_SPACE: Final = ord(SPACE)
_ESCAPE: Final = ord(ESCAPE)

Marks = npt.NDArray[np.uint64]
"""Bit ``i`` of word ``b`` stands for byte ``64 b + i`` behind the batch's first: a segment begins there."""


class Neighbours(NamedTuple):
    """Which characters stand side by side in a piece.

    Attributes:
        ascii: uint8[128 * 128]: 1 where the first and the second, of ASCII, do not.
        other: uint64[n], n a power of two: (first code point, second) in 32 bits each of the pairs that do and are not
            both ASCII, by hash; all ones: free.
    """

    ascii: npt.NDArray[np.uint8]
    other: npt.NDArray[np.uint64]


def neighbours(pieces: Iterable[str]) -> Neighbours:
    """Of pieces with spaces as spaces."""
    ascii_ = np.ones((128, 128), np.uint8)
    others = set[int]()
    for pair in {piece[i : i + 2] for piece in pieces for i in range(len(piece) - 1)}:
        first, second = ord(pair[0]), ord(pair[1])
        if max(first, second) < 128:
            ascii_[first, second] = 0
        else:
            others.add((first << 32) | second)
    table = np.full(1 << max(4, (2 * len(others)).bit_length()), _NONE)
    _insert(table, np.array(sorted(others), np.uint64))
    return Neighbours(ascii_.reshape(-1), table)


@njit(nogil=True, cache=True, inline="always")
def _place(key, mask):
    return ((key * _FACTOR) >> np.uint64(40)) & mask


@njit(nogil=True, cache=True)
def _insert(table, keys):
    mask = np.uint64(len(table) - 1)
    for key in keys:
        at = _place(key, mask)
        while table[at] != _NONE:
            at = (at + _ONE) & mask
        table[at] = key


@njit(nogil=True, cache=True, inline="always")
def _apart(first, second, near):
    """Whether two code points, -1 for none, stand side by side in no piece."""
    if first < 0 or second < 0:
        return True
    if first < 128 and second < 128:
        return near.ascii[(first << 7) | second] != 0
    key = (np.uint64(first) << np.uint64(32)) | np.uint64(second)
    mask = np.uint64(len(near.other) - 1)
    at = _place(key, mask)
    while near.other[at] != _NONE:
        if near.other[at] == key:
            return False
        at = (at + _ONE) & mask
    return True


@njit(nogil=True, cache=True, inline="always")
def _ascii_marks(data, first, size, pairs, before):
    """Bits of ``data[first:first + size]`` by pairs of ASCII; bytes above lose their top bit, and are looked at again."""
    bits = np.uint64(0)
    for i in range(size):
        byte = np.uint64(data[np.uint64(first + i)]) & np.uint64(127)
        bits |= np.uint64(pairs[(before << np.uint64(7)) | byte]) << np.uint64(i)
        before = byte
    return bits, before


@njit(nogil=True, cache=True)
def _above_ascii(data, start, stop, base, near, marks):
    """Set the bits around each character above ASCII in ``data[start:stop]``, a row, anew; False: one has to be escaped."""
    at = start
    plain = True
    before = np.int64(-1)
    known = start  # end of the last character above ASCII
    while at < stop:
        while at + 8 <= stop and read64(data, at) & _TOPS == 0:
            at += 8
        while at < stop and data[at] < 128:
            at += 1
        if at > known:
            before = np.int64(data[at - 1])
        while at < stop and data[at] >= 128:
            point, width = decode(data, at, stop)
            plain &= point not in (_SPACE, _ESCAPE)
            for i in range(width):
                marks[(at + i - base) >> 6] &= ~(_ONE << np.uint64((at + i - base) & 63))
            if _apart(before, point, near):
                marks[(at - base) >> 6] |= _ONE << np.uint64((at - base) & 63)
            before = point
            at += width
            known = at
        if known == at and at < stop:
            place = at - base
            marks[place >> 6] &= ~(_ONE << np.uint64(place & 63))
            if _apart(before, np.int64(data[at]), near):
                marks[place >> 6] |= _ONE << np.uint64(place & 63)
    return plain


@njit(nogil=True, cache=True)
def _around_fixed(data, start, stop, base, fixed, marks):
    """Cut before and behind each fixed string of ``data[start:stop]``, a row, and nowhere in it."""
    while start < stop:
        start, end = next_fixed(data, start, stop, fixed)
        for i in range(start, end):
            marks[(i - base) >> 6] &= ~(_ONE << np.uint64((i - base) & 63))
        if start < end:
            marks[(start - base) >> 6] |= _ONE << np.uint64((start - base) & 63)
        if end < stop:
            marks[(end - base) >> 6] |= _ONE << np.uint64((end - base) & 63)
        start = end


@njit(nogil=True, cache=True)
def piece_marks(data, offsets, near, fixed):
    """Where the segments of rows begin, and a bit where the last one ends; False: a text has to be escaped first.

    data: uint8[:]; offsets: int64[rows + 1] into it; near: ``neighbours``; fixed: strings that are one token.
    """
    base = offsets[0]
    end = offsets[-1]
    marks = np.empty(((end - base) >> 6) + 2, np.uint64)
    at = base
    block = 0
    before = np.uint64(0)
    while at < end:
        size = min(end - at, 64)
        if size == 64:  # a loop of known length
            bits, before = _ascii_marks(data, at, 64, near.ascii, before)
        else:
            bits, before = _ascii_marks(data, at, size, near.ascii, before)
        marks[block] = bits
        block += 1
        at += size
    marks[block:] = 0
    plain = True
    for row in range(len(offsets) - 1):
        start = offsets[row]
        stop = offsets[row + 1]
        if start < stop:
            plain &= _above_ascii(data, start, stop, base, near, marks)
            marks[(start - base) >> 6] |= _ONE << np.uint64((start - base) & 63)
            if len(fixed.after) > 1:
                _around_fixed(data, start, stop, base, fixed, marks)
    marks[(end - base) >> 6] |= _ONE << np.uint64((end - base) & 63)
    return marks, plain
