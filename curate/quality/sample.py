"""Samples that depend on content alone: the rows with the smallest keyed hash, in bounded memory.

A row's keyed hash is a pure function of (key, id), so the sample is the same whatever the order of the rows, the
size of the batches or the number of partitions they came from; and a smaller sample is a prefix of a larger one.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

HASH: Final = "_hash"
"""Column with the keyed hash in a sample's rows."""

U64 = npt.NDArray[np.uint64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_MASK: Final = (1 << 64) - 1


def _mix(values: U64) -> U64:
    """The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection in which every bit bears on all."""
    values = (values ^ (values >> np.uint64(30))) * _MIX_1
    values = (values ^ (values >> np.uint64(27))) * _MIX_2
    return values ^ (values >> np.uint64(31))


def keyed_hash(ids: pa.Array, key: int) -> U64:
    """64-bit hashes of 16-byte ids (``id`` or ``content_hash``) under a 64-bit key; ids must not be null.

    The ids are hashes themselves, so mixing their two halves with the key is enough. Little-endian on every machine.
    """
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    if not len(ids):
        return np.zeros(0, np.uint64)
    if ids.null_count:
        raise ValueError("ids must not be null")
    if ids.type.byte_width != 16:
        raise TypeError(f"ids must be 16 bytes wide, not {ids.type}")
    words = np.frombuffer(ids.buffers()[1], dtype="<u8")
    pairs = words[2 * ids.offset : 2 * (ids.offset + len(ids))].reshape(-1, 2).astype(np.uint64)
    with np.errstate(over="ignore"):
        low = _mix(pairs[:, 0] + np.uint64(key & _MASK) + _GOLDEN)
        return _mix(low ^ (pairs[:, 1] + _GOLDEN))


def unit(hashes: U64) -> npt.NDArray[np.float64]:
    """Hashes as numbers in [0, 1): the first 53 bits, exact in a float64."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


class Smallest:
    """The rows with the smallest hashes, kept while batches stream by.

    Args:
        rows: at most so many rows.
        text_bytes: rows in order of their hash until their ``text`` reaches so many bytes; the row that reaches it
            is the last.
        distinct: of rows with equal hashes (copies, when the hash is that of the content) only the one with the
            smallest id stays.

    At most about twice the limit is held at any time.
    """

    def __init__(self, *, rows: int | None = None, text_bytes: int | None = None, distinct: bool = False) -> None:
        self._rows, self._bytes, self._distinct = rows, text_bytes, distinct
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0
        self._cut_at: int | None = None

    def add(self, rows: pa.RecordBatch | pa.Table, hashes: U64) -> None:
        """Offer rows with an ``id`` (and a ``text`` where bytes are counted) and their hashes."""
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        table = table.append_column(HASH, pa.array(hashes, pa.uint64()))
        if self._cut_at is not None:
            table = table.filter(pc.less_equal(table.column(HASH), pa.scalar(self._cut_at, pa.uint64())))
        if not table.num_rows:
            return
        self._held.append(table)
        self._held_rows += table.num_rows
        if self._bytes is not None:
            self._held_bytes += pc.sum(pc.binary_length(table.column("text"))).as_py() or 0
        full = self._rows is not None and self._held_rows > 2 * self._rows
        heavy = self._bytes is not None and self._held_bytes > 2 * self._bytes
        if full or heavy:
            self._prune()

    def rows(self) -> pa.Table | None:
        """The sample in order of (hash, id), with its hash in column HASH; None if no row was offered."""
        if not self._held:
            return None
        self._prune()
        return self._held[0]

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
