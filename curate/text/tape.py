# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Which copies of documents lie in which pieces of their components' passes; keys for places of copies, and of sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from curate.text.arrow import fixed
from curate.text.hashing import xxh64
from curate.text.packing import Spans, readable
from curate.text.swar import high_product

__all__ = ["KEYS", "Piece", "in_pieces", "sequence_keys"]

KEYS: Final = 1 << 64
"""Keys are below it."""


@dataclass(frozen=True)
class Piece:
    """Part of one pass over a component, and the range of keys that its copies get.

    Attributes:
        component: its number.
        low, high: tokens of the pass: documents that begin in [low, high) are in it.
        seed: uint64, of the hash that says where in the range a document's copy goes.
        first, stop: the range; first is below KEYS, stop at most KEYS.
    """

    component: int
    low: int
    high: int
    seed: int
    first: int
    stop: int


def in_pieces(
    pieces: Sequence[Piece], component: npt.NDArray[np.int32], before: npt.NDArray[np.int64], ids: pa.Array
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.uint64]]:
    """(Row, number of the piece, key) of each copy, by row, then by piece.

    Args:
        component: int32[n], of each row; below 0: it is in none.
        before: int64[n], tokens of its component before it in a pass.
        ids: fixed_size_binary[n].
    """
    order = sorted(range(len(pieces)), key=lambda i: pieces[i].component)
    sorted_ = [pieces[i] for i in order]
    count = max((p.component + 1 for p in sorted_), default=0)
    starts = np.searchsorted([p.component for p in sorted_], np.arange(count + 1))
    row, piece, key = _in_pieces(
        readable(component, np.int32),
        readable(before, np.int64),
        fixed(ids),
        readable(starts, np.int64),
        readable([p.low for p in sorted_], np.int64),
        readable([p.high for p in sorted_], np.int64),
        readable(np.array([p.seed for p in sorted_], np.uint64), np.uint64),
        readable(np.array([p.first for p in sorted_], np.uint64), np.uint64),
        # All keys are one more than fit: the last of them is given to nobody then.
        readable(np.array([min(p.stop - p.first, KEYS - 1) for p in sorted_], np.uint64), np.uint64),
    )
    return row, np.array(order, np.int32)[piece], key


@njit(nogil=True, cache=True)
def _in_pieces(component, before, ids, starts, lows, highs, seeds, firsts, widths):
    count = 0
    for i in range(len(component)):
        c = component[i]
        if 0 <= c < len(starts) - 1:
            for p in range(starts[c], starts[c + 1]):
                count += lows[p] <= before[i] < highs[p]
    row = np.empty(count, np.int64)
    piece = np.empty(count, np.int64)
    key = np.empty(count, np.uint64)
    k = 0
    for i in range(len(component)):
        c = component[i]
        if 0 <= c < len(starts) - 1:
            for p in range(starts[c], starts[c + 1]):
                if lows[p] <= before[i] < highs[p]:
                    row[k] = i
                    piece[k] = p
                    key[k] = firsts[p] + high_product(xxh64(ids[i], np.int64(0), ids.shape[1], seeds[p]), widths[p])
                    k += 1
    return row, piece, key


def sequence_keys(
    spans: Spans, first: npt.NDArray[np.uint64], last: npt.NDArray[np.uint64], hashes: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    """uint64[sequences]: a key for each sequence, by its hash, within the ranges of keys of all documents in it.

    Sequences are shuffled so that no copy leaves the range of its pass and phase, and each stretch keeps its mixture: within
    a range that the same documents share, keys are as many as there were and spread evenly. One whose documents have no
    key in common (where a range ends) goes to the beginning of the last of their ranges.

    Args:
        first, last: uint64[n], of each document that was packed: the range, both ends included.
        hashes: uint64[sequences].
    """
    return _sequence_keys(
        readable(spans.sequence, np.int64),
        readable(spans.row, np.int64),
        readable(first, np.uint64),
        readable(last, np.uint64),
        readable(hashes, np.uint64),
    )


@njit(nogil=True, cache=True)
def _sequence_keys(sequence, row, first, last, hashes):
    low = np.zeros(len(hashes), np.uint64)
    high = np.full(len(hashes), np.uint64(0xFFFFFFFFFFFFFFFF))
    for k in range(len(sequence)):
        s, i = sequence[k], row[k]
        low[s] = max(low[s], first[i])
        high[s] = min(high[s], last[i])
    for s in range(len(hashes)):
        if low[s] < high[s]:
            width = high[s] - low[s] + np.uint64(1)
            # All keys are 2^64, which wraps to 0.
            low[s] += high_product(hashes[s], width) if width else hashes[s]
    return low
