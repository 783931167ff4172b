# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Which known sequences of symbols are nearly those of a function: candidates by shared grams, then the edit distance."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from curate.text.hashing import mix64
from curate.text.ngrams import BASE
from curate.text.syntax_lexemes import inner

__all__ = ["GRAM", "distance", "found_matches", "known_keys", "slots_of"]

GRAM: Final = 3
"""Symbols of a gram. With edits of up to a fifth of a sequence two fifths of its trigrams are still there at least, less two:
every edit takes three. Of grams of five none need be left."""


@inner
def _nth(key, stamp, seen, stamps, counts):
    """How often the key has come under this stamp before; a table of ``len(seen)`` slots that is never full."""
    mask = np.uint64(len(seen) - 1)
    slot = mix64(key) & mask
    while stamps[slot] == stamp:
        if seen[slot] == key:
            counts[slot] += 1
            return counts[slot]
        slot = (slot + np.uint64(1)) & mask
    stamps[slot] = stamp
    seen[slot] = key
    counts[slot] = 0
    return 0


@njit(nogil=True, cache=True, inline="always")
def _keyed(value, nth):
    return mix64(value + np.uint64(nth) * np.uint64(0x9E3779B97F4A7C15))


@inner
def _keys(symbols, first, last, hashes, depths, begin, end, depth, stamp, seen, stamps, counts, out):
    """Keys of a function's grams, and behind them those of its statements, into ``out``; returns how many of each.

    The second of two equal ones has another key, so that keys in common count as those of multisets do. A statement's has
    its depth below the function's in it.
    """
    grams = max(0, last - first - GRAM + 1)
    for i in range(grams):
        value = np.uint64(0)
        for j in range(GRAM):
            value = value * BASE + np.uint64(symbols[first + i + j]) + np.uint64(1)
        out[i] = _keyed(value, _nth(value, stamp, seen, stamps, counts))
    for i in range(end - begin):
        value = mix64(hashes[begin + i] + np.uint64(depths[begin + i] - depth + 1) * BASE)
        out[grams + i] = _keyed(value, _nth(value, stamp, seen, stamps, counts))
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


@inner
def _room(symbols):
    """Slots for the keys of a sequence with so many symbols: a power of 2, at most half of them ever used."""
    size = 64
    while size < 4 * symbols:
        size *= 2
    return size


