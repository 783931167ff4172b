# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Winnowing: few places of a text by which every long repeat of it is found, wherever in a corpus it stands.

After Schleimer, Wilkerson and Aiken, "Winnowing: Local Algorithms for Document Fingerprinting" (SIGMOD 2003). A text is a
row of symbols: bytes, or hashes of words. Each run of ``length`` symbols (a *window*) has ``spread`` k-grams, with
``k = length - spread + 1``. The k-gram of least hash, the last one of equals, is the window's *anchor*. It depends on
what stands in the window alone, so equal windows, in whatever texts, have anchors of one hash at the same place in
them: who compares texts around anchors of equal hashes finds every repeat of at least ``length`` symbols. Of random
symbols one in ``(spread + 1) / 2`` is an anchor.

Windows that repeat the text right before them (a row of dashes, a phrase over and over) would have an anchor each. They
are found while reading, by comparing symbols, and have none: what they repeat has one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.hashing import mix64, splitmix, xxh64
from curate.text.ngrams import BASE, power

__all__ = ["Anchors", "anchors", "contents", "matches"]

_SECOND: Final = np.uint64(0x9E3779B97F4A7C15)


_VALUES: Final = splitmix(0, 256)
"""What each byte counts in a hash."""


class Anchors(NamedTuple):
    """Anchors of n rows, in order; of row ``i`` those with ``rows == i``.

    Attributes:
        rows, at: int64[m]; the row, and the symbol of it at which the k-gram begins.
        starts, stops: int64[m]; the windows that it is the anchor of cover these symbols, the first and the last one of
            them begin at ``start`` and ``stop - length``.
        keys: uint64[m]; the k-gram's hash.
        runs: int64[r, 4]; row, start and stop of runs of which each window repeats an earlier one of the same run, and how
            many symbols before it that one begins.
    """

    rows: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint64]
    runs: npt.NDArray[np.int64]


@njit(nogil=True, cache=True, _nrt=False)
def _grams(symbols, values, first, stop, k, out):
    """Hash of every k-gram of a row."""
    top = power(k)
    hashed = np.uint64(0)
    for i in range(first, stop):
        hashed = hashed * BASE + (values[symbols[i]] if len(values) else np.uint64(symbols[i]))
        if i >= first + k:
            old = symbols[i - k]
            hashed -= top * (values[old] if len(values) else np.uint64(old))
        if i >= first + k - 1:
            out[i - first - k + 1] = mix64(hashed)


@njit(nogil=True, cache=True, _nrt=False)
def _least(grams, begin, end):
    """The last of the least of ``grams[begin:end]``."""
    best = begin
    for i in range(begin + 1, end):
        if grams[i] <= grams[best]:
            best = i
    return best


@njit(nogil=True, cache=True, _nrt=False)
def _run(symbols, first, stop, at, back):
    """The longest run around ``at`` of symbols that equal those ``back`` before them: start and stop, in the row."""
    begin = at
    while begin - back > first and symbols[begin - 1] == symbols[begin - 1 - back]:
        begin -= 1
    end = at
    while end < stop and symbols[end] == symbols[end - back]:
        end += 1
    return begin - first, end - first


@njit(nogil=True, cache=True)
def _grown(array):
    more = np.empty((2 * array.shape[0], array.shape[1]), array.dtype)
    for i in range(array.shape[0]):
        for j in range(array.shape[1]):
            more[i, j] = array[i, j]
    return more


@njit(nogil=True, cache=True, _nrt=False)
def _walk(symbols, grams, row, first, stop, length, spread, state, out, keys, found, runs, ran):
    """Write the anchors of one row, as long as there is room; returns how many anchors and runs there are then.

    ``state`` is where it goes on (in the row): the next window, the anchor so far, the first window that has it, the last
    window of a run, and of the run looked at last by how much it repeats, its start and its stop. The next window is -1
    when the row is done.
    """
    last = stop - first - length
    i, anchor, since, skip = state[0], state[1], state[2], state[3]
    back, begin, end = state[4], state[5], state[6]
    room = min(len(out) - found, 4 * (len(runs) - ran))
    while i <= last + 1 and room > 0:
        before = anchor
        if i > last or i <= skip:
            anchor = np.int64(-1)
        elif anchor < i:
            anchor = _least(grams, i, i + spread)
        else:
            new = i + spread - 1
            if grams[new] < grams[anchor]:
                anchor = new
            elif grams[new] == grams[anchor]:
                if new - anchor != back or new >= end:
                    back = new - anchor
                    begin, end = _run(symbols, first, stop, first + new, back)
                anchor = new
                if begin <= i and end - length >= i:
                    skip = end - length
                    anchor = np.int64(-1)
                    runs[ran, 0], runs[ran, 1], runs[ran, 2], runs[ran, 3] = row, i, end, back
                    ran += 1
                    room -= 4
        if anchor != before:
            if before >= 0:
                out[found, 0], out[found, 1], out[found, 2], out[found, 3] = row, before, since, i - 1 + length
                keys[found, 0] = grams[before]
                found += 1
                room -= 1
            since = i
        i = skip + 1 if i <= skip else i + 1
    state[0] = -1 if i > last + 1 else i
    state[1], state[2], state[3], state[4], state[5], state[6] = anchor, since, skip, back, begin, end
    return found, ran


