"""embed.llm: an embedding of every document, from a local model or any OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.errors import InputError
from curate.llm.embedding import decode
from curate.llm.request import Answer, Request
from curate.stages.base import Context
from curate.stages.generator import Accepted, Generator, Rejected
from curate.stages.reading_documents import meta_object
from curate.stages.registry import register
from curate.stages.topics import rounds
from curate.text.batch import Batch

FAMILY: Final = "embedding"


@register("embed.llm")
class EmbedLLM(Generator):
    """Ask a model for the embedding of each document; a classifier with `model: forest` (or another head) learns from it.

    The model reads the first `max_chars` characters, after `prefix`. One request a document: a server batches what is in
    flight, and what fails is one document. The document comes back as one of its own, with its text, source and meta, a
    column `vector`, the numbers of `keep`, and `meta.document` for the id it had. Empty documents are not asked about.
    Documents are gone through once, in their order, and rounds are asked as they fill: a corpus may be of any size.
    """

    revision: ClassVar[int] = 2
    reads_documents: ClassVar[bool] = True
    seeded: ClassVar[bool] = False

    model: str = Field("embedder", description="which of the recipe's models to ask")
    max_chars: int = Field(1_000, ge=1, description="only so many first characters are embedded")
    prefix: str = Field("", description="put before each text, as some models want it: 'passage: '")
    dimensions: int | None = Field(
        None, ge=1, description="length of the vectors to ask for, where an endpoint offers several"
    )
    keep: list[str] = Field(
        [], description="columns of numbers to carry along, such as 'judge.score'; here they are `<this step>.score`"
    )
    max_documents: int = Field(
        100_000, ge=1, description="with more documents, stop before any is asked about: each is paid for"
    )
    round: int = Field(
        64, ge=1, description="requests a round, a file each; a round counts only as a whole. A corpus wants 1000"
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = ["vector", *self._kept()]
        if len(set(names)) < len(names):
            raise ValueError(f"'keep' gives two columns one name: {', '.join(sorted(names))}")
        return self

    def _kept(self) -> dict[str, str]:
        """Short names of the columns carried along, and their full names."""
        kept = {name.rpartition(".")[2]: name for name in self.keep}
        if len(kept) < len(self.keep):
            raise ValueError(f"'keep' gives two columns one name: {', '.join(sorted(self.keep))}")
        return kept

    def reads(self) -> frozenset[str]:
        """The columns carried along."""
        return frozenset(self.keep)

    def adds(self) -> Mapping[str, pa.DataType]:
        """The vector, and what is carried along as float64."""
        return {"vector": pa.list_(pa.float32()), **dict.fromkeys(self._kept(), pa.float64())}

    def column_settings(self) -> Mapping[str, Any]:
        """Those that a vector depends on."""
        return self.model_dump(mode="json", include={"model", "max_chars", "prefix", "dimensions"})

    def requests(self, docs: Iterable[Batch], ctx: Context) -> Iterator[list[Request]]:
        """One request a document, in their order, however they are batched; a round is in memory at a time."""
        return rounds(self._asked(docs, ctx), self.round)

    def _asked(self, docs: Iterable[Batch], ctx: Context) -> Iterator[Request]:
        number = 0
        for batch in docs:
            columns = {name: batch.column(name) for name in ("id", "source", "meta")}
            columns["text"] = batch.text
            columns |= {f"keep.{short}": _numbers(batch.column(full), full) for short, full in self._kept().items()}
            rows = pa.RecordBatch.from_pydict(columns)
            rows = rows.filter(pc.greater(pc.binary_length(pc.fill_null(rows.column("text"), "")), 0))
            number += rows.num_rows
            if number > self.max_documents:
                raise InputError(
                    f"step '{ctx.step}': more than {self.max_documents:,} documents to embed",
                    cure="let a cheaper score choose among them first (select.where), or raise max_documents",
                )
            yield from map(self._request, rows.to_pylist())
        if not number:
            raise InputError(f"step '{ctx.step}': no documents to embed", cure="look at what the steps before it drop")

    def _request(self, row: Mapping[str, Any]) -> Request:
        return Request(
            messages=({"role": "user", "content": self.prefix + row["text"][: self.max_chars]},),
            family=FAMILY,
            draw=0,
            max_tokens=0,
            sampling={} if self.dimensions is None else {"dimensions": self.dimensions},
            subject={
                "document": row["id"].hex(),
                "source": row["source"],
                "meta": row["meta"],
                "text": row["text"],
                "keep": {short: row[f"keep.{short}"] for short in self._kept()},
            },
            kind="embeddings",
        )

    def accept(self, request: Request, answer: Answer, ctx: Context) -> Accepted | Rejected:
        """The document with its vector."""
        subject = request.subject
        own = meta_object(subject["meta"])
        # What was shown to a judge before is about the document that the judge was shown.
        about = {"document": subject["document"], "source": subject["source"]}
        judged = {name: own[name] for name in about if {*about} <= {*own}}
        meta = {**own, **about, **judged, "embedded_by": answer.model, "embedding": answer.key}
        columns = {"vector": decode(answer.text), **subject["keep"]}
        return Accepted(str(subject["text"]), meta, columns, source=str(meta["source"]))

    def told(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """How many numbers each vector has, and how many characters each text: no vectors."""
        column = next(name for name in rows.schema.names if name.endswith(".vector"))
        return pa.RecordBatch.from_pydict(
            {"numbers": pc.list_value_length(rows.column(column)), "chars": rows.column("chars")}
        )

    def report(self, docs: pa.Table, noted: Sequence[Mapping[str, Any]] = ()) -> Mapping[str, Any]:
        """How long the vectors are, and how much of the documents the model read."""
        lengths = np.unique(np.asarray(docs.column("numbers"))).tolist()
        if len(lengths) > 1:
            raise InputError(
                f"the endpoint gave vectors of {', '.join(map(str, lengths[:4]))} numbers",
                cure="one step needs one model: remove the run's journal and rounds, or declare another model id",
            )
        chars = np.asarray(docs.column("chars"), dtype=np.int64)
        return {
            "dimensions": lengths[0] if lengths else None,
            "documents": docs.num_rows,
            "cut": int((chars > self.max_chars).sum()),
            "characters": int(chars.sum()),
            "characters_read": int(np.minimum(chars, self.max_chars).sum()),
        }


def _numbers(column: pa.Array, name: str) -> pa.Array:
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or kind == pa.null()):
        raise InputError(f"keep: column '{name}' holds {kind}, no numbers")
    return column.cast(pa.float64()) if not pa.types.is_boolean(kind) else column.cast(pa.int8()).cast(pa.float64())
