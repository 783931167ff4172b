"""write.encoded: encoded documents in one mixed, shuffled order; what exports to formats of documents are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.stages import shards_file
from curate.stages.base import WEIGHT, Context, Cut
from curate.stages.hf_dataset import dataset_files, in_batches, stream_writer
from curate.stages.mixed import TOKENS, MixedWriter, add_by_component
from curate.stages.registry import register
from curate.stages.writer import SUMS
from curate.store.tables import canonical_batch
from curate.text.hashing import hex_ids
from curate.text.packed import token_arrays

_ROWS: Final = 256
"""Documents of a record batch: about 0.5 MB of tokens."""


@register("write.encoded")
class WriteEncoded(MixedWriter):
    """Write encoded documents, mixed and shuffled, as a sharded Arrow dataset: nothing is packed, cut or padded.

    Columns ``id`` (hex), ``source``, ``component``, ``epoch`` (which pass over the component), ``input_ids`` (list of uint16, of
    uint32 from a vocabulary of 65,536 on; end-of-text last) and ``trained`` (list of int32; null: all; see encode.tokens).
    `curate export` makes Megatron's, nanotron's and other formats of it.
    """

    tokens_per_shard: int = Field(
        1 << 26, ge=1, description="tokens in each shard but the last, but for the document that passes it"
    )

    def layout(self, total_weight: int) -> list[Cut]:
        """Ranges of the stream of tokens; a document lies where it begins."""
        n = self.tokens_per_shard
        return [Cut(i, start, min(start + n, total_weight)) for i, start in enumerate(range(0, total_weight, n))]

    def write(
        self, cut: Cut, rows: Iterator[tuple[int, pa.RecordBatch]], path: Path, side: Path | None, ctx: Context
    ) -> Mapping[str, Any]:
        """Write the documents that begin in the cut as an IPC stream, batch by batch."""
        tokenizer = self.tokenizer(ctx)
        count = tokens = 0
        components: dict[str, int] = {}
        with stream_writer(path, _schema(tokenizer.dtype)) as out:
            for table in in_batches(_beginning(cut, rows), _ROWS):
                shown = _shown(table, tokenizer.dtype, tokenizer.end_of_text)
                out.write_batch(canonical_batch(shown))
                count += table.num_rows
                tokens += int(pc.sum(table.column(WEIGHT)).as_py())
                add_by_component(components, table.select(["component", WEIGHT]))
        return {"rows": count, "tokens": tokens, SUMS: dict(sorted(components.items()))}

    def file_name(self, cut: Cut, count: int) -> str:
        """As ``datasets`` names its shards."""
        return f"data-{cut.index:05d}-of-{count:05d}.arrow"

    def finish(
        self, shards: Sequence[Mapping[str, Any]], report: Mapping[str, Any], ctx: Context
    ) -> Mapping[str, bytes]:
        """state.json and dataset_info.json, shards.json, and the tokenizer's own files."""
        tokenizer = self.tokenizer(ctx)
        schema = _schema(tokenizer.dtype)
        return {
            **shards_file.of(shards_file.DOCUMENTS, {}, schema, tokenizer, shards, report),
            **dataset_files(shards, schema),
            **shards_file.tokenizer_files(ctx.assets["tokens"]),
        }


def _schema(dtype: np.dtype[Any]) -> pa.Schema:
    return pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("component", pa.string()),
            ("epoch", pa.int32()),
            ("input_ids", pa.list_(pa.from_numpy_dtype(dtype))),
            ("trained", pa.list_(pa.int32())),
        ]
    )


def _beginning(cut: Cut, rows: Iterator[tuple[int, pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """The documents that begin in a cut."""
    for before, batch in rows:
        weight = batch.column(WEIGHT).to_numpy()
        starts = before + np.cumsum(weight) - weight
        yield batch.filter(pa.array((starts >= cut.start) & (starts < cut.stop)))


def _shown(table: pa.Table, dtype: np.dtype[Any], end_of_text: int) -> pa.Table:
    values, offsets = token_arrays(table.column(TOKENS), dtype)
    ends = np.arange(table.num_rows + 1, dtype=np.int64)
    inside = values[offsets[0] : offsets[-1]]
    # Behind each document's last id one more.
    ids = np.insert(inside, (offsets[1:] - offsets[0]).astype(np.int64), np.asarray(end_of_text, dtype))
    lists = pa.ListArray.from_arrays(pa.array((offsets - offsets[0] + ends).astype(np.int32)), pa.array(ids))
    columns = [hex_ids(table.column("id").combine_chunks())]
    columns += [table.column(name).combine_chunks() for name in ("source", "component", "epoch")]
    return pa.table([*columns, lists, table.column("trained").combine_chunks()], schema=_schema(dtype))
