"""train.tokenizer: a SentencePiece tokenizer that loses nothing, from a bounded sample of the documents.

Settings that are not the library's defaults, and why:

- ``normalization_rule_name=identity``, ``add_dummy_prefix=False``, ``remove_extra_whitespaces=False``: by default it
  folds characters (``x²`` becomes ``x2``), puts a space in front, and drops double spaces: indentation would be lost.
- ``allow_whitespace_only_pieces``: runs of spaces may become one piece, else indentation costs a token a space.
- ``byte_fallback``: characters that are no piece become bytes, so nothing is unknown.
- ``split_digits``: each digit is a token, so that a number is written in one way only.
- ``required_chars``: a space is a piece even where the texts have hardly any (Chinese, Japanese), else three bytes.
- texts come from an iterator, so line feeds are characters (in a training *file* they separate sentences and no piece
  could hold one), and no path gets into the model.
- texts are cut at line ends below ``max_sentence_length``: the library skips longer ones without a word. It also skips
  those with a U+2585, its own sign for the unknown: that character is left out (it is encoded as bytes).
- ``control_symbols``: the roles of a chat are ids that no text is encoded to (``user_defined_symbols`` would be matched).
- ``num_threads=1`` and ``hard_vocab_limit=False``: equal bytes each time; a small corpus gives a smaller vocabulary.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from curate.errors import InputError
from curate.quality.sample import Smallest, held_out
from curate.stages.base import Context, Trainer
from curate.stages.fertility import fertility
from curate.stages.mixture import Mix
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

    With a ``mix`` each component fills its share of ``max_bytes``, as far as it goes: what a dataset is mixed of is what its
    tokenizer should be made for. It sees what it reads: give it the training side alone (``from: train``), and no document
    that is held out for validation bears on it.

    Every text comes back from it unchanged. Ids: 0 unknown (never used), 1 ``<|endoftext|>``, 2 ``<|pad|>``, those of ``special``,
    256 bytes, then pieces. Writes ``tokenizer.model`` and ``trained.json`` (its settings and measures).
    """

    revision: ClassVar[int] = 5

    vocab_size: int = Field(
        8_192,
        ge=_FIXED_IDS + 2,
        le=1 << 20,
        description="ids; fewer if the texts do not give that many. Up to 65,535 fit uint16",
    )
    model_type: Literal["bpe", "unigram"] = Field(
        "bpe", description="bpe is quicker to train; unigram packs a little better"
    )
    character_coverage: float = Field(
        0.9995, gt=0.9, le=1, description="share of characters that get a piece; the rest is bytes"
    )
    max_bytes: int = Field(32_000_000, ge=1_000, description="sample to train on, in bytes of text, whole documents")
    mix: Mix | None = Field(
        None, description="components and the weights with which they are sampled; null: as many bytes as each has"
    )
    special: list[str] = Field(
        default_factory=list,
        description='control symbols, for chats `["<|im_start|>", "<|im_end|>"]`; never made from text',
    )
    held_out: float = Field(0.05, gt=0, lt=1, description="share of the contents kept to measure bytes per token")
    max_held_out_bytes: int = Field(2_000_000, ge=1_000, description="sample to measure on, in bytes of text")

    @field_validator("special")
    @classmethod
    def _names(cls, given: list[str]) -> list[str]:
        if len(set(given)) < len(given):
            raise ValueError("a symbol is named twice")
        for name in given:
            if name in (END_OF_TEXT, PAD, "<unk>") or re.fullmatch("<0x[0-9A-F]{2}>", name):
                raise ValueError(f"'{name}' is there in any case: leave it out")
            if not re.fullmatch(r"[!-+\--~]{3,}", name):
                raise ValueError(
                    f"'{name}' is no name of a symbol: write one like <|user|>, in ASCII without comma or space"
                )
        return given

    @field_validator("mix")
    @classmethod
    def _weights(cls, given: Mix | None) -> Mix | None:
        if given is not None and (not given.components or any(c.weight is None for c in given.components.values())):
            raise ValueError("a tokenizer's mix is components with a weight each")
        return given

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.vocab_size < _FIXED_IDS + len(self.special) + 2:
            raise ValueError(f"vocab_size leaves no room for pieces beside {_FIXED_IDS + len(self.special)} fixed ids")
        return self

    def reads(self) -> frozenset[str]:
        """The column by which components are told apart."""
        return self.mix.reads() if self.mix is not None else frozenset()

    def train(self, docs: Iterable[Batch], out: Path, ctx: Context) -> Mapping[str, Any]:
        """Sample, train, measure; see the class."""
        sample, held = self._sampled(docs, ctx)
        if not any(_bytes(rows) for rows in sample.values()):
            raise InputError(
                f"step '{ctx.step}': no text to train a tokenizer on", cure="look at what the steps before it drop"
            )
        model = self._fit(sample.values(), ctx)
        out.mkdir(parents=True, exist_ok=True)
        (out / MODEL_FILE).write_bytes(model)
        trained = SentencePiece(model)
        measured = held if held is not None else pa.table({"text": pa.array([], pa.large_string()), "source": []})
        report = {
            "vocab_size": trained.vocab_size,
            "trained_documents": sum(rows.num_rows for rows in sample.values()),
            "trained_bytes": sum(_bytes(rows) for rows in sample.values()),
            "bytes_per_token": fertility(trained, map(Batch, measured.combine_chunks().to_batches())),
            "settings": self.model_dump(mode="json"),
        }
        if self.mix is not None:
            report["trained_on"] = {name: _bytes(rows) for name, rows in sample.items()}
        (out / REPORT_FILE).write_text(json.dumps(report, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return report

    def _sampled(self, docs: Iterable[Batch], ctx: Context) -> tuple[dict[str, pa.Table], pa.Table | None]:
        """The rows to train on by component, in order of their keyed hash, and those to measure on."""
        from curate.text.hashing import keyed_hash

        train = {
            name: Smallest(text_bytes=max(1, round(self.max_bytes * share)), distinct=True)
            for name, share in self._shares().items()
            if share
        }
        held = Smallest(text_bytes=self.max_held_out_bytes, distinct=True)
        sample_key, split_key = ctx.key(ctx.step, "sample"), ctx.key(ctx.step, "held out")
        for batch in docs:
            rows = pa.RecordBatch.from_pydict(
                {"id": batch.column("id"), "source": batch.column("source"), "text": batch.text}
            )
            contents = batch.column("content_hash")
            out_of = held_out(contents, split_key, self.held_out)
            hashes = keyed_hash(contents, sample_key)
            held.add(rows.filter(pa.array(out_of)), hashes[out_of])
            for name, sampler in train.items():
                here = ~out_of & self._of(batch, name)
                sampler.add(rows.filter(pa.array(here)), hashes[here])
        found = {name: rows for name, sampler in train.items() if (rows := sampler.rows()) is not None}
        measured = held.rows()
        if not found and self.mix is None and measured is not None:  # of very few contents all may be held out
            found = {"": measured}
        return found, measured

    def _shares(self) -> dict[str, float]:
        """Shares of the sample by component; without a mix all is one."""
        if self.mix is None:
            return {"": 1.0}
        return {name: component.weight or 0.0 for name, component in sorted(self.mix.components.items())}

    def _of(self, batch: Batch, name: str) -> npt.NDArray[np.bool_]:
        """Which rows belong to a component."""
        if self.mix is None:
            return np.ones(len(batch), np.bool_)
        mix = self.mix
        component = batch.view(f"component {mix!r}", lambda: mix.component_of(batch))
        return pc.fill_null(pc.equal(component, name), False).to_numpy(zero_copy_only=False)

    def _fit(self, sample: Iterable[pa.Table], ctx: Context) -> bytes:
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
                control_symbols=self.special,
                minloglevel=2,
            )
        except RuntimeError as error:
            line = str(error).strip().splitlines()[-1]
            raise InputError(
                f"step '{ctx.step}': SentencePiece can't train: {line}",
                cure="give it more text, or a smaller vocab_size",
            ) from None
        return model.getvalue()


def _sentences(sample: Iterable[pa.Table]) -> Iterator[str]:
    for rows in sample:
        for chunk in rows.column("text").chunks:
            for row in chunk:
                yield from pieces(escape(row).as_py().replace(_UNKNOWN, ""), _SENTENCE_BYTES)


def _bytes(rows: pa.Table) -> int:
    return int(pc.sum(pc.binary_length(rows.column("text"))).as_py() or 0)
