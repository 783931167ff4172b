# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""How much of known passages a row contains, and how much of the row they are, by word n-grams.

The words of a *unit* (a benchmark item's prompt, its answer, ...) are known by their distinct n-grams, without those that
many items share (``COMMON``): they are the form in which the items are put. What is looked at is the words alone, so
that nothing but words bears on what is found: ``curate.text.overlap_units`` says what becomes a unit, and of which n.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.hashing import mix64
from curate.text.ngrams import BASE, power
from curate.text.words import Words

__all__ = ["GAP", "REACH", "Index", "Overlaps", "Spans", "overlaps", "spans"]

GAP: Final = 3
"""Words of a row that are none of the unit's and yet do not end a run of it: a name or a number changed."""
REACH: Final = 4
"""Words before or behind a short prompt, for each word of it and of its answer, within which the answer counts as given
with it: "not true is" and "false" are in many a chapter, within 16 words in one."""

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]


class _Units(NamedTuple):
    """Units, and the grams that are theirs, as ``Index`` has them."""

    owners_at: Ints
    owners: npt.NDArray[np.int32]
    totals: npt.NDArray[np.int32]
    whole: npt.NDArray[np.bool_]
    needs_at: Ints
    needs: Keys
    needs_words: Ints


@dataclass(frozen=True)
class Index:
    """Grams of all units, for look-up. All fields are arrays, which can be stored as they are.

    A gram of L words begins with an *anchor*, its first 8, 4, 2 or 1 words, whatever is the most that L has: a row's
    words are held against the anchors alone, in a Bloom filter, one rolling hash for each size that occurs.

    Attributes:
        keys: uint64[g], ascending; the grams' hashes, of which the length is part.
        owners_at: int64[g + 1]; gram ``i`` is of the units ``owners[owners_at[i]:owners_at[i + 1]]``.
        owners: int32[m].
        lengths: int64[k], ascending; lengths in words that occur among the grams.
        sieve: uint64[2^j]; the Bloom filter of the anchors of 8 words: three bits of the word that the upper bits name.
        short_sieve: uint64[2^j]; that of the shorter ones, few enough to stay in the nearest cache.
        item: int32[u]; the number of the item that a unit is of.
        part: int8[u]; which part of it, an index into ``overlap_units.PARTS``.
        totals: int32[u]; grams by which the unit is known.
        whole: bool[u]; whether only all of it counts, or any share.
        needs_at: int64[u + 1]; unit ``i`` counts only where all of the ``needs[needs_at[i]:needs_at[i + 1]]`` are
            near it, by REACH.
        needs: uint64[q]; grams.
        needs_words: int64[q]; their lengths in words.
    """

    keys: Keys
    owners_at: Ints
    owners: npt.NDArray[np.int32]
    lengths: Ints
    sieve: Keys
    short_sieve: Keys
    item: npt.NDArray[np.int32]
    part: npt.NDArray[np.int8]
    totals: npt.NDArray[np.int32]
    whole: npt.NDArray[np.bool_]
    needs_at: Ints
    needs: Keys
    needs_words: Ints

    @property
    def units(self) -> _Units:
        """What kernels need of units."""
        return _Units(self.owners_at, self.owners, self.totals, self.whole, self.needs_at, self.needs, self.needs_words)

    @cached_property
    def directory(self) -> npt.NDArray[np.int32]:
        """int32[2^b + 1]: where in ``keys`` those begin whose upper b bits are i; about one each."""
        bits = max(1, (len(self.keys) - 1).bit_length())
        tops = (self.keys >> np.uint64(64 - bits)).astype(np.int64)
        return np.searchsorted(tops, np.arange((1 << bits) + 1)).astype(np.int32)


