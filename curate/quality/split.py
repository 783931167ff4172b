"""Splits that near copies do not straddle: groups of documents, groups held out, groups dealt into folds.

Two documents are of one group if their MinHash sketches (``curate.quality.links``: word 5-grams) agree in one of 22 bands of
5 bytes, and so is whatever agrees with either of them. At a Jaccard similarity of 0.8 a pair does so with probability
0.9998, at 0.7 0.98, at 0.6 0.83, at 0.5 0.50, at 0.4 0.20, at 0.3 0.05: more than ``dedup.near`` (0.92 at 0.8, 0.05 at 0.5),
because here a pair too many costs a little room, and a pair missed is an answer that was known.
A group's name is the smallest hash in it, so a split depends on the set of documents alone.
"""

from __future__ import annotations

import heapq
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_ROWS_AT_ONCE: Final = 1024
Groups = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]


def groups(text: pa.ChunkedArray) -> Groups:
    """int64[n]: number of each text's group of near copies, counted in order of the group's first text.

    Texts with fewer words than a shingle are alone, unless another one is the same.
    """
    from curate.quality.links import BANDS, links
    from curate.text.arrow import buffers, fixed
    from curate.text.components import connected
    from curate.text.hashing import hash128
    from curate.text.minhash import SHINGLE
    from curate.text.ngrams import ngrams
    from curate.text.words import words

    linked = np.empty((len(text), BANDS), np.uint64)
    for start in range(0, len(text), _ROWS_AT_ONCE):
        part = text.slice(start, _ROWS_AT_ONCE)
        grams = ngrams(words(*buffers(part), "folded"), SHINGLE)
        # A short text's only link is its own hash, in every band; 64 bits of it are no 40 bits of a band.
        own = np.ascontiguousarray(fixed(hash128(part))).view(np.uint64)[:, :1]
        linked[start : start + len(part)] = np.where(np.diff(grams.rows)[:, None] == 0, own, links(grams))
    return connected(linked)


def names(group: Groups, hashes: Keys) -> Keys:
    """uint64[groups]: each group's smallest hash."""
    smallest = np.full(int(group.max(initial=-1)) + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(smallest, group, hashes)
    return smallest


def classes_of(group: Groups, good: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """int64[groups, 2]: how many bad and good rows each group has; rows labelled -1 do not count."""
    counts = np.zeros((int(group.max(initial=-1)) + 1, 2), np.int64)
    np.add.at(counts, (group[good >= 0], good[good >= 0].astype(np.int64)), 1)
    return counts


def hold_out(group: Groups, good: npt.NDArray[np.int8], order: Keys, share: float) -> npt.NDArray[np.bool_]:
    """bool[n]: rows of the groups that are held out, about ``share`` of each class.

    Of each class (a group's class is that of most of its rows) groups are taken in order of ``order`` (uint64[groups],
    a keyed hash of their names) while the class's share has room for them. A group that is larger than what is left is
    passed over; if that leaves none, the smallest group goes. One group of a class is always left to train on.
    """
    counts = classes_of(group, good)
    out = np.zeros(len(counts), np.bool_)
    for mine in _by_class(counts):
        members = counts[mine].sum(axis=1)
        room = int(np.ceil(share * members.sum()))
        ranked, left = mine[np.lexsort((mine, order[mine]))], len(mine) - 1
        for one in ranked.tolist():
            size = int(counts[one].sum())
            if size <= room and left:
                out[one] = True
                room -= size
                left -= 1
        if len(mine) > 1 and not out[mine].any():
            out[mine[np.lexsort((order[mine], members))[0]]] = True
    held: npt.NDArray[np.bool_] = out[group]
    return held


def deal(
    group: Groups, good: npt.NDArray[np.int8], order: Keys, folds: int, who: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int8]:
    """int8[n]: fold of each row of the groups in which a row of ``who`` is, -1 for others.

    The groups of a class are dealt in order of ``order``, each to the fold with the fewest rows of that class.
    """
    counts = classes_of(group, np.where(who, good, -1))
    fold = np.full(len(counts), -1, np.int8)
    for mine in _by_class(counts):
        ranked = mine[np.lexsort((mine, order[mine]))]
        heap = [(0, k) for k in range(folds)]
        for one in ranked.tolist():
            rows, k = heapq.heappop(heap)
            fold[one] = k
            heapq.heappush(heap, (rows + int(counts[one].sum()), k))
    dealt: npt.NDArray[np.int8] = fold[group]
    return dealt


def _by_class(counts: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    some = counts.sum(axis=1) > 0
    good = counts[:, 1] >= counts[:, 0]
    return [np.flatnonzero(some & (good == kind)) for kind in (False, True)]
