"""Arrow tables on disk: compressed IPC files for what stays inside, one record batch readable at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from curate.errors import DamagedError
from curate.store.files import storage_errors, sync_file

BATCH_BYTES: Final = 8 << 20
"""Text bytes that a batch in the store aims at: what bounds a worker's memory."""

_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1), unify_dictionaries=False)


class TableWriter:
    """Writes record batches of one schema to an IPC file; durable when closed."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        with storage_errors(str(path)):
            self._sink = pa.OSFile(str(path), "wb")
            self._writer = pa.ipc.new_file(self._sink, schema, options=_OPTIONS)
        self.rows = 0
        self.batches = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Append one batch as it is; the columns must be those of the schema."""
        with storage_errors(str(self._path)):
            self._writer.write_batch(batch.select(self._schema.names).cast(self._schema))
        self.rows += batch.num_rows
        self.batches += 1

    def close(self) -> None:
        """Finish and sync the file."""
        with storage_errors(str(self._path)):
            self._writer.close()
            self._sink.close()
            sync_file(self._path)


@contextmanager
def table_writer(path: Path, schema: pa.Schema) -> Iterator[TableWriter]:
    """A TableWriter that is closed, also when the work fails (the file is then garbage without a receipt)."""
    writer = TableWriter(path, schema)
    try:
        yield writer
    finally:
        writer.close()


@contextmanager
def open_table(path: Path) -> Iterator[pa.ipc.RecordBatchFileReader]:
    """A reader of an IPC file; raises DamagedError when the file is missing or cut short."""
    try:
        source = pa.memory_map(str(path))
        reader = pa.ipc.open_file(source)
    except (OSError, pa.ArrowInvalid) as error:
        raise DamagedError(
            "a committed file is missing or cut short",
            place=str(path),
            cure="remove it and run again: it is made anew, with what was built on it",
        ) from error
    try:
        yield reader
    finally:
        source.close()


def batch_at(reader: pa.ipc.RecordBatchFileReader, number: int, path: Path) -> pa.RecordBatch:
    """One batch; raises DamagedError when it can't be decoded."""
    try:
        return reader.get_batch(number)
    except (OSError, pa.ArrowInvalid) as error:
        raise DamagedError(
            f"batch {number} can't be read ({error})",
            place=str(path),
            cure="remove it and run again: it is made anew, with what was built on it",
        ) from error


def read_batches(path: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The batches of an IPC file in order."""
    with open_table(path) as reader:
        for i in range(reader.num_record_batches):
            batch = batch_at(reader, i, path)
            yield batch.select(columns) if columns is not None else batch


def read_table(path: Path) -> pa.Table:
    """A whole IPC file: for side tables that are known to be small."""
    with open_table(path) as reader:
        return reader.read_all()


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
        # take builds new buffers that begin at offset 0.
        column = column.take(everything)
        if column.null_count == 0:
            columns.append(_without_bitmap(column))
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            mask = column.is_null().to_numpy(zero_copy_only=False)
            columns.append(pa.array(column.fill_null(0).to_numpy(), column.type, mask=mask))
        else:
            columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def _without_bitmap(column: pa.Array) -> pa.Array:
    if column.type.num_fields or pa.types.is_dictionary(column.type):
        return column
    buffers = column.buffers()
    return pa.Array.from_buffers(column.type, len(column), [None, *buffers[1:]], null_count=0)
