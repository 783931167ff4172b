"""Buckets in which earlier documents come before new ones: who is compared with whom, and what is written down of a bucket.

A bucket has places, ``bound`` of them, for its first documents in keep order; every other document is compared with those
that have one. Earlier documents have theirs already, also those that were dropped: they are counted, and found no more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["comparable", "placed", "taken", "with_places"]

Bools = npt.NDArray[np.bool_]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


def taken(keys: U64, places: I64) -> I64:
    """How many places of its bucket are taken before each row, int64[n]. Args: as for ``comparable``."""
    before = np.cumsum(places) - places
    return before - before[np.searchsorted(keys, keys)]


def with_places(keys: U64, old: Bools, places: I64, bound: int) -> Bools:
    """bool[n]: earlier documents, and those that have a place in their bucket; what comes later is compared with no others.
    Args: as for ``comparable``."""
    return old | (taken(keys, places) < bound)


def comparable(keys: U64, old: Bools, there: Bools, places: I64, bound: int) -> tuple[I64, I64]:
    """The rows of buckets that can be compared, int64[m], and for each, counted among these, where those end with which it
    is: from the first of its bucket on. An earlier document is compared with none.

    Args:
        keys: uint64[n], sorted; within a key, earlier documents first, then new ones in keep order.
        old: bool[n], earlier documents.
        there: bool[n]; false for a row that stands for earlier documents that are found no more.
        places: int64[n], how many documents a row stands for: 1 for a new one.
        bound: places of a bucket.
    """
    rows = np.flatnonzero(there)
    met = np.concatenate(([0], np.cumsum(with_places(keys, old, places, bound)[rows])))
    begins, ends = (np.searchsorted(keys[rows], keys[rows], side=side) for side in ("left", "right"))
    return rows, begins + np.where(old[rows], 0, met[ends] - met[begins])


def placed(keys: U64, old: Bools, there: Bools, places: I64, bound: int) -> tuple[I64, I64]:
    """The new documents that take a place in their bucket, int64[m] rows and how many places each stands for, int64[m]:
    one for a document that is ``there``; those that are not have one row for all of a bucket.

    Args: as for ``comparable``; ``there`` is false for a new document that was dropped.
    """
    takes = np.flatnonzero(~old & (taken(keys, places) < bound))
    stays, gone = takes[there[takes]], takes[~there[takes]]
    _, first, many = np.unique(keys[gone], return_index=True, return_counts=True)
    rows = np.concatenate([stays, gone[first]])
    order = np.argsort(rows)
    return rows[order], np.concatenate([np.ones(len(stays), np.int64), many])[order]
