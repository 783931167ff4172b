"""What a format is: columns that it takes, and files that it writes one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import pyarrow as pa

from curate.errors import RecipeError
from curate.export.ragged import Lengths, as_bytes, binary, cut_by_size, joined, lengths_of, taken
from curate.store.dataset import Dataset, Kind

__all__ = ["File", "Format", "Items", "Stream"]

MASKED = "trained"
"""Column of encoded documents that says which tokens are trained on."""


@dataclass
class File:
    """One file with rows: its name, how many rows and tokens it has."""

    name: str
    rows: int = 0
    tokens: int = 0


class Format:
    """Writes rows in one format to a folder.

    Batches come in order; what is written depends on the rows and the size of shards alone.

    Attributes:
        name: as it is asked for.
        about: for whom it is, and how its reader opens it.
        kinds: of datasets that it takes.
        shard_bytes: about how large a shard is when nobody says.
        files: those with rows, when ``finish`` is done.
        asked: the columns that the user asked for; None: nobody did.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    kinds: ClassVar[frozenset[Kind]]
    shard_bytes: ClassVar[int] = 1 << 26

    def __init__(self, folder: Path, dataset: Dataset, schema: pa.Schema, shard_bytes: int) -> None:
        self.folder, self.dataset, self.schema, self.most = folder, dataset, schema, shard_bytes
        self.files: list[File] = []
        self.asked: tuple[str, ...] | None = None

    @classmethod
    def columns(cls, dataset: Dataset, schema: pa.Schema, asked: Sequence[str] | None) -> list[str]:  # noqa: ARG003 - see others
        """The columns that it is given: those that were asked for (which are there), else all that it holds.

        Raises RecipeError for what it can't hold.
        """
        return list(schema.names if asked is None else asked)

    def add(self, batch: pa.RecordBatch) -> None:
        """Write the rows of a batch."""
        raise NotImplementedError

    def finish(self) -> None:
        """Complete what was begun."""
        raise NotImplementedError

    def describe(self) -> list[dict[str, Any]]:
        """Name, rows and tokens of each file with rows."""
        return [asdict(file) for file in self.files]

    def refuse(self, cause: str, cure: str) -> RecipeError:
        """The error for rows that the format can't hold."""
        return RecipeError(f"{self.name}: {cause}", place=str(self.dataset.folder), cure=cure)


def tokens_in(batch: pa.RecordBatch) -> int:
    """Token ids in a batch, padding among them; 0 for texts."""
    if "input_ids" not in batch.schema.names:
        return 0
    return int(lengths_of(batch.column("input_ids")).sum())


def ids_alone(
    kind: type[Format], dataset: Dataset, schema: pa.Schema, asked: Sequence[str] | None, also: Sequence[str] = ()
) -> list[str]:
    """The columns of a format that holds token ids, and of some others of ``also`` that are there; see Format.columns."""
    held = ["input_ids", *(name for name in also if name in schema.names)]
    for name in asked or ():
        if name not in held:
            raise RecipeError(
                f"{kind.name} has no place for column '{name}'",
                place="--columns",
                cure=f"it holds {', '.join(held)}; export to parquet or mds, which hold any",
            )
    if asked is not None:
        return ["input_ids", *(name for name in held[1:] if name in asked)]
    if MASKED in schema.names and MASKED not in held and _has_values(dataset, MASKED):
        raise RecipeError(
            f"{kind.name} has no place for what is not trained on, which column '{MASKED}' says",
            place=str(dataset.folder),
            cure="export to nanotron or parquet, or train on every token: --columns input_ids",
        )
    return held


def _has_values(dataset: Dataset, column: str) -> bool:
    return any(b.column(column).null_count < b.num_rows for shard in dataset.shards for b in dataset.batches(shard))


