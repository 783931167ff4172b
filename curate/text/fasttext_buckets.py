# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""A fastText model's hashed features, runs of words and subwords, and the buckets they fall into.

The remainder by the number of buckets is a multiplication, and buckets are first named and then read: most are in no
cache, and reads that do not wait for one another are under way together.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.swar import high_product, prefetch

__all__ = ["AT_ONCE", "Buckets", "buckets_of", "modulo", "remainder", "runs", "subwords"]

AT_ONCE: Final = 128
"""Places that are computed before the first is read."""
_FACTOR: Final = np.uint64(116049371)
"""What a run's hash is multiplied with before the next word's is added (``Dictionary::addWordNgrams``)."""
_FNV_BASIS: Final = np.uint64(2166136261)
_FNV_PRIME: Final = np.uint64(16777619)
_LOW: Final = np.uint64(0xFFFFFFFF)
_OPEN: Final = np.int64(ord("<"))
_CLOSE: Final = np.int64(ord(">"))


class Buckets(NamedTuple):
    """Values of hashed features.

    Attributes:
        values: float32[buckets, k]; NaN where the model has none (it was pruned).
        magic, shift: for the remainder by the number of buckets, see ``modulo``.
        pruned: whether there are NaNs.
    """

    values: npt.NDArray[np.float32]
    magic: np.uint64
    shift: np.uint64
    pruned: bool


def buckets_of(values: npt.NDArray[np.float32]) -> Buckets:
    """The table for kernels; ``values`` are taken as they are."""
    magic, shift = modulo(max(len(values), 1))
    return Buckets(values, magic, shift, bool(np.isnan(values[:, 0]).any()))


def modulo(divisor: int) -> tuple[np.uint64, np.uint64]:
    """(magic, shift) for the remainder of any uint64 by ``divisor``, 1 to 2^32, without a division.

    With 2^shift <= divisor and magic = floor(2^(64 + shift) / divisor), at most 2^64 - 1, the upper half of
    ``x * magic``, shifted, is the quotient or one less: x / divisor is above x * magic / 2^(64 + shift) by less than 1.
    """
    shift = divisor.bit_length() - 1
    return np.uint64(min((1 << (64 + shift)) // divisor, (1 << 64) - 1)), np.uint64(shift)


@njit(nogil=True, cache=True, inline="always")
def remainder(x, divisor, magic, shift):
    """``x % divisor``, see ``modulo``."""
    rest = x - (high_product(x, magic) >> shift) * divisor
    return rest - divisor if rest >= divisor else rest


@njit(nogil=True, cache=True, _nrt=False)
def _take(ids, filled, buckets, row, sums):
    """Add the values of ``filled`` buckets to a row's sums; returns how many of them the model has."""
    values = buckets.values
    if values.shape[1] > 1:
        return _take_several(ids, filled, buckets, row, sums)
    there = np.int64(filled)
    total = 0.0
    if buckets.pruned:
        for i in range(filled):
            value = values[ids[i], 0]
            if np.isnan(value):
                there -= 1
            else:
                total += value
    else:
        # Two sums, so that an addition does not wait for the one before it.
        other = 0.0
        for i in range(0, filled - 1, 2):
            total += values[ids[i], 0]
            other += values[ids[i + 1], 0]
        if filled & 1:
            total += values[ids[filled - 1], 0]
        total += other
    sums[row, 0] += total
    return there


@njit(nogil=True, cache=True, _nrt=False)
def _take_several(ids, filled, buckets, row, sums):
    """``_take`` where a feature has several values."""
    values = buckets.values
    there = np.int64(filled)
    for i in range(filled):
        if buckets.pruned and np.isnan(values[ids[i], 0]):
            there -= 1
            continue
        for k in range(values.shape[1]):
            sums[row, k] += values[ids[i], k]
    return there


@njit(nogil=True, cache=True, _nrt=False)
def runs(chain, size, word_ngrams, buckets, ids, row, sums):
    """Take the runs of two and more words; returns how many of them the model has."""
    divisor, magic, shift = np.uint64(len(buckets.values)), buckets.magic, buckets.shift
    features = np.int64(0)
    filled = np.int64(0)
    if word_ngrams == 2:
        for begin in range(0, size - 1, AT_ONCE):
            upto = min(begin + AT_ONCE, size - 1)
            for i in range(begin, upto):
                value = np.uint64(chain[i]) * _FACTOR + np.uint64(chain[i + 1])
                place = remainder(value, divisor, magic, shift)
                ids[i - begin] = place
                prefetch(buckets.values, np.int64(place))
            features += _take(ids, upto - begin, buckets, row, sums)
        return features
    for i in range(size - 1):
        value = np.uint64(chain[i])
        for j in range(i + 1, min(size, i + word_ngrams)):
            value = value * _FACTOR + np.uint64(chain[j])
            ids[filled] = remainder(value, divisor, magic, shift)
            filled += 1
            if filled == AT_ONCE:
                features += _take(ids, filled, buckets, row, sums)
                filled = np.int64(0)
    return features + _take(ids, filled, buckets, row, sums)


@njit(nogil=True, cache=True, _nrt=False)
def subwords(data, at, stop, minn, maxn, buckets, ids, row, sums):
    """Take the subwords of a word; returns how many of them the model has.

    As ``Dictionary::computeSubwords``: of the word within ``<`` and ``>``, all runs of ``minn`` to ``maxn`` characters
    but the two signs by themselves. A byte 128 to 191 never begins a character, whatever stands before it.
    """
    divisor, magic, shift = np.uint64(len(buckets.values)), buckets.magic, buckets.shift
    size = stop - at
    features = np.int64(0)
    filled = np.int64(0)
    for begin in range(size + 2):
        if 0 < begin <= size and data[at + begin - 1] & 0xC0 == 0x80:
            continue
        value = np.uint64(_FNV_BASIS)
        to = begin
        chars = 1
        while to <= size + 1 and chars <= maxn:
            # fastText mixes in bytes as signed ones, widened; only the lower 32 bits of all this are kept.
            byte = _OPEN if to == 0 else (_CLOSE if to > size else np.int64(np.int8(data[at + to - 1])))
            value = (value ^ np.uint64(byte)) * _FNV_PRIME
            to += 1
            while to <= size and data[at + to - 1] & 0xC0 == 0x80:
                value = (value ^ np.uint64(np.int64(np.int8(data[at + to - 1])))) * _FNV_PRIME
                to += 1
            if chars >= minn and not (chars == 1 and (begin == 0 or to == size + 2)):
                ids[filled] = remainder(value & _LOW, divisor, magic, shift)
                filled += 1
                if filled == AT_ONCE:
                    features += _take(ids, filled, buckets, row, sums)
                    filled = np.int64(0)
            chars += 1
    return features + _take(ids, filled, buckets, row, sums)
