"""Parquet files, as ``datasets``, the Hugging Face hub and query engines read them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.export.format import File, Format, tokens_in
from curate.export.ragged import cut_by_size, row_sizes, taken
from curate.store.dataset import Dataset

_GROUP: Final = 64 << 20
"""Bytes of a row group before compression: what a reader holds at least; the hub's viewer refuses 300 MB and more."""


class Parquet(Format):
    """Rows of any kind as Parquet."""

    name = "parquet"
    about = 'datasets: load_dataset("parquet", data_files="OUT/*.parquet")'
    kinds = frozenset({"tokens", "documents", "text"})
    shard_bytes = 1 << 29

    def __init__(self, folder: Path, dataset: Dataset, schema: pa.Schema, shard_bytes: int) -> None:
        super().__init__(folder, dataset, schema, shard_bytes)
        self._writer: pq.ParquetWriter | None = None
        self._group: list[pa.RecordBatch] = []
        self._held = self._in_group = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Hold the rows until they fill a row group."""
        sizes = sum((row_sizes(column) for column in batch.columns), start=np.zeros(batch.num_rows, np.int64))
        for part, fresh in cut_by_size(sizes, self._held, self.most):
            if fresh or self._writer is None:
                self._close()
                self.files.append(File(f"data-{len(self.files):05d}.parquet"))
                self._writer = self._opened(self.folder / self.files[-1].name)
            self._grouped(taken(batch, part), sizes[part])

    def _opened(self, path: Path) -> pq.ParquetWriter:
        # Token ids have no order that a dictionary would find, and their smallest and largest say nothing.
        words = [
            field.name
            for field in self.schema
            if pa.types.is_string(field.type) or pa.types.is_large_string(field.type) or pa.types.is_integer(field.type)
        ]
        columns = [name for name in words if name != "text"]
        return pq.ParquetWriter(
            path,
            self.schema,
            compression="zstd",
            use_dictionary=columns,
            write_statistics=columns,
            write_page_index=True,
        )

    def _grouped(self, rows: pa.RecordBatch, sizes: np.ndarray) -> None:
        for part, fresh in cut_by_size(sizes, self._in_group, min(_GROUP, self.most)):
            if fresh:
                self._write()
            self._group.append(taken(rows, part))
            self._in_group += int(sizes[part].sum())
        self._held += int(sizes.sum())
        self.files[-1].rows += rows.num_rows
        self.files[-1].tokens += tokens_in(rows)

    def _write(self) -> None:
        if self._group and self._writer is not None:
            table = pa.Table.from_batches(self._group, self.schema)
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._group, self._in_group = [], 0

    def _close(self) -> None:
        self._write()
        if self._writer is not None:
            self._writer.close()
        self._writer, self._held = None, 0

    def finish(self) -> None:
        """Close the last file, and give all of them the names that the hub expects."""
        self._close()
        for number, file in enumerate(self.files):
            name = f"train-{number:05d}-of-{len(self.files):05d}.parquet"
            (self.folder / file.name).rename(self.folder / name)
            file.name = name
