"""``read.parquet``: Parquet files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, ClassVar, Final

import pyarrow as pa
import pyarrow.parquet as pq

from curate.stages import reading_parquet, remote
from curate.stages.catalog import InputFile, Range
from curate.stages.parquet_pages import longest_entry, shortened
from curate.stages.reading import REASONS, FileSource, TextSource
from curate.stages.reading_columns import Columns
from curate.stages.reading_documents import BATCH_ROWS
from curate.stages.registry import register
from curate.stages.source import SetAside, Split

_ENTRIES: Final = 64 << 20
"""Bytes that a batch may take where each of its rows is the longest entry of a dictionary."""


@register("read.parquet")
class ReadParquet(FileSource, TextSource):
    """Read Parquet files; names end in .parquet or .pq.

    Only the columns that are needed are read, as strings or bytes of any width, plain or dictionary-encoded. A split
    is a run of row groups; positions are ordinals of rows in the file. A column that the settings name must be in
    every file; of columns that share one name none is read.
    """

    revision: ClassVar[int] = 2
    reasons: ClassVar = REASONS

    suffixes: ClassVar = reading_parquet.SUFFIXES

    def check(self, file: InputFile) -> None:
        with reading_parquet.opened(file.path, file.stamp) as (parquet, _):
            Columns.of(self, parquet.schema_arrow, file.path)

    def ranges(self, file: InputFile, split_bytes: int) -> Iterator[Range]:
        with reading_parquet.opened(file.path, file.stamp) as (parquet, _):
            Columns.of(self, parquet.schema_arrow, file.path)
            yield from reading_parquet.ranges(parquet, split_bytes)

    def read_file(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        documents = self.documents(split, source, "row")
        with reading_parquet.opened(split.path, split.stamps) as (parquet, file):
            columns = Columns.of(self, parquet.schema_arrow, split.path)
            bounded = partial(self._bounded, parquet, columns, file)
            for position, batch in reading_parquet.batches(parquet, split, columns.names(), bounded):
                yield from columns.documents(batch, position, documents)

    def _bounded(
        self, parquet: pq.ParquetFile, columns: Columns, file: BinaryIO, group: int
    ) -> tuple[pq.ParquetFile, int]:
        """What reads a row group, and how many rows at most at once: of texts that are too long no more is decoded than shows
        it, and an entry of a dictionary is not written out for many rows together."""
        most, leaves = self.max_document_bytes, [parquet.schema.column(i) for i in range(len(parquet.schema))]
        found = [i for i, leaf in enumerate(leaves) if leaf.path == columns.text]
        # What is an id or a source, too, is wanted whole.
        if len(found) > 1 or columns.text in (columns.own, columns.source):
            return parquet, BATCH_ROWS
        leaf, chunk = leaves[found[0]], parquet.metadata.row_group(group).column(found[0])
        # From afar each read is a request: the column is fetched once, for those who look at it and for Arrow.
        hold, rows = not isinstance(file, io.BufferedReader), BATCH_ROWS
        if chunk.has_dictionary_page and not hold:
            rows = max(1, _ENTRIES // max(_ENTRIES // BATCH_ROWS, min(longest_entry(file, chunk), most + 1)))
        if chunk.total_uncompressed_size <= most:
            return parquet, rows
        optional = leaf.max_definition_level > 0
        laid = shortened(file, chunk, optional=optional, most=most, hold=hold)
        if laid is None:
            return parquet, rows
        source, facts = pa.PythonFile(laid, mode="r"), parquet.metadata
        return pq.ParquetFile(source, metadata=facts, buffer_size=remote.BLOCK, pre_buffer=False), rows
