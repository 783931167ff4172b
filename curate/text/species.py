"""Species among texts that come one after the other: near duplicates of one text that came first.

A text is of the species of the first text that it shares a key with (``curate.text.near_keys``) among those that began a
species; else it begins one. What is a near duplicate of a near duplicate, and of nothing that began a species, begins one
too: so chains of small changes don't run together, just as in ``dedup.near``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from curate.text.key_table import NONE, KeyTable

__all__ = ["Species"]


class Species:
    """A fold over texts, in about 110 bytes for each species, and 4 for each text.

    Attributes:
        texts: how many there were.
        distinct: species.
        once: species that had one text.
    """

    def __init__(self) -> None:
        self.texts = self.distinct = self.once = 0
        self._table = KeyTable()
        self._sizes = np.zeros(1024, np.uint32)
        """By the number of the text that began a species how many texts it has; 0 for other texts."""

    @property
    def unseen(self) -> float | None:
        """Good and Turing's estimate of the probability that the next text begins a species (Good, "The population
        frequencies of species", Biometrika 1953): the share of texts that are the only one of theirs; None without texts."""
        return self.once / self.texts if self.texts else None

    def add(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Add texts by their keys, uint64[n, bands], in their order.

        Returns int64[n]: -1 for a text that begins a species, else the number of the text that began its own. Texts are
        numbered from 0 in the order in which they are added.
        """
        count, bands = keys.shape
        if self.texts + count > len(self._sizes):
            self._sizes = np.concatenate([self._sizes, np.zeros(max(len(self._sizes), count), np.uint32)])
        keys = np.ascontiguousarray(keys)
        earlier = self._table.lowest(keys.reshape(-1)).reshape(count, bands).min(axis=1, initial=NONE)
        first = np.where(earlier == NONE, -1, earlier.astype(np.int64))
        _among(keys, first, self.texts)
        new = np.flatnonzero(first < 0)
        self._table.put(keys[new].reshape(-1), np.repeat(new + self.texts, bands).astype(np.uint32))
        self._sizes[new + self.texts] = 1
        known, more = np.unique(first[first >= 0], return_counts=True)
        self.once += len(new) - int((self._sizes[known] == 1).sum())
        self._sizes[known] += more.astype(np.uint32)
        self.distinct += len(new)
        self.texts += count
        return first


def _among(keys: npt.NDArray[np.uint64], first: npt.NDArray[np.int64], texts: int) -> None:
    """Fill in ``first`` of those that are like one of the same call, which begins at number ``texts``."""
    rows = np.flatnonzero(first < 0)
    _, which, counts = np.unique(keys[rows], return_inverse=True, return_counts=True)
    shared = (counts[which.reshape(len(rows), -1)] > 1).any(axis=1) if len(rows) else rows
    here: dict[int, int] = {}
    for row in rows[shared].tolist():
        own = keys[row].tolist()
        first[row] = min((here[key] for key in own if key in here), default=-1)
        if first[row] < 0:
            here.update(dict.fromkeys(own, texts + row))
