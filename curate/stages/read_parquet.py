"""``read.parquet``: Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import DamagedInputError
from curate.stages import remote
from curate.stages.catalog import InputFile, Range
from curate.stages.reading import BATCH_BYTES, BATCH_ROWS, REASONS, FileSource, TextSource
from curate.stages.reading_columns import Columns
from curate.stages.reading_files import group_sizes, not_what_it_says
from curate.stages.registry import register
from curate.stages.source import SetAside, Split

_MAGIC = b"PAR1"


@register("read.parquet")
class ReadParquet(FileSource, TextSource):
    """Read Parquet files; names end in .parquet or .pq.

    Only the columns that are needed are read, as strings or bytes of any width, plain or dictionary-encoded. A split
    is a run of row groups; positions are ordinals of rows in the file. A column that the settings name must be in
    every file; of columns that share one name none is read.
    """

    revision: ClassVar[int] = 2
    reasons: ClassVar = REASONS

    suffixes: ClassVar = (".parquet", ".pq")

    def check(self, file: InputFile) -> None:
        with _opened(file.path, file.stamp) as parquet:
            Columns.of(self, parquet.schema_arrow, file.path)

    def ranges(self, file: InputFile, split_bytes: int) -> Iterator[Range]:
        with _opened(file.path, file.stamp) as parquet:
            Columns.of(self, parquet.schema_arrow, file.path)
            meta = parquet.metadata
            sizes = [meta.row_group(g).total_byte_size for g in range(meta.num_row_groups)]
        yield from (Range(*group) for group in group_sizes(sizes, split_bytes))

    def read_file(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        documents = self.documents(split, source, "row")
        with _opened(split.path, split.stamps) as parquet:
            columns = Columns.of(self, parquet.schema_arrow, split.path)
            meta = parquet.metadata
            stop = meta.num_row_groups if split.stop < 0 else split.stop
            position = sum(meta.row_group(g).num_rows for g in range(split.start))
            for group in range(split.start, stop):
                rows = meta.row_group(group).num_rows
                average = max(1, meta.row_group(group).total_byte_size // max(1, rows))
                batches = parquet.iter_batches(
                    batch_size=max(1, min(BATCH_ROWS, BATCH_BYTES // average)),
                    row_groups=[group],
                    columns=columns.names(),
                    use_threads=False,
                )
                for batch in batches:
                    yield from columns.documents(batch, position, documents)
                    position += batch.num_rows


@contextmanager
def _opened(path: str, stamp: bytes) -> Iterator[pq.ParquetFile]:
    """An open Parquet file; what is none, or Arrow can't read, becomes an InputError."""
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
            yield stack.enter_context(parquet)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DamagedInputError(f"damaged Parquet file: {why}", place=path, cure="fetch or write it again") from None
