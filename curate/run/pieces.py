"""Where the rows of each partition, and the verdicts about each part, lie: an index in the store that every task reads its share of.

Pairs of maps and partitions are the one thing in a run that grows with the square of its size. So they travel neither
in tasks nor in lists of Python objects: a receipt holds its file's entries as columns, the driver adds them up in
arrays, and a task gets the name of the index and the number of its share.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.stages.base import Span
from curate.store.files import Store
from curate.store.tables import TableReader, new_table, open_table

_SCHEMA: Final = pa.schema(
    [
        ("file", pa.uint32()),
        ("first", pa.uint32()),
        ("count", pa.uint32()),
        ("rows", pa.uint32()),
        ("bytes", pa.int64()),
    ]
)
_FILES: Final = b"files"
"""Metadata of an index's schema: the names of all files, JSON; ``file`` counts in it."""

MOST_OPEN: Final = 256
"""Files that a task has open at once: a partition lies in as many as there are maps, and a process may have 1024 open."""

Sums = dict[str, list[int]]
"""By group: rows, weight."""


@dataclass(frozen=True)
class Piece:
    """Record batches [first, first + count) of a file; their rows, and about how many bytes these take in memory."""

    file: str
    first: int
    count: int
    rows: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Share:
    """What one task reads of an index; by default nothing."""

    index: str = ""
    batch: int = 0

    def pieces(self, store: Store) -> list[Piece]:
        """The pieces, in the order in which they were added."""
        if not self.index:
            return []
        with open_table(store.data(self.index)) as reader:
            files = json.loads(reader.schema.metadata[_FILES])
            columns = [c.to_pylist() for c in reader.get_batch(self.batch).columns]
        return [Piece(files[file], *where) for file, *where in zip(*columns, strict=True)]


@dataclass
class Partitions:
    """Entries of all files by partition (or by part), added file by file in the order of the tasks that wrote them."""

    files: list[str] = field(default_factory=list)
    _columns: list[npt.NDArray[np.int64]] = field(default_factory=list)
    _groups: dict[int, Sums] = field(default_factory=dict)

    def add(self, file: str, index: Mapping[str, Any]) -> None:
        """Entries of one file; see ``entries``."""
        partition = np.asarray(index["partition"], np.int64)
        count = np.asarray(index["batches"], np.int64)
        # A file's entries stand in it one after the other.
        first = np.cumsum(count) - count
        rest = [np.asarray(index[name], np.int64) for name in ("rows", "bytes", "weight")]
        number = np.full(len(partition), len(self.files), np.int64)
        self.files.append(file)
        self._columns.append(np.stack([partition, number, first, count, *rest]))
        for at, sums in index.get("groups", ()):
            add_sums(self._groups.setdefault(at, {}), sums)

    def _sorted(self) -> npt.NDArray[np.int64]:
        if not self._columns:
            return np.empty((7, 0), np.int64)
        every = np.concatenate(self._columns, axis=1)
        self._columns = [every[:, np.argsort(every[0], kind="stable")]]
        return self._columns[0]

    def _by_partition(self) -> tuple[npt.NDArray[np.int64], list[int], npt.NDArray[np.int64]]:
        """All entries in the order of their partitions, the partitions' numbers, and where in the entries each begins."""
        every = self._sorted()
        numbers, starts = np.unique(every[0], return_index=True)
        return every, numbers.tolist(), starts

    def sums(self) -> dict[int, tuple[int, int, Sums]]:
        """Rows, weight and sums by group of each partition that has rows, in order."""
        every, numbers, starts = self._by_partition()
        rows, weight = (np.add.reduceat(every[c], starts).tolist() for c in (4, 6))
        return {p: (r, w, self._groups.get(p, {})) for p, r, w in zip(numbers, rows, weight, strict=True)}

    def bytes(self) -> dict[int, int]:
        """About how many bytes the rows of each partition take in memory."""
        every, numbers, starts = self._by_partition()
        return dict(zip(numbers, np.add.reduceat(every[5], starts).tolist(), strict=True))

    @contextmanager
    def published(self, store: Store, folder: str) -> Iterator[dict[int, Share]]:
        """The share of each partition, of an index that is there while the block lasts.

        No receipt names it: who goes on with a run writes one anew, and what a killed run leaves is garbage.
        """
        every, numbers, starts = self._by_partition()
        if not numbers:
            yield {}
            return
        stops = [*starts[1:].tolist(), every.shape[1]]
        key = store.fresh(folder, "pieces", ".arrow")
        shares: dict[int, Share] = {}
        names = {_FILES: json.dumps(self.files).encode()}
        with new_table(store, key, _SCHEMA.with_metadata(names)) as out:
            for partition, begin, end in zip(numbers, starts.tolist(), stops, strict=True):
                here = [pa.array(every[c, begin:end]).cast(_SCHEMA.field(c - 1).type) for c in range(1, 6)]
                out.write(pa.RecordBatch.from_arrays(here, schema=_SCHEMA))
                shares[partition] = Share(key, len(shares))
        yield shares
        store.remove(key)


