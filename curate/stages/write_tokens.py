"""write.tokens: documents as sequences of one length, mixed, shuffled, packed, shuffled again.

``concat`` is phi-1's own format (arXiv 2306.11644: files joined with ``<|endoftext|>`` into one array, cut at 2,048).
``best-fit`` cuts no document that fits (Ding et al., arXiv 2404.10830). Documents are packed in windows of the global
order that are a fixed number of tokens, so what comes out does not depend on how the work was divided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from curate.errors import RecipeError
from curate.stages import shards_file
from curate.stages.base import KEY, WEIGHT, Context, Cut, Phase, Read
from curate.stages.hf_dataset import dataset_files, in_batches, stream_writer
from curate.stages.mixed import TOKENS, MixedWriter, Sums, add_by_component, as_they_are
from curate.stages.registry import register
from curate.stages.writer import SUMS
from curate.store.dataset import PIECES
from curate.text.hashing import hex_ids, keyed_hash
from curate.text.packed import fill, loss_mask, positions, segments, token_arrays
from curate.text.packing import Spans, best_fit, concat
from curate.text.tape import sequence_keys

SEQUENCES_PER_BATCH: Final = 64
"""Sequences per record batch: 0.25 MB at 2,048 uint16 tokens, what a reader touches for one random row."""
_AT_ONCE: Final = 512
"""Sequences that are filled at once: 2 MB of uint16 tokens at 2,048."""
_SIDE_ROWS: Final = 1 << 16
"""Pieces of a row group of the table beside a shard, or a few more."""
_COPIED_ROWS: Final = 1 << 13
"""Pieces that are taken out of what they came in at once."""

PIECE: Final = pa.struct(
    [
        field if field.name != "document" else pa.field("document", pa.binary(16))
        for field in PIECES
        if field.name != "sequence"
    ]
)
"""A piece of a document in a sequence on its way; see store.dataset.PIECES."""


@register("write.tokens")
class WriteTokens(MixedWriter):
    """Write token sequences of one fixed length as a sharded Arrow dataset.

    Column ``input_ids`` (fixed-size list of uint16, of uint32 from a vocabulary of 65,536 on), and by setting
    ``position_ids`` (int32, from 0 in each document's piece), ``loss_mask`` (uint8: 1 where a token is to be predicted from
    those before it: not on padding, not on the first token of a piece, in a chat just on what is trained on) and
    ``segments`` (list of int32: lengths of the pieces, and of the padding; they sum up to the sequence). Beside the
    dataset's folder, in ``STEP.sequences``, a Parquet file for each shard says which tokens of which document stand where.
    """

    revision: ClassVar[int] = 2

    sequence: int = Field(2048, ge=2, le=1 << 24, description="tokens in each sequence")
    pack: Literal["concat", "best-fit"] = Field(
        "concat", description="concat: one stream, cut; best-fit: no document that fits is cut, the rest is padding"
    )
    tail: Literal["drop", "pad"] = Field("drop", description="concat: what becomes of the last, unfilled sequence")
    window: int = Field(4096, ge=1, description="sequences' worth of documents packed at once: what bounds memory")
    sequences_per_shard: int = Field(32_768, ge=1, description="sequences in each shard but the last")
    position_ids: bool = Field(False, description="add position_ids, restarting with each document")
    loss_mask: bool = Field(False, description="add loss_mask, 1 where a token is a target")
    segments: bool = Field(False, description="add segments, the lengths of the documents' pieces in each sequence")

    def phases(self) -> tuple[Phase, ...]:
        """Those of the mixture; then windows of documents are packed, and sequences shuffled."""
        packed = Read(self._packed, of="shuffle", windows=self._windows)
        return (*super().phases(), Phase("pack", (packed,), as_they_are, ("number",), ordered=True, dense=True))

    # -- packing --------------------------------------------------------------------------------------------

    def _windows(self, total: int) -> list[Cut]:
        """Ranges of the stream of tokens that are packed each for itself."""
        size, stop = self.sequence * self.window, total
        if self.pack == "concat":
            full, rest = divmod(total, self.sequence)
            stop = (full + (1 if rest and self.tail == "pad" else 0)) * self.sequence
            if not stop and total:
                raise RecipeError(
                    f"{total} tokens do not fill one sequence of {self.sequence}",
                    cure="set 'tail: pad', shorten 'sequence', or read more",
                )
        return [Cut(i, start, min(start + size, stop)) for i, start in enumerate(range(0, stop, size))]

    def _packed(self, cut: Cut, rows: Iterable[tuple[int, pa.RecordBatch]], ctx: Context) -> Iterator[pa.Table]:
        """A window's sequences: ``number``, ``tokens``, ``mask`` where it is wanted, ``pieces``, KEY and WEIGHT 1."""
        before, docs = self._inside(cut, rows)
        if docs is None:
            return
        lengths = docs.column(WEIGHT).to_numpy()
        if self.pack == "concat":
            first = cut.start // self.sequence
            spans = concat(lengths, self.sequence, before, cut.start, cut.stop)
        else:
            first = cut.index << 32
            spans = best_fit(lengths, self.sequence)
        tokenizer, key = self.tokenizer(ctx), ctx.key("sequences")
        values, offsets = token_arrays(docs.column(TOKENS), tokenizer.dtype)
        trained = docs.column("trained").combine_chunks()
        chat = trained if trained.null_count < len(trained) else None
        low, high = docs.column("first").to_numpy(), docs.column("last").to_numpy()
        for at, some in zip(range(0, spans.sequences, _AT_ONCE), spans.batches(_AT_ONCE), strict=True):
            number = np.arange(first + at, first + at + some.sequences)
            ids = fill(values, offsets, some, tokenizer.end_of_text, tokenizer.padding)
            columns = {
                "number": pa.array(number),
                TOKENS: _fixed(ids),
                **({"mask": _fixed(loss_mask(some, chat))} if self.loss_mask else {}),
                "pieces": _told(docs, some, lengths),
                KEY: sequence_keys(some, low, high, keyed_hash(_wide(number), key)),
                WEIGHT: pa.array(np.ones(some.sequences, np.int64)),
            }
            yield pa.table(columns)

    def _inside(self, cut: Cut, rows: Iterable[tuple[int, pa.RecordBatch]]) -> tuple[int, pa.Table | None]:
        """The documents of a window, and the tokens before the first of them: with concat all that have a token in it, with
        best-fit all that begin in it."""
        held: list[pa.RecordBatch] = []
        first = cut.start
        for before, batch in rows:
            weight = batch.column(WEIGHT).to_numpy()
            starts = before + np.cumsum(weight) - weight
            if self.pack == "concat":
                inside = (starts < cut.stop) & (starts + weight > cut.start)
            else:
                inside = (starts < cut.stop) & (starts >= cut.start)
            if inside.any():
                if not held:
                    first = int(starts[np.argmax(inside)])
                held.append(batch if inside.all() else batch.filter(pa.array(inside)))
        return first, pa.Table.from_batches(held).combine_chunks() if held else None

    # -- shards ---------------------------------------------------------------------------------------------

    def layout(self, total_weight: int) -> list[Cut]:
        """Shards of ``sequences_per_shard`` sequences; the last one has the rest."""
        per = self.sequences_per_shard
        return [Cut(i, s, min(s + per, total_weight)) for i, s in enumerate(range(0, total_weight, per))]

    def write(
        self, cut: Cut, rows: Iterator[tuple[int, pa.RecordBatch]], path: Path, side: Path | None, ctx: Context
    ) -> Mapping[str, Any]:
        """Write the cut's sequences as an IPC stream, batch by batch, and what is in them beside it."""
        assert side is not None
        dtype = self.tokenizer(ctx).dtype
        number, tokens = cut.start, 0
        with (
            stream_writer(path, self._schema(dtype)) as out,
            pq.ParquetWriter(side, PIECES, compression="zstd") as told,
        ):
            beside = _Beside(told)
            for table in in_batches(_between(cut, rows), SEQUENCES_PER_BATCH):
                spans, pieces = _pieces(table.column("pieces").combine_chunks(), self.sequence)
                out.write_batch(self._shown(table, spans, dtype))
                beside.add(pieces, number + spans.sequence)
                tokens += spans.tokens
                number += table.num_rows
            beside.finish()
        return {"rows": number - cut.start, "tokens": tokens, SUMS: dict(sorted(beside.components.items()))}

    def _schema(self, dtype: np.dtype[Any]) -> pa.Schema:
        size = self.sequence
        fields = [("input_ids", pa.list_(pa.from_numpy_dtype(dtype), size))]
        fields += [("position_ids", pa.list_(pa.int32(), size))] if self.position_ids else []
        fields += [("loss_mask", pa.list_(pa.uint8(), size))] if self.loss_mask else []
        fields += [("segments", pa.list_(pa.int32()))] if self.segments else []
        return pa.schema(fields)

    def _shown(self, table: pa.Table, spans: Spans, dtype: np.dtype[Any]) -> pa.RecordBatch:
        size = self.sequence
        columns = [pa.FixedSizeListArray.from_arrays(pa.array(_flat(table.column(TOKENS), dtype)), size)]
        if self.position_ids:
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(positions(spans).reshape(-1)), size))
        if self.loss_mask:
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(_flat(table.column("mask"), np.uint8)), size))
        if self.segments:
            columns.append(segments(spans))
        return pa.RecordBatch.from_arrays(columns, schema=self._schema(dtype))

    def report(self, shards: Sequence[Mapping[str, Any]], sums: Sums) -> Mapping[str, Any]:
        """That of the mixture; ``padding_tokens``: places in all sequences that no document fills."""
        rows, tokens = (sum(int(shard[name]) for shard in shards) for name in ("rows", "tokens"))
        return {**super().report(shards, sums), "padding_tokens": rows * self.sequence - tokens}

    def file_name(self, cut: Cut, count: int) -> str:
        """As ``datasets`` names its shards."""
        return f"data-{cut.index:05d}-of-{count:05d}.arrow"

    def side_name(self, cut: Cut, count: int) -> str:
        """Numbered as the shard is."""
        return f"sequences-{cut.index:05d}-of-{count:05d}.parquet"

    def finish(
        self, shards: Sequence[Mapping[str, Any]], report: Mapping[str, Any], ctx: Context
    ) -> Mapping[str, bytes]:
        """state.json and dataset_info.json, shards.json, and the tokenizer's own files: the folder is all a trainer needs."""
        tokenizer = self.tokenizer(ctx)
        schema = self._schema(tokenizer.dtype)
        facts = {"sequence": self.sequence, "pack": self.pack}
        return {
            **shards_file.of(shards_file.TOKENS, facts, schema, tokenizer, shards, report),
            **dataset_files(shards, schema),
            **shards_file.tokenizer_files(ctx.assets["tokens"]),
        }