@dataclass(frozen=True)
class Overlaps:
    """What rows have of units, a *hit* each: rows ascending, in a row those with the largest share of themselves first,
    of equals the one with more grams found, then the first.

    Attributes:
        row: int64[h].
        unit: int32[h].
        share: float32[h]; of the unit's grams, how many the row has; 1 for a ``whole`` unit, others are no hits.
        of_row: float32[h]; of the row's words, how many lie in grams of the unit.
        run: int32[h]; words of the unit in the longest stretch that is nothing else, but for gaps of GAP words; those of a
            gram that the row had before don't count: a table of zeros is no run of ``[0, 0, 0, 0, 0, 0, 0, 0]``.
    """

    row: Ints
    unit: npt.NDArray[np.int32]
    share: npt.NDArray[np.float32]
    of_row: npt.NDArray[np.float32]
    run: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Spans:
    """Where units were found.

    Attributes:
        hits: int64[h + 1]; the hit ``i`` has the spans ``hits[i]:hits[i + 1]``, ascending.
        starts, stops: uint32[s]; byte ranges in the row's text: the words of a run, gaps of GAP words included.
    """

    hits: Ints
    starts: npt.NDArray[np.uint32]
    stops: npt.NDArray[np.uint32]


@njit(nogil=True, cache=True)
def gram_key(hashes, start, length):
    """Hash of a gram of ``length`` words, of which the length is part: one word and two never meet by construction."""
    value = np.uint64(0)
    for i in range(start, start + length):
        value = value * BASE + hashes[i]
    return mix64(value + np.uint64(length))


@njit(nogil=True, cache=True)
def anchor_size(length):
    """Words of the anchor of a gram."""
    return 8 if length >= 8 else 4 if length >= 4 else 2 if length >= 2 else 1


@njit(nogil=True, cache=True)
def sieve_bits(anchor):
    """The three bits of an anchor in its word of the filter; ``anchor`` is the polynomial over its words."""
    bits = (anchor >> np.uint64(7)) * BASE
    one = np.uint64(1)
    mask = np.uint64(63)
    return (
        (one << (bits >> np.uint64(58)))
        | (one << ((bits >> np.uint64(52)) & mask))
        | (one << ((bits >> np.uint64(46)) & mask))
    )


@njit(nogil=True, cache=True)
def _number(keys, directory, shift, key):
    """The number of a gram, or -1."""
    bucket = np.int64(key >> shift)
    for i in range(directory[bucket], directory[bucket + 1]):
        if keys[i] == key:
            return np.int64(i)
    return np.int64(-1)


@njit(nogil=True, cache=True)
def upper(size):
    """By how much a hash is shifted to be a place in a table of that size, a power of two from 2 on."""
    shift = np.uint64(64)
    while size > 1:
        size >>= 1
        shift -= np.uint64(1)
    return shift


@njit(nogil=True, cache=True)
def _candidates(hashes, first, last, size, sieve, out):
    """Write where in ``hashes[first:last]`` an anchor of ``size`` words may begin; how many."""
    shift = upper(len(sieve))
    top = power(size - 1)
    count = np.int64(0)
    value = np.uint64(0)
    for i in range(first, min(last, first + size - 1)):
        value = value * BASE + hashes[i]
    for i in range(first + size - 1, last):
        value = value * BASE + hashes[i]
        bits = sieve_bits(value)
        # Written without a branch: which of them is one can't be foretold.
        out[count] = i - size + 1
        count += (sieve[value >> shift] & bits) == bits
        value -= hashes[i - size + 1] * top
    return count


@njit(nogil=True, cache=True)
def _sized(lengths, size):
    """Whether any gram has an anchor of that many words."""
    found = False
    for length in lengths:
        found |= anchor_size(length) == size
    return found


@njit(nogil=True, cache=True)
def grown(out, count):
    """int64[k, m] with room for one more column behind ``count``."""
    if count < out.shape[1]:
        return out
    more = np.empty((out.shape[0], 2 * count), np.int64)
    for i in range(out.shape[0]):
        for k in range(count):  # an assignment of slices takes numba four seconds to compile
            more[i, k] = out[i, k]
    return more


