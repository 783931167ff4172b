"""Write documents as text: an Arrow dataset in one seeded order, every column kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate import schema
from curate.stages.base import KEY, PART, ROW, WEIGHT, Context, Cut, Phase
from curate.stages.curriculum import Curriculum
from curate.stages.hf_dataset import dataset_files, in_batches, stream_writer
from curate.stages.registry import register
from curate.stages.writer import Writer
from curate.store.tables import canonical_batch
from curate.text.batch import Batch
from curate.text.hashing import hex_ids, keyed_hash

BATCH_ROWS: Final = 1000
"""Rows per record batch: what a reader loads for one random row (datasets' own default)."""


@register("write.text")
class WriteText(Writer):
    """Write documents, shuffled, as a sharded Arrow dataset that ``datasets`` opens without copying.

    ``id`` and ``content_hash`` are written as hex strings; ``meta`` stays a JSON string.

    With ``order`` rows stand in the order of a column (tiers of pairs from easy to hard), shuffled among those that are alike. A
    trainer keeps it that reads the dataset as it lies, without a shuffle of its own.
    """

    writes_columns: ClassVar[bool] = True

    documents_per_shard: int = Field(20_000, ge=1, description="documents in each shard but the last")
    columns: list[str] | None = Field(None, description="columns to write; all when left out")
    order: Curriculum | None = Field(None, description="rows in the order of a column; null: shuffled as a whole")

    def reads(self) -> frozenset[str]:
        """The columns it was told to write, and that of the order."""
        return frozenset(self.columns or ()) | (self.order.reads() if self.order else frozenset())

    def phases(self) -> tuple[Phase, ...]:
        """One exchange; keys of an order are spread as its phases are."""
        (shuffle,) = super().phases()
        return (replace(shuffle, even=self.order is None),)

    def map(self, docs: Batch, ctx: Context) -> pa.Table:
        """All columns, KEY from (seed, id) or the order, WEIGHT 1."""
        rows = docs.rows.drop_columns([PART, ROW])
        shuffle = ctx.key("shuffle")
        if self.order is None:
            key = keyed_hash(rows.column("id"), shuffle)
        else:
            key = self.order.places(docs, ctx.key("phase"), shuffle)
        table = pa.Table.from_batches([rows])
        return table.append_column(KEY, pa.array(key)).append_column(WEIGHT, pa.array(np.ones(len(docs), np.int64)))

    def sort_by(self) -> tuple[str, ...]:
        """Equal keys are ordered by id."""
        return ("id",)

    def layout(self, total_weight: int) -> list[Cut]:
        """One shard for each ``documents_per_shard``."""
        n = self.documents_per_shard
        return [Cut(i, start, min(start + n, total_weight)) for i, start in enumerate(range(0, total_weight, n))]

    def write(
        self, cut: Cut, rows: Iterator[tuple[int, pa.RecordBatch]], path: Path, side: Path | None, ctx: Context
    ) -> Mapping[str, Any]:
        """Write the cut's documents as an IPC stream, batch by batch."""
        size = count = 0

        def shown() -> Iterator[pa.RecordBatch]:
            nonlocal size, count
            for before, batch in rows:
                begin, end = max(cut.start - before, 0), min(cut.stop - before, batch.num_rows)
                part = batch.slice(begin, end - begin)
                count += part.num_rows
                size += int(pc.sum(pc.binary_length(part.column("text"))).as_py() or 0)
                yield self._shown(part)

        batches = shown()
        first = next(batches)
        with stream_writer(path, first.schema) as out:
            for table in in_batches(itertools.chain([first], batches), BATCH_ROWS):
                out.write_batch(canonical_batch(table))
        return {"rows": count, "bytes": size}

    def _shown(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        wanted = self.columns or [n for n in batch.schema.names if n not in (KEY, WEIGHT)]
        arrays = []
        for name in wanted:
            column = batch.column(name)
            if column.type == schema.ID_TYPE:
                column = pc.if_else(column.is_valid(), hex_ids(column), pa.scalar(None, pa.string()))
            arrays.append(column)
        return pa.RecordBatch.from_arrays(arrays, names=wanted)

    def file_name(self, cut: Cut, count: int) -> str:
        """As ``datasets`` names its shards."""
        return f"data-{cut.index:05d}-of-{count:05d}.arrow"

    def finish(
        self, shards: Sequence[Mapping[str, Any]], report: Mapping[str, Any], ctx: Context
    ) -> Mapping[str, bytes]:
        """state.json and dataset_info.json, so that ``load_from_disk`` works."""
        return dataset_files(shards)
