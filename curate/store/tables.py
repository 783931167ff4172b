"""Arrow tables on disk: compressed, sealed IPC files for what stays inside, one record batch readable at a time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import DamagedError
from curate.spent import spending
from curate.store.files import Store, storage_errors
from curate.store.object_file import ObjectFile
from curate.store.sealed import TAIL_BYTES, SummedFile, TableSeal, checksum

BATCH_BYTES: Final = 8 << 20
"""Text bytes that a batch in the store aims at: what bounds a worker's memory."""

BYTES: Final = "_bytes"
"""A column that a reader may be asked for beside those of a table: int64, bytes of each value of its ``text`` (large_string),
for which no text is decompressed."""
_TEXT: Final = "text"
_SMALL_FILE: Final = 1 << 16
_HEAD: Final = 8
"""Bytes before an IPC file's schema: its magic, padded."""


def _options(codec: pa.Codec | None) -> pa.ipc.IpcWriteOptions:
    """Without Arrow's threads: for batches of a few rows they cost more than the compression, and workers have a core each."""
    return pa.ipc.IpcWriteOptions(compression=codec, unify_dictionaries=False, use_threads=False)


_SMALL: Final = _options(pa.Codec("zstd", compression_level=1))
_AS_IT_IS: Final = _options(None)
_TINY: Final = 4096
"""A table that begins with a batch of fewer bytes is as large on a disk whatever one does, and a compressor for each of its
columns costs more than all else."""
_FAST: Final = _options(pa.Codec("lz4"))
"""For what an exchange carries over a disk: compressing takes three quarters of the time, and reading two fifths. Texts are not
compressed there at all: docs/decisions/0039."""


class TableWriter:
    """Writes record batches of one schema to a sealed IPC file (see store/sealed.py); ``Store.writing`` makes it durable."""

    def __init__(self, path: Path, schema: pa.Schema, *, fast: bool = False, dense: bool = False) -> None:
        self._path = path
        self._schema = schema
        self._ends: list[int] = []
        self._sums: list[int] = []
        self._options = _AS_IT_IS if dense else _FAST if fast else _SMALL
        with storage_errors(str(path)):
            self._file = SummedFile(path)
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self.rows = 0
        self.batches = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Append one batch as it is; the columns must be those of the schema."""
        size = batch.nbytes
        with spending("write", size=size), storage_errors(str(self._path)):
            self._begun(size).write_batch(as_schema(batch, self._schema))
        self._end_range()
        self.rows += batch.num_rows
        self.batches += 1

    def _end_range(self) -> None:
        self._ends.append(self._file.tell())
        self._sums.append(self._file.range_sum())

    def _begun(self, size: int) -> pa.ipc.RecordBatchFileWriter:
        """Arrow's writer; whether it compresses, the first batch decides."""
        if self._writer is None:
            options = self._options if size > _TINY else _AS_IT_IS
            self._writer = pa.ipc.new_file(pa.PythonFile(self._file, "w"), self._schema, options=options)
        return self._writer

    def close(self) -> None:
        """Finish and seal the file."""
        with spending("write"), storage_errors(str(self._path)):
            self._begun(0).close()
            self._end_range()
            self._file.write(TableSeal(self._schema, self._path.name, tuple(self._ends), tuple(self._sums)).encode())
            self._file.close()


@contextmanager
def table_writer(path: Path, schema: pa.Schema, *, fast: bool = False, dense: bool = False) -> Iterator[TableWriter]:
    """A TableWriter that is closed, also when the work fails (the file is then garbage without a receipt)."""
    writer = TableWriter(path, schema, fast=fast, dense=dense)
    try:
        yield writer
    finally:
        writer.close()