@njit(nogil=True, cache=True)
def _matches(rows, hashes, keys, directory, lengths, sieve, short_sieve):
    """int64[4, m]: row, first word, words and number of each gram found, by row, then by the size of anchors, then place."""
    out = np.empty((4, 64), np.int64)
    count = np.int64(0)
    shift = upper(len(directory) - 1)
    longest = 0
    for row in range(len(rows) - 1):
        longest = max(longest, rows[row + 1] - rows[row])
    places = np.empty(longest + 1, np.int64)
    for row in range(len(rows) - 1):
        last = rows[row + 1]
        for size in (8, 4, 2, 1):
            if not _sized(lengths, size):
                continue
            candidates = _candidates(hashes, rows[row], last, size, sieve if size == 8 else short_sieve, places)
            for place in places[:candidates]:
                for length in lengths:
                    if anchor_size(length) != size or place + length > last:
                        continue
                    number = _number(keys, directory, shift, gram_key(hashes, place, length))
                    if number >= 0:
                        out = grown(out, count)
                        out[0, count], out[1, count], out[2, count], out[3, count] = row, place, length, number
                        count += 1
    return out[:, :count]


@njit(nogil=True, cache=True)
def _given(hashes, first, last, place, length, unit, units):
    """Whether all that a unit needs lies near ``hashes[place:place + length]``, within ``hashes[first:last]``."""
    for need in range(units.needs_at[unit], units.needs_at[unit + 1]):
        there = False
        size = units.needs_words[need]
        reach = REACH * (length + size)
        for at in range(max(first, place - reach), min(last, place + length + reach) - size + 1):
            if gram_key(hashes, at, size) == units.needs[need]:
                there = True
                break
        if not there:
            return False
    return True


@njit(nogil=True, cache=True)
def _met(mine, start, length, fresh):
    """Note a gram of a unit at ``start``, ``fresh`` if the row had it not before: grams found, words covered, words of fresh
    grams in the run it is in and in the longest, where the last gram ended, and the last fresh one."""
    stop = start + length
    mine[0] += fresh
    mine[1] += stop - max(start, mine[4])
    new = stop - max(start, mine[5]) if fresh else 0
    mine[2] = new + (mine[2] if start <= mine[4] + GAP else 0)
    mine[3] = max(mine[3], mine[2])
    mine[4] = stop
    if fresh:
        mine[5] = stop


@njit(nogil=True, cache=True)
def _told(mine, total, whole, words, least):
    """Whether what a row of ``words`` words has of a unit is a hit: see ``overlaps``."""
    if whole:
        return mine[0] == total
    return mine[0] >= least[0] * total or mine[3] >= least[1] or (mine[1] >= least[2] * words)


@njit(nogil=True, cache=True)
def _hits(rows, hashes, least, matches, grams, units):
    """int64[5, h]: row, unit, grams found, words covered, words of the longest run; in a row in no stated order."""
    out = np.empty((5, 64), np.int64)
    count = np.int64(0)
    marks = np.full(grams, -1, np.int64)  # by gram: the row it was last seen in
    state = np.zeros((len(units.totals), 6), np.int64)  # by unit: see _met
    touched = np.empty(len(units.totals), np.int64)
    many = 0
    for match in range(matches.shape[1]):
        row, place, length, number = matches[0, match], matches[1, match], matches[2, match], matches[3, match]
        fresh = marks[number] != row
        marks[number] = row
        for at in range(units.owners_at[number], units.owners_at[number + 1]):
            unit = units.owners[at]
            mine = state[unit]
            if units.needs_at[unit] < units.needs_at[unit + 1]:  # such a unit is one gram
                if not _given(hashes, rows[row], rows[row + 1], place, length, unit, units):
                    continue
                fresh = mine[0] == 0
            if mine[0] == 0:
                touched[many] = unit
                many += 1
                mine[4] = rows[row]
            _met(mine, place, length, fresh)
        if match + 1 < matches.shape[1] and matches[0, match + 1] == row:
            continue
        for unit in touched[:many]:
            mine = state[unit]
            if _told(mine, units.totals[unit], units.whole[unit], rows[row + 1] - rows[row], least):
                out = grown(out, count)
                out[0, count], out[1, count] = row, unit
                out[2, count], out[3, count], out[4, count] = mine[0], mine[1], mine[3]
                count += 1
            mine[:] = 0
        many = 0
    return out[:, :count]


