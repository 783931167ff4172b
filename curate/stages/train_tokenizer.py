"""train.tokenizer: a SentencePiece tokenizer that loses nothing, from a bounded sample of the documents.

Settings that are not the library's defaults, and why:

- ``normalization_rule_name=identity``, ``add_dummy_prefix=False``, ``remove_extra_whitespaces=False``: by default it
  folds characters (``x²`` becomes ``x2``), puts a space in front, and drops double spaces: indentation would be lost.
- ``allow_whitespace_only_pieces``: runs of spaces may become one piece, else indentation costs a token a space.
- ``byte_fallback``: characters that are no piece become bytes, so nothing is unknown.
- ``required_chars``: a space is a piece even where the texts have hardly any (Chinese, Japanese), else three bytes.
- texts come from an iterator, so line feeds are characters (in a training *file* they separate sentences and no piece
  could hold one), and no path gets into the model.
- texts are cut at line ends below ``max_sentence_length``: the library skips longer ones without a word. It also skips
  those with a U+2585, its own sign for the unknown: that character is left out (it is encoded as bytes).
- ``num_threads=1`` and ``hard_vocab_limit=False``: equal bytes each time; a small corpus gives a smaller vocabulary.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.errors import InputError
from curate.quality.sample import Smallest, held_out
from curate.stages.base import Context, Trainer
from curate.stages.registry import register
from curate.stages.tokenizer import END_OF_TEXT, pieces
from curate.stages.tokenizer_sentencepiece import MODEL_FILE, PAD, SentencePiece
from curate.text.batch import Batch
from curate.text.space_sign import escape

_SENTENCE_BYTES: Final = 16_384
_UNKNOWN: Final = "\u2585"
REPORT_FILE: Final = "trained.json"
_FIXED_IDS: Final = 3 + 256
"""Unknown, end of text, padding, and the bytes."""


@register("train.tokenizer")
class TrainTokenizer(Trainer):
    """Train a tokenizer on the documents with the smallest keyed hash of their content, up to ``max_bytes``.

    Every text comes back from it unchanged. Ids: 0 unknown (never used), 1 ``<|endoftext|>``, 2 ``<|pad|>``, 3-258 the
    bytes, then pieces. Writes ``tokenizer.model`` and ``trained.json`` (its settings and measures).
    """

    revision: ClassVar[int] = 4

    vocab_size: int = Field(
        8_192, ge=_FIXED_IDS + 2, le=1 << 20, description="ids; fewer if the texts do not give that many"
    )
    model_type: Literal["bpe", "unigram"] = Field(
        "bpe", description="bpe is quicker to train; unigram packs a little better"
    )
    character_coverage: float = Field(
        0.9995, gt=0.9, le=1, description="share of characters that get a piece; the rest is bytes"
    )
    max_bytes: int = Field(32_000_000, ge=1_000, description="sample to train on, in bytes of text, whole documents")
    held_out: float = Field(0.05, gt=0, lt=1, description="share of the contents kept to measure bytes per token")
    max_held_out_bytes: int = Field(2_000_000, ge=1_000, description="sample to measure on, in bytes of text")

    def train(self, docs: Iterable[Batch], out: Path, ctx: Context) -> Mapping[str, Any]:
        """Sample, train, measure; see the class."""
        from curate.text.hashing import keyed_hash

        train = Smallest(text_bytes=self.max_bytes, distinct=True)
        held = Smallest(text_bytes=self.max_held_out_bytes, distinct=True)
        sample_key, split_key = ctx.key(ctx.step, "sample"), ctx.key(ctx.step, "held out")
        for batch in docs:
            rows = pa.RecordBatch.from_pydict(
                {"id": batch.column("id"), "source": batch.column("source"), "text": batch.text}
            )
            contents = batch.column("content_hash")
            out_of = held_out(contents, split_key, self.held_out)
            hashes = keyed_hash(contents, sample_key)
            train.add(rows.filter(pa.array(~out_of)), hashes[~out_of])
            held.add(rows.filter(pa.array(out_of)), hashes[out_of])
        sample = train.rows() or held.rows()  # of very few contents all may be held out
        if sample is None or not (pc.sum(pc.binary_length(sample.column("text"))).as_py() or 0):
            raise InputError(
                f"step '{ctx.step}': no text to train a tokenizer on", cure="look at what the steps before it drop"
            )
        model = self._fit(sample, ctx)
        out.mkdir(parents=True, exist_ok=True)
        (out / MODEL_FILE).write_bytes(model)
        report = {
            "vocab_size": SentencePiece(model).vocab_size,
            "trained_documents": sample.num_rows,
            "trained_bytes": pc.sum(pc.binary_length(sample.column("text"))).as_py(),
            "bytes_per_token": fertility(SentencePiece(model), held.rows()),
            "settings": self.model_dump(mode="json"),
        }
        (out / REPORT_FILE).write_text(json.dumps(report, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return report

    def _fit(self, sample: pa.Table, ctx: Context) -> bytes:
        import sentencepiece

        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=_sentences(sample),
                model_writer=model,
                model_type=self.model_type,
                vocab_size=self.vocab_size,
                character_coverage=self.character_coverage,
                required_chars="\u2581",
                normalization_rule_name="identity",
                add_dummy_prefix=False,
                remove_extra_whitespaces=False,
                allow_whitespace_only_pieces=True,
                byte_fallback=True,
                split_digits=True,
                hard_vocab_limit=False,
                max_sentence_length=_SENTENCE_BYTES + 1,
                num_threads=1,
                unk_id=0,
                bos_id=-1,
                eos_id=1,
                eos_piece=END_OF_TEXT,
                pad_id=2,
                pad_piece=PAD,
                minloglevel=2,
            )
        except RuntimeError as error:
            line = str(error).strip().splitlines()[-1]
            raise InputError(
                f"step '{ctx.step}': SentencePiece can't train: {line}",
                cure="give it more text, or a smaller vocab_size",
            ) from None
        return model.getvalue()


def _sentences(sample: pa.Table) -> Iterator[str]:
    for chunk in sample.column("text").chunks:
        for row in chunk:
            yield from pieces(escape(row).as_py().replace(_UNKNOWN, ""), _SENTENCE_BYTES)


def fertility(model: SentencePiece, rows: pa.Table | None) -> dict[str, Any]:
    """Bytes per token over some rows, in all and by source; empty without rows."""
    if rows is None or not rows.num_rows:
        return {}
    tokens = np.diff(model.encode(rows.column("text").combine_chunks()).offsets.to_numpy())
    sizes = pc.binary_length(rows.column("text")).to_numpy().astype(np.int64)
    sources = np.array(rows.column("source").to_pylist(), dtype=object)

    def share(here: Any) -> dict[str, Any]:
        total = int(tokens[here].sum())
        size = int(sizes[here].sum())
        return {"documents": int(here.sum()), "bytes": size, "bytes_per_token": size / total if total else None}

    names = sorted(set(sources.tolist()))
    by_source = {name: share(sources == name) for name in names}
    return {"all": share(np.ones(len(tokens), bool)), "by_source": by_source}
