# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""datatrove's repeated n-grams: equal when their words, put together, are the same string; n from 5 to 10.

A string is looked up by a sum that is the same however it is cut into words: the string as a number modulo 2^61 - 1, by
differences of sums over the row. Strings with the same sum are compared byte by byte. Words after which the text is
found nowhere else in the row are left out.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from curate.text.swar import load, quick_hash, same, write64
from curate.text.utf8 import read64

__all__ = ["DEEPEST", "LAST", "glued_ngrams", "table_mask"]

LAST: Final = 10
"""Words in the longest n-gram."""
DEEPEST: Final = 32
"""Bytes up to which it is found out whether what stands from a word on stands from another one on, too."""
_STEP: Final = 16
_NEVER: Final = 1 << 30
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_PRIME: Final = np.uint64((1 << 61) - 1)
_TURN: Final = 61
"""Bytes after which a byte counts the same in a sum again: 256^61 is 1 modulo 2^61 - 1. Longer strings are hashed."""


@njit(nogil=True, cache=True)
def table_mask(size):
    """One less than the size of a table for that many names."""
    mask = np.int64(15)
    while mask + 1 < 2 * size:
        mask = 2 * mask + 1
    return mask


@njit(nogil=True, cache=True, inline="always")
def _reduced(x):
    """A number modulo 2^61 - 1 (which itself may stand for 0)."""
    return (x & _PRIME) + (x >> np.uint64(_TURN))


@njit(nogil=True, cache=True, inline="always")
def _shifted(x, places):
    """The product of x and 256^places modulo 2^61 - 1, which is a turn of its 61 bits; x is at most 2^61 - 1."""
    bits = np.uint64((8 * places) % _TURN)
    return ((x << bits) & _PRIME) | (x >> (np.uint64(_TURN) - bits))


@njit(nogil=True, cache=True)
def _glue(data, base, starts, stops, stream, edges, sums):
    """A row's words, put together, into ``stream``; word i begins at ``edges[i]``, ``sums[i]`` is of all before it."""
    at = np.int64(0)
    total = np.uint64(0)
    for i in range(len(starts)):
        edges[i] = at
        sums[i] = total
        start = base + np.int64(starts[i])
        stop = base + np.int64(stops[i])
        while start < stop:
            x = load(data, start, stop)
            write64(stream, at, x)
            total = _reduced(total + _shifted(_reduced(_reduced(x)), at))
            size = min(stop - start, 8)
            at += size
            start += size
    edges[len(starts)] = at
    sums[len(starts)] = total
    stream[at : at + DEEPEST + 8] = 0


@njit(nogil=True, cache=True)
def _alone(stream, edges, words, tallies, near, far, alone, places):
    """Places whose 5-gram may have an equal: how many. ``alone[i]``: how many bytes from word i on are found from no other word on, in steps; an n-gram that is at
    least as long has no equal. _NEVER if more than DEEPEST may be common: counted by hashes, without comparison.
    """
    mask = np.uint64(4 * table_mask(words) + 3)
    close, deep = tallies[0], tallies[1]
    close[: mask + np.uint64(1)] = 0
    deep[: mask + np.uint64(1)] = 0
    half = np.uint64(32)
    for i in range(words):
        at = np.int64(edges[i])
        mixed = (read64(stream, at) * _FACTOR + read64(stream, at + 8)) * _FACTOR
        one = np.int64((mixed >> half) & mask)
        mixed = ((mixed ^ (mixed >> half)) * _FACTOR + read64(stream, at + 16)) * _FACTOR
        mixed = ((mixed ^ (mixed >> half)) + read64(stream, at + 24)) * _FACTOR
        two = np.int64((mixed >> half) & mask)
        near[i], far[i] = one, two
        close[one] = (close[one] << 1) | 1
        deep[two] = (deep[two] << 1) | 1
    kept = 0
    for i in range(words - 4):
        reach = _NEVER if deep[far[i]] > 1 else DEEPEST
        reach = reach if close[near[i]] > 1 else _STEP
        alone[i] = reach
        places[kept] = i
        kept += edges[i + 5] - edges[i] < reach
    return kept


@njit(nogil=True, cache=True)
def _not_alone(places, edges, alone, size, n):
    """Keep the places whose n-gram may have an equal: how many."""
    kept = np.uint32(0)
    for c in range(size):
        at = np.uint32(places[c])
        places[kept] = at
        kept += np.uint32(edges[at + np.uint32(n)] - edges[at] < alone[at])
    return np.int64(kept)


@njit(nogil=True, cache=True)
def _skipping(stream, edges, sums, candidates, size, n, ends, table, mark, held, keys):
    """(characters of n-grams that occurred before, n-grams held): datatrove's ``find_all_duplicate``.

    Only n-grams of candidates, words in order, are looked up: all others have no equal. ``held`` gets those in the
    table, and ``keys`` what they are looked up by.
    """
    mask = table_mask(size)
    total = np.int64(0)
    count = 0
    c = 0
    while c < size:
        at = candidates[c]
        start = np.int64(edges[at])
        length = np.int64(edges[at + n]) - start
        if length <= _TURN:
            # Both sums are at most 2^61 - 1: the difference is, too, and turned back to where the string begins.
            key = _shifted(_reduced(sums[at + n] + _PRIME - sums[at]), _TURN - start % _TURN) % _PRIME
        else:
            key = quick_hash(stream, start, start + length)
        slot = np.int64((key * _FACTOR) >> np.uint64(32)) & mask
        while True:
            entry = np.int64(table[slot])
            if entry < mark:
                table[slot] = mark + count
                held[count] = at
                keys[count] = key
                count += 1
                c += 1
                break
            found = entry - mark
            if keys[found] == key:
                begin = np.int64(edges[held[found]])
                other = np.int64(edges[held[found] + n]) - begin
                if other == length and same(stream, start, begin, length):
                    total += ends[at + n] - ends[at]
                    # On to the first candidate behind: it is at most n further.
                    c = min(c + n, size)
                    while candidates[c - 1] >= at + n:
                        c -= 1
                    break
            slot = (slot + 1) & mask
    return total, count


@njit(nogil=True, cache=True)
def glued_ngrams(
    data, base, starts, stops, ends, table, mark, places, held, counts, keys, sums, alone, tallies, stream, edges, out
):
    """Fill ``out[n - 2]`` for n = 5 to 10 with the characters of repeated n-grams; returns the table's next mark.

    ``starts``, ``stops``, ``ends`` are the row's own; ``table`` and what follows it is room, see ``repetition``.
    """
    words = len(starts)
    if words <= 5:
        return mark
    _glue(data, base, starts, stops, stream, edges, sums)
    size = _alone(stream, edges, words, tallies, held, counts, alone, places)
    for n in range(5, LAST + 1):
        while size and places[size - 1] + n > words:
            size -= 1
        if n > 5:
            size = _not_alone(places, edges, alone, size, n)
        total, count = _skipping(stream, edges, sums, places, size, n, ends, table, mark, held, keys)
        out[n - 2] = total
        mark += count
    return mark
