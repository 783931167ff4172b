# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Byte-pair merges: of all pairs of neighbours the one of the least rank becomes one symbol, the leftmost of equals, till none can.

A symbol is an id, or a character that has none: CHARACTER with its code point, or a byte of no valid UTF-8 with INVALID.
SentencePiece merges two symbols whose texts together are a piece, however they came about; a rank is the place of that
piece's score. tiktoken does the same with ids as ranks; Hugging Face ``tokenizers`` merges the pairs of a list, a rank
being a place in it. All three are one table of pairs.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.fixed_strings import Fixed
from curate.text.utf8 import decode

__all__ = ["CHARACTER", "INVALID", "POINTS", "SHORT", "Symbols", "merge", "pair_table", "symbols_of"]

POINTS: Final = 0x110000
CHARACTER: Final = 1 << 31
INVALID: Final = 1 << 21
SHORT: Final = 40
"""Symbols up to which every merge looks at all pairs, which is quickest for few; a heap is for more."""
_LOW: Final = np.uint64(0xFFFFFFFF)
_HALF: Final = np.uint64(32)
_NONE: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_NO_RANK: Final = np.uint64(0xFFFFFFFF)
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_CHARACTER: Final = np.uint32(CHARACTER)

Table = npt.NDArray[np.uint64]


class Symbols(NamedTuple):
    """What kernels know of a model.

    Attributes:
        of_point: uint32[0x110000]: 1 + the id of each character (of each byte, where ``byte_level``); 0: it has none.
        of_byte: uint32[256]: id of each byte of a character without an id.
        byte_level: texts are bytes, not characters.
        pairs: uint64[n, 2], n a power of two: see ``pair_table``.
        fixed: strings that are one id, whatever merges would give.
    """

    of_point: npt.NDArray[np.uint32]
    of_byte: npt.NDArray[np.uint32]
    byte_level: bool
    pairs: Table
    fixed: Fixed


@njit(nogil=True, cache=True)
def _insert(table, keys, values):
    """Put keys, none twice, into an empty table."""
    mask = np.uint64(len(table) - 1)
    for i in range(len(keys)):
        at = _place(keys[i], mask)
        while table[at, 0] != _NONE:
            at = (at + np.uint64(1)) & mask
        table[at, 0] = keys[i]
        table[at, 1] = values[i]


@njit(nogil=True, cache=True, inline="always")
def _place(key, mask):
    key = (key ^ (key >> np.uint64(29))) * _FACTOR
    return (key >> np.uint64(31)) & mask


def pair_table(left: npt.NDArray[Any], right: npt.NDArray[Any], rank: npt.NDArray[Any], to: npt.NDArray[Any]) -> Table:
    """uint64[n, 2]: (left symbol, right symbol) and (rank, id that they become), each number in 32 bits.

    A pair that is given twice has the least rank of the two.
    """
    keys = (np.asarray(left, np.uint64) << _HALF) | np.asarray(right, np.uint64)
    values = (np.asarray(rank, np.uint64) << _HALF) | np.asarray(to, np.uint64)
    order = np.lexsort((values, keys))
    keys, values = keys[order], values[order]
    first = np.ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    table = np.full((1 << max(4, int(2 * first.sum()).bit_length()), 2), _NONE)
    _insert(table, keys[first], values[first])
    return table


@njit(nogil=True, cache=True, inline="always")
def _merged(table, left, right):
    """(rank, id) of a pair in one number; all ones: it does not merge."""
    key = (np.uint64(left) << _HALF) | np.uint64(right)
    mask = np.uint64(len(table) - 1)
    at = _place(key, mask)
    while True:
        found = table[at, 0]
        if found == key:
            return table[at, 1]
        if found == _NONE:
            return _NONE
        at = (at + np.uint64(1)) & mask


