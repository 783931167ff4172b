# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Connected components: which rows hang together through keys that they share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["connected", "joined"]


@njit(nogil=True, cache=True)
def _join(roots, first, second):
    """Union-find with path halving over int64[n] ``roots``: of two roots the smaller one becomes the other's."""
    for i in range(len(first)):
        a, b = first[i], second[i]
        while roots[a] != a:
            roots[a] = roots[roots[a]]
            a = roots[a]
        while roots[b] != b:
            roots[b] = roots[roots[b]]
            b = roots[b]
        if a < b:
            roots[b] = a
        else:
            roots[a] = b


def connected(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Components of n rows, of which two hang together if they are equal in one column of uint64[n, k].

    int64[n], numbered from 0 in order of each component's first row; columns are compared one by one, so a key in one
    column says nothing about the same key in another. Memory: three int64[n] beside the keys.
    """
    roots = np.arange(len(keys))
    for column in keys.T:
        order = np.argsort(column, kind="stable")
        ranked = column[order]
        same = np.flatnonzero(ranked[1:] == ranked[:-1])
        _join(roots, order[same], order[same + 1])
    return np.unique(_tops(roots), return_inverse=True)[1].astype(np.int64)


def joined(n: int, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """int64[n]: of each of n rows the first row of its component, of a graph with edges int64[m] from ``first`` to ``second``."""
    roots = np.arange(n)
    _join(roots, first, second)
    return _tops(roots)


def _tops(roots: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    # A root is smaller than what hangs on it, so each round halves every path to the top.
    while ((above := roots[roots]) != roots).any():
        roots = above
    return roots
