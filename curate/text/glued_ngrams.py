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

from curate.text.hashing import table_mask
from curate.text.swar import load, quick_hash, same, write64
from curate.text.utf8 import read64

__all__ = ["DEEPEST", "LAST", "glued_ngrams"]

LAST: Final = 10
"""Words in the longest n-gram."""
DEEPEST: Final = 32
"""Bytes up to which it is found out whether what stands from a word on stands from another one on, too."""
_STEP: Final = 16
_NEVER: Final = 1 << 30
_PATIENCE: Final = 64
"""Different strings of one key that are compared in a row for one n, before other keys are taken."""
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_PRIME: Final = np.uint64((1 << 61) - 1)
_TURN: Final = 61
"""Bytes after which a byte counts the same in a sum again: 256^61 is 1 modulo 2^61 - 1."""


@njit(nogil=True, cache=True, inline="always")
def _reduced(x):
    """A number modulo 2^61 - 1 (which itself may stand for 0)."""
    return (x & _PRIME) + (x >> np.uint64(_TURN))


@njit(nogil=True, cache=True, inline="always")
def _turned(x, bits):
    """The product of x and 2^bits modulo 2^61 - 1, which is a turn of its 61 bits; x is at most 2^61 - 1, bits below 61."""
    return ((x << np.uint64(bits)) & _PRIME) | (x >> np.uint64(_TURN - bits))


@njit(nogil=True, cache=True, _nrt=False)
def _glue(data, base, starts, stops, stream, edges, sums, turns):
    """A row's words, put together, into ``stream``; word i begins at ``edges[i]``, ``sums[i]`` is of all before it.

    ``turns[i]`` bits, turned, take a sum from where word i begins to the stream's beginning.
    """
    at = np.int64(0)
    total = np.uint64(0)
    bits = 0
    for i in range(len(starts)):
        edges[i] = at
        sums[i] = total
        turns[i] = _TURN - bits if bits else 0
        start = base + np.int64(starts[i])
        stop = base + np.int64(stops[i])
        while start < stop:
            x = load(data, start, stop)
            write64(stream, at, x)
            total = _reduced(total + _turned(_reduced(_reduced(x)), bits))
            size = min(stop - start, 8)
            at += size
            start += size
            bits += 8 * size
            bits -= _TURN if bits >= _TURN else 0
            bits -= _TURN if bits >= _TURN else 0
    edges[len(starts)] = at
    sums[len(starts)] = total
    stream[at : at + DEEPEST + 8] = 0


@njit(nogil=True, cache=True, _nrt=False)
def _alone(stream, edges, words, tallies, near, far, alone, places):
    """Places whose 5-gram may have an equal: how many.

    ``alone[i]``: how many bytes from word i on are found from no other word on, in steps; an n-gram that is at least as
    long has no equal. _NEVER if more than DEEPEST may be common: counted by hashes, without comparison.
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


@njit(nogil=True, cache=True, _nrt=False)
def _not_alone(places, edges, alone, size, n):
    """Keep the places whose n-gram may have an equal: how many."""
    kept = np.uint32(0)
    for c in range(size):
        at = np.uint32(places[c])
        places[kept] = at
        kept += np.uint32(edges[at + np.uint32(n)] - edges[at] < alone[at])
    return np.int64(kept)


@njit(nogil=True, cache=True, inline="always")
def _place(key, mask):
    """Where a key belongs in a table."""
    return np.int64((key * _FACTOR) >> np.uint64(32)) & mask


@njit(nogil=True, cache=True, _nrt=False)
def _again(sums, turns, candidates, size, n, tally, again, keys):
    """Candidates whose n-gram has an equal one, or one of the same place in the tally: how many.

    ``again`` gets them and ``keys`` what they are looked up by. Counted by places first, without branches: most have none.
    """
    mask = 4 * table_mask(size) + 3
    tally[: mask + 1] = 0
    for c in range(size):
        at = np.uint32(candidates[c])
        # Both sums are at most 2^61 - 1: the difference is, too, and turned back to where the string begins.
        key = _turned(_reduced(sums[at + np.uint32(n)] + _PRIME - sums[at]), turns[at])
        key = np.uint64(0) if key == _PRIME else key
        keys[c] = key
        place = _place(key, mask)
        tally[place] = (tally[place] << 1) | 1
    kept = 0
    for c in range(size):
        key = keys[c]
        again[kept] = candidates[c]
        keys[kept] = key
        kept += tally[_place(key, mask)] > 1
    return kept


@njit(nogil=True, cache=True, _nrt=False)
def _skipping(stream, edges, candidates, size, n, ends, table, mark, held, keys, patience):
    """(characters of n-grams that occurred before, n-grams held): datatrove's ``find_all_duplicate``.

    -1 characters when more than ``patience`` comparisons found different strings with one key.

    Only n-grams of candidates, words in order, are looked up by their ``keys``: all others have no equal. ``held`` gets
    those in the table, and the first of ``keys`` are theirs then.
    """
    mask = table_mask(size)
    total = np.int64(0)
    count = 0
    c = 0
    while c < size:
        at = candidates[c]
        start = np.int64(edges[at])
        length = np.int64(edges[at + n]) - start
        key = keys[c]
        slot = _place(key, mask)
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
                patience -= 1
                if patience < 0:
                    return np.int64(-1), count
            slot = (slot + 1) & mask
    return total, count


@njit(nogil=True, cache=True, _nrt=False)
def glued_ngrams(
    data,
    base,
    seed,
    starts,
    stops,
    ends,
    table,
    mark,
    places,
    held,
    counts,
    keys,
    sums,
    turns,
    alone,
    tallies,
    stream,
    edges,
    out,
):
    """Fill ``out[n - 2]`` for n = 5 to 10 with the characters of repeated n-grams; returns the table's next mark.

    ``starts``, ``stops``, ``ends`` are the row's own; ``table`` and what follows it is room, see ``repetition``.
    """
    words = len(starts)
    if words <= 5:
        return mark
    _glue(data, base, starts, stops, stream, edges, sums, turns)
    size = _alone(stream, edges, words, tallies, held, counts, alone, places)
    for n in range(5, LAST + 1):
        while size and places[size - 1] + n > words:
            size -= 1
        if n > 5:
            size = _not_alone(places, edges, alone, size, n)
        some = _again(sums, turns, places, size, n, tallies[0], counts, keys)
        total, count = _skipping(stream, edges, counts, some, n, ends, table, mark, held, keys, np.int64(_PATIENCE))
        mark += count
        if total < 0:
            # Made to have equal sums: the bytes are hashed instead.
            for c in range(some):
                at = counts[c]
                keys[c] = quick_hash(stream, np.int64(edges[at]), np.int64(edges[at + n]), seed)
            total, count = _skipping(stream, edges, counts, some, n, ends, table, mark, held, keys, np.int64(1) << 40)
            mark += count
        out[n - 2] = total
    return mark
