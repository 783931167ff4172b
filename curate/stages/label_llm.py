"""label.llm: a model scores documents by a rubric."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from curate import assets
from curate.errors import InputError
from curate.llm.request import Answer, Request
from curate.quality.sample import Smallest
from curate.quality.strata import Stratified, bounds
from curate.stages import answers, judge_report
from curate.stages.base import Context
from curate.stages.generator import Accepted, Generator, Rejected
from curate.stages.judge_prompts import SCALE, Order, Output, Rubric, mark_of, parse_score, read_rubric, sampling
from curate.stages.judge_view import LOOK_AHEAD, view
from curate.stages.reading_documents import meta_object
from curate.stages.registry import register
from curate.stages.topics import made_by, rounds
from curate.text.batch import Batch

FAMILY: Final = "judge"
_CODE_SHARE: Final = 0.6
"""A character of code costs up to 1.7 times the tokens of one of prose."""
_SCORES_SEEN: Final = 1 << 16
"""Rows whose first-round scores stand for all: a class's share is then right to about 0.2 of 100."""
_LENGTH, _SCORE_CLASS = "_length", "_score_class"

Look = Literal["", "repeat", "reversed", "after", "half"]
_ORDERS: Final[Mapping[str, Order]] = {"reversed": "reversed", "after": "after"}


class Repeats(BaseModel):
    """The same question again, to see how far the judge agrees with itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: int = Field(0, ge=0, description="how many of the documents; 0 = none")
    draws: int = Field(2, ge=2, le=16, description="answers a document, beside the one that is its label")
    temperature: float = Field(0.7, ge=0, le=2, description="sampling temperature of these")


class Bias(BaseModel):
    """The same document asked about in another way that should not matter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: int = Field(0, ge=0, description="how many of the documents; 0 = none")
    checks: tuple[Literal["reversed", "after", "half"], ...] = Field(
        ("reversed", "after", "half"),
        description="the rubric's points in reverse order, the rubric after the document, half of what is shown",
    )


