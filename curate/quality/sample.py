"""Samples that depend on content alone: the rows with the smallest keyed hash, in bounded memory.

A row's keyed hash (``curate.text.hashing.keyed_hash``) is a pure function of (key, id), so the sample is the same
whatever the order of the rows, the size of the batches or the number of partitions they came from; and a smaller sample
is a prefix of a larger one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

HASH: Final = "_hash"
"""Column with the keyed hash in a sample's rows."""

U64 = npt.NDArray[np.uint64]


def unit(hashes: U64) -> npt.NDArray[np.float64]:
    """Hashes as numbers in [0, 1): the first 53 bits, exact in a float64."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def held_out(content_hash: pa.Array, key: int, share: float) -> npt.NDArray[np.bool_]:
    """Which rows are held out by content alone: those whose keyed hash is below ``share``; exact copies stay together."""
    from curate.text.hashing import keyed_hash

    return unit(keyed_hash(content_hash, key)) < share


class Held:
    """Rows that are kept while batches stream by, with their hash in column HASH; ``_prune`` lets go of what is too much."""

    def __init__(self) -> None:
        self._held: list[pa.Table] = []
        self._held_rows = 0

    def rows(self) -> pa.Table | None:
        """The sample in its order; None if no row was offered."""
        if not self._held:
            return None
        self._prune()
        return self._held[0]

    def _hold(self, rows: pa.Table) -> None:
        self._held.append(rows)
        self._held_rows += rows.num_rows

    def _prune(self) -> None:
        raise NotImplementedError


class Smallest(Held):
    """The rows with the smallest hashes, in order of (hash, id).

    Args:
        rows: at most so many rows.
        text_bytes: rows in order of their hash until their ``text`` reaches so many bytes; the row that reaches it
            is the last.
        distinct: of rows with equal hashes (copies, when the hash is that of the content) only the one with the
            smallest id stays.

    At most about twice the limit is held at any time.
    """

    def __init__(self, *, rows: int | None = None, text_bytes: int | None = None, distinct: bool = False) -> None:
        super().__init__()
        self._rows, self._bytes, self._distinct = rows, text_bytes, distinct
        self._held_bytes = 0
        self._cut_at: int | None = None

    def add(self, rows: pa.RecordBatch | pa.Table, hashes: U64) -> None:
        """Offer rows with an ``id`` (and a ``text`` where bytes are counted) and their hashes."""
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        table = table.append_column(HASH, pa.array(hashes, pa.uint64()))
        if self._cut_at is not None:
            table = table.filter(pc.less_equal(table.column(HASH), pa.scalar(self._cut_at, pa.uint64())))
        if not table.num_rows:
            return
        self._hold(table)
        if self._bytes is not None:
            self._held_bytes += pc.sum(pc.binary_length(table.column("text"))).as_py() or 0
        full = self._rows is not None and self._held_rows > 2 * self._rows
        heavy = self._bytes is not None and self._held_bytes > 2 * self._bytes
        if full or heavy:
            self._prune()

    def _prune(self) -> None:
        table = pa.concat_tables(self._held).sort_by([(HASH, "ascending"), ("id", "ascending")])
        if self._distinct and table.num_rows > 1:
            hashes = table.column(HASH).to_numpy()
            table = table.filter(pa.array(np.concatenate(([True], hashes[1:] != hashes[:-1]))))
        if self._rows is not None:
            table = table.slice(0, self._rows)
        total = 0
        if self._bytes is not None:
            sums = np.cumsum(pc.binary_length(table.column("text")).to_numpy(), dtype=np.int64)
            table = table.slice(0, int(np.searchsorted(sums, self._bytes)) + 1)
            total = int(sums[table.num_rows - 1]) if table.num_rows else 0
        full = table.num_rows == self._rows or (self._bytes is not None and total >= self._bytes)
        # A new buffer: slices and filters of the old one would keep all that was offered alive.
        table = table.take(pa.array(np.arange(table.num_rows))).combine_chunks()
        self._cut_at = table.column(HASH)[-1].as_py() if full and table.num_rows else None
        self._held, self._held_rows, self._held_bytes = [table], table.num_rows, total


class Contents:
    """Which contents are chosen of each class: the smallest hashes, of each source at most ``per_source``.

    Without ``per_source``, the ``limit`` smallest hashes of a class. With it, first the ``per_source`` smallest of each
    (class, source), and of those the ``limit`` smallest of the class; a content that comes from several sources counts in
    each of them. Only hashes are held, about twice as many as are chosen: what is dropped once would never come back,
    because a row that joins a source pushes out none but a larger one.
    """

    def __init__(self, limit: int, per_source: int | None = None) -> None:
        self._limit, self._per_source = limit, per_source
        self._sources: dict[str, int] = {}
        self._held = np.zeros(0, _CONTENT)
        self._bound = 4 * limit + 1024

    def add(self, hashes: U64, classes: npt.NDArray[np.int8], sources: pa.Array) -> None:
        """Offer rows: hash of the content, class (0 or more; below 0 is passed over), source (string)."""
        rows = np.zeros(len(hashes), _CONTENT)
        rows["hash"], rows["class"] = hashes, classes
        if self._per_source is not None:
            coded = sources.dictionary_encode()
            codes = [self._sources.setdefault(name, len(self._sources)) for name in coded.dictionary.to_pylist()]
            rows["source"] = np.asarray(codes, np.int64)[np.asarray(coded.indices)]
        self._held = np.concatenate((self._held, rows[classes >= 0]))
        if len(self._held) > self._bound:
            self._prune()
            self._bound = 2 * len(self._held) + 1024

    def chosen(self) -> U64:
        """The chosen contents of all classes, distinct and sorted."""
        self._prune()
        return np.unique(self._held["hash"])

    def _prune(self) -> None:
        held = np.unique(self._held)  # sorted by class, source, hash
        if self._per_source is not None:
            held = held[ranks_within([held["class"], held["source"]], len(held)) < self._per_source]
        held = held[np.lexsort((held["hash"], held["class"]))]
        self._held = held[ranks_within([held["class"]], len(held)) < self._limit]


_CONTENT: Final = np.dtype([("class", np.int8), ("source", np.int64), ("hash", np.uint64)])


def ranks_within(keys: Sequence[npt.NDArray[np.integer]], rows: int) -> npt.NDArray[np.int64]:
    """Of so many rows, each one's place among the neighbours that have the same values in all of ``keys``."""
    starts = np.zeros(rows, np.bool_)
    starts[:1] = True
    for key in keys:
        starts[1:] |= key[1:] != key[:-1]
    first = np.flatnonzero(starts)
    return np.arange(rows) - np.repeat(first, np.diff(np.append(first, rows)))
