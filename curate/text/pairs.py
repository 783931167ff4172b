# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""From buckets of sketches to verified pairs, and from pairs to the documents that go."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["greedy", "similar_pairs"]


@njit(nogil=True, cache=True)
def _estimate(sketch, i, j):
    agree = 0
    bins = sketch.shape[1]
    for k in range(bins):
        agree += sketch[i, k] == sketch[j, k]
    return max(0.0, (agree / bins - 1 / 256) / (1 - 1 / 256))


@njit(nogil=True, cache=True)
def _pairs(keys, sketch, short, bound, least):
    first = np.empty(1024, np.int64)
    second = np.empty(1024, np.int64)
    found = np.empty(1024, np.float64)
    size = 0
    begin = 0
    for j in range(len(keys)):
        if keys[j] != keys[begin]:
            begin = j
        if size + bound > len(first):
            more = max(bound, len(first))
            first = np.concatenate((first, np.empty(more, np.int64)))
            second = np.concatenate((second, np.empty(more, np.int64)))
            found = np.concatenate((found, np.empty(more, np.float64)))
        for i in range(begin, min(j, begin + bound)):
            if short[i] != short[j]:
                continue
            value = _estimate(sketch, i, j)
            if short[i] and value < 1.0:
                continue
            if value >= least:
                first[size] = i
                second[size] = j
                found[size] = value
                size += 1
    return first[:size].copy(), second[:size].copy(), found[:size].copy()


def similar_pairs(
    keys: npt.NDArray[np.uint64],
    sketch: npt.NDArray[np.uint8],
    short: npt.NDArray[np.bool_],
    bound: int,
    least: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Pairs of rows with one key whose estimated Jaccard is at least ``least``: (i, j, Jaccard), i before j.

    Each row of a bucket is compared with the bucket's first ``bound`` rows before it: all pairs in buckets of up to
    that many rows, a linear number in larger ones.

    Args:
        keys: uint64[n], sorted; within a key, rows in keep order.
        sketch: uint8[n, bins]; for a ``short`` row a hash of its text, padded with zeros.
        short: bool[n]; a short row is similar (1.0) to short rows with the same hash, and to nothing else.
        bound: see above.
        least: 0 to 1.
    """
    return _pairs(keys, sketch, short, bound, least)


@njit(nogil=True, cache=True)
def _greedy(first, second):
    size = 0
    for i in range(len(first)):
        size = max(size, first[i] + 1, second[i] + 1)
    gone = np.zeros(size, np.bool_)
    chosen = np.empty(len(first), np.int64)
    count = 0
    for i in range(len(first)):
        if not gone[first[i]] and not gone[second[i]]:
            gone[second[i]] = True
            chosen[count] = i
            count += 1
    return chosen[:count].copy()


def greedy(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Which pairs make their second document go: int64 positions, at most one for a document.

    Args:
        first, second: int64[m] numbers of documents; pairs are sorted by the second one's place in keep order (then
            by what makes one pair a better reason than another), and ``first`` comes before ``second`` in that order.

    A document goes when one that stays is paired with it; what stays is decided in keep order, so never revised.
    """
    return _greedy(first, second)
