# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""MinHash of shingle sets: band keys to find candidates by, and a one-byte sketch per minimum to check them.

The signature is a *fast similarity sketch* (Dahlgaard, Knudsen and Thorup, "Fast similarity sketching", FOCS 2017): in
round ``i`` the hash ``h_i`` throws each shingle into one of the bins and gives it a value there; a bin keeps its least
value of the first round that reached it, and when every bin has one it is done. After as many rounds as there are bins
a round serves one bin only, so twice that is the end. In a document of thousands of shingles that is one hash a
shingle, not one for each of 112 permutations; in a short one every bin still holds a fresh draw, where one-permutation
hashing copies neighbours' values and so copies their errors. ``docs/duplicates.md`` has the comparison.

Two sets of Jaccard similarity J agree in each bin with probability J, exactly. The variance of the share of bins that
agree is at most the ``J (1 - J) / bins`` of independent permutations: bins of one round draw without replacement.

``h_i`` is MurmurHash3's finaliser over the shingle's hash xor-ed with a key; the upper 64 bits of its product with the
number of bins name the bin, the lower 64 are the value, of which 48 are kept. Keys come from splitmix64 over the seed.

112 bins as 14 bands of 8 rows are FineWeb's parameters: two documents of similarity J share a band with
probability ``1 - (1 - J^8)^14``, 0.56 at 0.7, 0.92 at 0.8, 0.999 at 0.9. ``curate.text.banding`` chooses others.

The sketch keeps ``bits`` of each minimum (b-bit minwise hashing, Li and Koenig, WWW 2010): two documents agree in those
of one bin with probability ``P = J + (1 - J) / 2^bits``, which ``estimate`` inverts. Its standard error is at most
``sqrt(P (1 - P) / bins) / (1 - 2^-bits)``. A sketch has one byte for each of bands x rows, whatever ``bits`` is, and
8 / bits times as many bins: fewer bits of more bins say more about J in the same bytes, and cost more hashes in short
documents. For 112 bytes at a Jaccard of 0.7 that is 0.043 with 8 bits, 0.032 with 4, 0.026 with 2, 0.024 with 1.

A row that is shorter than a shingle is flagged ``short`` and has no signature at all: its bytes and keys are zero and
mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.hashing import mix64, splitmix
from curate.text.ngrams import BASE, Ngrams
from curate.text.shingles import distinct
from curate.text.swar import high_product

__all__ = ["BANDS", "MOST_BINS", "ROWS", "SHINGLE", "Signatures", "agreements", "estimate", "signatures"]

SHINGLE: Final = 5
"""Words of a shingle, as FineWeb has it."""
BANDS: Final = 14
ROWS: Final = 8
MOST_BINS: Final = 4096
_ONCE: Final = 8
"""The round from which repetitions are left out: a word repeated a million times need not go through every round so often."""
_EMPTY: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_LAST: Final = np.uint64(0xFFFF000000000000)
"""The round of the bins that none of as many rounds as there are bins has reached."""


@dataclass(frozen=True)
class Signatures:
    """MinHash of n rows.

    Attributes:
        short: bool[n]; the row has no shingle, nothing else is said about it.
        bands: uint64[n, bands]; hash of each band's minima and the band's number.
        sketch: uint8[n, bands * rows]; ``bits`` of each minimum, the lowest of a byte first.
    """

    short: npt.NDArray[np.bool_]
    bands: npt.NDArray[np.uint64]
    sketch: npt.NDArray[np.uint8]


@njit(nogil=True, cache=True)
def _round(hashes, number, key, minima):
    """Lower the minima of the bins that no earlier round reached; returns how many are still _EMPTY."""
    bins = np.uint64(len(minima))
    later = np.uint64(number) << np.uint64(48)
    for value in hashes:
        mixed = mix64(value ^ key)
        place = np.int64(high_product(mixed, bins))
        # Values of later rounds are larger, so those of earlier ones stay: no branch, which nobody could foresee.
        minima[place] = min(minima[place], later | ((mixed * bins) >> np.uint64(16)))
    empty = 0
    for place in range(len(minima)):
        empty += np.int64(minima[place] == _EMPTY)
    return empty


