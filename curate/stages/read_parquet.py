"""``read.parquet``: Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import InputError
from curate.stages.reading import BATCH_BYTES, BATCH_ROWS, REASONS, FileSource
from curate.stages.reading_columns import Columns
from curate.stages.reading_files import Digest, InputFile, find_files, group_sizes, head, not_what_it_says, split_digest
from curate.stages.registry import register
from curate.stages.source import SetAside, Split

_MAGIC = b"PAR1"


@register("read.parquet")
class ReadParquet(FileSource):
    """Read Parquet files; names end in .parquet or .pq.

    Only the columns that are needed are read, as strings or bytes of any width, plain or dictionary-encoded. A split
    is a run of row groups; positions are ordinals of rows in the file. A column that the settings name must be in
    every file; of columns that share one name none is read.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar = REASONS

    def splits(self, base: Path, digest: Digest, split_bytes: int) -> list[Split]:
        return [
            split
            for file in find_files(self.paths, base, (".parquet", ".pq"))
            for split in self._file_splits(file, digest, split_bytes)
        ]

    def _file_splits(self, file: InputFile, digest: Digest, split_bytes: int) -> Iterator[Split]:
        start = head(file.path)
        if not start.startswith(_MAGIC):
            raise not_what_it_says(file.path, "Parquet", start)
        with _opened(file.path) as parquet:
            Columns.of(self, parquet.schema_arrow, str(file.path))
            meta = parquet.metadata
            sizes = [meta.row_group(g).total_byte_size for g in range(meta.num_row_groups)]
        content = digest(file.path)
        for first, stop, size in group_sizes(sizes, split_bytes):
            yield Split(str(file.path), file.name, first, stop, split_digest(content, file.name, first, stop), size)

    def read(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        documents = self.documents(split, source, "row")
        with _opened(Path(split.path)) as parquet:
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
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """An open Parquet file; what Arrow can't read becomes an InputError."""
    try:
        with pq.ParquetFile(path) as parquet:
            yield parquet
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(f"damaged Parquet file: {why}", place=str(path), cure="fetch or write it again") from None
