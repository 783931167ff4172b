# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""MinHash of word shingles: band keys to find candidates by, and a one-byte sketch per permutation to check them.

A shingle is a word n-gram (5 words). Its hash is mixed to 32 bits ``x``, and permutation ``i`` gives
``(a[i] * x + b[i] mod 2^64) >> 32`` with random 64-bit ``a[i]``, ``b[i]``: multiply-shift as in Dietzfelbinger,
"Universal hashing and k-wise independent random variables via integer arithmetic without primes" (STACS 1996), which is
strongly universal (pairwise independent) for 32-bit keys, 64-bit arithmetic and 32-bit values. (The family
``(a * x + b) % p`` that other tools use overflows before the modulo and is not what it claims.) ``a`` and ``b`` come
from splitmix64 over the seed.

112 permutations in 14 bands of 8 rows are FineWeb's parameters: two documents of Jaccard J share a band with
probability ``1 - (1 - J^8)^14``, 0.56 at 0.7, 0.92 at 0.8, 0.999 at 0.9.

The sketch keeps 8 bits of each minimum (b-bit minwise hashing, Li and Koenig 2010): two documents agree in a byte with
probability ``J + (1 - J) / 256``, which ``estimate`` inverts. Its standard error is ``sqrt(J (1 - J) / 112)``, 0.043
at 0.7.

A row without words, or with fewer words than a shingle, is flagged ``short`` and has no signature at all: its bytes and
keys are zero and mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.hashing import mix64
from curate.text.ngrams import BASE, power
from curate.text.words import Words

__all__ = ["BANDS", "PERMUTATIONS", "ROWS", "SHINGLE", "Signatures", "estimate", "signatures"]

SHINGLE: Final = 5
BANDS: Final = 14
ROWS: Final = 8
PERMUTATIONS: Final = BANDS * ROWS
_BLOCK: Final = 8
_EMPTY: Final = np.uint32(0xFFFFFFFF)


@dataclass(frozen=True)
class Signatures:
    """MinHash of n rows.

    Attributes:
        short: bool[n]; the row has fewer words than a shingle, nothing else is said about it.
        bands: uint64[n, BANDS]; hash of each band's 8 minima and the band's number.
        sketch: uint8[n, PERMUTATIONS]; 8 bits of each minimum.
    """

    short: npt.NDArray[np.bool_]
    bands: npt.NDArray[np.uint64]
    sketch: npt.NDArray[np.uint8]


@cache
def _family(seed: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    state = seed & 0xFFFFFFFFFFFFFFFF
    drawn = []
    for _ in range(2 * PERMUTATIONS):
        state = (state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        drawn.append(z ^ (z >> 31))
    return np.array(drawn[0::2], np.uint64), np.array(drawn[1::2], np.uint64)


@njit(nogil=True, cache=True)
def _take(x, a, b, minima) -> None:
    """Lower the minima by a block of eight 32-bit keys, uint32[8]."""
    # Widened here, so that the compiler knows the upper halves to be zero: half the multiplications.
    x0, x1, x2, x3 = np.uint64(x[0]), np.uint64(x[1]), np.uint64(x[2]), np.uint64(x[3])
    x4, x5, x6, x7 = np.uint64(x[4]), np.uint64(x[5]), np.uint64(x[6]), np.uint64(x[7])
    half = np.uint64(32)
    for i in range(PERMUTATIONS):
        p, q = a[i], b[i]
        low = min(np.uint32((p * x0 + q) >> half), np.uint32((p * x1 + q) >> half))
        low = min(low, np.uint32((p * x2 + q) >> half), np.uint32((p * x3 + q) >> half))
        low = min(low, np.uint32((p * x4 + q) >> half), np.uint32((p * x5 + q) >> half))
        low = min(low, np.uint32((p * x6 + q) >> half), np.uint32((p * x7 + q) >> half))
        minima[i] = min(minima[i], low)


@njit(nogil=True, cache=True)
def _signatures(rows, hashes, n, a, b):
    count = len(rows) - 1
    short = np.zeros(count, np.bool_)
    bands = np.zeros((count, BANDS), np.uint64)
    sketch = np.zeros((count, PERMUTATIONS), np.uint8)
    minima = np.empty(PERMUTATIONS, np.uint32)
    block = np.empty(_BLOCK, np.uint32)
    top = power(n)
    for row in range(count):
        first = rows[row]
        if rows[row + 1] - first < n:
            short[row] = True
            continue
        minima[:] = _EMPTY
        value = np.uint64(0)
        fill = 0
        for i in range(first, rows[row + 1]):
            value = value * BASE + hashes[i]
            if i >= first + n:
                value -= hashes[i - n] * top
            if i >= first + n - 1:
                block[fill] = np.uint32(mix64(value) >> np.uint64(32))
                fill += 1
                if fill == _BLOCK:
                    _take(block, a, b, minima)
                    fill = 0
        if fill:
            # A repeated key changes no minimum.
            block[fill:] = block[0]
            _take(block, a, b, minima)
        for band in range(BANDS):
            key = np.uint64(band + 1)
            for i in range(band * ROWS, (band + 1) * ROWS):
                key = mix64(key * BASE + np.uint64(minima[i]))
                sketch[row, i] = np.uint8(mix64(np.uint64(minima[i])) >> np.uint64(56))
            bands[row, band] = key
    return short, bands, sketch


def signatures(words: Words, seed: int, n: int = SHINGLE) -> Signatures:
    """MinHash signatures of each row's shingles of ``n`` words; ``seed`` (64 bits) picks the permutations."""
    a, b = _family(seed)
    return Signatures(*_signatures(words.rows, words.hashes, n, a, b))


def estimate(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Jaccard similarity estimated from sketches uint8[..., PERMUTATIONS], 0 to 1, free of chance agreements."""
    agree = np.count_nonzero(first == second, axis=-1)
    return np.maximum(0.0, (agree / PERMUTATIONS - 1 / 256) / (1 - 1 / 256))