@njit(nogil=True, cache=True)
def known_keys(symbols_at, symbols, statements_at, hashes, depths):
    """(keys uint64[k], whose int64[k], in order): those of sequences of symbols, and of statements with their depth."""
    count = len(symbols_at) - 1
    longest = 0
    for one in range(count):
        longest = max(longest, symbols_at[one + 1] - symbols_at[one] + statements_at[one + 1] - statements_at[one])
    size = _room(longest)
    seen, stamps, counts = np.empty(size, np.uint64), np.full(size, -1, np.int64), np.zeros(size, np.int64)
    room = np.empty(longest + 1, np.uint64)
    keys = np.empty(len(symbols) + len(hashes), np.uint64)
    whose = np.empty(len(keys), np.int64)
    filled = 0
    for one in range(count):
        many, more = _keys(
            symbols, symbols_at[one], symbols_at[one + 1], hashes, depths, statements_at[one], statements_at[one + 1], 0,
            one, seen, stamps, counts, room,
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
def _matches_of(
    f, span, symbols, hashes, depths, sizes, least, lengths, weights, known_at, known,
    table, numbers, postings_at, postings, seen, stamps, counts, keys, grams, common, touched, room, found, rates,
):  # fmt: skip
    """Matches of one function into ``found``, int64[m, 2]: (sequence, edit distance or -1), and ``rates``; how many."""
    first, last, begin, end, depth, weight = span
    n = last - first
    low = _from(lengths, 0, len(lengths), np.int64(np.ceil(n * least - 1e-9)))
    high = _from(lengths, low, len(lengths), np.int64(np.floor(n / least + 1e-9)) + 1)
    if low == high:
        return 0
    many, more = _keys(symbols, first, last, hashes, depths, begin, end, depth, f, seen, stamps, counts, keys)
    mask = np.uint64(len(table) - 1)
    reached = 0
    for k in range(many + more):
        slot = keys[k] & mask
        while numbers[slot] >= 0 and table[slot] != keys[k]:
            slot = (slot + np.uint64(1)) & mask
        number = numbers[slot]
        if number < 0:
            continue
        stop = postings_at[number + 1]
        at = _from(postings, postings_at[number], stop, low)
        while at < stop and postings[at] < high:
            one = postings[at]
            if grams[one] == 0 and common[one] == 0:
                touched[reached] = one
                reached += 1
            if k < many:
                grams[one] += 1
            else:
                common[one] += sizes[begin + k - many]
            at += 1
    filled = 0
    for k in range(reached):
        one = touched[k]
        length = max(n, lengths[one])
        most = np.int64(np.floor((1.0 - least) * length + 1e-9))
        rate = common[one] / max(weight, weights[one])
        edits = -1
        if grams[one] >= length - GRAM + 1 - GRAM * most:
            edits = distance(symbols, first, last, known, known_at[one], known_at[one + 1], most, room)
            if edits > most:
                edits = -1
            else:
                rate = max(rate, 1.0 - edits / length)
        grams[one] = 0
        common[one] = 0
        if rate >= least - 1e-12:
            found[filled, 0] = one
            found[filled, 1] = edits
            rates[filled] = rate
            filled += 1
    return filled


@njit(nogil=True, cache=True)
def found_matches(
    spans,
    symbols,
    hashes,
    depths,
    sizes,
    least,
    lengths,
    weights,
    known_at,
    known,
    table,
    numbers,
    postings_at,
    postings,
):
    """(int64[m, 3] of function, known sequence, edit distance or -1; float64[m] match rates): pairs from ``least`` on.

    spans, int64[f, 6]: for each function its first symbol and the end, its first statement and the end, its depth, and
    the symbols of its statements in all. Of the known sequences, sorted by length: their lengths int64[m], the symbols of
    their statements int64[m]; ``known[known_at[i]:known_at[i + 1]]``; a table of keys, see ``slots_of``; which sequences
    have the key i, in order: ``postings[postings_at[i]:postings_at[i + 1]]``.
    """
    total = len(lengths)
    pairs, all_rates = np.empty((64, 3), np.int64), np.empty(64, np.float64)
    filled = 0
    if total == 0:
        return pairs[:0], all_rates[:0]
    longest = np.int64(np.floor(lengths[total - 1] / least))
    shortest = np.int64(np.ceil(lengths[0] * least))
    size = _room(2 * longest)
    seen, stamps, counts = np.empty(size, np.uint64), np.full(size, -1, np.int64), np.zeros(size, np.int64)
    keys = np.empty(2 * longest + 2, np.uint64)
    grams, common, touched = np.zeros(total, np.int64), np.zeros(total, np.int64), np.empty(total, np.int64)
    room = np.empty((2, longest + 2), np.int64)
    found, rates = np.empty((total, 2), np.int64), np.empty(total, np.float64)
    for f in range(len(spans)):
        n = spans[f, 1] - spans[f, 0]
        # A statement has a symbol at least; a body whose statements were all left out has none.
        if n < shortest or n > longest or n == 0:
            continue
        many = _matches_of(
            f, spans[f], symbols, hashes, depths, sizes, least, lengths, weights, known_at, known,
            table, numbers, postings_at, postings, seen, stamps, counts, keys, grams, common, touched, room, found, rates,
        )  # fmt: skip
        if filled + many > len(pairs):
            more = max(2 * len(pairs), filled + many)
            wider, longer = np.empty((more, 3), np.int64), np.empty(more, np.float64)
            for i in range(filled):
                wider[i, 0], wider[i, 1], wider[i, 2] = pairs[i, 0], pairs[i, 1], pairs[i, 2]
                longer[i] = all_rates[i]
            pairs, all_rates = wider, longer
        for i in range(many):
            pairs[filled, 0], pairs[filled, 1], pairs[filled, 2] = f, found[i, 0], found[i, 1]
            all_rates[filled] = rates[i]
            filled += 1
    return pairs[:filled], all_rates[:filled]
