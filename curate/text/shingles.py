# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""A document as the set of its shingles, and the true Jaccard similarity of such sets.

Sets are sorted by *linear probing sort* (Gonnet and Munro, "The analysis of linear probing sort by the use of a new
mathematical transform", J. Algorithms 5, 1984): hashes are uniform, so a value's upper bits say about where it belongs;
each takes its place in a table half full, larger ones move on, and reading the table from its beginning gives them in
order, without the repeated ones. That is a constant number of steps for each. Hashes that somebody has chosen to lie
close together are sorted by their bytes instead, so that no document takes longer than its length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Offsets
from curate.text.ngrams import Ngrams
from curate.text.rows import RowAligned
from curate.text.sorted_values import lower_bound
from curate.text.swar import copy, leading

__all__ = ["Shingles", "distinct", "jaccard", "shingles"]

_FREE: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_SPARE: Final = 64
"""Places behind a table for what is pushed beyond its end."""
_STEPS: Final = 16
"""Steps for each hash after which they are not uniform: 2.5 are to be expected in a table half full (Knuth 6.4, eq. 23)."""


@dataclass(frozen=True)
class Shingles(RowAligned):
    """The shingle sets of n rows; that of a row shorter than a shingle is empty.

    Attributes:
        rows: int64[n + 1]; row ``i`` has the shingles ``rows[i]:rows[i + 1]``.
        hashes: uint64[m]; within a row ascending, none twice.
    """

    rows: Offsets
    hashes: npt.NDArray[np.uint64]


@njit(nogil=True, cache=True)
def _settle(hashes, shift, table):
    """Give every hash its place in a free table; False when that takes too long, or one is pushed beyond its end."""
    left = _STEPS * len(hashes) + _SPARE
    for value in hashes:
        at = np.int64(value >> shift)
        while True:
            other = table[at]
            if other == value:  # there already; or the largest hash there is, whose place is the end anyway
                break
            if value < other:
                table[at] = value
                if other == _FREE:
                    break
                value = other
            at += 1
            left -= 1
            if left < 0 or at == len(table):
                return False
    return True


@njit(nogil=True, cache=True)
def _by_bytes(hashes):
    """Sorted distinct values of any distribution: a radix sort from the last byte to the first."""
    one, two = hashes.copy(), np.empty_like(hashes)
    for shift in range(0, 64, 8):
        starts = np.zeros(257, np.int64)
        for value in one:
            starts[np.int64((value >> np.uint64(shift)) & np.uint64(255)) + 1] += 1
        starts = np.cumsum(starts)
        for value in one:
            kind = np.int64((value >> np.uint64(shift)) & np.uint64(255))
            two[starts[kind]] = value
            starts[kind] += 1
        one, two = two, one
    count = 0
    for i in range(len(one)):
        if i == 0 or one[i] != one[i - 1]:
            two[count] = one[i]
            count += 1
    return two[:count]


@njit(nogil=True, cache=True)
def distinct(hashes, table):
    """(sorted distinct values, a table to go on with) of uint64 hashes; ``table`` is uint64[>= 0], its content no matter."""
    bits = 65 - leading(np.uint64(max(len(hashes), 2) - 1))  # twice as many places, or up to four times
    size = (np.int64(1) << bits) + _SPARE
    if len(table) < size:
        table = np.empty(2 * size, np.uint64)
    places = table[:size]
    places[:] = _FREE
    if not _settle(hashes, np.uint64(64 - bits), places):
        return _by_bytes(hashes), table
    out = np.empty(len(hashes) + 1, np.uint64)
    count = 0
    for value in places:  # no branch: which places are taken, nobody can foresee
        out[count] = value
        count += value != _FREE
    for value in hashes:
        if value == _FREE:
            out[count] = value
            count += 1
            break
    return out[:count], table


@njit(nogil=True, cache=True)
def _shingles(rows, hashes):
    ends = np.zeros(len(rows), np.int64)
    out = np.empty(len(hashes), np.uint64)
    table = np.empty(0, np.uint64)
    to = 0
    for row in range(len(rows) - 1):
        found, table = distinct(hashes[rows[row] : rows[row + 1]], table)
        copy(out, to, found, 0, len(found))
        to += len(found)
        ends[row + 1] = to
    return ends, out[:to].copy()


def shingles(grams: Ngrams) -> Shingles:
    """Each row's n-grams as a set."""
    return Shingles(*_shingles(grams.rows, grams.hashes))


@njit(nogil=True, cache=True, inline="always")
def _step(one, two, i, j):
    """(1 if the values there are equal, next i, next j): the smaller one is passed, or both; no branch."""
    a, b = one[i], two[j]
    return np.int64(a == b), i + np.int64(a <= b), j + np.int64(b <= a)


@njit(nogil=True, cache=True)
def _common(one, two):
    """How many values two sorted sets share.

    A merge waits for what it compared last; so the upper halves are merged beside the lower ones, in twice the speed.
    """
    i, j, upper_i = np.int64(0), np.int64(0), np.int64(len(one) // 2)
    upper_j = lower_bound(two, one[upper_i]) if len(one) else np.int64(len(two))
    stop_i, stop_j = upper_i, upper_j
    shared = np.int64(0)
    while i < stop_i and j < stop_j and upper_i < len(one) and upper_j < len(two):
        low, i, j = _step(one, two, i, j)
        high, upper_i, upper_j = _step(one, two, upper_i, upper_j)
        shared += low + high
    while i < stop_i and j < stop_j:
        low, i, j = _step(one, two, i, j)
        shared += low
    while upper_i < len(one) and upper_j < len(two):
        high, upper_i, upper_j = _step(one, two, upper_i, upper_j)
        shared += high
    return shared


@njit(nogil=True, cache=True)
def _jaccard(rows, hashes, other_rows, other_hashes, first, second):
    out = np.empty(len(first), np.float64)
    for k in range(len(first)):
        one = hashes[rows[first[k]] : rows[first[k] + 1]]
        two = other_hashes[other_rows[second[k]] : other_rows[second[k] + 1]]
        shared = _common(one, two)
        union = len(one) + len(two) - shared
        out[k] = shared / union if union else 0.0
    return out


def jaccard(
    sets: Shingles,
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    others: Shingles | None = None,
) -> npt.NDArray[np.float64]:
    """True Jaccard similarity |A & B| / |A | B| of pairs of sets, float64[m], 0 to 1; 0 for two empty ones.

    It is one quotient of two integers, so equal for equal sets wherever it is computed.

    Args:
        sets: where the sets come from.
        first, second: int64[m]; numbers of rows, ``second`` of ``others`` where these are given.
        others: other rows' sets, of n-grams of the same kind.
    """
    other = sets if others is None else others
    return _jaccard(sets.rows, sets.hashes, other.rows, other.hashes, first, second)
