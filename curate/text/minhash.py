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
number of bins name the bin, the lower 64 are the value. Keys come from splitmix64 over the seed.

112 bins as 14 bands of 8 rows are FineWeb's parameters: two documents of similarity J share a band with
probability ``1 - (1 - J^8)^14``, 0.56 at 0.7, 0.92 at 0.8, 0.999 at 0.9. ``curate.text.banding`` chooses others.

The sketch keeps 8 bits of each minimum (b-bit minwise hashing, Li and Koenig 2010): two documents agree in a byte with
probability ``J + (1 - J) / 256``, which ``estimate`` inverts. Its standard error is at most ``sqrt(J (1 - J) / bins)``
and half a percent of that: 0.043 at 0.7 with 112 bins.

A row that is shorter than a shingle is flagged ``short`` and has no signature at all: its bytes and keys are zero and
mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.hashing import mix64
from curate.text.ngrams import BASE, Ngrams
from curate.text.shingles import distinct
from curate.text.swar import high_product

__all__ = ["BANDS", "MOST_BINS", "ROWS", "SHINGLE", "Signatures", "estimate", "signatures"]

SHINGLE: Final = 5
"""Words of a shingle, as FineWeb has it."""
BANDS: Final = 14
ROWS: Final = 8
MOST_BINS: Final = 4096
_REPEATED: Final = 16
"""Shingles for each bin from which an empty bin says that most are repetitions: else one in nine million is empty."""
_EMPTY: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_MASK: Final = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True)
class Signatures:
    """MinHash of n rows.

    Attributes:
        short: bool[n]; the row has no shingle, nothing else is said about it.
        bands: uint64[n, bands]; hash of each band's minima and the band's number.
        sketch: uint8[n, bands * rows]; 8 bits of each minimum.
    """

    short: npt.NDArray[np.bool_]
    bands: npt.NDArray[np.uint64]
    sketch: npt.NDArray[np.uint8]


@lru_cache(maxsize=64)
def _keys(seed: int, rounds: int) -> npt.NDArray[np.uint64]:
    """What the hash of each round is keyed with, uint64[rounds]: splitmix64 from the seed on."""
    state = seed & _MASK
    drawn = []
    for _ in range(rounds):
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
        drawn.append(z ^ (z >> 31))
    return np.array(drawn, np.uint64)


@njit(nogil=True, cache=True)
def _first_round(hashes, key, minima) -> None:
    """Each bin's least value of the first round, or _EMPTY."""
    bins = np.uint64(len(minima))
    minima[:] = _EMPTY
    for value in hashes:
        mixed = mix64(value ^ key)
        place = high_product(mixed, bins)
        minima[place] = min(minima[place], mixed * bins)


@njit(nogil=True, cache=True)
def _more_rounds(hashes, keys, minima, reached) -> None:
    """Fill the bins that the first round left empty. ``reached``, int64[bins], is room for rounds' numbers."""
    bins = np.uint64(len(minima))
    left = 0
    for place in range(len(minima)):
        empty = minima[place] == _EMPTY
        reached[place] = len(keys) if empty else 0
        left += empty
    for i in range(1, len(minima)):
        if left == 0:
            return
        for value in hashes:
            mixed = mix64(value ^ keys[i])
            place = high_product(mixed, bins)
            if reached[place] >= i:
                left -= reached[place] > i
                reached[place] = i
                minima[place] = min(minima[place], mixed * bins)
    for place in range(len(minima)):
        if reached[place] == len(keys):
            for value in hashes:
                minima[place] = min(minima[place], mix64(value ^ keys[len(minima) + place]))


@njit(nogil=True, cache=True)
def _fill(hashes, keys, minima, reached) -> None:
    """The minima of one row's shingles (uint64, one or more), into uint64[bins]."""
    _first_round(hashes, keys[0], minima)
    for least in minima:
        if least == _EMPTY:
            # A word repeated a million times is one shingle: it need not go through every round a million times.
            if len(hashes) > _REPEATED * len(minima):
                hashes = distinct(hashes, minima[:0])[0]
            _more_rounds(hashes, keys, minima, reached)
            return


@njit(nogil=True, cache=True)
def _signatures(ends, hashes, bands, rows, keys):
    count = len(ends) - 1
    short = np.zeros(count, np.bool_)
    found = np.zeros((count, bands), np.uint64)
    sketch = np.zeros((count, bands * rows), np.uint8)
    minima = np.empty(bands * rows, np.uint64)
    reached = np.empty(bands * rows, np.int64)
    for row in range(count):
        if ends[row] == ends[row + 1]:
            short[row] = True
            continue
        _fill(hashes[ends[row] : ends[row + 1]], keys, minima, reached)
        for band in range(bands):
            key = np.uint64(band + 1)
            for i in range(band * rows, (band + 1) * rows):
                mixed = mix64(minima[i])
                key = key * BASE + mixed
                sketch[row, i] = np.uint8(mixed >> np.uint64(56))
            found[row, band] = mix64(key)
    return short, found, sketch


def signatures(grams: Ngrams, seed: int = 0, bands: int = BANDS, rows: int = ROWS) -> Signatures:
    """MinHash signatures of each row's set of n-grams; repetitions and order do not matter.

    Args:
        grams: n-grams of words, characters or tokens (``curate.text.ngrams``).
        seed: 64 bits that pick the hashes; signatures of different seeds can't be compared.
        bands: how many keys a row gets.
        rows: minima of a band; all of them agree where two rows share its key.

    Raises ValueError for bands or rows below 1, or more than ``MOST_BINS`` minima.
    """
    if bands < 1 or rows < 1 or bands * rows > MOST_BINS:
        raise ValueError(f"{bands} bands of {rows} rows: a signature has 1 to {MOST_BINS} minima")
    return Signatures(*_signatures(grams.rows, grams.hashes, bands, rows, _keys(seed, 2 * bands * rows)))


def estimate(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Jaccard similarity estimated from sketches uint8[..., bins], 0 to 1, free of chance agreements."""
    agree = np.count_nonzero(first == second, axis=-1)
    return np.maximum(0.0, (agree / first.shape[-1] - 1 / 256) / (1 - 1 / 256))
