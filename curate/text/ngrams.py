# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Hashes of n-grams of words, characters or tokens: a polynomial over their hashes, modulo 2^64, rolled along each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curate.text.arrow import Offsets, buffers
from curate.text.hashing import mix64
from curate.text.normal import folded
from curate.text.rows import RowAligned
from curate.text.utf8 import decode

__all__ = ["BASE", "Ngrams", "Sequences", "Units", "characters", "ngrams", "power", "tokens"]

BASE: Final = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that a word's place in the n-gram always counts."""


class Sequences(Protocol):
    """What n-grams are made of: ``curate.text.words.Words``, ``Units``, ...

    Attributes:
        rows: int64[n + 1]; row ``i`` has the units ``rows[i]:rows[i + 1]``.
        hashes: uint64[m]; equal for equal units.
    """

    @property
    def rows(self) -> Offsets: ...
    @property
    def hashes(self) -> npt.NDArray[np.uint64]: ...


@dataclass(frozen=True)
class Units(RowAligned):
    """Characters or tokens of n rows, as ``Sequences`` has them; where they lie in the text is not known."""

    rows: Offsets
    hashes: npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Ngrams(RowAligned):
    """n-grams of rows; a row with fewer than n units has none, and its caller falls back to the exact text.

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


def ngrams(units: Sequences, n: int) -> Ngrams:
    """All n-grams of each row: mix64 of ``sum(hash[j] * BASE**(n - 1 - j))`` modulo 2^64.

    Raises ValueError for n below 1.
    """
    if n < 1:
        raise ValueError(f"n-grams of {n} units")
    return Ngrams(*_ngrams(units.rows, units.hashes, n))


@njit(nogil=True, cache=True)
def _characters(offsets, data):
    rows = np.zeros(len(offsets), np.int64)
    out = np.empty(offsets[-1] - offsets[0], np.uint64)
    ascii_hashes = np.empty(128, np.uint64)
    for point in range(128):
        ascii_hashes[point] = mix64(np.uint64(point + 1))
    to = 0
    for row in range(len(offsets) - 1):
        at = offsets[row]
        while at < offsets[row + 1]:
            if data[at] < 128:
                out[to] = ascii_hashes[data[at]]
                at += 1
            else:
                point, width = decode(data, at, offsets[row + 1])
                if point < 0:
                    point = np.int64(0x110000) + np.int64(data[at])
                out[to] = mix64(np.uint64(point + 1))
                at += width
            to += 1
        rows[row + 1] = to
    return rows, out[:to]


def characters(text: pa.Array) -> Units:
    """The code points of each row's folded text: NFC, lower case, runs of white space as one space, none at the ends.

    Signs are characters too. A byte that is no valid UTF-8 is one of its own.
    """
    return Units(*_characters(*buffers(folded(text))))


@njit(nogil=True, cache=True)
def _tokens(ids):
    out = np.empty(len(ids), np.uint64)
    for i in range(len(ids)):
        out[i] = mix64(np.uint64(ids[i]) + np.uint64(1))
    return out


def tokens(rows: Offsets, ids: npt.NDArray[np.integer]) -> Units:
    """A tokenizer's tokens: row ``i`` has the ``ids[rows[i]:rows[i + 1]]``, from 0 on."""
    return Units(rows, _tokens(ids))
