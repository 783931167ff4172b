"""JSON lines: texts for whoever reads no columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import orjson
import pyarrow as pa
import zstandard

from curate.export.format import File, Format
from curate.export.ragged import cut_by_size, row_sizes, taken
from curate.store.dataset import Dataset


class Lines(Format):
    """A JSON object a line, as they are.

    Attributes:
        suffix: of its files.
    """

    kinds = frozenset({"text"})
    shard_bytes = 1 << 29
    suffix: ClassVar[str] = ".jsonl"

    def __init__(self, folder: Path, dataset: Dataset, schema: pa.Schema, shard_bytes: int) -> None:
        super().__init__(folder, dataset, schema, shard_bytes)
        self._out: IO[bytes] | None = None
        self._held = 0

    def objects(self, rows: pa.RecordBatch) -> Sequence[Any]:
        """What is written of each row: its columns."""
        found: list[Any] = rows.to_pylist()
        return found

    def opened(self, path: Path) -> IO[bytes]:
        """A file to write lines to."""
        return path.open("wb")

    def add(self, batch: pa.RecordBatch) -> None:
        """Append the rows' lines."""
        sizes = sum((row_sizes(column) for column in batch.columns), start=np.zeros(batch.num_rows, np.int64))
        for part, fresh in cut_by_size(sizes, self._held, self.most):
            if fresh or self._out is None:
                self._close()
                self.files.append(File(f"data-{len(self.files):05d}{self.suffix}"))
                self._out = self.opened(self.folder / self.files[-1].name)
            rows = self.objects(taken(batch, part))
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


class JsonLines(Lines):
    """Texts with all their columns, compressed with zstd."""

    name = "jsonl"
    about = "anything: a JSON object a line, zstd; datasets: load_dataset('json', data_files='OUT/*.jsonl.zst')"
    suffix = ".jsonl.zst"

    def opened(self, path: Path) -> IO[bytes]:
        """A file that compresses what is written to it."""
        return zstandard.ZstdCompressor(level=3).stream_writer(path.open("wb"), closefd=True)
