"""generate.answers: what a teacher answers to queries, with a system message for each, as chats that a student learns from."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from curate import assets
from curate.errors import InputError
from curate.llm.request import Answer, Request
from curate.stages import answers
from curate.stages.answered import (
    ASSISTANT,
    MADE_FROM,
    MESSAGES,
    QUERY,
    STRATEGY,
    SUBMIX,
    SYSTEM,
    TASK,
    query_id,
    text_of,
    without_drawn,
)
from curate.stages.base import Context
from curate.stages.family import Limits
from curate.stages.generator import Accepted, Rejected
from curate.stages.queries import Query, in_order
from curate.stages.recorded import RECORDED, Recorded
from curate.stages.registry import register
from curate.stages.screened import CONTAMINATED, HOLDS_ITEM
from curate.stages.stated import terms_of
from curate.stages.strata import fields_of
from curate.stages.system_messages import SystemMessage, SystemMessages, read_system_messages
from curate.stages.terms import UNSTATED
from curate.stages.written import Written
from curate.text.batch import Batch

PLAIN: Final = "plain"
"""The family of queries for which no system message is drawn."""
_GATE: Final = "gate"
"""Field of ``meta``: a router's score of the query."""
_OWN: Final = frozenset({MESSAGES, QUERY, MADE_FROM, SYSTEM, _GATE, STRATEGY, "erased"}) | RECORDED
"""Fields of an answer's ``meta`` that are its own."""
_TOLD: Final = (QUERY, TASK, "erased", "family", SUBMIX)
"""Fields of an answer's ``meta`` that the report counts."""
_SCREENED_AT_ONCE: Final = 256
_NOT_DRAWN: Final = "more than `queries`"
"""Why queries are passed over, beside those of ``queries`` and HOLDS_ITEM."""
_MARKS: Final = re.compile(
    r"<\|(?:im_start|im_end|system|user|assistant|end|eot_id|start_header_id|end_header_id|endoftext)\|>"
    r"|\[/?INST\]|<</?SYS>>|^###[ \t]*(?:Human|User|Instruction|Assistant|Response)[ \t]*:",
    re.MULTILINE,
)
"""Of chat templates: a model that writes them goes on where its answer ended."""
_NO_LIMITS: Final = Limits(max_duplicates=1, min_unseen=0, max_template=1, max_compression=1000)