class Stream(Format):
    """A format whose shards hold the token ids of documents end to end, and nothing else."""

    kinds = frozenset({"documents"})
    shard_bytes = 1 << 31

    @classmethod
    def columns(cls, dataset: Dataset, schema: pa.Schema, asked: Sequence[str] | None) -> list[str]:
        """The ids; raises RecipeError where other columns are asked for, or documents say what is not trained on."""
        return ids_alone(cls, dataset, schema, asked)

    def __init__(self, folder: Path, dataset: Dataset, schema: pa.Schema, shard_bytes: int) -> None:
        super().__init__(folder, dataset, schema, shard_bytes)
        self._open: BinaryIO | None = None
        self._held = 0
        self._lengths: list[Lengths] = []

    def shard_name(self, number: int) -> str:
        """File name of a shard."""
        raise NotImplementedError

    def encoded(self, ids: pa.Array) -> pa.Array:
        """The ids in the dtype that the format has for them."""
        return ids

    def beside(self, file: File, lengths: Lengths) -> None:
        """Write what belongs beside a shard that is complete, which has documents of these lengths."""
        raise NotImplementedError

    def also(self, rows: pa.RecordBatch, *, fresh: bool) -> None:
        """Write more about some documents that were written; a new shard began with them."""

    def add(self, batch: pa.RecordBatch) -> None:
        """Append the documents' ids; a document lies in one shard."""
        ids = self.encoded(batch.column("input_ids"))
        lengths = lengths_of(ids)
        for part, fresh in cut_by_size(lengths * (ids.type.value_type.bit_width // 8), self._held, self.most):
            if fresh or self._open is None:
                self._close()
                self.files.append(File(self.shard_name(len(self.files))))
                self._open = (self.folder / self.files[-1].name).open("wb")
            data = taken(ids, part).flatten().to_numpy(zero_copy_only=False)
            self._open.write(np.ascontiguousarray(data).data)
            self._held += data.nbytes
            self._lengths.append(lengths[part])
            self.files[-1].rows += len(lengths[part])
            self.files[-1].tokens += len(data)
            self.also(taken(batch, part), fresh=fresh)

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self.beside(self.files[-1], np.concatenate(self._lengths))
        self._open, self._held, self._lengths = None, 0, []

    def finish(self) -> None:
        """Close the last shard."""
        self._close()


class Items(Format):
    """A format whose shards begin with a table of where each item lies: a shard is held until it is full."""

    def __init__(self, folder: Path, dataset: Dataset, schema: pa.Schema, shard_bytes: int) -> None:
        super().__init__(folder, dataset, schema, min(shard_bytes, LARGEST))
        self._items: list[pa.LargeBinaryArray] = []
        self._held = self._tokens = 0

    extra: ClassVar[int] = 4
    """Bytes that an item takes in its shard beside its own: where it lies."""

    def items(self, batch: pa.RecordBatch) -> pa.LargeBinaryArray:
        """Each row as the bytes of an item."""
        raise NotImplementedError

    def shard_name(self, number: int) -> str:
        """File name of a shard."""
        raise NotImplementedError

    def head(self) -> bytes:
        """What stands between the table and the items of a shard."""
        return b""

    def beginning(self) -> int:
        """Bytes of a shard without items, as far as they count for its size."""
        return 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Hold the rows' items, and write the shards that are full."""
        items = self.items(batch)
        sizes = np.diff(offsets_of(items)) + self.extra
        if len(sizes) and int(sizes.max()) >= LARGEST:
            raise self.refuse("a row has 4 GB or more, and an offset has 32 bits", "export to parquet")
        for part, fresh in cut_by_size(sizes, self._held, self.most - self.beginning()):
            if fresh:
                self._flush()
            self._items.append(taken(items, part))
            self._held += int(sizes[part].sum())
            self._tokens += tokens_in(taken(batch, part))

    def _flush(self) -> None:
        if not self._items:
            return
        lengths = np.concatenate([np.diff(offsets_of(items)) for items in self._items])
        name, count = self.shard_name(len(self.files)), len(lengths)
        head = self.head()
        offsets = np.zeros(count + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        offsets += 4 + 4 * (count + 1) + len(head)
        if offsets[-1] >= 1 << 32:
            raise self.refuse("a shard has 4 GB or more, and an offset has 32 bits", "say a smaller --shard-mb")
        with (self.folder / name).open("wb") as file:
            file.write(np.uint32(count).tobytes())
            file.write(offsets.astype(np.uint32).tobytes())
            file.write(head)
            for items in self._items:
                file.write(bytes_of(items))
        self.files.append(File(name, count, self._tokens))
        self._items, self._held, self._tokens = [], 0, 0

    def finish(self) -> None:
        """Write the last shard."""
        self._flush()


LARGEST = 3 << 30
"""Bytes of a shard whose offsets are 32-bit numbers, at most: an item more must not pass 4 GB."""


def offsets_of(items: pa.LargeBinaryArray) -> Lengths:
    """Where items begin in their buffer, and where the last ends."""
    return np.frombuffer(items.buffers()[1], np.int64, len(items) + 1, items.offset * 8)


def bytes_of(items: pa.LargeBinaryArray) -> memoryview:
    """All items end to end."""
    offsets, data = offsets_of(items), items.buffers()[2]
    return memoryview(data if data is not None else b"")[int(offsets[0]) : int(offsets[-1])]


def item_parts(columns: Sequence[pa.Array]) -> tuple[list[pa.LargeBinaryArray], list[Lengths]]:
    """The bytes of each column's rows, and how many each has."""
    parts = [as_bytes(column) for column in columns]
    return parts, [np.diff(offsets_of(part)) for part in parts]


def with_sizes(parts: Sequence[pa.LargeBinaryArray], sizes: Sequence[Lengths]) -> pa.LargeBinaryArray:
    """Rows that begin with the sizes (uint32 each) and go on with the parts."""
    if not sizes:
        return joined(parts)
    table = np.stack(sizes, axis=1).astype(np.uint32)
    head = binary(table.view(np.uint8).reshape(-1), np.full(len(table), table.shape[1] * 4, np.int64))
    return joined([head, *parts])
