"""A stratified sample that depends on content alone: equal shares of classes within classes, in bounded memory.

Rows stand in classes, each in classes of its own, and so on (class of score, source, class of length): a tree. Taking
goes round: one row of each class in turn, of the class whose turn it is one of each of its own classes in turn, and
within the innermost class the row with the smallest hash. What is empty is passed over, so that a class with few rows
gives all of them and the others share the rest. The turns' order is that of keyed hashes of the classes' names.

The sample is the same whatever the order of the rows or the size of the batches, and a smaller sample is a prefix of a
larger one. For more rows, of any class, only move a row back: how many stand before it never falls. So a row that is
behind the first n among those seen so far is behind them for ever, and can be let go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.quality.sample import HASH, U64, Held, ranks_within

I64 = npt.NDArray[np.int64]


class Stratified(Held):
    """The first rows of the order above.

    Args:
        rows: at most so many rows; at most about twice as many, and a batch, are held at any time.
        classes: columns with a row's classes, the outermost first.
        key: of the order of the classes' turns.
    """

    def __init__(self, rows: int, classes: Sequence[str], key: int) -> None:
        super().__init__()
        self._rows, self._classes, self._key = rows, tuple(classes), key

    def add(self, rows: pa.Table, hashes: U64) -> None:
        """Offer rows with an ``id``, the classes' columns, and their hashes."""
        if not rows.num_rows:
            return
        self._hold(rows.append_column(HASH, pa.array(hashes, pa.uint64())))
        if self._held_rows > 2 * self._rows:
            self._prune()

    def _prune(self) -> None:
        held = pa.concat_tables(self._held)
        # A new buffer: a slice of the old ones would keep all that was offered alive.
        held = held.take(pa.array(self._order(held)[: self._rows])).combine_chunks()
        self._held, self._held_rows = [held], held.num_rows

    def _order(self, rows: pa.Table) -> I64:
        """Positions of the rows in the order in which they are taken."""
        order = _order_by(rows)
        turns = [self._turns(rows.column(name)) for name in self._classes]
        # Rank of each row within its innermost class, then within that one's class, ... out to all rows.
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        for depth in range(len(turns), -1, -1):
            inner = turns[depth] if depth < len(turns) else np.zeros(len(rank), np.int64)
            by = np.lexsort((inner, rank, *reversed(turns[:depth])))
            rank[by] = ranks_within([turn[by] for turn in turns[:depth]], len(rank))
        order[rank] = np.arange(len(order))
        return order

    def _turns(self, column: pa.ChunkedArray) -> I64:
        """For each row the place of its class's turn, from a keyed hash of the class's name."""
        found = column.combine_chunks().dictionary_encode()
        names = [str(value) for value in found.dictionary.to_pylist()]
        key = self._key.to_bytes(8, "little")
        digests = [hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=16, key=key).digest() for name in names]
        place = np.empty(len(names), np.int64)
        place[np.array(sorted(range(len(names)), key=lambda i: (digests[i], names[i])), np.int64)] = np.arange(
            len(names)
        )
        return place[found.indices.to_numpy(zero_copy_only=False)]


def _order_by(rows: pa.Table) -> I64:
    import pyarrow.compute as pc

    order = pc.sort_indices(rows, sort_keys=[(HASH, "ascending"), ("id", "ascending")])
    return order.to_numpy(zero_copy_only=False).astype(np.int64)


def bounds(values: npt.NDArray[np.float64], classes: int) -> npt.NDArray[np.float64]:
    """Lower ends of the classes after the first: the values' quantiles at 1/n, 2/n, ..., each once.

    A quantile here is a value that occurs (the smallest with at least that share of the values at or below it is the
    last of its class). Fewer classes where values repeat.
    """
    values = np.sort(values[~np.isnan(values)])
    if not len(values):
        return np.zeros(0)
    at = np.arange(1, classes) * len(values) // classes
    ends = np.unique(values[at])
    return ends[ends > values[0]]