class TableReader:
    """A table's batches, each checked before it is decoded; raises DamagedError for what is not what was written.

    Args:
        place: the file, for messages.
        name: what it must have been called when it was written.
        size: its bytes.
        fetch: its bytes from one offset to another.
        columns: read just those of them that there are, and BYTES. Their bytes are no range of their own: they are not checked.
        mapped: whether ``fetch`` costs nothing; else batches are fetched, and checked, as wholes, whatever the columns.
    """

    def __init__(
        self,
        place: str,
        name: str,
        size: int,
        fetch: Callable[[int, int], pa.Buffer],
        columns: Iterable[str] | None = None,
        *,
        mapped: bool = True,
    ) -> None:
        self._place, self._fetch = place, fetch
        columns = None if columns is None else set(columns)
        self._chosen = None if mapped or columns is None else columns
        with self._damage():
            self._seal = self._read_seal(size)
            if self._seal.name != name:
                raise ValueError(f"it holds what was written as {self._seal.name}")
            self._whole = self._read_whole(columns if mapped else None)
        if self._whole is not None:
            self.schema: pa.Schema = self._whole.schema
            self.num_record_batches: int = self._whole.num_record_batches
        else:
            self.schema, self.num_record_batches = self._seal.schema, len(self._seal.ends) - 1
        self._stored = self._seal.schema
        at = self._stored.get_field_index(_TEXT)
        sized = at >= 0 and self._stored.field(at).type == pa.large_string()
        self._sized = sized and columns is not None and BYTES in columns
        if self._chosen is not None:
            self.schema = pa.schema([field for field in self.schema if field.name in self._chosen])

    def _read_whole(self, columns: Iterable[str] | None) -> pa.ipc.RecordBatchFileReader | None:
        """Arrow's own reader, where batches are not read range by range."""
        if any(pa.types.is_dictionary(field.type) for field in self._seal.schema):
            # Dictionaries stand where Arrow likes: such a file is checked and read as a whole.
            for number in range(len(self._seal.ends)):
                self._range(number)
        elif columns is None:
            return None
        arrow = self._fetch(0, self._seal.ends[-1])
        names = pa.ipc.open_file(arrow).schema.names
        chosen = None if columns is None else sorted({names.index(c) for c in columns if c in names})
        return pa.ipc.open_file(arrow, options=pa.ipc.IpcReadOptions(included_fields=chosen))

    def _read_seal(self, size: int) -> TableSeal:
        tail = self._fetch(max(0, size - TAIL_BYTES), size).to_pybytes()
        length = TableSeal.bytes_of(tail)
        if length > size:
            raise ValueError("its seal is damaged")
        if length > len(tail):
            tail = self._fetch(size - length, size).to_pybytes()
        seal = TableSeal.decode(tail[-length:])
        if seal.ends[-1] != size - length:
            raise ValueError("it has another length")
        return seal

    def get_batch(self, number: int) -> pa.RecordBatch:
        """One batch."""
        with self._damage(f"batch {number} can't be read"), spending("read", size=self._size(number)):
            batch = self._decoded(number)
            sizes = self._sizes(number, batch) if self._sized else None
        batch = batch if self._chosen is None else batch.select(self.schema.names)
        return batch if sizes is None else batch.append_column(BYTES, sizes)

    def _size(self, number: int) -> int:
        begin, end = (0, *self._seal.ends)[number : number + 2]
        return end - begin

    def _decoded(self, number: int) -> pa.RecordBatch:
        if self._whole is not None:
            return self._whole.get_batch(number)
        return pa.ipc.read_record_batch(self._message(number), self._stored)

    def _message(self, number: int) -> pa.ipc.Message:
        data = self._range(number)
        if number:
            return pa.ipc.read_message(data)
        # The first range has the file's head before its batch: magic, and the schema.
        messages = pa.ipc.MessageReader.open_stream(data.slice(_HEAD))
        messages.read_next_message()
        return messages.read_next_message()

    def _sizes(self, number: int, batch: pa.RecordBatch) -> pa.Int64Array:
        """BYTES of a batch, of which other columns may have been read already."""
        if _TEXT in batch.schema.names:
            return pc.binary_length(batch.column(_TEXT))
        # Buffers lie in the order of the columns, those of texts as validity, offsets, bytes: taken for a column of int64
        # that is the last one, its values are the offsets, and what lies behind them is not looked at.
        at = self._stored.get_field_index(_TEXT)
        schema = pa.schema([*list(self._stored)[:at], pa.field(_TEXT, pa.int64())])
        offsets = pa.ipc.read_record_batch(self._message(number), schema).column(at)
        count = len(offsets)
        return pa.array(np.diff(np.frombuffer(offsets.buffers()[1], np.int64, count + 1)) if count else [], pa.int64())

    def check(self) -> None:
        """Read every batch and compare the footer, too."""
        for number in range(self.num_record_batches):
            self.get_batch(number)
        with self._damage():
            self._range(len(self._seal.ends) - 1)

    def read_all(self) -> pa.Table:
        """All batches."""
        return pa.Table.from_batches([self.get_batch(i) for i in range(self.num_record_batches)], self.schema)

    def _range(self, number: int) -> pa.Buffer:
        begin, end = (0, *self._seal.ends)[number : number + 2]
        data = self._fetch(begin, end)
        if checksum(data) != self._seal.sums[number]:
            raise ValueError("its checksum differs")
        return data

    @contextmanager
    def _damage(self, what: str = "a committed file is not what was written") -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, struct.error) as error:
            raise DamagedError(
                f"{what} ({error})",
                place=self._place,
                cure="remove it and run again: it is made anew, with what was built on it",
            ) from error