def _told(docs: pa.Table, spans: Spans, lengths: np.ndarray) -> pa.ListArray:
    """A list of PIECE for each sequence; ``lengths``: tokens of each of the documents."""
    said = docs.select(["id", "source", "component", "epoch"]).take(pa.array(spans.row))
    id_, source, component, epoch = (column.combine_chunks() for column in said.columns)
    own = [pa.array(spans.at), pa.array(spans.length), pa.array(spans.start)]
    values = [*own, id_, source, component, epoch, pa.array(spans.cut(lengths))]
    offsets = np.searchsorted(spans.sequence, np.arange(spans.sequences + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.StructArray.from_arrays(values, fields=list(PIECE)))


def _fixed(rows: np.ndarray) -> pa.FixedSizeBinaryArray:
    """Rows of numbers as rows of bytes."""
    data = np.ascontiguousarray(rows)
    kind = pa.binary(data.shape[1] * data.itemsize)
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(data), [None, pa.py_buffer(data)])


def _flat(column: pa.ChunkedArray, dtype: Any) -> np.ndarray:
    """The numbers of all rows, one after the other, as a copy: a final batch's buffers are its own."""
    rows = column.combine_chunks()
    width = rows.type.byte_width
    raw = np.frombuffer(rows.buffers()[1], np.uint8, len(rows) * width, rows.offset * width)
    return raw.view(dtype).copy()


