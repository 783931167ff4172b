# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""What near copies have in common: MinHash by plain permutations, one byte of each minimum, 22 bands of 5.

Which documents a classifier is trained on follows from these links, so the shipped classifiers do too: anybody can train
them anew and gets the same bytes. Therefore they keep these hashes, which ``dedup.near`` has given up for quicker
ones (``curate.text.minhash``); change them with the next training of the shipped classifiers.

A shingle's hash is cut to 32 bits ``x``, and permutation ``i`` gives ``(a[i] * x + b[i] mod 2^64) >> 32`` with random
64-bit ``a[i]``, ``b[i]``: multiply-shift as in Dietzfelbinger, "Universal hashing and k-wise independent random variables via
integer arithmetic without primes" (STACS 1996).
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.hashing import mix64, splitmix
from curate.text.ngrams import Ngrams

__all__ = ["BANDS", "ROWS", "links", "lower"]

BANDS: Final = 22
ROWS: Final = 5
_SEED: Final = 0
_BLOCK: Final = 8
_PLACES: Final = np.array([1 << 8 * i for i in range(ROWS)], np.uint64)


@cache
def _family() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    drawn = splitmix(_SEED, 2 * BANDS * ROWS)
    return drawn[0::2].copy(), drawn[1::2].copy()


@njit(nogil=True, cache=True)
def lower(x, a, b, minima) -> None:
    """Lower the minima, uint32[:], by a block of eight 32-bit keys, uint32[8]."""
    # Widened here, so that the compiler knows the upper halves to be zero: half the multiplications.
    x0, x1, x2, x3 = np.uint64(x[0]), np.uint64(x[1]), np.uint64(x[2]), np.uint64(x[3])
    x4, x5, x6, x7 = np.uint64(x[4]), np.uint64(x[5]), np.uint64(x[6]), np.uint64(x[7])
    half = np.uint64(32)
    for i in range(len(minima)):
        p, q = a[i], b[i]
        low = min(np.uint32((p * x0 + q) >> half), np.uint32((p * x1 + q) >> half))
        low = min(low, np.uint32((p * x2 + q) >> half), np.uint32((p * x3 + q) >> half))
        low = min(low, np.uint32((p * x4 + q) >> half), np.uint32((p * x5 + q) >> half))
        low = min(low, np.uint32((p * x6 + q) >> half), np.uint32((p * x7 + q) >> half))
        minima[i] = min(minima[i], low)


@njit(nogil=True, cache=True)
def _sketches(ends, hashes, a, b):
    out = np.zeros((len(ends) - 1, len(a)), np.uint8)
    minima = np.empty(len(a), np.uint32)
    block = np.empty(_BLOCK, np.uint32)
    for row in range(len(ends) - 1):
        minima[:] = np.uint32(0xFFFFFFFF)
        for at in range(ends[row], ends[row + 1], _BLOCK):
            for k in range(_BLOCK):  # a repeated key changes no minimum
                block[k] = np.uint32(hashes[min(at + k, ends[row + 1] - 1)] >> np.uint64(32))
            lower(block, a, b, minima)
        if ends[row] < ends[row + 1]:
            for i in range(len(a)):
                out[row, i] = np.uint8(mix64(np.uint64(minima[i])) >> np.uint64(56))
    return out


def links(grams: Ngrams) -> npt.NDArray[np.uint64]:
    """uint64[n, BANDS]: five bytes of each band; zeros for a row without a shingle, which mean nothing.

    Two rows of Jaccard similarity J agree in one of them with probability ``1 - (1 - J^5)^22``.
    """
    bands = _sketches(grams.rows, grams.hashes, *_family()).reshape(-1, BANDS, ROWS).astype(np.uint64)
    found: npt.NDArray[np.uint64] = bands @ _PLACES
    return found
