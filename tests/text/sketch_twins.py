"""Slow, obvious Python versions of MinHash and of the choice of bands."""

from __future__ import annotations

import twins
from scipy.integrate import quad

M64 = twins.M64


def keys(seed: int, rounds: int) -> list[int]:
    """splitmix64 (Steele, Lea and Flood 2014)."""
    out = []
    for i in range(1, rounds + 1):
        z = (seed + i * 0x9E3779B97F4A7C15) & M64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & M64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & M64
        out.append(z ^ (z >> 31))
    return out


def minima(shingles: set[int], seed: int, bins: int) -> list[int]:
    """Fast similarity sketching, as the paper's Figure 1 has it, one round after the other: round + 48 bits of the value."""
    found: list[int | None] = [None] * bins
    for i, key in enumerate(keys(seed, 2 * bins)):
        drawn: dict[int, list[int]] = {}
        for x in shingles:
            mixed = twins.mix64(x ^ key)
            place, value = divmod(mixed * bins, 1 << 64) if i < bins else (i - bins, mixed)
            # The last rounds are for one bin each: a value says which.
            drawn.setdefault(place, []).append(i << 48 | value >> 16 if i < bins else value | 0xFFFF << 48)
        for place, values in drawn.items():
            if found[place] is None:
                found[place] = min(values)
    return [value for value in found if value is not None]


def signature(shingles: set[int], seed: int, bands: int, rows: int, bits: int) -> tuple[list[int], list[int]] | None:
    """(bands, sketch) of a row's shingles, or None when it has none."""
    if not shingles:
        return None
    mixed = [twins.mix64(value) for value in minima(shingles, seed, bands * rows * 8 // bits)]
    found = []
    for band in range(bands):
        key = band + 1
        for value in mixed[band * rows : (band + 1) * rows]:
            key = (key * twins.BASE + value) & M64
        found.append(twins.mix64(key))
    packed = sum((value >> (64 - bits)) << (i * bits) for i, value in enumerate(mixed))
    return found, list(packed.to_bytes(bands * rows, "little"))


def banding(similarity: float, bins: int, missed: float) -> tuple[int, int]:
    """datasketch 1.6 ``_optimal_param``, with scipy's integration as it has it."""
    best, least = (0, 0), float("inf")
    for b in range(1, bins + 1):
        for r in range(1, bins // b + 1):
            vain, _ = quad(lambda s, b=b, r=r: 1 - (1 - s**r) ** b, 0.0, similarity)
            miss, _ = quad(lambda s, b=b, r=r: 1 - (1 - (1 - s**r) ** b), similarity, 1.0)
            error = (1 - missed) * vain + missed * miss
            if error < least - 1e-9:
                least, best = error, (b, r)
    return best
