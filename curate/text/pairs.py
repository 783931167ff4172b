# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""From buckets to candidate pairs, in blocks of bounded size; and from sets that meet in a block to pairs of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.hashing import mix64
from curate.text.sorted_values import lower_bound

__all__ = ["candidates", "located", "spread"]

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

BLOCK_SIZE: Final = 1 << 20
"""Shingles of the rows of one half of a block, at most (or one row): 8 MB of them."""
MOST_PAIRS: Final = 1 << 20
"""Pairs that are given at once, but for those of one row."""


@njit(nogil=True, cache=True)
def _spread(first, second):
    out = np.empty(len(first), np.uint64)
    for i in range(len(first)):
        out[i] = mix64(mix64(first[i]) + second[i])
    return out


def spread(first: U64, second: U64 | int = 0) -> U64:
    """A hash of pairs of uint64, uint64[n]; for one ``second`` no two values of ``first`` share one."""
    other = second if isinstance(second, np.ndarray) else np.full(len(first), second, np.uint64)
    return _spread(first, other)


@njit(nogil=True, cache=True)
def _groups(keys, sizes, most, known, last):
    """(Where each row's bucket begins, which group of the bucket it is in). ``last`` are the group of the last row, and the
    sizes of those in it; those of the row before ``known`` at first, where some of its bucket have been left out."""
    begins = np.empty(len(keys), np.int64)
    groups = np.empty(len(keys), np.uint64)
    begin, group, held = 0, 0, 0
    for j in range(len(keys)):
        if j == known and j:
            group, held = last[0], last[1]
        if keys[j] != keys[begin]:
            begin, group, held = j, 0, 0
        elif j > begin and held + sizes[j] > most:
            group += 1
            held = 0
        held += sizes[j]
        begins[j] = begin
        groups[j] = group
    if known < len(keys):
        last[0], last[1] = group, held
    return begins, groups


@njit(nogil=True, cache=True)
def _pairs(keys, bands, begins, stops, groups, start, stop, count):
    first = np.empty(count, np.int64)
    second = np.empty(count, np.int64)
    block = np.empty(count, np.uint64)
    at = 0
    for j in range(start, stop):
        for i in range(begins[j], min(j, stops[j])):
            first[at] = i
            second[at] = j
            place = mix64(keys[j] + mix64((groups[i] << np.uint64(32)) + groups[j] + np.uint64(1)))
            block[at] = (np.uint64(bands[j]) << np.uint64(56)) | (place >> np.uint64(8))
            at += 1
    return first, second, block


def candidates(
    keys: U64,
    bands: npt.NDArray[np.uint8],
    sizes: I64,
    bound: int,
    most_pairs: int = MOST_PAIRS,
    block_size: int = BLOCK_SIZE,
    stops: I64 | None = None,
    known: int = 0,
    last: I64 | None = None,
) -> Iterator[tuple[I64, I64, U64]]:
    """Pairs of rows that share a key, some at a time: (i, j, block), i before j.

    Each row of a bucket is paired with the bucket's first ``bound`` rows before it: all pairs in buckets of up to that many
    rows, a linear number in larger ones. A bucket's pairs lie in one block, uint64, or where its rows are many or large in
    several: the rows of a block's pairs have about 2 * ``block_size`` shingles at most, unless they are two.

    Args:
        keys: uint64[n], sorted; within a key, rows in keep order.
        bands: uint8[n], which band a key is of; blocks of lower bands are lower numbers.
        sizes: int64[n], shingles of each row.
        stops: int64[n]: where the rows end with which each row is paired, instead of behind the first ``bound``.
        known: so many first rows are those of a bucket that goes on, which were given before, and are paired with others alone.
        last: int64[2] for the next call, which says what this one has come to.
    """
    begins, groups = _groups(keys, sizes, block_size, known, np.zeros(2, np.int64) if last is None else last)
    stops = begins + bound if stops is None else stops
    counts = np.minimum(np.arange(len(keys)), stops) - begins
    counts[:known] = 0
    upto = np.cumsum(counts)
    start, done = known, 0
    while start < len(keys):
        stop = max(start + 1, int(np.searchsorted(upto, done + most_pairs, side="right")))
        count = int(upto[stop - 1]) - done
        if count:
            yield _pairs(keys, bands, begins, stops, groups, start, stop, count)
        start, done = stop, done + count


@njit(nogil=True, cache=True)
def _located(keys, nodes, pair_keys, ends):
    out = np.empty(len(pair_keys), np.int64)
    begin, end = 0, 0
    for k in range(len(pair_keys)):
        if begin == end or keys[begin] != pair_keys[k]:
            begin = end
            while begin < len(keys) and keys[begin] < pair_keys[k]:
                begin += 1
            end = begin
            while end < len(keys) and keys[end] == pair_keys[k]:
                end += 1
        at = begin + lower_bound(nodes[begin:end], ends[k])
        out[k] = at if at < end and nodes[at] == ends[k] else -1
    return out


def located(keys: U64, nodes: U64, pair_keys: U64, ends: U64) -> I64:
    """Where one end of each pair stands among nodes of the pair's key; -1 where it does not. int64[m].

    Args:
        keys, nodes: uint64[n], sorted by both; a node may stand under several keys.
        pair_keys, ends: uint64[m], ``pair_keys`` sorted.
    """
    return _located(keys, nodes, pair_keys, ends)
