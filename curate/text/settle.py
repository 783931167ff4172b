# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Who stays among documents of which some are like others: greedy, in one order, at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["kept_edges"]


@njit(nogil=True, cache=True)
def _kept(earlier, later, gone, nodes):
    starts = np.zeros(nodes + 1, np.int64)
    waits = np.zeros(nodes, np.int64)
    for k in range(len(earlier)):
        starts[earlier[k] + 1] += 1
        waits[later[k]] += 1
    starts = np.cumsum(starts)
    out = np.empty(len(earlier), np.int64)
    fill = starts[:-1].copy()
    for k in range(len(earlier)):
        out[fill[earlier[k]]] = k
        fill[earlier[k]] += 1
    stays = np.zeros(len(earlier), np.bool_)
    queue = np.empty(nodes, np.int64)
    size = 0
    decided = np.zeros(nodes, np.bool_)
    drops = gone.copy()
    for node in range(nodes):
        if drops[node] or waits[node] == 0:
            decided[node] = True
            queue[size] = node
            size += 1
    at = 0
    while at < size:
        node = queue[at]
        at += 1
        for k in out[starts[node] : starts[node + 1]]:
            other = later[k]
            stays[k] = not drops[node]
            if decided[other]:
                continue
            waits[other] -= 1
            if not drops[node]:
                drops[other] = True
            if drops[other] or waits[other] == 0:
                decided[other] = True
                queue[size] = other
                size += 1
    return stays, size


def kept_edges(
    earlier: npt.NDArray[np.uint64], later: npt.NDArray[np.uint64], gone: npt.NDArray[np.uint64]
) -> npt.NDArray[np.bool_]:
    """Of edges between documents, those whose earlier one stays: bool[m].

    A document stays unless one before it that stays is like it: the lexicographically first maximal independent set.
    Memory: about 100 bytes for each edge.

    Args:
        earlier, later: uint64[m], any names of documents; ``earlier`` comes before ``later`` in one total order, so that
            edges make no circle.
        gone: names of documents that are known not to stay.

    Raises ValueError for edges that make a circle.
    """
    names, at = np.unique(np.concatenate([earlier, later, gone]), return_inverse=True)
    number = at.reshape(-1).astype(np.int64)
    m = len(earlier)
    dropped = np.zeros(len(names), np.bool_)
    dropped[number[2 * m :]] = True
    stays, decided = _kept(number[:m], number[m : 2 * m], dropped, len(names))
    if decided < len(names):
        raise ValueError("edges make a circle: they follow no order")
    return stays
