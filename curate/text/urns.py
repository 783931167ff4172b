# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Draws from urns: which urn is drawn from at random, without putting back, until it is empty."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from curate.text.hashing import mix64

__all__ = ["MOST_URNS", "drawn"]

I64 = npt.NDArray[np.int64]
MOST_URNS: Final = 1 << 14
"""So that 50 bits of a hash times their number fit 64 bits: no urn is likelier than another by more than 2^-36."""


@njit(nogil=True, cache=True)
def _drawn(sizes, draws, key):
    """int64[m]: draws from each urn of ``sizes`` (int64[m]); ``draws`` in all, or until all are empty."""
    found = np.zeros(len(sizes), np.int64)
    full = np.empty(len(sizes), np.int64)
    count = 0
    for urn in range(len(sizes)):
        if sizes[urn] > 0:
            full[count] = urn
            count += 1
    for draw in range(draws):
        if count == 0:
            break
        dice = mix64(np.uint64(key) + np.uint64(draw) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(14)
        at = np.int64((dice * np.uint64(count)) >> np.uint64(50))
        urn = full[at]
        found[urn] += 1
        if found[urn] == sizes[urn]:
            count -= 1
            full[at] = full[count]
    return found


def drawn(sizes: I64, draws: int, key: int) -> I64:
    """How many times each urn was drawn from, int64[m], where each time one of those that are not empty is drawn, all of
    them equally likely.

    The process itself, draw by draw, with the hashes of 0, 1, 2, ... under a key as its dice: so fewer draws are the first of
    more. Some 10 ns a draw.

    Args:
        sizes: int64[m], how often each urn can be drawn from; at most MOST_URNS urns.
        draws: in all.
        key: of the hashes, 64 bits.
    """
    if len(sizes) > MOST_URNS:
        raise ValueError(f"{len(sizes):,} urns, more than {MOST_URNS:,}")
    return _drawn(sizes, min(draws, int(sizes.sum())), np.uint64(key & 0xFFFFFFFFFFFFFFFF))
