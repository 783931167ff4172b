# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Places of numbers in ascending order, nearly: by the upper of their bits, in a few passes over them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit, uint64

__all__ = ["nearly_sorted"]

_BITS: Final = 32
"""Of a number that it is sorted by; its place stands in the others."""
_DIGIT: Final = 8
"""Bits of a pass. Writing to 256 places at a time is faster than to 2,048, although there is a pass more."""


@njit(uint64[::1](uint64[::1]), nogil=True, cache=True)
def _sorted(values):
    """Numbers sorted by their upper _BITS, which of those that agree in them come first stays as it is; ``values`` is used up."""
    passes = _BITS // _DIGIT
    mask = np.uint64((1 << _DIGIT) - 1)
    starts = np.zeros((passes, 1 << _DIGIT), np.int64)
    for i in range(len(values)):
        for p in range(passes):
            starts[p, (values[i] >> np.uint64(64 - _BITS + p * _DIGIT)) & mask] += 1
    for p in range(passes):
        upto = 0
        for digit in range(1 << _DIGIT):
            size = starts[p, digit]
            starts[p, digit] = upto
            upto += size
    here, there = values, np.empty_like(values)
    for p in range(passes):
        by, begins = np.uint64(64 - _BITS + p * _DIGIT), starts[p]
        for i in range(len(here)):
            digit = (here[i] >> by) & mask
            there[begins[digit]] = here[i]
            begins[digit] += 1
        here, there = there, here
    return here


def nearly_sorted(keys: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Places of at most 2^32 keys in ascending order, int64[n]; and bool[n], whether a key may not be where it belongs.

    Keys are told apart by the upper 32 of the bits in which they differ. Those that agree in them stand where all of them
    belong, in the order in which they came.
    """
    if not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    least, most = int(keys.min()), int(keys.max())
    values = keys - np.uint64(least)
    values <<= np.uint64(64 - max(1, (most - least).bit_length()))
    values &= np.uint64(0xFFFFFFFF00000000)
    values |= np.arange(len(keys), dtype=np.uint64)
    values = _sorted(values)
    same = (values[1:] ^ values[:-1]) < np.uint64(1 << _BITS)
    tied = np.zeros(len(keys), np.bool_)
    tied[1:] = same
    tied[:-1] |= same
    values &= np.uint64(0xFFFFFFFF)
    return values.view(np.int64), tied
