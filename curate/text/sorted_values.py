# ruff: noqa: ANN001, ANN201 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Looking up in sorted arrays, in kernels."""

from __future__ import annotations

from numba import njit

__all__ = ["lower_bound"]


@njit(nogil=True, cache=True, _nrt=False)
def lower_bound(values, value):
    """How many of sorted values are below one, int64: ``np.searchsorted``, which takes numba five times as long to compile."""
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) >> 1
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low
