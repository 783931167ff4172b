"""Where any row of any shard lies: a few numbers for each shard, and an entry for each batch only where batches differ."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from curate.load.layout import Layout

__all__ = ["Index"]

Ints = npt.NDArray[np.int64]


class Index:
    """Layouts of shards, gathered as they become known.

    Args:
        starts: int64[shards + 1], where each shard's bytes begin.
        widths: int64[tracks], bytes from row to row.

    Attributes:
        known: bool[shards].
        rows: int64[shards], of those that are known.
    """

    def __init__(self, starts: Ints, widths: Ints) -> None:
        shards, tracks = len(starts) - 1, len(widths)
        self._starts, self._widths = starts, widths
        self.known = np.zeros(shards, np.bool_)
        self.rows = np.zeros(shards, np.int64)
        self._per = np.ones(shards, np.int64)
        self._stride = np.zeros(shards, np.int64)
        self._last_entry = np.zeros(shards, np.int64)
        self._first, self._last = np.zeros((tracks, shards), np.int64), np.zeros((tracks, shards), np.int64)
        # Entries of shards whose batches differ in size, one shard's after another's, and where each one's begin.
        self._begins = np.full(shards, -1, np.int64)
        self._entries, self._used = np.zeros((tracks, 0), np.int64), 0

    def add(self, shard: int, layout: Layout) -> None:
        """Remember a shard's layout."""
        entries = layout.entries + self._starts[shard]
        self.rows[shard], self._per[shard], self._stride[shard] = layout.rows, layout.per, layout.stride
        self._last_entry[shard] = max(0, (layout.rows - 1) // layout.per)
        if len(entries):
            self._first[:, shard], self._last[:, shard] = entries[0], entries[-1]
        if not layout.stride and len(entries) > 2:
            self._begins[shard] = self._used
            self._append(entries.T)
        self.known[shard] = True

    def _append(self, entries: Ints) -> None:
        stop = self._used + entries.shape[1]
        if stop > self._entries.shape[1]:
            grown = np.zeros((len(entries), max(stop, 2 * self._entries.shape[1])), np.int64)
            grown[:, : self._used] = self._entries[:, : self._used]
            self._entries = grown
        self._entries[:, self._used : stop] = entries
        self._used = stop

    def at(self, track: int, shards: Ints, rows: Ints) -> Ints:
        """Byte at which each row (of a shard that is known) begins on a track: int64[n]."""
        entry, inside = np.divmod(rows, self._per[shards])
        place = self._first[track, shards] + entry * self._stride[shards]
        place = np.where(entry == self._last_entry[shards], self._last[track, shards], place)
        begins = self._begins[shards]
        if (begins >= 0).any():
            listed = np.flatnonzero(begins >= 0)
            place[listed] = self._entries[track, begins[listed] + entry[listed]]
        return place + inside * self._widths[track]
