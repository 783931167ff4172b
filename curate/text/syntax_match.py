# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Which known sequences of symbols are nearly those of a function: candidates by shared grams, then the edit distance."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit

from curate.text.hashing import mix64
from curate.text.ngrams import BASE
from curate.text.syntax_lexemes import inner

__all__ = ["GRAM", "Bodies", "Known", "found_matches", "known_keys", "slots_of"]

GRAM: Final = 3
"""Symbols of a gram. With edits of up to a fifth of a sequence two fifths of its trigrams are still there at least, less two:
every edit takes three. Of grams of five none need be left."""


class Bodies(NamedTuple):
    """Bodies of functions.

    Attributes:
        spans: int64[f, 6]; of each its first symbol and the end, its first statement and the end, its depth, and the
            symbols of its statements in all.
        symbols: uint32[t].
        statements, depths, sizes: uint64[s], int64[s], int64[s]; see ``syntax.Functions``.
    """

    spans: np.ndarray
    symbols: np.ndarray
    statements: np.ndarray
    depths: np.ndarray
    sizes: np.ndarray


class Known(NamedTuple):
    """Known sequences of symbols, sorted by length; see ``syntax.TreeIndex``.

    Attributes:
        lengths, weights: int64[m]; symbols of each, and of its statements.
        symbols_at: int64[m + 1]; symbols: uint32[t].
        table: uint64[2^j]; numbers: int64[2^j]; see ``slots_of``.
        postings_at: int64[k + 1]; postings: int64[p]; which sequences have the key i, in order.
    """

    lengths: np.ndarray
    weights: np.ndarray
    symbols_at: np.ndarray
    symbols: np.ndarray
    table: np.ndarray
    numbers: np.ndarray
    postings_at: np.ndarray
    postings: np.ndarray


class _Counts(NamedTuple):
    """A table of how often each key came, never full: ``keys`` uint64[2^j], ``stamps`` and ``counts`` int64[2^j]."""

    keys: np.ndarray
    stamps: np.ndarray
    counts: np.ndarray


class _Room(NamedTuple):
    """Room for the matches of one function.

    Attributes:
        keys: uint64[k]; the function's keys.
        grams, common: int64[m]; by sequence, how many grams it has in common with the function, and how many symbols in
            statements; zero between functions. touched: int64[m]; where they are not.
        rows: int64[2, k]; for ``distance``.
        found: int64[m, 2], rates: float64[m]; the matches: sequence, edit distance or -1; match rate.
    """

    keys: np.ndarray
    grams: np.ndarray
    common: np.ndarray
    touched: np.ndarray
    rows: np.ndarray
    found: np.ndarray
    rates: np.ndarray


@njit(nogil=True, cache=True)
def _counts(symbols):
    """A table for the keys of a sequence with so many symbols: at most half of it is ever used."""
    size = 64
    while size < 4 * symbols:
        size *= 2
    return _Counts(np.empty(size, np.uint64), np.full(size, -1, np.int64), np.zeros(size, np.int64))


@inner
def _nth(key, stamp, table):
    """How often the key has come under this stamp before."""
    mask = np.uint64(len(table.keys) - 1)
    slot = mix64(key) & mask
    while table.stamps[slot] == stamp:
        if table.keys[slot] == key:
            table.counts[slot] += 1
            return table.counts[slot]
        slot = (slot + np.uint64(1)) & mask
    table.stamps[slot] = stamp
    table.keys[slot] = key
    table.counts[slot] = 0
    return 0


@njit(nogil=True, cache=True, inline="always")
def _keyed(value, nth):
    return mix64(value + np.uint64(nth) * np.uint64(0x9E3779B97F4A7C15))


@inner
def _keys(symbols, first, last, hashes, depths, begin, end, depth, stamp, table, out):
    """Keys of a function's grams, and behind them those of its statements, into ``out``; returns how many of each.

    The second of two equal ones has another key, so that keys in common count as those of multisets do. A statement's has
    its depth below the function's in it.
    """
    grams = max(0, last - first - GRAM + 1)
    for i in range(grams):
        value = np.uint64(0)
        for j in range(GRAM):
            value = value * BASE + np.uint64(symbols[first + i + j]) + np.uint64(1)
        out[i] = _keyed(value, _nth(value, stamp, table))
    for i in range(end - begin):
        value = mix64(hashes[begin + i] + np.uint64(depths[begin + i] - depth + 1) * BASE)
        out[grams + i] = _keyed(value, _nth(value, stamp, table))
    return grams, end - begin


