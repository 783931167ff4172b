# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""A set of 64-bit keys with a number beside each, in about 10 bytes a key.

A key has two buckets of 16 places and goes where there is more room (Azar et al., "Balanced allocations", STOC 1994): so
a table is nine tenths full before many buckets are. What finds no room goes into a next table, twice as large up to
``LARGEST`` buckets; nothing is ever moved, and no table stands beside its copy while it grows.

A place holds 32 bits of the key's hash, and the number. Two keys are taken for one with probability 2^-32 for each place that
is looked at: 4e-8 for a key among ten million.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.hashing import mix64

__all__ = ["NONE", "KeyTable"]

NONE: Final = (1 << 32) - 1
"""The number of a key that is not there."""
LARGEST: Final = 1 << 18
"""Buckets of the largest table: 32 MiB."""
_SMALLEST: Final = 1 << 8
_WIDE: Final = 16
_SECOND: Final = np.uint64(0xC4CEB9FE1A85EC53)
_HALF: Final = np.uint64(32)

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.uint32]


@njit(nogil=True, cache=True, inline="always")
def _places(key, buckets):
    """The mark of a key, the lower half of its hash (1 for 0, which is a free place), and its two buckets."""
    key = mix64(key)
    mask = np.uint64(buckets - 1)
    mark = max(np.uint32(key & np.uint64(NONE)), np.uint32(1))
    return mark, np.int64((key >> _HALF) & mask), np.int64(((key * _SECOND) >> _HALF) & mask)


@njit(nogil=True, cache=True)
def _lower(marks, numbers, keys, found) -> None:
    """Lower ``found`` (uint32[n]) to the least number that each key has in a table."""
    for i in range(len(keys)):
        mark, one, two = _places(keys[i], len(marks))
        for bucket in (one, two):
            for place in range(_WIDE):
                if marks[bucket, place] == mark:
                    found[i] = min(found[i], numbers[bucket, place])


@njit(nogil=True, cache=True)
def _put(marks, numbers, full, keys, values):
    """Put what there is room for, or lower the number of what is there; the numbers of the keys (int64[m]) for which there was none."""
    left = np.empty(len(keys), np.int64)
    count = 0
    for i in range(len(keys)):
        mark, one, two = _places(keys[i], len(marks))
        known = False
        for bucket in (one, two):
            for place in range(_WIDE):
                if marks[bucket, place] == mark:
                    numbers[bucket, place] = min(numbers[bucket, place], values[i])
                    known = True
        if known:
            continue
        bucket = two if full[two] < full[one] else one
        if full[bucket] == _WIDE:
            left[count] = i
            count += 1
            continue
        marks[bucket, full[bucket]] = mark
        numbers[bucket, full[bucket]] = values[i]
        full[bucket] += 1
    return left[:count]


class KeyTable:
    """Keys (uint64) and their numbers (0 to 2^32 - 2). A key that is put twice has the lower number."""

    def __init__(self) -> None:
        self._tables = [_table(_SMALLEST)]

    def lowest(self, keys: Keys) -> Numbers:
        """uint32[n]: the number of each key, NONE where it is not there."""
        found = np.full(len(keys), NONE, np.uint32)
        for marks, numbers, _ in self._tables:
            _lower(marks, numbers, keys, found)
        return found

    def put(self, keys: Keys, numbers: Numbers) -> None:
        """Add keys, each with its number."""
        for table in self._tables:
            left = _put(*table, keys, numbers)
            keys, numbers = keys[left], numbers[left]
        while len(keys):
            self._tables.append(_table(min(2 * len(self._tables[-1][2]), LARGEST)))
            left = _put(*self._tables[-1], keys, numbers)
            keys, numbers = keys[left], numbers[left]

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return sum(array.nbytes for table in self._tables for array in table)


def _table(buckets: int) -> tuple[Numbers, Numbers, npt.NDArray[np.uint8]]:
    """Marks and numbers of each bucket's places, and how many of them are taken."""
    shape = (buckets, _WIDE)
    return np.zeros(shape, np.uint32), np.zeros(shape, np.uint32), np.zeros(buckets, np.uint8)
