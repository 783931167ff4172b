# ruff: noqa: ANN001, ANN202 - numba infers the types of kernels; docstrings state them.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""The order in which samples are read: a function from a position in an endless stream to a row, with nothing stored.

The permutation of [0, n) is a Feistel network over pairs of digits to the base m = ceil(sqrt(n)) whose rounds add a keyed
hash modulo m (the generalised Feistel cipher of Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002,
method 3), applied again while what comes out is not below n (cycle walking, their method 2). Each round is a bijection of
the m * m pairs, so all of it is one of [0, n); m * m <= n + 2 sqrt(n) + 1, so hardly any row is walked.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["Kind", "Order", "permuted"]

Kind = Literal["all", "shards", "stored"]
"""``all``: each epoch is a permutation of all rows. ``shards``: shard after shard in an order of each epoch's own, the rows
of each permuted. ``stored``: as they lie in the shards."""
Rows = npt.NDArray[np.int64]

ROUNDS: Final = 8
"""Twice the four after which a Feistel network is a pseudo-random permutation even to who may ask for its inverse (Luby and
Rackoff 1988): small n have few round functions to draw from."""


@njit(nogil=True, cache=True, inline="always")
def _mixed(x):
    """Splitmix64's finaliser (Steele, Lea and Flood, OOPSLA 2014): each bit reaches each."""
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(nogil=True, cache=True)
def _feistel(index, size, side, keys):
    """int64[k]: where the permutation of [0, size) sends each index; ``side`` is ceil(sqrt(size)), keys uint64[rounds]."""
    out = np.empty(len(index), np.int64)
    m = np.uint64(side)
    for i in range(len(index)):
        x = np.uint64(index[i])
        while True:
            left, right = x // m, x % m
            for key in keys:
                # The upper half of a hash, scaled to [0, m): m is below 2^32.
                left += ((_mixed(right ^ key) >> np.uint64(32)) * m) >> np.uint64(32)
                if left >= m:
                    left -= m
                left, right = right, left
            x = left * m + right
            if x < np.uint64(size):
                break
        out[i] = x
    return out


@lru_cache(4096)
def _keys(*of: int | str) -> npt.NDArray[np.uint64]:
    """Round keys for a seed, an epoch and, in the order by shards, a shard."""
    said = " ".join(["curate.load/1", *map(str, of)])
    return np.frombuffer(hashlib.blake2b(said.encode(), digest_size=8 * ROUNDS).digest(), "<u8").astype(np.uint64)


def permuted(index: Rows, size: int, *of: int | str) -> Rows:
    """Where a permutation of [0, size), one for each key ``of``, sends each index: int64[k], a few nanoseconds each."""
    side = math.isqrt(size - 1) + 1 if size else 0
    return _feistel(np.ascontiguousarray(index, np.int64), size, side, _keys(*of))


class Order:
    """Rows by position in a stream that goes on epoch after epoch.

    Args:
        kind: see Kind.
        seed: another one, another order.
        starts: int64[shards + 1], the first row of each shard, and the number of rows.
    """

    def __init__(self, kind: Kind, seed: int, starts: Rows) -> None:
        self.kind, self.seed, self._starts = kind, seed, starts
        self.size = int(starts[-1])
        self._by_shards = lru_cache(2)(self._shards_of)

    def rows(self, position: Rows) -> Rows:
        """The row at each position: int64[k]."""
        if self.kind == "stored":
            return position % self.size
        out = np.empty(len(position), np.int64)
        epochs = position // self.size
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            inside = position[here] - epoch * self.size
            one = self._all if self.kind == "all" else self._in_shards
            out[here] = one(epoch, inside)
        return out

    def next_shard(self, position: int) -> int | None:
        """The shard that is read after the one that is read at a position; None in an order that reads of all."""
        if self.kind == "all":
            return None
        epoch, inside = divmod(position, self.size)
        shards, starts = self._by_shards(epoch)
        place = int(np.searchsorted(starts, inside, "right"))
        return int(shards[place]) if place < len(shards) else int(self._by_shards(epoch + 1)[0][0])

    def _all(self, epoch: int, inside: Rows) -> Rows:
        return permuted(inside, self.size, self.seed, epoch)

    def _shards_of(self, epoch: int) -> tuple[Rows, Rows]:
        """The shards that hold rows, in the order of an epoch, and the first place of each in it, with the end."""
        sizes = np.diff(self._starts)
        shards = np.flatnonzero(sizes)
        if self.kind == "shards":
            shards = shards[permuted(np.arange(len(shards)), len(shards), self.seed, epoch, "shards")]
        return shards, np.concatenate([[0], np.cumsum(sizes[shards])]).astype(np.int64)

    def _in_shards(self, epoch: int, inside: Rows) -> Rows:
        shards, starts = self._by_shards(epoch)
        place = np.searchsorted(starts, inside, "right") - 1
        out = np.empty(len(inside), np.int64)
        for one in np.unique(place).tolist():
            here = place == one
            shard = int(shards[one])
            size = int(starts[one + 1] - starts[one])
            out[here] = self._starts[shard] + permuted(inside[here] - starts[one], size, self.seed, epoch, shard)
        return out