@inner
def distance(a, first, last, b, begin, end, most, room):
    """Edit distance of ``a[first:last]`` and ``b[begin:end]``, or ``most + 1`` where it is more than ``most``.

    Insertions, deletions and replacements of one symbol (Levenshtein), in a band of ``2 most + 1`` (Ukkonen 1985). room:
    int64[2, k], k above either length.
    """
    while first < last and begin < end and a[first] == b[begin]:
        first += 1
        begin += 1
    while first < last and begin < end and a[last - 1] == b[end - 1]:
        last -= 1
        end -= 1
    n = last - first
    m = end - begin
    if abs(n - m) > most:
        return most + 1
    far = most + 1
    old, new = 0, 1
    for j in range(min(m, most) + 1):
        room[old, j] = j
    if most + 1 <= m:
        room[old, most + 1] = far
    for i in range(1, n + 1):
        low = max(1, i - most)
        high = min(m, i + most)
        room[new, low - 1] = i if low == 1 else far
        least = room[new, low - 1]
        symbol = a[first + i - 1]
        for j in range(low, high + 1):
            best = room[old, j - 1] + (symbol != b[begin + j - 1])
            best = min(best, room[new, j - 1] + 1)
            if j < i + most:
                best = min(best, room[old, j] + 1)
            room[new, j] = best
            least = min(least, best)
        if least > most:
            return far
        if high + 1 <= m:
            room[new, high + 1] = far
        old, new = new, old
    return min(room[old, m], far)


@inner
def _from(values, low, high, least):
    """The first of ``values[low:high]``, sorted, that is at least ``least``."""
    while low < high:
        middle = (low + high) // 2
        if values[middle] < least:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True)
def known_keys(symbols_at, symbols, statements_at, hashes, depths):
    """(keys uint64[k], whose int64[k], in order): those of sequences of symbols, and of statements with their depth."""
    count = len(symbols_at) - 1
    longest = np.int64(0)
    for one in range(count):
        longest = max(longest, symbols_at[one + 1] - symbols_at[one] + statements_at[one + 1] - statements_at[one])
    table = _counts(longest)
    room = np.empty(longest + 1, np.uint64)
    keys = np.empty(len(symbols) + len(hashes), np.uint64)
    whose = np.empty(len(keys), np.int64)
    filled = 0
    for one in range(count):
        many, more = _keys(
            symbols, symbols_at[one], symbols_at[one + 1], hashes, depths, statements_at[one], statements_at[one + 1],
            np.int64(0), one, table, room,
        )  # fmt: skip
        for i in range(many + more):
            keys[filled] = room[i]
            whose[filled] = one
            filled += 1
    return keys[:filled], whose[:filled]


@njit(nogil=True, cache=True)
def slots_of(keys):
    """(table uint64[2^j], numbers int64[2^j]) of distinct keys: open addressing by the low bits, at most half full; a key's
    number is its place among them, -1 stands in an empty slot."""
    size = 64
    while size < 2 * len(keys):
        size *= 2
    table = np.zeros(size, np.uint64)
    numbers = np.full(size, -1, np.int64)
    for i in range(len(keys)):
        slot = keys[i] & np.uint64(size - 1)
        while numbers[slot] >= 0:
            slot = (slot + np.uint64(1)) & np.uint64(size - 1)
        table[slot] = keys[i]
        numbers[slot] = i
    return table, numbers