@register("label.llm")
class LabelLLM(Generator):
    """Show a model documents and a rubric; keep the score from 0 to 5 that it gives, with its reason.

    The sample takes equal shares of each class of ``score``, where one is named, in each of the sources, and of those
    of the classes of length, the documents with the smallest keyed hash of their id first. The label of a document is a
    row of its own, with the document's text and source (``meta.document`` has its id).

    Documents are data to the judge: sentences that rate themselves or give a judge orders are masked in what it sees,
    marks of quotations and chats are broken up, and what is left stands between delimiters that no document can know;
    the judge is told to follow no instruction in it. ``repeats`` and ``bias`` ask some of the documents again; what
    comes of that is in the step's report and in no row.

    Of documents that a model wrote (``generate.*``) the report has the scores by prompt family and by writer, and how many
    were judged by the model that wrote them: no judge is fair to itself. With ``keep_meta`` the rows keep the document's own
    ``meta``, with the judge's beside it as ``meta.grade``, so that graded documents can be gone on with.
    """

    revision: ClassVar[int] = 5
    reasons: ClassVar[Mapping[str, str]] = {
        "second_look": "an answer to `repeats` or `bias`: it is in the step's report, and no label",
        "refused": answers.REFUSED,
        "truncated": "the answer was cut at max_tokens before its score",
        "no_score": "no line of the answer states a score",
        "out_of_range": "the score is not between 0 and 5",
    }
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"rubric": "classifiers"}
    reads_documents: ClassVar[bool] = True

    model: str = Field("judge", description="which of the recipe's models to ask")
    rubric: str = Field("textbook-value", description="folder in classifiers/ with a rubric.md")
    documents: int = Field(500, ge=1, description="how many documents to show")
    score: str | None = Field(
        None, description="column with a first-round score, such as 'scored.score': equal shares of its classes"
    )
    score_classes: int = Field(5, ge=2, le=100, description="classes of `score`, of equally many documents each")
    lengths: list[int] = Field(
        [1_000, 4_000, 16_000], description="characters at which the classes of length after the first begin"
    )
    max_chars: int = Field(1_000, ge=100, description="only so many first characters are shown, of code 6/10 of that")
    max_document_chars: int = Field(200_000, ge=100, description="longer documents are not chosen")
    mask: bool = Field(True, description="mask sentences that speak to the judge, in what it sees")
    output: Output = Field("text", description="text, or json (a schema that the endpoint keeps to)")
    max_tokens: int = Field(60, ge=16, description="limit of one answer")
    temperature: float = Field(0.0, ge=0, le=2, description="sampling temperature")
    code: list[str] = Field([], description="sources whose documents are judged as code; patterns (*, ?) allowed")
    compare: str | None = Field(
        None, description="column with a label (0/1, or 0-5) to report agreement with, such as 'labels.label'"
    )
    repeats: Repeats = Field(Repeats(), description="ask again, for self-agreement")
    bias: Bias = Field(Bias(), description="ask in other ways, for position and length bias")
    round: int = Field(8, ge=1, description="requests a round; a round counts only as a whole")
    keep_meta: bool = Field(
        False,
        description="rows keep the document's own `meta`, with the judge's as `meta.grade`: to grade what a model wrote",
    )

    def reads(self) -> frozenset[str]:
        """The column to compare with, and that of the first-round score."""
        return frozenset({self.compare, self.score} - {None})  # type: ignore[arg-type]

    def adds(self) -> Mapping[str, pa.DataType]:
        """The score, and the label it is compared with."""
        return {"score": pa.int8(), **({"label": pa.int8()} if self.compare else {})}

    # -- choosing ----------------------------------------------------------------------------------------------

    def requests(self, docs: Iterable[Batch], ctx: Context) -> Iterator[list[Request]]:
        """One request a chosen document, then those of ``repeats``, then those of ``bias``: a cap ends the last first."""
        rubric = read_rubric(ctx.assets["rubric"] / "rubric.md")
        chosen = self._choose(docs, ctx)
        if chosen is None:
            raise InputError(f"step '{ctx.step}': no documents to judge", cure="look at what the steps before it drop")
        rows = chosen.to_pylist()
        return rounds(
            (self._request(row, rubric, ctx, look, draw) for row, look, draw in self._looks(rows)), self.round
        )

    def _looks(self, rows: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Look, int]]:
        """Whom to show how: row, look, draw."""
        yield from ((row, "", 0) for row in rows)
        again = range(1, self.repeats.draws + 1)
        yield from ((row, "repeat", draw) for row in rows[: self.repeats.documents] for draw in again)
        yield from ((row, check, 0) for check in self.bias.checks for row in rows[: self.bias.documents])

    def _choose(self, docs: Iterable[Batch], ctx: Context) -> pa.Table | None:
        """The sample; of each document its id, source, label, length and as much text as is looked at."""
        from curate.text.hashing import keyed_hash

        key = ctx.key(ctx.step, FAMILY)
        ends = self._score_bounds(docs, key) if self.score else np.zeros(0)
        sample = Stratified(self.documents, (_SCORE_CLASS, "source", _LENGTH), key)
        for batch in docs:
            chars = pc.fill_null(pc.utf8_length(batch.text), 0)
            # Lengths and scores as classes; a row without a score is in a class of its own.
            lengths = np.searchsorted(np.sort(self.lengths), np.asarray(chars), side="right")
            table = pa.table(
                {
                    "id": batch.column("id"),
                    "source": batch.column("source"),
                    "meta": batch.column("meta"),
                    "chars": chars.cast(pa.int64()),
                    "label": self._label(batch),
                    "text": pc.utf8_slice_codeunits(batch.text, 0, self.max_chars + LOOK_AHEAD),
                    _LENGTH: pa.array(lengths, pa.int64()),
                    _SCORE_CLASS: pa.array(_classes(self._scores(batch), ends), pa.int64()),
                }
            )
            fit = pc.and_(pc.greater(chars, 0), pc.less_equal(chars, self.max_document_chars))
            table = table.filter(fit).combine_chunks()
            sample.add(table, keyed_hash(table.column("id"), key))
        return sample.rows()

    def _label(self, batch: Batch) -> pa.Array:
        return batch.column(self.compare).cast(pa.int8()) if self.compare else pa.nulls(len(batch), pa.int8())

    def _scores(self, batch: Batch) -> npt.NDArray[np.float64]:
        """The first-round scores, NaN where there is none."""
        if self.score is None:
            return np.full(len(batch), np.nan)
        values = batch.column(self.score).cast(pa.float64())
        return np.asarray(pc.fill_null(values, float("nan")).to_numpy(zero_copy_only=False))

    def _score_bounds(self, docs: Iterable[Batch], key: int) -> npt.NDArray[np.float64]:
        """Where the classes of the score begin: quantiles over the rows with the smallest hashes."""
        from curate.text.hashing import keyed_hash

        sample = Smallest(rows=_SCORES_SEEN)
        for batch in docs:
            if len(batch):
                rows = pa.table({"id": batch.column("id"), "score": pa.array(self._scores(batch))})
                sample.add(rows, keyed_hash(batch.column("id"), key))
        found = sample.rows()
        return bounds(found.column("score").to_numpy(), self.score_classes) if found is not None else np.zeros(0)

    # -- asking ------------------------------------------------------------------------------------------------

    def _request(self, row: Mapping[str, Any], rubric: Rubric, ctx: Context, look: Look, draw: int) -> Request:
        kind = "code" if any(fnmatchcase(row["source"], p) for p in self.code) else "prose"
        limit = self.max_chars if kind == "prose" else int(self.max_chars * _CODE_SHARE)
        if look == "half":
            limit = min(limit, row["chars"]) // 2
        seen = view(row["text"], limit, masked=self.mask)
        document = row["id"].hex()
        own = meta_object(row["meta"])
        mark = mark_of(document, ctx.key(ctx.step, "mark"))
        return Request(
            messages=rubric.messages(kind, seen.text, mark, self.output, _ORDERS.get(look, "")),
            family=FAMILY,
            draw=draw,
            max_tokens=self.max_tokens,
            sampling=sampling(self.output, self.repeats.temperature if look == "repeat" else self.temperature),
            subject={
                "document": document,
                "source": row["source"],
                "kind": kind,
                "label": row["label"],
                "masked": seen.masked,
                "look": look,
                **{name: own[name] for name in ("model", "family") if "model" in own and name in own},
                **({"meta": own} if self.keep_meta else {}),
            },
        )

    # -- answers -----------------------------------------------------------------------------------------------

    def accept(self, request: Request, answer: Answer, ctx: Context) -> Accepted | Rejected:
        """The document with its score, or why there is none."""
        text = answers.plain(answer.text)
        score = parse_score(text, cut=answer.finish_reason == "length")
        if score is None:
            if answers.refused(text, answer.finish_reason):
                return Rejected("refused", answers.excerpt(text))
            reason = "truncated" if answer.finish_reason == "length" else "no_score"
            return Rejected(reason, answers.excerpt(text))
        if score > SCALE:
            return Rejected("out_of_range", answers.excerpt(text))
        subject = request.subject
        if subject["look"]:
            said = f"{subject['look']} {request.draw}: score {score} for document {subject['document']}"
            facts = {"look": subject["look"], "draw": request.draw, "document": subject["document"], "score": score}
            return Rejected("second_look", said, facts)
        meta = {
            **made_by(answer, request.family, request.draw),
            "document": subject["document"],
            "source": subject["source"],
            "kind": subject["kind"],
            "masked": subject["masked"],
            "judgement": answers.excerpt(text, 400),
            "score": score,
            **({"writer": subject["model"], "of_family": subject.get("family", "")} if "model" in subject else {}),
        }
        if self.keep_meta:
            meta = {**subject["meta"], "document": subject["document"], judge_report.GRADE: meta}
        columns = {"score": score, **({"label": subject["label"]} if self.compare else {})}
        return Accepted("", meta, columns, document=str(subject["document"]))

    def report(self, docs: pa.Table, noted: Sequence[Mapping[str, Any]] = ()) -> Mapping[str, Any]:
        """Scores, agreement with labels and with itself, shifts: see ``judge_report``."""
        return judge_report.report(docs, noted, compared=self.compare is not None)


def _classes(scores: npt.NDArray[np.float64], ends: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The class of each score, -1 where there is none."""
    return np.where(np.isnan(scores), -1, np.searchsorted(ends, scores, side="right")).astype(np.int64)
