"""Encode, shuffle, pack: documents joined by the end-of-text token into one stream, cut at a fixed length.

That is phi-1's own format (arXiv 2306.11644: files joined with ``<|endoftext|>`` into one array, cut at 2,048). The
stream's order is a sort by keyed hash of (seed, id), so the shards do not depend on how the work was divided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate import assets
from curate.errors import RecipeError
from curate.stages.base import KEY, WEIGHT, Context, Cut
from curate.stages.hf_dataset import dataset_files, stream_writer
from curate.stages.registry import register
from curate.stages.tokenizer import load
from curate.stages.writer import Writer
from curate.text.batch import Batch
from curate.text.hashing import keyed_hash

SEQUENCES_PER_BATCH = 64
"""Sequences per record batch: 0.5 MB at 2,048 int32 tokens, what a reader touches for one random row."""


@register("write.tokens")
class WriteTokens(Writer):
    """Write token sequences of one fixed length as a sharded Arrow dataset.

    Columns: ``input_ids`` (fixed-size list of int32), and by setting ``position_ids`` (int32, restarting with each
    document), ``loss_mask`` (int8, 0 on padding) and ``doc_ids`` (list of string: the documents in the sequence).
    """

    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"tokenizer": "tokenizers"}

    tokenizer: str = Field(description="a train.tokenizer step, or a folder with its files")
    sequence: int = Field(2048, ge=2, description="tokens in each sequence")
    sequences_per_shard: int = Field(4096, ge=1, description="sequences in each shard but the last")
    tail: Literal["drop", "pad"] = Field("drop", description="what becomes of the last, unfilled sequence")
    position_ids: bool = Field(False, description="add position_ids, restarting with each document")
    loss_mask: bool = Field(False, description="add loss_mask, 0 on padding")
    doc_ids: bool = Field(False, description="add doc_ids, the hex ids of the documents in each sequence")

    def map(self, docs: Batch, ctx: Context) -> pa.Table:
        """``id``, ``tokens`` (list of int32, end-of-text last), KEY and WEIGHT (number of tokens)."""
        tokenizer = load(ctx.assets["tokenizer"])
        encoded = tokenizer.encode(docs.text)
        lengths = np.diff(encoded.offsets.to_numpy()) + 1
        offsets = np.zeros(len(encoded) + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        values = np.insert(
            encoded.values.to_numpy().astype(np.int32), encoded.offsets.to_numpy()[1:], tokenizer.end_of_text
        )
        tokens = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
        key = keyed_hash(docs.column("id"), ctx.key("shuffle"))
        return pa.table({"id": docs.column("id"), "tokens": tokens, KEY: key, WEIGHT: lengths})

    def sort_by(self) -> tuple[str, ...]:
        """Equal keys are ordered by id."""
        return ("id",)

    def layout(self, total_weight: int) -> list[Cut]:
        """Shards of ``sequences_per_shard`` sequences; the last one has the rest."""
        full, rest = divmod(total_weight, self.sequence)
        sequences = full + (1 if rest and self.tail == "pad" else 0)
        if sequences == 0 and total_weight:
            raise RecipeError(
                f"{total_weight} tokens do not fill one sequence of {self.sequence}",
                cure="set 'tail: pad', shorten 'sequence', or read more",
            )
        per = self.sequences_per_shard
        starts = range(0, sequences, per)
        return [Cut(i, s * self.sequence, min(s + per, sequences) * self.sequence) for i, s in enumerate(starts)]

    def write(
        self, cut: Cut, rows: Iterator[tuple[int, pa.RecordBatch]], path: Path, side: Path | None, ctx: Context
    ) -> Mapping[str, Any]:
        """Write the cut's sequences as an IPC stream, batch by batch."""
        packed = _Packer(self, cut, load(ctx.assets["tokenizer"]).padding)
        with stream_writer(path, self._schema()) as out:
            for before, batch in rows:
                for sequences in packed.add(before, batch):
                    out.write_batch(sequences)
            for sequences in packed.finish():
                out.write_batch(sequences)
        return {"rows": packed.sequences, "tokens": packed.tokens}

    def _schema(self) -> pa.Schema:
        fields = [("input_ids", pa.list_(pa.int32(), self.sequence))]
        if self.position_ids:
            fields.append(("position_ids", pa.list_(pa.int32(), self.sequence)))
        if self.loss_mask:
            fields.append(("loss_mask", pa.list_(pa.int8(), self.sequence)))
        if self.doc_ids:
            fields.append(("doc_ids", pa.list_(pa.string())))
        return pa.schema(fields)

    def file_name(self, cut: Cut, count: int) -> str:
        """As ``datasets`` names its shards."""
        return f"data-{cut.index:05d}-of-{count:05d}.arrow"

    def finish(
        self, shards: Sequence[Mapping[str, Any]], report: Mapping[str, Any], ctx: Context
    ) -> Mapping[str, bytes]:
        """state.json, dataset_info.json, and the tokenizer's own files, so that the folder is all a trainer needs."""
        files = dict(dataset_files(shards))
        folder = ctx.assets["tokenizer"]
        for file in sorted(folder.iterdir()) if folder.is_dir() else [folder]:
            if file.is_file():
                files[f"tokenizer-{file.name}" if file.name in files else file.name] = file.read_bytes()
        return files