def _looked_up(words: Words, index: Index) -> Ints:
    # What a kernel has cut off is contiguous only now and then; what takes it would be compiled for both.
    return np.ascontiguousarray(
        _matches(words.rows, words.hashes, index.keys, index.directory, index.lengths, index.sieve, index.short_sieve)
    )


def overlaps(
    words: Words, index: Index, least_share: float = 0.2, least_run: int = 16, least_of_row: float = 0.5
) -> Overlaps:
    """What each row has of units, where that is at least a share of the unit, or a run of so many words, or makes a share
    of the row (0 to 1); all of it where the unit counts as a whole only. Repeats of a gram in a row count once."""
    matches = _looked_up(words, index) if len(index.keys) else np.zeros((4, 0), np.int64)
    if not matches.shape[1]:
        empty = np.zeros(0, np.int64)
        return Overlaps(empty, *(empty.astype(kind) for kind in ("int32", "float32", "float32", "int32")))
    row, unit, found, covered, run = _hits(
        words.rows, words.hashes, np.array([least_share, least_run, least_of_row]), matches, len(index.keys), index.units
    )  # fmt: skip
    share = found / index.totals[unit]
    order = np.lexsort((unit, -found, -share, row))
    of_row = covered / np.maximum(np.diff(words.rows)[row], 1)
    return Overlaps(
        row[order], unit[order].astype(np.int32), share[order].astype(np.float32), of_row[order].astype(np.float32),
        run[order].astype(np.int32),
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _spans(rows, hashes, at, wanted, matches, units):
    """int64[3, s]: hit, first word, word behind the last, by first word; hits of row i: ``wanted[at[i]:at[i + 1]]``."""
    out = np.empty((3, 64), np.int64)
    count = np.int64(0)
    slots = np.full(len(units.totals), -1, np.int64)  # by unit: its hit in the row
    latest = np.full(len(wanted), -1, np.int64)  # by hit: its last span
    filled = -1
    for match in range(matches.shape[1]):
        row, place, length, number = matches[0, match], matches[1, match], matches[2, match], matches[3, match]
        if row != filled:
            for hit in range(at[filled], at[filled + 1]) if filled >= 0 else range(0):
                slots[wanted[hit]] = -1
            for hit in range(at[row], at[row + 1]):
                slots[wanted[hit]] = hit
            filled = row
        for k in range(units.owners_at[number], units.owners_at[number + 1]):
            unit = units.owners[k]
            hit = slots[unit]
            if hit < 0 or not _given(hashes, rows[row], rows[row + 1], place, length, unit, units):
                continue
            span = latest[hit]
            if span >= 0 and place <= out[2, span] + GAP:
                out[2, span] = max(out[2, span], place + length)
                continue
            out = grown(out, count)
            out[0, count], out[1, count], out[2, count] = hit, place, place + length
            latest[hit] = count
            count += 1
    return out[:, :count]


def spans(words: Words, index: Index, hits: Overlaps) -> Spans:
    """Where in the rows of ``words`` the hits lie; ``hits.row`` are rows of these words (some or all, in order)."""
    at = np.searchsorted(hits.row, np.arange(len(words.rows)))
    hit, first, stop = _spans(words.rows, words.hashes, at, hits.unit, _looked_up(words, index), index.units)
    order = np.argsort(hit, kind="stable")
    ends = np.searchsorted(hit[order], np.arange(len(hits.row) + 1))
    return Spans(ends, words.starts[first[order]], words.stops[stop[order] - 1])
