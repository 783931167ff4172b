# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Which words and runs of words occur in each row, as 64-bit hashes, and the sum of their weights."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.hashing import mix64, table_mask
from curate.text.words import Words

__all__ = ["features", "sums", "table"]

_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
_NONE: Final = np.int32(-1)

U64 = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float32]


@njit(nogil=True, cache=True, inline="always")
def _longer(run, word):
    """Hash of a run of words and the word behind it."""
    return mix64(run * _MULTIPLIER ^ word)


@njit(nogil=True, cache=True)
def _features(rows, hashes, ngrams, ends):
    """uint64: each row's words, pairs, ... as they occur; ``ends[i]`` is where row i's end."""
    total = 0
    for row in range(len(rows) - 1):
        size = rows[row + 1] - rows[row]
        for n in range(ngrams):
            total += max(size - n, 0)
        ends[row + 1] = total
    out = np.empty(total, np.uint64)
    at = 0
    for row in range(len(rows) - 1):
        for i in range(rows[row], rows[row + 1]):
            run = hashes[i]
            out[at] = run
            at += 1
            for k in range(i + 1, min(i + ngrams, rows[row + 1])):
                run = _longer(run, hashes[k])
                out[at] = run
                at += 1
    return out


@njit(nogil=True, cache=True)
def _fill(keys, slots, places):
    mask = np.uint64(len(slots) - 1)
    for i in range(len(keys)):
        at = keys[i] & mask
        while places[at] != _NONE:
            at = (at + np.uint64(1)) & mask
        slots[at] = keys[i]
        places[at] = i


@njit(nogil=True, cache=True, inline="always")
def _place(slots, places, key):
    """Which key it is, or -1."""
    mask = np.uint64(len(slots) - 1)
    at = key & mask
    while places[at] != _NONE and slots[at] != key:
        at = (at + np.uint64(1)) & mask
    return places[at]


@njit(nogil=True, cache=True)
def _sums(rows, hashes, ngrams, slots, places, weights, squares, sums, norms):
    """Add up each row's distinct known features, in the order in which they first occur."""
    seen = np.full(len(weights), -1, np.int64)
    for row in range(len(rows) - 1):
        total = 0.0
        norm = 0.0
        for i in range(rows[row], rows[row + 1]):
            run = hashes[i]
            for k in range(i, min(i + ngrams, rows[row + 1])):
                if k > i:
                    run = _longer(run, hashes[k])
                place = _place(slots, places, run)
                if place >= 0 and seen[place] != row:
                    seen[place] = row
                    total += weights[place]
                    norm += squares[place]
        sums[row] = total
        norms[row] = norm


def features(words: Words, ngrams: int) -> tuple[npt.NDArray[np.int64], U64]:
    """Hashes of each row's runs of 1 to ``ngrams`` words, repeated ones too: row i has ``[ends[i]:ends[i + 1]]``."""
    ends = np.zeros(len(words.rows), np.int64)
    return ends, _features(words.rows, words.hashes, ngrams, ends)


def table(keys: U64) -> tuple[U64, npt.NDArray[np.int32]]:
    """Open addressing at most half full: hashes, and which of ``keys`` (distinct) each slot holds, -1 for none."""
    size = int(table_mask(len(keys))) + 1
    slots, places = np.zeros(size, np.uint64), np.full(size, _NONE, np.int32)
    _fill(keys, slots, places)
    return slots, places


def sums(
    words: Words, ngrams: int, looked_up: tuple[U64, npt.NDArray[np.int32]], weights: Floats, squares: Floats
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """For each row the sums of ``weights`` and of ``squares`` (float32[m]) over its distinct known features, float64[n]."""
    rows = len(words.rows) - 1
    found, norms = np.zeros(rows, np.float64), np.zeros(rows, np.float64)
    _sums(words.rows, words.hashes, ngrams, *looked_up, weights, squares, found, norms)
    return found, norms