class _Packer:
    """Fills sequences from a stream of documents, holding one record batch of them at a time."""

    def __init__(self, stage: WriteTokens, cut: Cut, padding: int) -> None:
        self.stage, self.cut = stage, cut
        self.sequences = 0
        self.tokens = 0
        self._size = stage.sequence * SEQUENCES_PER_BATCH
        self._at = cut.start
        self._ids = np.full(self._size, padding, np.int32)
        self._positions = np.zeros(self._size, np.int32)
        self._inside: list[tuple[int, int, str]] = []
        self._padding = padding

    def add(self, before: int, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Take the documents of a batch that begins at global token ``before``; give the batches that were filled."""
        offsets = batch.column("tokens").offsets.to_numpy()
        values = batch.column("tokens").values.to_numpy()
        lengths = np.diff(offsets)
        starts = before + (offsets[:-1] - offsets[0]).astype(np.int64)
        begin, end = max(before, self.cut.start), min(before + int(lengths.sum()), self.cut.stop)
        position = np.arange(begin, end, dtype=np.int64) - np.repeat(starts, lengths)[begin - before : end - before]
        tokens = values[offsets[0] + begin - before : offsets[0] + end - before]
        if self.stage.doc_ids:
            ids = batch.column("id")
            for i in np.flatnonzero((starts < end) & (starts + lengths > begin)):
                self._inside.append((int(starts[i]), int(starts[i] + lengths[i]), ids[int(i)].as_py().hex()))
        taken = 0
        while taken < len(tokens):
            room = self._size - (self._at - self._base())
            n = min(room, len(tokens) - taken)
            here = self._at - self._base()
            self._ids[here : here + n] = tokens[taken : taken + n]
            self._positions[here : here + n] = position[taken : taken + n]
            self._at += n
            taken += n
            if n == room:
                yield self._flush(self._size)
        self.tokens += len(tokens)

    def _base(self) -> int:
        return self.cut.start + self.sequences * self.stage.sequence

    def finish(self) -> Iterator[pa.RecordBatch]:
        """The last batch, padded if the recipe says so."""
        used = self._at - self._base()
        if used:
            yield self._flush(-(-used // self.stage.sequence) * self.stage.sequence)

    def _flush(self, size: int) -> pa.RecordBatch:
        used = self._at - self._base()
        length, n = self.stage.sequence, size // self.stage.sequence
        columns: dict[str, pa.Array] = {"input_ids": pa.FixedSizeListArray.from_arrays(self._ids[:size].copy(), length)}
        if self.stage.position_ids:
            columns["position_ids"] = pa.FixedSizeListArray.from_arrays(self._positions[:size].copy(), length)
        if self.stage.loss_mask:
            mask = (np.arange(size) < used).astype(np.int8)
            columns["loss_mask"] = pa.FixedSizeListArray.from_arrays(mask, length)
        if self.stage.doc_ids:
            columns["doc_ids"] = self._documents(n)
        self.sequences += n
        self._ids[:] = self._padding
        self._positions[:] = 0
        return pa.RecordBatch.from_pydict(columns, schema=self.stage._schema())  # noqa: SLF001 - one module, one idea

    def _documents(self, n: int) -> pa.Array:
        """For each of the next n sequences the ids of the documents that have a token in it."""
        length, base = self.stage.sequence, self._base()
        found: list[list[str]] = [[] for _ in range(n)]
        for start, stop, name in self._inside:
            for k in range(max(0, (start - base) // length), min(n, -(-(stop - base) // length))):
                found[k].append(name)
        self._inside = [d for d in self._inside if d[1] > base + n * length]
        return pa.array(found, pa.list_(pa.string()))