@njit(nogil=True, cache=True)
def _fill(hashes, keys, minima) -> None:
    """The minima of one row's shingles (uint64, one or more), into uint64[bins]: the round, and 48 bits of the value."""
    bins = len(minima)
    minima[:] = _EMPTY
    empty = bins
    number = np.int64(0)
    while empty and number < bins:
        if number == _ONCE:
            hashes = distinct(hashes, minima[:0])[0]
        empty = _round(hashes, number, keys[number], minima)
        number += 1
    if empty:
        for place in range(bins):
            if minima[place] == _EMPTY:
                for value in hashes:
                    minima[place] = min(minima[place], mix64(value ^ keys[bins + place]) | _LAST)


@njit(nogil=True, cache=True)
def _signatures(ends, hashes, bands, rows, bits, keys):
    count = len(ends) - 1
    short = np.zeros(count, np.bool_)
    found = np.zeros((count, bands), np.uint64)
    sketch = np.zeros((count, bands * rows), np.uint8)
    each = 8 // bits
    minima = np.empty(bands * rows * each, np.uint64)
    for row in range(count):
        if ends[row] == ends[row + 1]:
            short[row] = True
            continue
        _fill(hashes[ends[row] : ends[row + 1]], keys, minima)
        for i in range(bands * rows):
            byte = np.uint64(0)
            for k in range(each * i, each * (i + 1)):
                minima[k] = mix64(minima[k])
                byte |= (minima[k] >> np.uint64(64 - bits)) << np.uint64(bits * (k - each * i))
            sketch[row, i] = np.uint8(byte)
        for band in range(bands):
            key = np.uint64(band + 1)
            for i in range(band * rows, (band + 1) * rows):
                key = key * BASE + minima[i]
            found[row, band] = mix64(key)
    return short, found, sketch


def signatures(grams: Ngrams, seed: int = 0, bands: int = BANDS, rows: int = ROWS, bits: int = 8) -> Signatures:
    """MinHash signatures of each row's set of n-grams; repetitions and order do not matter.

    Args:
        grams: n-grams of words, characters or tokens (``curate.text.ngrams``).
        seed: 64 bits that pick the hashes; signatures of other seeds, bands, rows or bits can't be compared.
        bands: how many keys a row gets.
        rows: minima of a band; all of them agree where two rows share its key.
        bits: 8, 4, 2 or 1 of each minimum are in the sketch, of as many minima as fill it.

    Raises ValueError for other bits, bands or rows below 1, or more than ``MOST_BINS`` minima of bands.
    """
    if bands < 1 or rows < 1 or bands * rows > MOST_BINS:
        raise ValueError(f"{bands} bands of {rows} rows: a signature has 1 to {MOST_BINS} minima")
    _check(bits)
    keys = splitmix(seed, 2 * bands * rows * (8 // bits))
    return Signatures(*_signatures(grams.rows, grams.hashes, bands, rows, bits, keys))


def estimate(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], bits: int = 8) -> npt.NDArray[np.float64]:
    """Jaccard similarity estimated from sketches uint8[..., bytes], 0 to 1, free of chance agreements.

    ``bits`` is what they were made with. Raises ValueError where that can't be.
    """
    _check(bits)
    agree = agreements(bits)[first ^ second].sum(axis=-1, dtype=np.int64)
    chance = 1 / (1 << bits)
    return np.maximum(0.0, (agree / (first.shape[-1] * (8 // bits)) - chance) / (1 - chance))


@cache
def agreements(bits: int) -> npt.NDArray[np.uint8]:
    """uint8[256]: how many minima agree in two bytes of sketches, by the bytes' exclusive or."""
    fields = np.arange(256)[:, None] >> np.arange(0, 8, bits) & ((1 << bits) - 1)
    return np.count_nonzero(fields == 0, axis=1).astype(np.uint8)


def _check(bits: int) -> None:
    if bits not in (8, 4, 2, 1):
        raise ValueError(f"{bits} bits of a minimum: there are sketches of 8, 4, 2 or 1")