@njit(nogil=True, cache=True)
def symbols_of(data, start, stop, model, out):
    """Write the symbols of ``data[start:stop]`` to ``out`` (uint32, room for one a byte); how many."""
    count = 0
    if model.byte_level:
        for i in range(start, stop):
            out[count] = model.of_point[data[i]] - np.uint32(1)
            count += 1
        return count
    while start < stop:
        point = np.int64(data[start])
        width = 1
        if point >= 128:
            point, width = decode(data, start, stop)
            if point < 0:
                point = INVALID | np.int64(data[start])
        known = model.of_point[point] if point < INVALID else np.uint32(0)
        out[count] = known - np.uint32(1) if known else np.uint32(CHARACTER | point)
        count += 1
        start += width
    return count


@njit(nogil=True, cache=True)
def merge(symbols, count, values, model):
    """Merge ``symbols[:count]`` in place; how many are left. ``values``: uint64[>= SHORT] to work in."""
    if count > SHORT:
        return _merge_many(symbols, count, model.pairs)
    pairs = model.pairs
    for i in range(count - 1):
        values[i] = _merged(pairs, symbols[i], symbols[i + 1])
    while count > 1:
        best = _NO_RANK
        where = -1
        for i in range(count - 1):
            rank = values[i] >> _HALF
            if rank < best:
                best = rank
                where = i
        if where < 0:
            break
        symbols[where] = np.uint32(values[where] & _LOW)
        count -= 1
        for i in range(where + 1, count):
            symbols[i] = symbols[i + 1]
            values[i - 1] = values[i]
        if where:
            values[where - 1] = _merged(pairs, symbols[where - 1], symbols[where])
        if where < count - 1:
            values[where] = _merged(pairs, symbols[where], symbols[where + 1])
    return count


@njit(nogil=True, cache=True)
def _down(heap, size, at):
    """Let the number at ``at`` sink to its place."""
    value = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = value


@njit(nogil=True, cache=True)
def _push(heap, size, value):
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if heap[parent] <= value:
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = value
    return size + 1


@njit(nogil=True, cache=True)
def _merge_many(symbols, count, pairs):
    """The same with a heap of (rank, place): n log n for n symbols, 32 bytes each.

    What the heap holds of a pair that is no more is told by the pair's rank now.
    """
    values, after, before = np.empty(count, np.uint64), np.empty(count, np.int32), np.empty(count, np.int32)
    for i in range(count):
        values[i], after[i], before[i] = _NONE, i + 1, i - 1
    heap = np.empty(2 * count, np.uint64)  # a merge takes one number out, and puts at most two in
    size = np.int64(0)
    for i in range(count - 1):
        values[i] = _merged(pairs, symbols[i], symbols[i + 1])
        if values[i] != _NONE:
            heap[size] = (values[i] & ~_LOW) | np.uint64(i)
            size += 1
    for i in range(size // 2 - 1, -1, -1):
        _down(heap, size, i)
    while size:
        top = heap[0]
        size -= 1
        if size:
            heap[0] = heap[size]
            _down(heap, size, np.int64(0))
        where = np.int64(top & _LOW)
        if values[where] >> _HALF != top >> _HALF:
            continue
        gone = after[where]
        symbols[where] = np.uint32(values[where] & _LOW)
        values[gone] = _NONE
        after[where] = after[gone]
        values[where] = _NONE
        if after[gone] < count:
            before[after[gone]] = where
            values[where] = _merged(pairs, symbols[where], symbols[after[gone]])
            if values[where] != _NONE:
                size = _push(heap, size, (values[where] & ~_LOW) | np.uint64(where))
        left = before[where]
        if left >= 0:
            values[left] = _merged(pairs, symbols[left], symbols[where])
            if values[left] != _NONE:
                size = _push(heap, size, (values[left] & ~_LOW) | np.uint64(left))
    kept = 0
    at = 0
    while at < count:
        symbols[kept] = symbols[at]
        kept += 1
        at = after[at]
    return kept
