"""Parquet files: how they are opened, cut and read, whatever their rows become."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import DamagedInputError
from curate.stages import remote
from curate.stages.catalog import Range
from curate.stages.reading_documents import BATCH_BYTES, BATCH_ROWS
from curate.stages.reading_files import group_sizes, not_what_it_says
from curate.stages.source import Split

__all__ = ["SUFFIXES", "batches", "opened", "ranges"]

SUFFIXES: Final = (".parquet", ".pq")
_MAGIC: Final = b"PAR1"


@contextmanager
def opened(path: str, stamp: bytes) -> Iterator[tuple[pq.ParquetFile, BinaryIO]]:
    """An open Parquet file, and its bytes; what is none, or Arrow can't read, becomes an InputError."""
    try:
        with ExitStack() as stack:
            file = stack.enter_context(remote.opened(path, stamp, 0))
            start = file.read(len(_MAGIC))
            if start != _MAGIC:
                raise not_what_it_says(path, "Parquet", start + file.read(4))
            # With a buffer, column chunks are read in pieces of that size; without, each is read at once. What is fetched
            # from afar is fetched together, what lies here is not held beside what is made of it.
            url = remote.is_url(path)
            parquet = pq.ParquetFile(file if url else path, buffer_size=remote.BLOCK, pre_buffer=url)
            yield stack.enter_context(parquet), file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DamagedInputError(f"damaged Parquet file: {why}", place=path, cure="fetch or write it again") from None


def ranges(parquet: pq.ParquetFile, split_bytes: int) -> Iterator[Range]:
    """Runs of row groups of about so many bytes."""
    meta = parquet.metadata
    sizes = [meta.row_group(g).total_byte_size for g in range(meta.num_row_groups)]
    yield from (Range(*group) for group in group_sizes(sizes, split_bytes))


def batches(
    parquet: pq.ParquetFile,
    split: Split,
    names: Sequence[str],
    bounded: Callable[[int], tuple[pq.ParquetFile, int]] | None = None,
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Columns of a split's rows, a few at a time, each with the ordinal of its first row in the file.

    ``bounded``: what reads a row group, where it is not the file itself, and how many rows it may give at once.
    """
    meta = parquet.metadata
    stop = meta.num_row_groups if split.stop < 0 else split.stop
    position = sum(meta.row_group(g).num_rows for g in range(split.start))
    for group in range(split.start, stop):
        rows = meta.row_group(group).num_rows
        average = max(1, meta.row_group(group).total_byte_size // max(1, rows))
        reader, most = (parquet, BATCH_ROWS) if bounded is None else bounded(group)
        for batch in reader.iter_batches(
            batch_size=max(1, min(most, BATCH_BYTES // average)),
            row_groups=[group],
            columns=list(names),
            use_threads=False,
        ):
            yield position, batch
            position += batch.num_rows