@njit(nogil=True, cache=True)
def _anchors(offsets, symbols, values, length, spread):
    k = length - spread + 1
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    grams = np.empty(max(longest - k + 1, 1), np.uint64)
    out = np.empty((64 + 3 * (offsets[-1] - offsets[0]) // spread, 4), np.int64)
    keys = np.empty((len(out), 1), np.uint64)
    runs = np.empty((16, 4), np.int64)
    state = np.empty(7, np.int64)
    found, ran = np.int64(0), np.int64(0)
    for row in range(len(offsets) - 1):
        first, stop = offsets[row], offsets[row + 1]
        if stop - first < length:
            continue
        _grams(symbols, values, first, stop, k, grams)
        state[:] = 0
        state[1] = state[3] = -1
        while state[0] >= 0:
            if found + 8 > len(out):
                out, keys = _grown(out), _grown(keys)
            if ran + 2 > len(runs):
                runs = _grown(runs)
            found, ran = _walk(symbols, grams, row, first, stop, length, spread, state, out, keys, found, runs, ran)
    return out[:found], keys[:found, 0].copy(), runs[:ran].copy()


def anchors(
    offsets: npt.NDArray[np.int64], symbols: npt.NDArray[np.uint8] | npt.NDArray[np.uint64], length: int, spread: int
) -> Anchors:
    """The anchors of all windows of ``length`` symbols; a row with fewer has none.

    Args:
        offsets: int64[n + 1]; row ``i`` has the symbols ``offsets[i]:offsets[i + 1]``.
        symbols: bytes, or hashes of words.
        spread: k-grams of a window, 1 to ``length``.
    """
    values = _VALUES if symbols.dtype == np.uint8 else _VALUES[:0]
    places, keys, runs = _anchors(offsets, symbols, values, length, spread)
    rows, at, starts, stops = (np.ascontiguousarray(places[:, i]) for i in range(4))
    return Anchors(rows, at, starts, stops, keys, runs)


@njit(nogil=True, cache=True)
def _contents(raw, begin, end):
    out = np.empty((len(begin), 2), np.uint64)
    for i in range(len(begin)):
        out[i, 0] = xxh64(raw, begin[i], end[i], np.uint64(0))
        out[i, 1] = xxh64(raw, begin[i], end[i], _SECOND)
    return out


def contents(
    raw: npt.NDArray[np.uint8], begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """128-bit hashes, uint64[m, 2], of the bytes ``begin[i]:end[i]``."""
    return _contents(raw, begin, end)


@njit(nogil=True, cache=True, _nrt=False)
def _alike(raw, a, b, most, step):
    """How many bytes from ``a`` and from ``b`` on (``step`` 1), or before them (-1), are the same; at most so many."""
    size = 0
    shift = 0 if step > 0 else -1
    while size < most and raw[a + step * size + shift] == raw[b + step * size + shift]:
        size += 1
    return size


@njit(nogil=True, cache=True)
def _matches(keys, ends, raw, before, behind, length, unit):
    """(row, first window, last window, earlier row), each window by how far before the anchor it begins."""
    out = np.empty((max(len(keys), 16), 4), np.int64)
    found = 0
    longest = 0
    for i in range(len(keys)):
        longest = max(longest, before[i] + 1)
    met = np.full(longest, -1, np.int64)
    begin = 0
    for j in range(1, len(keys)):
        if keys[j] != keys[j - 1]:
            begin = j
        low, high = max(length - behind[j], 0), before[j]  # its windows
        left = high - low + 1
        met[: high + 1] = -1
        here = ends[j] + unit * before[j]
        for i in range(begin, j):
            there = ends[i] + unit * before[i]
            back = _alike(raw, there, here, unit * min(before[i], high), -1) // unit
            ahead = _alike(raw, there, here, unit * min(behind[i], behind[j]), 1) // unit
            for window in range(max(low, length - ahead), min(high, back) + 1):
                if met[window] < 0:
                    left -= 1
                    met[window] = i
            if left == 0:
                break
        window = low
        while window <= high:
            if met[window] < 0:
                window += 1
                continue
            since = window
            while window <= high and met[window] == met[since]:
                window += 1
            if found == len(out):
                out = _grown(out)
            out[found, 0], out[found, 1], out[found, 2], out[found, 3] = j, since, window - 1, met[since]
            found += 1
    return out[:found].copy()


def matches(
    keys: npt.NDArray[np.uint64],
    offsets: npt.NDArray[np.int64],
    raw: npt.NDArray[np.uint8],
    before: npt.NDArray[np.int64],
    behind: npt.NDArray[np.int64],
    length: int,
    unit: int,
) -> npt.NDArray[np.int64]:
    """Which windows around anchors equal one around an earlier anchor of the same key, by comparing their symbols.

    Args:
        keys: uint64[n], equal ones side by side.
        offsets: int64[n + 1]; what stands around anchor ``i`` is ``raw[offsets[i]:offsets[i + 1]]``.
        before, behind: int64[n]; symbols of it before the anchor's begin, and from there on.
        length: symbols of a window.
        unit: bytes of a symbol.

    Returns int64[m, 4]: anchor, the first and the last of some windows, all between them included, and the earliest anchor
    around which these stand; a window is known by how many symbols before the anchor it begins.
    """
    return _matches(keys, offsets, raw, before, behind, length, unit)
