# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Hashes of word n-grams: a polynomial over the words' hashes, modulo 2^64, rolled along each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.arrow import Offsets
from curate.text.hashing import mix64
from curate.text.words import Words

__all__ = ["BASE", "Ngrams", "ngrams", "power"]

BASE: Final = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that a word's place in the n-gram always counts."""


@dataclass(frozen=True)
class Ngrams:
    """n-grams of rows; a row with fewer than n words has none, and its caller falls back to the exact text.

    Attributes:
        rows: int64[n + 1]; row ``i`` has the n-grams ``rows[i]:rows[i + 1]``.
        hashes: uint64[m], in the order of the text; repeats are kept.
    """

    rows: Offsets
    hashes: npt.NDArray[np.uint64]


@njit(nogil=True, cache=True)
def power(n):
    """BASE ** n modulo 2^64: the weight with which the oldest of n + 1 words leaves the window."""
    value = np.uint64(1)
    for _ in range(n):
        value *= BASE
    return value


@njit(nogil=True, cache=True)
def _ngrams(rows, hashes, n):
    count = len(rows) - 1
    ends = np.zeros(count + 1, np.int64)
    for row in range(count):
        ends[row + 1] = ends[row] + max(0, rows[row + 1] - rows[row] - n + 1)
    out = np.empty(ends[count], np.uint64)
    top = power(n)
    for row in range(count):
        value = np.uint64(0)
        to = ends[row]
        for i in range(rows[row], rows[row + 1]):
            value = value * BASE + hashes[i]
            if i >= rows[row] + n:
                value -= hashes[i - n] * top
            if i >= rows[row] + n - 1:
                out[to] = mix64(value)
                to += 1
    return ends, out


def ngrams(words: Words, n: int) -> Ngrams:
    """All word n-grams of each row: mix64 of ``sum(hash[j] * BASE**(n - 1 - j))`` modulo 2^64."""
    if n < 1:
        raise ValueError(f"n-grams of {n} words")
    return Ngrams(*_ngrams(words.rows, words.hashes, n))
