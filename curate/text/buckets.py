# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Buckets in which earlier documents come before new ones: who is compared with whom, and what is written down of a bucket.

A bucket has places, ``bound`` of them, for its first documents in keep order; every other document is compared with those
that have one. Earlier documents have theirs already, also those that were dropped: they are counted, and found no more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["comparable", "placed"]

Bools = npt.NDArray[np.bool_]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


@njit(nogil=True, cache=True)
def _comparable(keys, old, there, places, bound):
    rows = np.empty(len(keys), np.int64)
    stops = np.empty(len(keys), np.int64)
    count = 0
    begin = 0
    while begin < len(keys):
        end, taken, news, first = begin, 0, 0, count
        while end < len(keys) and keys[end] == keys[begin]:
            if old[end]:
                taken += places[end]
            else:
                news += 1
            if there[end]:
                rows[count] = end
                count += 1
            end += 1
        stop = count - news + max(0, bound - taken)
        for k in range(first, count):
            stops[k] = first if old[rows[k]] else stop
        begin = end
    return rows[:count].copy(), stops[:count].copy()


def comparable(keys: U64, old: Bools, there: Bools, places: I64, bound: int) -> tuple[I64, I64]:
    """The rows of buckets that can be compared, int64[m], and for each, counted among these, where those end with which it
    is: from the first of its bucket on. An earlier document is compared with none.

    Args:
        keys: uint64[n], sorted; within a key, earlier documents first, then new ones in keep order.
        old: bool[n], earlier documents.
        there: bool[n]; false for a row that stands for earlier documents that are found no more.
        places: int64[n], how many documents an ``old`` row stands for.
        bound: places of a bucket.
    """
    return _comparable(keys, old, there, places, bound)


@njit(nogil=True, cache=True)
def _placed(keys, old, there, places, bound):
    rows = np.empty(len(keys), np.int64)
    taken = np.empty(len(keys), np.int64)
    count = 0
    begin = 0
    while begin < len(keys):
        end, room, gone = begin, bound, -1
        while end < len(keys) and keys[end] == keys[begin]:
            if old[end]:
                room -= places[end]
            elif room > 0:
                room -= 1
                if there[end] or gone < 0:
                    rows[count] = end
                    taken[count] = 1
                    gone = count if not there[end] else gone
                    count += 1
                else:
                    taken[gone] += 1
            end += 1
        begin = end
    return rows[:count].copy(), taken[:count].copy()


def placed(keys: U64, old: Bools, there: Bools, places: I64, bound: int) -> tuple[I64, I64]:
    """The new documents that take a place in their bucket, int64[m] rows and how many places each stands for, int64[m]:
    one for a document that is ``there``; those that are not have one row for all of a bucket.

    Args: as for ``comparable``; ``there`` is false for a new document that was dropped.
    """
    return _placed(keys, old, there, places, bound)
