"""The pieces of documents that sequences are made of, as the side table has them, and what the sequences must then hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import DamagedError
from curate.store.dataset import PIECES
from curate.store.files import Store
from curate.store.tables import open_data
from curate.text.hashing import xxh64_rows

__all__ = ["Expected", "Pieces", "copies", "expected", "meeting", "read_pieces", "side_files", "untiled"]

Ints = npt.NDArray[np.int64]

_CURE: Final = "run the recipe again, or copy the folder again from its run"


@dataclass(frozen=True)
class Pieces:
    """Rows of the side table; numpy columns of its integers, the others in ``table``."""

    table: pa.Table
    sequence: Ints
    at: Ints
    length: Ints
    start: Ints

    @staticmethod
    def of(table: pa.Table) -> Pieces:
        """From the rows as they were read."""
        return Pieces(table, *(table.column(name).to_numpy().astype(np.int64) for name in PIECES.names[:4]))

    def __len__(self) -> int:
        return len(self.sequence)

    def between(self, first: int, stop: int) -> Pieces:
        """Those of sequences [first, stop), of rows in order."""
        low, high = np.searchsorted(self.sequence, [first, stop])
        table = self.table.slice(int(low), int(high - low))
        columns = (c[low:high] for c in (self.sequence, self.at, self.length, self.start))
        return Pieces(table, *columns)

    def column(self, name: str) -> pa.Array:
        """One column as one array."""
        return self.table.column(name).combine_chunks()


def side_files(table: Store) -> list[str]:
    """The files of a side table, in order; none where there is no table."""
    return sorted(entry.key for entry in table.list() if "/" not in entry.key and entry.key.endswith(".parquet"))


def read_pieces(table: Store, name: str) -> Iterator[Pieces]:
    """A file of the side table, a row group at a time.

    Raises DamagedError for a file that is no Parquet, or has other columns.
    """
    try:
        with open_data(table.data(name)) as source, pq.ParquetFile(source) as file:
            if not file.schema_arrow.equals(PIECES):
                raise DamagedError("has other columns than a side table", place=table.name(name), cure=_CURE)
            for group in range(file.num_row_groups):
                yield Pieces.of(file.read_row_group(group))
    except (OSError, pa.ArrowException) as error:
        why = str(error).splitlines()[0][:200]
        raise DamagedError(f"can't be read as Parquet ({why})", place=table.name(name), cure=_CURE) from None


@dataclass(frozen=True)
class Expected:
    """What sequences must hold, from their pieces; int64[sequences * size] unless said otherwise.

    Attributes:
        position: place of each token in its piece, or in the padding.
        padding: bool, where no piece is.
        last: bool, on the last token of each piece.
        counts: pieces of each sequence, padding counted as one, int64[sequences].
        lengths: of all these, int64[sum of counts].
    """

    position: Ints
    padding: npt.NDArray[np.bool_]
    last: npt.NDArray[np.bool_]
    counts: Ints
    lengths: Ints


def untiled(pieces: Pieces, first: int, count: int, size: int) -> tuple[int, str] | None:
    """The first sequence of [first, first + count) whose pieces do not stand one behind the other from its beginning, and
    what is wrong; None where all do."""
    sequence, at, length = pieces.sequence - first, pieces.at, pieces.length
    if bad := _first(length < 1):
        return int(pieces.sequence[bad - 1]), f"has a piece of {length[bad - 1]} tokens"
    begins = np.ones(len(pieces), bool)
    begins[1:] = sequence[1:] != sequence[:-1]
    wanted = np.zeros(len(pieces), np.int64)
    wanted[1:] = np.where(begins[1:], 0, at[:-1] + length[:-1])
    if bad := _first(at != wanted):
        i = bad - 1
        return int(pieces.sequence[i]), f"has a piece at {at[i]:,}, where one belongs at {wanted[i]:,}"
    if bad := _first(at + length > size):
        i = bad - 1
        return int(pieces.sequence[i]), f"has a piece that ends at {at[i] + length[i]:,}, behind its {size:,} tokens"
    there = np.bincount(sequence, minlength=count) > 0
    if bad := _first(~there):
        return first + bad - 1, "has no piece in the side table"
    return None


def _first(bad: npt.NDArray[np.bool_]) -> int:
    """One more than the place of the first true value; 0 where there is none."""
    return int(np.argmax(bad)) + 1 if bad.any() else 0


def expected(pieces: Pieces, first: int, count: int, size: int) -> Expected:
    """What sequences [first, first + count) must hold, for pieces that tile them (see ``untiled``)."""
    sequence = pieces.sequence - first
    used = np.bincount(sequence, weights=pieces.length, minlength=count).astype(np.int64)
    rest = size - used
    counts = np.bincount(sequence, minlength=count) + (rest > 0)
    ends = np.cumsum(counts)
    lengths = np.zeros(int(ends[-1]) if count else 0, np.int64)
    padded = np.zeros(len(lengths), bool)
    padded[ends[rest > 0] - 1] = True
    lengths[~padded], lengths[padded] = pieces.length, rest[rest > 0]
    stops = np.cumsum(lengths)
    position = np.arange(count * size) - np.repeat(stops - lengths, lengths)
    last = np.zeros(count * size, bool)
    last[stops[~padded] - 1] = True
    return Expected(position, np.repeat(padded, lengths), last, counts, lengths)


def copies(pieces: Pieces) -> npt.NDArray[np.uint64]:
    """A hash of each piece's document and epoch, uint64[n]."""
    return xxh64_rows(pieces.column("document"), pieces.column("epoch").to_numpy().astype(np.uint64))


def meeting(copy: npt.NDArray[np.uint64], token: Ints) -> npt.NDArray[np.uint64]:
    """A hash of a token's place in a copy of a document, uint64[n]: equal for two pieces that meet there."""
    return _mixed(copy ^ _mixed(token.astype(np.uint64)))


def _mixed(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of splitmix64 (Steele et al. 2014)."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