@contextmanager
def new_table(
    store: Store, key: str, schema: pa.Schema, *, fast: bool = False, dense: bool = False
) -> Iterator[TableWriter]:
    """A TableWriter of a store's data file under a fresh key: durable, and there, when the block ends.

    With ``fast`` it is compressed fast on a disk, with ``dense`` (texts, and what hardly compresses) not at all; to an object store,
    behind a network, it goes as small as all else.
    """
    near = not store.remote
    with store.writing(key) as path, table_writer(path, schema, fast=fast and near, dense=dense and near) as writer:
        yield writer


def open_data(path: Path | ObjectFile) -> pa.NativeFile:
    """A store's data file (see Store.data) as Arrow reads it: mapped, or fetched by ranges."""
    return pa.memory_map(str(path)) if isinstance(path, Path) else path.open()


@contextmanager
def open_table(
    path: Path | ObjectFile, columns: Iterable[str] | None = None, *, mapped: bool = True
) -> Iterator[TableReader]:
    """A reader of a table (see TableReader and Store.data); raises DamagedError when the file is missing or not what
    was written.

    A file on a disk is mapped: columns that nobody asked for are not read, but all that was read counts as memory of the
    process while it is open. Where much of a large file is gone through, ``mapped`` is better false.
    """
    if isinstance(path, ObjectFile):
        yield TableReader(str(path), path.name, _size(path), path.fetch, columns, mapped=False)
        return
    try:
        source = pa.memory_map(str(path)) if mapped else pa.OSFile(str(path))
    except OSError as error:
        raise _missing(path) from error
    with source:
        size = source.size()
        data = source.read_buffer() if mapped else None

        def fetch(begin: int, end: int) -> pa.Buffer:
            if data is not None:
                return data.slice(begin, end - begin)
            source.seek(begin)
            return source.read_buffer(end - begin)

        # Of a small file all is read sooner than its columns are told apart.
        yield TableReader(str(path), path.name, size, fetch, columns, mapped=mapped and size > _SMALL_FILE)


def _size(file: ObjectFile) -> int:
    try:
        return file.size
    except FileNotFoundError as error:
        raise _missing(file) from error


def _missing(path: Path | ObjectFile) -> DamagedError:
    return DamagedError(
        "a committed file is missing or cut short",
        place=str(path),
        cure="remove it and run again: it is made anew, with what was built on it",
    )


def read_batches(path: Path | ObjectFile, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The batches of a table in order."""
    with open_table(path) as reader:
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            yield batch.select(columns) if columns is not None else batch


def read_table(path: Path | ObjectFile) -> pa.Table:
    """A whole table: for side tables that are known to be small."""
    with open_table(path) as reader:
        return reader.read_all()


def batches_by_bytes(table: pa.Table, rows: int, size: int = BATCH_BYTES // 2) -> Iterator[pa.RecordBatch]:
    """A table of one chunk as batches of at most so many rows, and of about so many bytes or a single row."""
    for start in range(0, table.num_rows, rows):
        here = table.slice(start, rows)
        if here.num_rows > 1 and here.nbytes > size:
            yield from batches_by_bytes(here, -(-here.num_rows // 2), size)
        else:
            yield from here.to_batches()


def as_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The schema's columns of a batch, in its order and types; the batch itself where it has them so."""
    return batch if batch.schema.equals(schema) else batch.select(schema.names).cast(schema)


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """A table as a single record batch, also when it has no rows."""
    combined = table.combine_chunks()
    if combined.num_rows == 0:
        return pa.RecordBatch.from_pylist([], schema=combined.schema)
    return combined.to_batches()[0]


def canonical_batch(table: pa.Table) -> pa.RecordBatch:
    """The rows as one batch whose buffers are a pure function of the values.

    Arrow leaves open whether an array without nulls has a validity bitmap, where its offsets begin, and what stands
    under a null; which of these one gets depends on how the rows came together. Final shards are compared by bytes.
    """
    columns = []
    everything = pa.array(np.arange(table.num_rows))
    for chunked in table.columns:
        column = chunked.combine_chunks() if isinstance(chunked, pa.ChunkedArray) else chunked
        # take builds new buffers that begin at offset 0; so does what puts several chunks together.
        if column.null_count or column.type.num_fields or not _several(chunked):
            column = column.take(everything)
        if column.null_count == 0:
            columns.append(_without_bitmap(column))
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            mask = column.is_null().to_numpy(zero_copy_only=False)
            columns.append(pa.array(column.fill_null(0).to_numpy(), column.type, mask=mask))
        else:
            columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def _several(column: pa.ChunkedArray | pa.Array) -> bool:
    return isinstance(column, pa.ChunkedArray) and column.num_chunks > 1


def _without_bitmap(column: pa.Array) -> pa.Array:
    if column.type.num_fields or pa.types.is_dictionary(column.type):
        return column
    buffers = column.buffers()
    return pa.Array.from_buffers(column.type, len(column), [None, *buffers[1:]], null_count=0)