@inner
def _reached(f, span, bodies, known, low, high, seen, room):
    """Count what one function has in common with the known sequences ``low:high``; how many of them, in ``room.touched``."""
    first, last, begin, end, depth, _ = span
    many, more = _keys(
        bodies.symbols, first, last, bodies.statements, bodies.depths, begin, end, depth, f, seen, room.keys
    )  # fmt: skip
    mask = np.uint64(len(known.table) - 1)
    reached = 0
    for k in range(many + more):
        slot = room.keys[k] & mask
        while known.numbers[slot] >= 0 and known.table[slot] != room.keys[k]:
            slot = (slot + np.uint64(1)) & mask
        number = known.numbers[slot]
        if number < 0:
            continue
        stop = known.postings_at[number + 1]
        at = _from(known.postings, known.postings_at[number], stop, low)
        while at < stop and known.postings[at] < high:
            one = known.postings[at]
            if room.grams[one] == 0 and room.common[one] == 0:
                room.touched[reached] = one
                reached += 1
            if k < many:
                room.grams[one] += 1
            else:
                room.common[one] += bodies.sizes[begin + k - many]
            at += 1
    return reached


@inner
def _matches_of(f, bodies, known, least, seen, room):
    """Matches of one function into ``room.found`` and ``room.rates``; how many."""
    span = bodies.spans[f]
    first, last, weight = span[0], span[1], span[5]
    n = last - first
    low = _from(known.lengths, 0, len(known.lengths), np.int64(np.ceil(n * least - 1e-9)))
    high = _from(known.lengths, low, len(known.lengths), np.int64(np.floor(n / least + 1e-9)) + 1)
    if low == high:
        return 0
    filled = 0
    for one in room.touched[: _reached(f, span, bodies, known, low, high, seen, room)]:
        length = max(n, known.lengths[one])
        most = np.int64(np.floor((1.0 - least) * length + 1e-9))
        rate = room.common[one] / max(weight, known.weights[one])
        edits = -1
        if room.grams[one] >= length - GRAM + 1 - GRAM * most:
            begin, end = known.symbols_at[one], known.symbols_at[one + 1]
            edits = distance(bodies.symbols, first, last, known.symbols, begin, end, most, room.rows)
            if edits > most:
                edits = -1
            else:
                rate = max(rate, 1.0 - edits / length)
        room.grams[one] = room.common[one] = 0
        if rate >= least - 1e-12:
            room.found[filled, 0] = one
            room.found[filled, 1] = edits
            room.rates[filled] = rate
            filled += 1
    return filled


@njit(nogil=True, cache=True)
def found_matches(bodies, known, least):
    """(int64[m, 3] of function, known sequence, edit distance or -1; float64[m] match rates): pairs from ``least`` on."""
    total = len(known.lengths)
    pairs, rates = np.empty((64, 3), np.int64), np.empty(64, np.float64)
    filled = 0
    if total == 0:
        return pairs[:0], rates[:0]
    longest = np.int64(np.floor(known.lengths[total - 1] / least))
    shortest = np.int64(np.ceil(known.lengths[0] * least))
    seen = _counts(2 * longest)
    room = _Room(
        np.empty(2 * longest + 2, np.uint64),
        np.zeros(total, np.int64),
        np.zeros(total, np.int64),
        np.empty(total, np.int64),
        np.empty((2, longest + 2), np.int64),
        np.empty((total, 2), np.int64),
        np.empty(total, np.float64),
    )
    for f in range(len(bodies.spans)):
        n = bodies.spans[f, 1] - bodies.spans[f, 0]
        # A statement has a symbol at least; a body whose statements were all left out has none.
        if n < shortest or n > longest or n == 0:
            continue
        many = _matches_of(f, bodies, known, least, seen, room)
        if filled + many > len(pairs):
            more = max(2 * len(pairs), filled + many)
            wider, longer = np.empty((more, 3), np.int64), np.empty(more, np.float64)
            for i in range(filled):
                wider[i, 0], wider[i, 1], wider[i, 2] = pairs[i, 0], pairs[i, 1], pairs[i, 2]
                longer[i] = rates[i]
            pairs, rates = wider, longer
        for i in range(many):
            pairs[filled, 0], pairs[filled, 1], pairs[filled, 2] = f, room.found[i, 0], room.found[i, 1]
            rates[filled] = room.rates[i]
            filled += 1
    return pairs[:filled], rates[:filled]
