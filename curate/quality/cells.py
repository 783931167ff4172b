# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Cells of directions: vectors that point about the same way share one of their cells, each cell told from the vector alone.

Cross-polytope hashing (Andoni, Indyk, Laarhoven, Razenshteyn, Schmidt: "Practical and optimal LSH for angular distance",
NIPS 2015): a vector is rotated at random, and its hash is the axis, of 2 d with signs, that it is nearest to. The rotation
is three times a flip of signs at random and a Walsh-Hadamard transform, d log d additions. Several hashes together are a
cell; a vector lies in one cell of each of several tables, and a pair is found when it shares one.

Nothing is trained, so a vector's cells don't depend on what else there is: neither on order nor on splits, and a later
vector finds an earlier one by what was written down then. k-means finds as many pairs with fewer candidates, but its cells are
those of a sample: another snapshot has others. ``docs/duplicates.md`` has the comparison.

Everything is computed in an order that is fixed, without fused or reordered operations: equal on every machine.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.quality.vectors import Matrix
from curate.text.hashing import mix64
from curate.text.ngrams import BASE

__all__ = ["ROTATIONS", "cells", "cosines"]

ROTATIONS: Final = 3
"""Flips and transforms of one rotation; the paper's figure: fewer are no rotation at random, more change nothing."""
LANES: Final = 16
"""Vectors that are rotated side by side, so that each step is one instruction for several of them."""
_STEP: Final = 0x9E3779B97F4A7C15


@cache
def _signs(rotations: int, dim: int, seed: int) -> npt.NDArray[np.float32]:
    """float32[rotations, ROTATIONS, dim] of 1 and -1: bits of mix64 over a counter that starts at the seed."""
    size = rotations * ROTATIONS * dim
    with np.errstate(over="ignore"):
        counter = np.uint64(seed & 0xFFFFFFFFFFFFFFFF) + np.arange(1, size + 1, dtype=np.uint64) * np.uint64(_STEP)
    bits = _mixed(counter) >> np.uint64(63)
    return (1 - 2 * bits.astype(np.float32)).reshape(rotations, ROTATIONS, dim)


@njit(nogil=True, cache=True)
def _mixed(values):
    out = np.empty(len(values), np.uint64)
    for i in range(len(values)):
        out[i] = mix64(values[i])
    return out


@njit(nogil=True, cache=True)
def _transform(x):
    """Walsh-Hadamard transform of each column in place, not scaled; float32[2^k, LANES]."""
    half = 1
    while half < len(x):
        for begin in range(0, len(x), 2 * half):
            for i in range(begin, begin + half):
                for lane in range(LANES):
                    a, b = x[i, lane], x[i + half, lane]
                    x[i, lane] = a + b
                    x[i + half, lane] = a - b
        half *= 2


@njit(nogil=True, cache=True)
def _nearest_axes(x, top, axes):
    """The axis with the largest part of each column, and on which side: 2 i, or 2 i + 1 for the negative side.

    ``top`` float32[LANES] is room for the largest parts, ``axes`` uint32[LANES] the result.
    """
    top[:] = -1
    for i in range(len(x)):
        for lane in range(LANES):
            part = abs(x[i, lane])
            more = part > top[lane]
            top[lane] = part if more else top[lane]
            axes[lane] = np.uint32(2 * i + (x[i, lane] < 0)) if more else axes[lane]


@njit(nogil=True, cache=True)
def _square(row):
    """Of a vector's length; of float32 neither it nor a product of two leaves float64."""
    total = 0.0
    for value in row:
        total += np.float64(value) * np.float64(value)
    return total


@njit(nogil=True, cache=True)
def _cells(vectors, signs, tables, hashes):
    count, dim = vectors.shape
    out = np.zeros((count, tables), np.uint64)
    there = np.zeros(count, np.bool_)
    unit = np.zeros((signs.shape[2], LANES), np.float32)
    x = np.empty((signs.shape[2], LANES), np.float32)
    top, axes = np.empty(LANES, np.float32), np.empty(LANES, np.uint32)
    for begin in range(0, count, LANES):
        rows = min(LANES, count - begin)
        unit[:] = 0
        for lane in range(rows):
            norm = np.sqrt(_square(vectors[begin + lane]))
            if norm > 0:
                there[begin + lane] = True
                for i in range(dim):
                    unit[i, lane] = np.float32(np.float64(vectors[begin + lane, i]) / norm)
        for table in range(tables):
            for lane in range(rows):
                out[begin + lane, table] = np.uint64(table + 1)
            for rotation in range(table * hashes, (table + 1) * hashes):
                for i in range(len(x)):  # not x[:] = unit: numba's check of both shapes takes 3 s to compile
                    for lane in range(LANES):
                        x[i, lane] = unit[i, lane]
                for flip in signs[rotation]:
                    for i in range(len(x)):
                        sign = flip[i]
                        for lane in range(LANES):
                            x[i, lane] *= sign
                    _transform(x)
                _nearest_axes(x, top, axes)
                for lane in range(rows):
                    out[begin + lane, table] = mix64(out[begin + lane, table] * BASE + np.uint64(axes[lane]))
    return out, there


def cells(vectors: Matrix, tables: int, hashes: int, seed: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """uint64[n, tables]: a key of the cell in which each vector lies, in each table; bool[n]: whether it has a direction.

    Args:
        vectors: float32[n, dim], finite.
        tables: more find more pairs.
        hashes: of a cell; more make smaller cells, which find fewer pairs.
        seed: 64 bits; picks the rotations.

    A vector of zeros has no direction; its keys mean nothing.
    """
    dim = 1 << max(0, int(vectors.shape[1]) - 1).bit_length()
    return _cells(np.ascontiguousarray(vectors), _signs(tables * hashes, dim, seed), tables, hashes)


@njit(nogil=True, cache=True)
def _cosines(vectors, first, second):
    squares = np.empty(len(vectors), np.float64)
    for row in range(len(vectors)):
        squares[row] = _square(vectors[row])
    out = np.zeros(len(first), np.float64)
    for pair in range(len(first)):
        one, two = vectors[first[pair]], vectors[second[pair]]
        # One root of both: that of a square is exact, so a vector's cosine with itself, or twice itself, is 1.
        lengths = np.sqrt(squares[first[pair]] * squares[second[pair]])
        if lengths > 0:
            total = 0.0
            for i in range(len(one)):
                total += np.float64(one[i]) * np.float64(two[i])
            out[pair] = min(1.0, max(-1.0, total / lengths))
    return out


def cosines(vectors: Matrix, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Cosines of pairs of rows, float64[m] from -1 to 1; 0 where one is all zeros.

    Args:
        vectors: float32[n, dim].
        first, second: int64[m], rows of it.
    """
    return _cosines(np.ascontiguousarray(vectors), first, second)
