"""``read.parquet``: Parquet files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import DamagedInputError
from curate.stages import remote
from curate.stages.catalog import InputFile, Range
from curate.stages.parquet_pages import shortened
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
        with _opened(file.path, file.stamp) as (parquet, _):
            Columns.of(self, parquet.schema_arrow, file.path)

    def ranges(self, file: InputFile, split_bytes: int) -> Iterator[Range]:
        with _opened(file.path, file.stamp) as (parquet, _):
            Columns.of(self, parquet.schema_arrow, file.path)
            meta = parquet.metadata
            sizes = [meta.row_group(g).total_byte_size for g in range(meta.num_row_groups)]
        yield from (Range(*group) for group in group_sizes(sizes, split_bytes))

    def read_file(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        documents = self.documents(split, source, "row")
        with _opened(split.path, split.stamps) as (parquet, file):
            columns = Columns.of(self, parquet.schema_arrow, split.path)
            meta = parquet.metadata
            stop = meta.num_row_groups if split.stop < 0 else split.stop
            position = sum(meta.row_group(g).num_rows for g in range(split.start))
            for group in range(split.start, stop):
                rows = meta.row_group(group).num_rows
                average = max(1, meta.row_group(group).total_byte_size // max(1, rows))
                reader = self._bounded(parquet, group, columns, file)
                batches = reader.iter_batches(
                    batch_size=max(1, min(BATCH_ROWS, BATCH_BYTES // average)),
                    row_groups=[group],
                    columns=columns.names(),
                    use_threads=False,
                )
                for batch in batches:
                    yield from columns.documents(batch, position, documents)
                    position += batch.num_rows

    def _bounded(self, parquet: pq.ParquetFile, group: int, columns: Columns, file: BinaryIO) -> pq.ParquetFile:
        """What reads a row group: of texts that are too long no more is decoded than shows it."""
        most, leaves = self.max_document_bytes, [parquet.schema.column(i) for i in range(len(parquet.schema))]
        found = [i for i, leaf in enumerate(leaves) if leaf.path == columns.text]
        # What is an id or a source, too, is wanted whole.
        if len(found) > 1 or columns.text in (columns.own, columns.source):
            return parquet
        leaf, chunk = leaves[found[0]], parquet.metadata.row_group(group).column(found[0])
        if chunk.total_uncompressed_size <= most:
            return parquet
        # From afar each read is a request: the column is fetched once, for those who look at it and for Arrow.
        hold, optional = not isinstance(file, io.BufferedReader), leaf.max_definition_level > 0
        laid = shortened(file, chunk, optional=optional, most=most, hold=hold)
        if laid is None:
            return parquet
        file_of_arrow = pa.PythonFile(laid, mode="r")
        return pq.ParquetFile(file_of_arrow, metadata=parquet.metadata, buffer_size=remote.BLOCK, pre_buffer=False)


@contextmanager
def _opened(path: str, stamp: bytes) -> Iterator[tuple[pq.ParquetFile, BinaryIO]]:
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