class Entries:
    """The index of a file that is being written: what ``Partitions.add`` reads, plain values for a receipt.

    Columns ``partition, batches, rows, bytes, weight``, an entry for each run of batches of one partition; ``groups``:
    ``[partition, sums by group]`` where a phase has groups.
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[int]] = {n: [] for n in ("partition", "batches", "rows", "bytes", "weight")}
        self._groups: list[tuple[int, Sums]] = []

    def add(
        self, partition: int, batches: int, rows: int, size: int, weight: int = 0, sums: Sums | None = None
    ) -> None:
        """Batches that were written, behind those added before."""
        for column, value in zip(self._columns.values(), (partition, batches, rows, size, weight), strict=True):
            column.append(value)
        if sums:
            self._groups.append((partition, sums))

    def dump(self) -> dict[str, Any]:
        """For the receipt."""
        return {**self._columns, **({"groups": self._groups} if self._groups else {})}


class Opened(ExitStack):
    """Files of pieces, open in a context for as many of their batches as are asked for."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._readers: dict[str, TableReader] = {}

    def batch(self, file: str, number: int) -> pa.RecordBatch:
        """One batch of a file."""
        if file not in self._readers:
            if len(self._readers) >= MOST_OPEN:
                self.close()
                self._readers.clear()
            self._readers[file] = self.enter_context(open_table(self._store.data(file), mapped=False))
        return self._readers[file].get_batch(number)


def read_pieces(store: Store, pieces: Sequence[Piece], schema: pa.Schema | None = None) -> pa.Table:
    """All rows of some pieces, in their order; ``schema`` is that of no piece."""
    batches: list[pa.RecordBatch] = []
    # One file after the other: what says where the batches of a file lie is as long as there are partitions and runs.
    for file, here in itertools.groupby(pieces, lambda piece: piece.file):
        with open_table(store.data(file), mapped=False) as reader:
            batches += [reader.get_batch(i) for p in here for i in range(p.first, p.first + p.count)]
    return pa.Table.from_batches(batches, schema)


def sums_of_groups(partitions: Iterable[tuple[int, int, Sums]]) -> Sums:
    """Rows and weight of each group, over all partitions, in the order of their names."""
    totals: Sums = {}
    for _, _, groups in partitions:
        add_sums(totals, groups)
    return dict(sorted(totals.items()))


def spans(partitions: Sequence[tuple[int, int, Sums]], *, all_groups: bool = False) -> list[Span]:
    """A Span for each partition from its rows, weight and sums by group, partitions in the order of their keys;
    ``all_groups``: with the sums of every group."""
    rows, weight = sum(p[0] for p in partitions), sum(p[1] for p in partitions)
    totals = sums_of_groups(partitions)
    everything = {name: (r, w) for name, (r, w) in totals.items()} if all_groups else {}
    result: list[Span] = []
    before_rows = before_weight = 0
    before = {name: [0, 0] for name in totals}
    for here in partitions:
        inner = {n: Span(before[n][0], totals[n][0], before[n][1], totals[n][1]) for n in here[2]}
        result.append(Span(before_rows, rows, before_weight, weight, inner, everything))
        before_rows, before_weight = before_rows + here[0], before_weight + here[1]
        add_sums(before, here[2])
    return result


def add_sums(sums: Sums, more: Mapping[str, Iterable[int]]) -> None:
    """Add sums by group to others, in place."""
    for name, (rows, weight) in more.items():
        here = sums.setdefault(name, [0, 0])
        here[0] += rows
        here[1] += weight