class Gate(BaseModel):
    """Which queries another model is asked first: those that a router says are hard."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = Field(description="a router's score of each query, as 'ranked.score' (score.classifier)")
    at_least: float = Field(
        allow_inf_nan=False,
        description="from this score on a query goes to `model`, as `curate calibrate --route` says",
    )
    model: str = Field("large", description="which of the recipe's models is asked then")


@register("generate.answers")
class GenerateAnswers(Recorded):
    """Ask a teacher to answer queries; each answer is a chat (``curate/stages/answered.py``).

    A query is a document: its text is what the user says, or ``meta.messages`` the chat so far. A chat that ends with an answer
    is asked anew. What several documents ask alike is asked once. Which queries are asked (``queries``), and which system
    message each gets, follows from keyed hashes of what is asked and from ``salt`` alone: steps with other teachers that read
    the same queries ask the same ones with the same messages, and the fewer are a random sample of the more.

    ``systems`` is a file of system messages, with rules that say which may be drawn for which submix and task, and for multiple
    choice (after Orca, arXiv 2306.02707). Where it says what is shown instead of what was used, the teacher sees the one and
    the record's chat begins with the other (prompt erasing, Orca 2, arXiv 2311.11045): ``meta.system`` is what was used,
    ``meta.strategy`` its name, ``meta.erased`` whether it was another. A chat that has a system message of its own keeps it, and is
    another query than one without; one that was drawn for an answer to it is none of its own, and drawn anew.

    With a ``gate`` simple queries stay with ``model`` and harder ones go to the gate's, by a router's score of the query; one
    without a score counts as hard. ``meta.gate`` is the score. ``then`` asks another model, or the same one, for what ``model``
    failed of the simple ones.

    What is refused, cut, empty, the query itself, full of repeats, or has marks of chats is rejected; openings such as "Sure!"
    go. Families are the system messages; none is stopped for repeating itself unless ``limits`` say so, and near duplicates
    stay: what repeats is what is asked.
    """

    revision: ClassVar[int] = 3
    reasons: ClassVar[Mapping[str, str]] = {
        **Written.reasons,
        "refused": answers.REFUSED,
        "truncated": "the answer was cut at max_tokens",
        "too_short": "fewer than min_answer_chars characters",
        "echoed": "the answer is the query",
        "repetitive": "the share of distinct words is below min_unique_words",
        "leaked": "marks of a chat's template are in the answer, or words of a system message that is not shown",
        "contaminated": CONTAMINATED,
    }
    ledger: ClassVar[Mapping[str, str]] = {
        **Written.ledger,
        "refused": "refused",
        "truncated": "truncated",
        "too_short": "wrong_format",
        "echoed": "wrong_format",
        "repetitive": "low_score",
        "leaked": "wrong_format",
        "contaminated": "contaminated",
    }
    reads_documents: ClassVar[bool] = True
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {**Recorded.asset_settings, "systems": "data"}

    systems: str | None = Field(
        None,
        description="system messages and rules that draw them: a file in data/ (system-messages/orca), or your own by its path;"
        " null: none are drawn",
    )
    queries: int | None = Field(
        None, ge=1, description="at most so many queries, drawn by keyed hash of what they ask; null: all"
    )
    draws: int = Field(1, ge=1, description="answers to each query, each drawn anew")
    salt: str = Field("", description="bears on what is drawn: steps with one salt draw alike")
    gate: Gate | None = Field(
        None,
        description="a router: {column: ranked.score, at_least: 0.6, model: large}; null: all queries go to `model`",
    )
    max_tokens: int = Field(1024, ge=16, description="limit of one answer")
    temperature: float | None = Field(0.7, ge=0, le=2, description="sampling temperature; null: the endpoint's")
    top_p: float | None = Field(
        0.95, gt=0, le=1, description="share of probability that is drawn from; null: the endpoint's"
    )
    carry: list[str] = Field(
        [TASK, SUBMIX, "reference"], description="fields of a query's `meta` that its answers have, too"
    )
    max_query_chars: int = Field(24_000, ge=1, description="longer chats are passed over")
    min_answer_chars: int = Field(1, ge=1, description="shorter answers are rejected")
    min_unique_words: float = Field(0.1, ge=0, le=1, description="least share of distinct words, from 50 words on")
    unwrap: bool = Field(
        True, description='cut openings ("Sure! Here is ..."), closings and a fence around all of an answer'
    )
    drop_duplicates: bool = Field(False, description="drop a chat that nearly repeats an earlier one of its family")
    limits: Limits = Field(_NO_LIMITS, description="when a family that repeats itself is stopped; by default never")

    @field_validator("carry")
    @classmethod
    def _free(cls, names: list[str]) -> list[str]:
        if taken := sorted(_OWN & set(names)):
            raise ValueError(f"'{taken[0]}' of an answer is not that of its query")
        return names

    @model_validator(mode="after")
    def _two(self) -> GenerateAnswers:
        if self.gate and self.gate.model == self.model:
            raise ValueError(f"gate: '{self.model}' is the model of the queries that it does not send on")
        return self

    def reads(self) -> frozenset[str]:
        """The gate's column."""
        return frozenset({self.gate.column} if self.gate else set())

    def models(self) -> tuple[str, ...]:
        """Those that may be asked: the gate's, too."""
        return tuple(dict.fromkeys((*super().models(), *([self.gate.model] if self.gate else []))))

    def first(self, request: Request) -> str:
        """The gate's model for what is as hard as it says, or nobody knows how hard."""
        if self.gate is None:
            return self.model
        score = request.subject[_GATE]
        return self.gate.model if score is None or score >= self.gate.at_least else self.model

    # -- asking ------------------------------------------------------------------------------------------------

    def requests(self, docs: Iterable[Batch], ctx: Context) -> Generator[list[Request], None, Mapping[str, int]]:
        """One request for each query and draw, in the order of a keyed hash; rounds of each family as they fill."""
        systems = read_system_messages(ctx.assets["systems"]) if self.systems is not None else None
        if systems is not None:
            self.refuse_shown([message.text for message in systems.messages if message.text], ctx)
        waiting: dict[tuple[str, str], list[Request]] = {}
        passed: Counter[str] = Counter()
        asked = False
        for query in self._queries(docs, ctx, passed):
            for request in self._requests(query, systems, ctx):
                asked = True
                some = waiting.setdefault((request.family, self.first(request)), [])
                some.append(request)
                if len(some) == self.round:
                    yield some[:]
                    some.clear()
        yield from (some for some in waiting.values() if some)
        passed[_NOT_DRAWN] = passed.pop("", 0)
        if not asked:
            why = ", ".join(f"{count:,} {reason}" for reason, count in passed.items() if count)
            raise InputError(
                f"step '{ctx.step}': no queries to answer{f' ({why})' if why else ''}",
                cure="look at what the steps before it drop, at max_query_chars, and whether benchmarks hold all of them",
            )
        return passed

    def _queries(self, docs: Iterable[Batch], ctx: Context, passed: Counter[str]) -> Iterator[Query]:
        """Those that are asked: as many as are wanted, without what holds an item of a benchmark."""
        left = self.queries
        columns = (self.gate.column,) if self.gate else ()
        key = ctx.key("answers", self.salt, "order")
        found = in_order(docs, key, longest=self.max_query_chars, passed=passed, columns=columns)
        at_once = _SCREENED_AT_ONCE if left is None else min(_SCREENED_AT_ONCE, left)
        while some := list(islice(found, at_once)):
            clean = self.unknown(["\n\n".join(m["content"] for m in q.messages) for q in some], ctx, place=None)
            for query, keep in zip(some, clean, strict=True):
                passed[""] -= 1
                passed[HOLDS_ITEM] += not keep
                if keep:
                    yield query
                    left = None if left is None else left - 1
                    if left == 0:
                        return

    def _requests(self, query: Query, systems: SystemMessages | None, ctx: Context) -> list[Request]:
        told = None
        if systems is not None and not query.system:
            key = ctx.key("answers", self.salt, "system")
            told = systems.draw(query.text, query.meta, key, query.id)
        messages = query.messages
        if told is not None and told.text:
            messages = ({"role": SYSTEM, "content": told.text}, *messages)
        subject = self._subject(query, systems, told, len(messages) - 1)
        sampling = {"temperature": self.temperature, "top_p": self.top_p}
        return [
            Request(
                messages=messages,
                family=told.name if told is not None else PLAIN,
                draw=draw,
                max_tokens=self.max_tokens,
                sampling={name: value for name, value in sampling.items() if value is not None},
                subject=subject,
            )
            for draw in range(self.draws)
        ]

    def _subject(
        self, query: Query, systems: SystemMessages | None, told: SystemMessage | None, asked: int
    ) -> dict[str, Any]:
        carried = {name: query.meta[name] for name in self.carry if query.meta.get(name) is not None}
        subject = {
            **carried,
            "asked": asked,
            MADE_FROM: [query.document],
            "seed_terms": [terms_of(query.meta) or UNSTATED],
        }
        if self.gate is not None:
            score = query.columns[self.gate.column]
            subject[_GATE] = float(score) if score is not None and math.isfinite(score) else None
        if told is not None and systems is not None:
            shown = systems.shows(told)
            erased = shown != told.text
            subject |= {STRATEGY: told.name, "erased": erased, **({"shown": shown} if erased else {})}
        return subject

    # -- answers -----------------------------------------------------------------------------------------------

    def accept(self, request: Request, answer: Answer, ctx: Context) -> Accepted | Rejected:
        """The chat with the answer, or why there is none."""
        given = answers.plain(answer.text)
        if self.refused(given, answer.finish_reason):
            return Rejected("refused", answers.excerpt(given))
        if answer.finish_reason == "length":
            return Rejected("truncated", f"{len(given)} characters: {answers.excerpt(given)}")
        text = answers.unwrap(given) if self.unwrap else given
        if len(text) < self.min_answer_chars:
            return Rejected("too_short", f"{len(text)} characters: {answers.excerpt(text)}")
        used, asked = _parts(request)
        if answers.folded(text) == answers.folded(asked[-1]["content"]) != "":
            return Rejected("echoed", answers.excerpt(text))
        if leak := _leak(text, asked, used if request.subject.get("erased") else ""):
            return Rejected("leaked", answers.excerpt(leak))
        unique = answers.unique_words(text)
        if len(text.split()) >= 50 and unique < self.min_unique_words:
            return Rejected("repetitive", f"{unique:.2f} of the words are distinct")
        if item := self.held(text, ctx):
            return Rejected("contaminated", item)
        shown = str(request.subject.get("shown", used))
        chat = [*asked, {"role": ASSISTANT, "content": text}]
        system = [{"role": SYSTEM, "content": shown}] if shown else []
        chat = [*system, *chat]
        asked_for = query_id(without_drawn(chat, request.subject))
        meta = self.record(request, answer, ["answered"], **{MESSAGES: chat, QUERY: asked_for})
        return Accepted(text_of(chat), {**meta, **({SYSTEM: used} if used and STRATEGY in meta else {})})

    def told(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """A few short fields of ``meta``: chats by the million are no matter of one table."""
        return pa.RecordBatch.from_arrays(fields_of(rows.column("meta"), _TOLD), list(_TOLD))

    def report(self, docs: pa.Table, noted: Sequence[Mapping[str, Any]] = ()) -> Mapping[str, Any]:
        """Answers by system message and by submix, those whose system message is not shown, and tasks."""
        by = {name: _counts(docs.column(name)) for name in (TASK, "erased", "family", SUBMIX)}
        return {
            "answers": docs.num_rows,
            "queries": pc.count_distinct(docs.column(QUERY)).as_py(),
            "tasks": len(by[TASK]),
            "erased": by["erased"].get("true", 0),
            "by_family": by["family"],
            "by_submix": by[SUBMIX],
        }


def _counts(values: pa.ChunkedArray) -> dict[str, int]:
    """How many there are of each value, without nulls and empty ones."""
    found = pc.value_counts(values)
    pairs = zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)
    return dict(sorted((value, count) for value, count in pairs if value))


def _parts(request: Request) -> tuple[str, list[Mapping[str, str]]]:
    """The system message that was used, empty for none, and the rest of the chat up to the query: no corrections."""
    messages = list(request.messages[: int(request.subject["asked"]) + 1])
    return (messages[0]["content"], messages[1:]) if messages[0]["role"] == SYSTEM else ("", messages)


def _leak(text: str, asked: Sequence[Mapping[str, str]], erased: str) -> str:
    """What should not be in an answer: a mark of a chat's template that nobody wrote before, or a run of words of a system
    message that is not shown; empty where there is none."""
    said = "\n".join(message["content"] for message in asked)
    if mark := next((m[0] for m in _MARKS.finditer(text) if m[0] not in said), ""):
        return mark
    return answers.quoted(text, [erased], said)
