"""JSON lines, compressed with zstd: texts for whoever reads no columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import zstandard

from curate.export.format import File, Format
from curate.export.ragged import cut_by_size, row_sizes, taken
from curate.store.dataset import Dataset


class JsonLines(Format):
    """Texts as ``.jsonl.zst``."""

    name = "jsonl"
    about = "anything: a JSON object a line, zstd; datasets: load_dataset('json', data_files='OUT/*.jsonl.zst')"
    kinds = frozenset({"text"})
    shard_bytes = 1 << 29

    def __init__(self, folder: Path, dataset: Dataset, schema: pa.Schema, shard_bytes: int) -> None:
        super().__init__(folder, dataset, schema, shard_bytes)
        self._file: BinaryIO | None = None
        self._out: Any = None
        self._held = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Append the rows' lines."""
        sizes = sum((row_sizes(column) for column in batch.columns), start=np.zeros(batch.num_rows, np.int64))
        for part, fresh in cut_by_size(sizes, self._held, self.most):
            if fresh or self._out is None:
                self._close()
                self.files.append(File(f"data-{len(self.files):05d}.jsonl.zst"))
                self._file = (self.folder / self.files[-1].name).open("wb")
                self._out = zstandard.ZstdCompressor(level=3).stream_writer(self._file, closefd=True)
            rows = taken(batch, part).to_pylist()
            # A row at a time: orjson writes 500 MB/s, which no compressor takes.
            self._out.write(b"".join(orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
            self._held += int(sizes[part].sum())
            self.files[-1].rows += len(rows)

    def _close(self) -> None:
        if self._out is not None:
            self._out.close()
        self._out, self._held = None, 0

    def finish(self) -> None:
        """Close the last file."""
        self._close()
