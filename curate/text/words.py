# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""The words of a batch as 64-bit hashes, from one pass over its UTF-8 buffer.

A word is a longest run of LETTER code points, or one CHARACTER code point (ideographs, kana, Thai, ...: scripts
without spaces, so that n-grams of words work on them); see ``utf8.fold_table`` for the classes. The hash is over the
lower-cased code points, so ``Foo`` and ``foo`` are one word and ``snake_case`` is two. Policies:

``folded``        words as above, for shingles of prose (near-duplicates)
``alphanumeric``  the same words, but for a backslash with an n, r or t behind it, which separates words: text within
                  JSON or a string literal has the words of the text itself; for decontamination
``symbols``       words as above, and each other ASCII sign that is no white space is a word of its own, for shingles
                  of code and mathematics, where ``a[i] + b`` and ``a(i) - b`` differ
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Bytes, Offsets
from curate.text.hashing import mix64
from curate.text.utf8 import CHARACTER, LETTER, SEPARATOR, TABLE_SIZE, decode, fold_table

__all__ = ["POLICIES", "Policy", "Words", "words"]

Policy = Literal["folded", "alphanumeric", "symbols"]
POLICIES: Final[tuple[Policy, ...]] = ("folded", "alphanumeric", "symbols")

_BASIS: Final = np.uint64(0xCBF29CE484222325)
_PRIME: Final = np.uint64(0x100000001B3)
"""FNV-1a's 64-bit constants (http://www.isthe.com/chongo/tech/comp/fnv/), applied to code points, then mix64."""


@dataclass(frozen=True)
class Words:
    """Words of n rows.

    Attributes:
        rows: int64[n + 1]; row ``i`` has the words ``rows[i]:rows[i + 1]``.
        hashes: uint64[m]; hash of each lower-cased word.
        starts: int64[m]; where each word begins, in bytes from the row's own beginning.
    """

    rows: Offsets
    hashes: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]


@njit(nogil=True, cache=True)
def _row(data, base, stop, table, signs, escapes, hashes, starts, size):
    """Append one row's words at ``size``, return the new size; the arrays have room for a word a byte."""
    at = base
    while at < stop:
        begin = at
        point = np.int64(data[at])
        width = 1
        if point >= 128:
            point, width = decode(data, at, stop)
        at += width
        if 0 <= point < TABLE_SIZE:
            entry = table[point]
        elif 0x20000 <= point < 0x40000:
            entry = np.uint32(CHARACTER << 24) | np.uint32(point)
        else:
            continue
        kind = entry >> np.uint32(24)
        if kind == SEPARATOR and not (signs and 33 <= point < 127):
            if escapes and point == 92 and at < stop and data[at] in (110, 114, 116):
                at += 1
            continue
        value = (_BASIS ^ np.uint64(entry & np.uint32(0xFFFFFF))) * _PRIME
        while kind == LETTER and at < stop:
            point = np.int64(data[at])
            width = 1
            if point >= 128:
                point, width = decode(data, at, stop)
                if not 0 <= point < TABLE_SIZE:
                    break
            entry = table[point]
            if entry >> np.uint32(24) != LETTER:
                break
            value = (value ^ np.uint64(entry & np.uint32(0xFFFFFF))) * _PRIME
            at += width
        hashes[size] = mix64(value)
        starts[size] = begin - base
        size += 1
    return size


@njit(nogil=True, cache=True)
def _words(offsets, data, table, signs, escapes):
    count = len(offsets) - 1
    rows = np.zeros(count + 1, np.int64)
    hashes = np.empty((offsets[count] - offsets[0]) // 4 + 16, np.uint64)
    starts = np.empty(len(hashes), np.int64)
    size = 0
    for row in range(count):
        need = size + offsets[row + 1] - offsets[row]
        if need > len(hashes):
            # Room for a word a byte; pages that no word reaches are never touched, so never resident.
            wider = np.empty(max(need, len(hashes) + len(hashes) // 2), np.uint64)
            wider[:size] = hashes[:size]
            hashes = wider
            longer = np.empty(len(hashes), np.int64)
            longer[:size] = starts[:size]
            starts = longer
        size = _row(data, offsets[row], offsets[row + 1], table, signs, escapes, hashes, starts, size)
        rows[row + 1] = size
    return rows, hashes[:size].copy(), starts[:size].copy()


def words(offsets: Offsets, data: Bytes, policy: Policy = "folded") -> Words:
    """Words of every row under a policy; bytes that are no valid UTF-8 separate words."""
    if policy not in POLICIES:
        raise ValueError(f"no policy '{policy}'; there are: {', '.join(POLICIES)}")
    return Words(*_words(offsets, data, fold_table(), policy == "symbols", policy == "alphanumeric"))
