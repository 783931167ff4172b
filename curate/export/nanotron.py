"""datatrove's tokenized files, which nanotron reads: ``.ds`` has token ids end to end.

Beside each: ``.ds.index``, where each document ends, in tokens (u64); ``.ds.loss``, a byte for each token, 0 where it is not
trained on; ``.ds.metadata``, three lines: the tokenizer and the bytes of an id, the number of tokens, and that number for
people. That is what ``TokenizedFile`` of datatrove 0.10 writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from curate.export.format import MASKED, File, Stream, ids_alone
from curate.export.ragged import Lengths, lengths_of
from curate.store.dataset import Dataset


class Nanotron(Stream):
    """Documents as ``.ds`` files."""

    name = "nanotron"
    about = "nanotron (TokenizedBytesDatasetArgs) and datatrove's DatatroveFolderDataset(OUT, seq_len=...)"
    _loss: BinaryIO | None = None

    @classmethod
    def columns(cls, dataset: Dataset, schema: pa.Schema, asked: Sequence[str] | None) -> list[str]:
        """The ids, and what of them is trained on."""
        return ids_alone(cls, dataset, schema, asked, (MASKED,))

    def shard_name(self, number: int) -> str:
        """As datatrove names files whose documents are in random order."""
        return f"{number:05d}_shuffled.ds"

    def also(self, rows: pa.RecordBatch, *, fresh: bool) -> None:
        """Write what is trained on, where documents say so."""
        if MASKED not in rows.schema.names:
            return
        if fresh or self._loss is None:
            self._done()
            self._loss = (self.folder / f"{self.files[-1].name}.loss").open("wb")
        self._loss.write(trained_tokens(rows).data)

    def _done(self) -> None:
        if self._loss is not None:
            self._loss.close()
        self._loss = None

    def beside(self, file: File, lengths: Lengths) -> None:
        """Write the index and the metadata."""
        path, size = self.folder / file.name, self.dataset.dtype.itemsize
        path.with_name(f"{file.name}.index").write_bytes(np.cumsum(lengths).astype("<u8").tobytes())
        lines = [f"tokenizer|{size}", str(file.tokens), metric(file.tokens)]
        path.with_name(f"{file.name}.metadata").write_text("\n".join(lines), encoding="utf-8")

    def finish(self) -> None:
        """Close the last files."""
        super().finish()
        self._done()


def trained_tokens(rows: pa.RecordBatch) -> np.ndarray:
    """For each token of the documents, end to end, 1 where it is trained on: ``trained`` has lengths of runs, by turns not
    and trained on; what stands behind the last run goes with it. A document without any (null) is trained on."""
    tokens, runs = lengths_of(rows.column("input_ids")), rows.column(MASKED)
    said, number = runs.is_valid().to_numpy(zero_copy_only=False), lengths_of(runs)
    # Every document has its runs: without any it is two, none that is not and all that is trained on; with none one that is not.
    counts = np.where(said, np.maximum(number, 1), 2)
    last = np.cumsum(counts) - 1
    lengths = np.zeros(int(counts.sum()), np.int64)
    lengths[np.repeat(said & (number > 0), counts)] = runs.flatten().to_numpy(zero_copy_only=False)
    lengths[last] = 0
    first = last - counts + 1
    lengths[last] = tokens - np.add.reduceat(lengths, first)
    turn = (np.arange(len(lengths)) - np.repeat(first, counts)) % 2
    return np.repeat(turn.astype(np.uint8), lengths)


def metric(tokens: int) -> str:
    """A number of tokens as datatrove shows it (humanize.metric): three digits and a prefix, ``1.23 MT``."""
    # Rounded first: 999,999 is 1.00 M and not 1000 k.
    power = int(f"{tokens:.2e}".partition("e")[2])
    value = format(tokens / 10 ** (power // 3 * 3), f".{2 - power % 3}f")
    return f"{value} {'kMGTPE'[power // 3 - 1] if power >= 3 else ''}T"