def _wide(numbers: np.ndarray) -> pa.FixedSizeBinaryArray:
    """Numbers as ids are: 16 bytes."""
    return _fixed(np.stack([numbers.astype("<u8"), np.zeros(len(numbers), "<u8")], axis=1))


def _between(cut: Cut, rows: Iterable[tuple[int, pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """The rows of a cut, each of weight 1."""
    for before, batch in rows:
        begin, end = max(cut.start - before, 0), min(cut.stop - before, batch.num_rows)
        yield batch.slice(begin, end - begin)


def _pieces(lists: pa.ListArray, size: int) -> tuple[Spans, pa.StructArray]:
    """Pieces of sequences as Spans (of no documents), and as they are."""
    values = lists.flatten()
    counts = lists.value_lengths().to_numpy()
    sequence = np.repeat(np.arange(len(lists)), counts)
    at, length, start = (values.field(i).to_numpy() for i in range(3))
    return Spans(len(lists), size, sequence, at, np.zeros(len(sequence), np.int64), start, length), values


class _Beside:
    """The table beside a shard, on its way: _SIDE_ROWS pieces are a row group.

    Attributes:
        components: tokens by component so far.
    """

    def __init__(self, out: pq.ParquetWriter) -> None:
        self.components: dict[str, int] = {}
        self._out = out
        self._fresh: list[tuple[pa.StructArray, np.ndarray]] = []
        self._held: list[pa.Table] = []
        self._fresh_rows = self._rows = 0

    def add(self, pieces: pa.StructArray, sequence: np.ndarray) -> None:
        """Pieces of some sequences, and the number of each one's."""
        self._fresh.append((pieces, sequence))
        self._fresh_rows += len(pieces)
        if self._fresh_rows >= _COPIED_ROWS:
            self._copy()
        if self._rows >= _SIDE_ROWS:
            self._write()

    def finish(self) -> None:
        """The last row group."""
        self._copy()
        self._write()

    def _copy(self) -> None:
        """Rows of PIECES, as copies: what the pieces came in is memory of all that was read with them."""
        if not self._fresh_rows:
            return
        pieces = pa.concat_arrays([some for some, _ in self._fresh]).take(pa.array(np.arange(self._fresh_rows)))
        columns = dict(zip([field.name for field in PIECE], pieces.flatten(), strict=True))
        columns["document"] = hex_ids(columns["document"])
        sequence = pa.array(np.concatenate([numbers for _, numbers in self._fresh]))
        table = pa.table([sequence, *(columns[name] for name in PIECES.names[1:])], schema=PIECES)
        add_by_component(self.components, table.select(["component", "length"]))
        self._held.append(table)
        self._rows += self._fresh_rows
        self._fresh, self._fresh_rows = [], 0

    def _write(self) -> None:
        if self._rows:
            self._out.write_table(pa.concat_tables(self._held).combine_chunks())
            self._held, self._rows = [], 0
