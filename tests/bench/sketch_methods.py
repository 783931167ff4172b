"""Ways to draw a MinHash signature that curate does not use, as fast as numba makes them, for ``tests.bench sketches``.

Each is a function of (ends int64[n + 1], hashes uint64[m], keys uint64[k], bins) and gives uint64[n, bins]: what has to
agree. Every row has shingles. ``hashes`` are 64-bit hashes of shingles, ``keys`` are random.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from curate.quality.links import lower
from curate.text.hashing import mix64, splitmix
from curate.text.minhash import _round
from curate.text.swar import high_product

EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
HALF = np.uint64(32)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
UNIVERSE = 1 << 20


@njit(nogil=True)
def permutations32(ends, hashes, keys, bins):
    """(a x + b mod 2^64) >> 32 of shingles mixed to 32 bits: Dietzfelbinger, STACS 1996; as ``curate.quality.links``."""
    a, b = keys[:bins].copy(), keys[bins : 2 * bins].copy()
    out = np.empty((len(ends) - 1, bins), np.uint64)
    minima = np.empty(bins, np.uint32)
    block = np.empty(8, np.uint32)
    for row in range(len(ends) - 1):
        minima[:] = np.uint32(0xFFFFFFFF)
        for at in range(ends[row], ends[row + 1], 8):
            for k in range(8):
                block[k] = np.uint32(hashes[min(at + k, ends[row + 1] - 1)] >> HALF)
            lower(block, a, b, minima)
        for i in range(bins):
            out[row, i] = minima[i]
    return out


@njit(nogil=True)
def permutations64(ends, hashes, keys, bins):
    """The same with whole 64-bit shingles and values: (a x + b) mod 2^64, a odd."""
    a, b = keys[:bins] | np.uint64(1), keys[bins : 2 * bins].copy()
    out = np.empty((len(ends) - 1, bins), np.uint64)
    for row in range(len(ends) - 1):
        minima = out[row]
        minima[:] = EMPTY
        for at in range(ends[row], ends[row + 1], 4):
            last = ends[row + 1] - 1
            x0, x1 = hashes[at], hashes[min(at + 1, last)]
            x2, x3 = hashes[min(at + 2, last)], hashes[min(at + 3, last)]
            for i in range(bins):
                p, q = a[i], b[i]
                low = min(p * x0 + q, p * x1 + q, p * x2 + q, p * x3 + q)
                minima[i] = min(minima[i], low)
    return out


@njit(nogil=True)
def _once(hashes, key, minima):
    """One permutation into the bins; which of them got a value."""
    minima[:] = EMPTY
    _round(hashes, 0, key, minima)
    return minima != EMPTY


@njit(nogil=True)
def densified(ends, hashes, keys, bins):
    """One permutation; an empty bin has the value of another, chosen by hash: Shrivastava, ICML 2017, optimal densification."""
    out = np.empty((len(ends) - 1, bins), np.uint64)
    for row in range(len(ends) - 1):
        minima = out[row]
        full = _once(hashes[ends[row] : ends[row + 1]], keys[0], minima)
        for place in range(bins):
            attempt = np.uint64(0)
            other = place
            while not full[other]:
                attempt += np.uint64(1)
                other = np.int64(high_product(mix64(keys[1] ^ (np.uint64(place) * GOLDEN + attempt)), np.uint64(bins)))
            minima[place] = minima[other]
    return out


@njit(nogil=True)
def rotated(ends, hashes, keys, bins):
    """One permutation; an empty bin has the next full one's value and how far it is: Shrivastava and Li, ICML 2014."""
    out = np.empty((len(ends) - 1, bins), np.uint64)
    for row in range(len(ends) - 1):
        minima = out[row]
        full = _once(hashes[ends[row] : ends[row + 1]], keys[0], minima)
        for place in range(bins):
            far = 0
            while not full[(place + far) % bins]:
                far += 1
            if far:
                minima[place] = mix64(minima[(place + far) % bins] + np.uint64(far))
    return out


@njit(nogil=True)
def superminhash(ends, hashes, keys, bins):
    """Each shingle permutes the bins: Ertl, arXiv 1706.05698, Algorithm 3."""
    out = np.empty((len(ends) - 1, bins), np.uint64)
    least = np.empty(bins, np.float64)
    order, stamp, levels = np.empty(bins, np.int64), np.empty(bins, np.int64), np.empty(bins, np.int64)
    for row in range(len(ends) - 1):
        least[:] = np.inf
        stamp[:] = -1
        levels[:] = 0
        levels[bins - 1] = bins
        top = bins - 1
        for i in range(ends[row], ends[row + 1]):
            state = mix64(hashes[i] ^ keys[0])
            j = 0
            while j <= top:
                state += GOLDEN
                draw = mix64(state)
                state += GOLDEN
                k = j + np.int64(high_product(mix64(state), np.uint64(bins - j)))
                for each in (j, k):
                    if stamp[each] != i:
                        stamp[each] = i
                        order[each] = each
                order[j], order[k] = order[k], order[j]
                value = j + np.float64(draw >> np.uint64(11)) / 9007199254740992.0
                place = order[j]
                if value < least[place]:
                    level = bins - 1 if least[place] == np.inf else min(np.int64(least[place]), bins - 1)
                    least[place] = value
                    if j < level:
                        levels[level] -= 1
                        levels[j] += 1
                        while levels[top] == 0:
                            top -= 1
                j += 1
        out[row] = least.view(np.uint64)
    return out


def circulant_table(keys, bins):
    """A permutation of 2^20 values, its beginning again behind its end."""
    table = np.random.default_rng(int(keys[0])).permutation(UNIVERSE).astype(np.uint32)
    return np.concatenate([table, table[:bins]])


@njit(nogil=True)
def _circulant(ends, hashes, key, table, bins):
    out = np.empty((len(ends) - 1, bins), np.uint64)
    minima = np.empty(bins, np.uint32)
    for row in range(len(ends) - 1):
        minima[:] = np.uint32(0xFFFFFFFF)
        for i in range(ends[row], ends[row + 1]):
            at = np.int64(mix64(hashes[i] ^ key) >> np.uint64(44))
            shifted = table[at : at + bins]
            for k in range(bins):
                minima[k] = min(minima[k], shifted[k])
        for k in range(bins):
            out[row, k] = minima[k]
    return out


_tables: dict[tuple[int, int], np.ndarray] = {}


def circulant(ends, hashes, keys, bins):
    """One permutation of 2^20 values, shifted by one for each bin: C-MinHash, Li and Li, ICML 2022."""
    name = int(keys[0]), bins
    if name not in _tables:
        _tables[name] = circulant_table(keys, bins)
    return _circulant(ends, hashes, keys[1], _tables[name], bins)


OTHERS = {
    "permutations, 32 bits": permutations32,
    "permutations, 64 bits": permutations64,
    "one permutation, rotated": rotated,
    "one permutation, densified": densified,
    "SuperMinHash": superminhash,
    "C-MinHash": circulant,
}


def keys_of(seed: int, bins: int) -> np.ndarray:
    """Random 64-bit values for a method."""
    return splitmix(seed, 2 * bins)
