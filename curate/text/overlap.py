# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""How much of each of some known passages a row contains, by word n-grams.

A passage is a sequence of words. One of n words or more is known by its distinct word n-grams; a shorter one by
itself, as a single gram of its own length: so none is left out. A *unit* is one or more passages that count together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.hashing import mix64
from curate.text.ngrams import BASE, power
from curate.text.words import Words

__all__ = ["Index", "Overlap", "Unit", "build", "overlaps"]


@dataclass(frozen=True)
class Unit:
    """Passages that are looked for together.

    Attributes:
        passages: the hashes of their words, uint64[k] each (``Words.hashes``), none of them empty.
        whole: whether only all of it counts, or any share of it.
    """

    passages: tuple[npt.NDArray[np.uint64], ...]
    whole: bool


@dataclass(frozen=True)
class Index:
    """Grams of all units, for look-up.

    Attributes:
        lengths: int64[k]; lengths in words that occur among the grams.
        keys: uint64[2^j]; open addressing by the low bits, at most a quarter full; a gram's hash.
        grams: int64[2^j]; the gram's number, -1 in an empty slot.
        owners_at: int64[g + 1]; gram ``i`` is part of the units ``owners[owners_at[i]:owners_at[i + 1]]``.
        owners: int64[m].
        totals: int64[u]; distinct grams of each unit.
        whole: bool[u].
    """

    lengths: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint64]
    grams: npt.NDArray[np.int64]
    owners_at: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int64]
    totals: npt.NDArray[np.int64]
    whole: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Overlap:
    """What each of n rows has most of.

    Attributes:
        unit: int64[n]; the unit of which it contains the largest share (of equals the one with more grams found,
            then the first), or -1.
        share: float64[n]; share of that unit's distinct grams, 0 to 1; 0 for a ``whole`` unit that is not complete.
        found: int64[n]; how many that are.
    """

    unit: npt.NDArray[np.int64]
    share: npt.NDArray[np.float64]
    found: npt.NDArray[np.int64]


@njit(nogil=True, cache=True)
def _grams(hashes, length):
    out = np.empty(max(0, len(hashes) - length + 1), np.uint64)
    top = power(length)
    value = np.uint64(0)
    for i in range(len(hashes)):
        value = value * BASE + hashes[i]
        if i >= length:
            value -= hashes[i - length] * top
        if i >= length - 1:
            # The length is part of the gram: one word and two never meet by construction.
            out[i - length + 1] = mix64(value + np.uint64(length))
    return out


def build(units: Sequence[Unit], n: int) -> Index:
    """Index units by word n-grams; raises ValueError for a unit without words."""
    owned: dict[int, list[int]] = {}
    lengths = set()
    totals = np.zeros(len(units), np.int64)
    for number, unit in enumerate(units):
        grams: set[int] = set()
        for passage in unit.passages:
            length = min(n, len(passage))
            if not length:
                raise ValueError(f"unit {number} has a passage without words")
            lengths.add(length)
            grams.update(_grams(passage, length).tolist())
        if not grams:
            raise ValueError(f"unit {number} has no passage")
        totals[number] = len(grams)
        for gram in grams:
            owned.setdefault(gram, []).append(number)
    order = sorted(owned)
    size = 64
    while size < 4 * len(order):
        size *= 2
    keys = np.zeros(size, np.uint64)
    grams_at = np.full(size, -1, np.int64)
    for i, gram in enumerate(order):
        slot = gram & (size - 1)
        while grams_at[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        keys[slot], grams_at[slot] = gram, i
    ends = np.cumsum([0] + [len(owned[gram]) for gram in order], dtype=np.int64)
    owners = np.array([unit for gram in order for unit in owned[gram]], np.int64)
    whole = np.array([unit.whole for unit in units], np.bool_)
    return Index(np.array(sorted(lengths), np.int64), keys, grams_at, ends, owners, totals, whole)


@njit(nogil=True, cache=True)
def _overlaps(rows, hashes, lengths, keys, grams, owners_at, owners, totals, whole):
    count = len(rows) - 1
    best = np.full(count, -1, np.int64)
    share = np.zeros(count, np.float64)
    found = np.zeros(count, np.int64)
    marks = np.full(len(owners_at), -1, np.int64)  # by gram: the row it was last seen in
    tally = np.zeros(len(totals), np.int64)  # by unit: distinct grams seen in this row
    touched = np.empty(len(totals), np.int64)
    mask = np.uint64(len(keys) - 1)
    for row in range(count):
        first = rows[row]
        last = rows[row + 1]
        many = 0
        for length in lengths:
            top = power(length)
            value = np.uint64(0)
            for i in range(first, last):
                value = value * BASE + hashes[i]
                if i >= first + length:
                    value -= hashes[i - length] * top
                if i < first + length - 1:
                    continue
                gram = mix64(value + np.uint64(length))
                slot = gram & mask
                while grams[slot] >= 0 and keys[slot] != gram:
                    slot = (slot + np.uint64(1)) & mask
                number = grams[slot]
                if number < 0 or marks[number] == row:
                    continue
                marks[number] = row
                for at in range(owners_at[number], owners_at[number + 1]):
                    unit = owners[at]
                    if tally[unit] == 0:
                        touched[many] = unit
                        many += 1
                    tally[unit] += 1
        for k in range(many):
            unit = touched[k]
            part = tally[unit] / totals[unit]
            if whole[unit] and tally[unit] < totals[unit]:
                part = 0.0
            ahead = part > share[row] or (part == share[row] and tally[unit] > found[row])
            equal = part == share[row] and tally[unit] == found[row] and unit < best[row]
            if part > 0 and (ahead or equal):
                best[row] = unit
                share[row] = part
                found[row] = tally[unit]
            tally[unit] = 0
    return best, share, found


def overlaps(words: Words, index: Index) -> Overlap:
    """Of which unit each row contains most; repeats of a gram in a row count once."""
    arrays = (index.lengths, index.keys, index.grams, index.owners_at, index.owners, index.totals, index.whole)
    return Overlap(*_overlaps(words.rows, words.hashes, *arrays))
