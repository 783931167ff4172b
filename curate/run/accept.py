"""Tasks of a step that asks a model: choosing what to ask, judging a round, making documents of all answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.errors import DamagedError
from curate.fingerprint import fingerprint
from curate.llm.request import Answer, Request
from curate.run.learn import Rows, batches_of
from curate.run.row_step import text_bytes
from curate.run.task import Task
from curate.stages.base import NO_ANSWER, Accepted, Context, Generator, Rejected
from curate.stages.conductor import Judged
from curate.stages.family import Seen, seen_of
from curate.stages.removals import REASON as TAKEDOWN
from curate.stages.removals import Removals
from curate.stages.written import DUPLICATE, Written
from curate.store.files import Store
from curate.store.parts import columns_of
from curate.store.records import Counts, Part
from curate.store.tables import new_table, one_batch
from curate.text.hashing import content_hash, hash128

Outcome = Rejected | list[Accepted]
"""What an answer becomes."""


@dataclass(frozen=True)
class RequestsTask(Task):
    """Chooses what to ask, from all rows of the parts that the step reads, if it reads any."""

    stage: Generator
    ctx: Context
    parts: tuple[Part, ...]

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "reduce"

    def work(self) -> list[list[dict[str, Any]]]:
        """The rounds, as plain values."""
        docs = Rows(self.store, self.parts)
        return [[asdict(request) for request in round_] for round_ in self.stage.requests(docs, self.ctx)]


def load_request(value: Mapping[str, Any]) -> Request:
    """From plain values."""
    return Request(**{**value, "messages": tuple(value["messages"])})


def load_requests(value: list[list[dict[str, Any]]]) -> list[list[Request]]:
    """Rounds from a RequestsTask's receipt."""
    return [[load_request(request) for request in round_] for round_ in value]


def _outcomes(
    stage: Generator, ctx: Context, requests: Sequence[Request], answers: Sequence[Answer | None]
) -> Iterator[Outcome]:
    for request, answer in zip(requests, answers, strict=True):
        if answer is None:
            yield Rejected(NO_ANSWER, "every attempt failed; see the journal")
            continue
        result = stage.accept(request, answer, ctx)
        yield [result] if isinstance(result, Accepted) else result


@dataclass(frozen=True)
class JudgeTask(Task):
    """Says what becomes of a closed round, so that it is known which comes next."""

    stage: Written
    ctx: Context
    requests: tuple[Request, ...]
    answers: list[Answer | None]

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "train"

    def work(self) -> dict[str, Any]:
        """Accept or reject every answer of the round."""
        outcomes = list(_outcomes(self.stage, self.ctx, self.requests, self.answers))
        texts = [one.text for outcome in outcomes if not isinstance(outcome, Rejected) for one in outcome]
        return {
            "outcomes": [asdict(o) if isinstance(o, Rejected) else [asdict(one) for one in o] for o in outcomes],
            "another": [self._again(*one) for one in zip(self.requests, self.answers, outcomes, strict=True)],
            "seen": seen_of(pa.array(texts, pa.large_string())).dump(),
        }

    def _again(self, request: Request, answer: Answer | None, outcome: Outcome) -> dict[str, Any] | None:
        if answer is None or not isinstance(outcome, Rejected):
            return None
        again = self.stage.again(request, answer, outcome, self.ctx)
        return None if again is None else asdict(again)


def load_judged(receipt: Mapping[str, Any]) -> Judged:
    """From a JudgeTask's receipt."""
    outcomes = _load_outcomes(receipt)
    return Judged(
        [outcome.reason if isinstance(outcome, Rejected) else "" for outcome in outcomes],
        [None if again is None else load_request(again) for again in receipt["another"]],
        [[] if isinstance(outcome, Rejected) else outcome for outcome in outcomes],
        Seen.load(receipt["seen"]),
    )


def _load_outcomes(receipt: Mapping[str, Any]) -> list[Outcome]:
    return [Rejected(**o) if isinstance(o, dict) else [Accepted(**one) for one in o] for o in receipt["outcomes"]]


@dataclass(frozen=True)
class Closed:
    """A closed round as its answers are made documents of.

    Attributes:
        judged: key of the receipt of its JudgeTask, where it was judged.
        repeats: by the number of a document in it, the round and number of the one it nearly repeats.
    """

    requests: tuple[Request, ...]
    answers: list[Answer | None]
    judged: str = ""
    repeats: Mapping[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class AcceptTask(Task):
    """Turns the answers of closed rounds into one part of documents.

    A document's id is hashed from (step, family, round, number in the round): a pure function of what was asked. ``parts``
    are read again for the texts of documents that were shown. ``taken`` has, by hex id, the entry of a removal list that
    names one of these documents: it is dropped.
    """

    stage: Generator
    ctx: Context
    parts: tuple[Part, ...]
    rounds: list[Closed]
    taken: Mapping[str, str] = field(default_factory=dict)

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "train"

    def work(self) -> dict[str, Any]:
        """Accept or reject every answer; the receipt has the part, counts by reason, and the stage's report."""
        rows: list[tuple[str, Accepted]] = []
        lost: list[tuple[str, str, str]] = []
        noted: list[Mapping[str, Any]] = []
        counts = Counts()
        origins: dict[tuple[int, int], str] = {}
        for number, closed in enumerate(self.rounds):
            counts.bytes_in += sum(len(a.text.encode("utf-8", "replace")) for a in closed.answers if a is not None)
            for origin, result in self._of_round(number, closed, origins):
                counts.rows_in += 1
                if isinstance(result, Rejected):
                    counts.reasons[result.reason] = counts.reasons.get(result.reason, 0) + 1
                    lost.append((origin, result.reason, result.detail))
                    noted += [result.facts] if result.facts else []
                else:
                    rows.append((origin, result))
        table = self._without_taken(self._documents(rows), rows, lost, counts)
        counts.rows_out, counts.bytes_out = table.num_rows, text_bytes(table)
        data = self.store.fresh(self.folder, "part", ".arrow")
        with new_table(self.store, data, table.schema) as out:
            out.write(table)
        root = fingerprint("answers", self.key)
        part = Part(self.key, root, data, (), counts.rows_out, counts.bytes_out, columns_of(table.schema))
        return {
            "part": {**vars(part), "overlays": []},
            "counts": vars(counts),
            "dropped": self._dropped(lost),
            "report": dict(self.stage.report(pa.Table.from_batches([table]), noted)),
        }

    def _of_round(
        self, number: int, closed: Closed, origins: dict[tuple[int, int], str]
    ) -> Iterator[tuple[str, Accepted | Rejected]]:
        """What became of each request, or of each document of an answer that became several, by origin; ``origins`` gets
        those of documents by their round and number."""
        outcomes: Iterable[Outcome]
        if closed.judged:
            outcomes = _load_outcomes(self._receipt(closed.judged))
        else:
            outcomes = _outcomes(self.stage, self.ctx, closed.requests, closed.answers)
        document = 0
        for n, (request, outcome) in enumerate(zip(closed.requests, outcomes, strict=True)):
            origin = f"{self.ctx.step}/{request.family}#{number}.{n}"
            if isinstance(outcome, Rejected):
                yield origin, outcome
                continue
            for i, one in enumerate(outcome):
                told = origins[number, document] = f"{origin}.{i}" if len(outcome) > 1 else origin
                place = closed.repeats.get(document)
                yield told, one if place is None else self._repeats(origins.get(place))
                document += 1

    def _receipt(self, key: str) -> Mapping[str, Any]:
        value = self.store.read_json(key)
        if value is None:
            place = self.store.name(key)
            raise DamagedError("a committed file is missing", place=place, cure="run again to make it anew")
        return dict(value)

    def _repeats(self, origin: str | None) -> Rejected:
        """Why a document that repeats another goes, in the form in which all duplicates are told."""
        if origin is None:
            return Rejected(DUPLICATE, "the step has it already")
        (kept,) = self._ids(pa.array([origin])).to_pylist()
        return Rejected(DUPLICATE, orjson.dumps({"kept": kept.hex()}).decode())

    def _without_taken(
        self, table: pa.RecordBatch, rows: list[tuple[str, Accepted]], lost: list[tuple[str, str, str]], counts: Counts
    ) -> pa.RecordBatch:
        """The documents that no removal list names; the others are put among those that were lost."""
        if not self.taken:
            return table
        named = [self.taken.get(one.hex()) for one in table.column("id").to_pylist()]
        gone = [(origin, TAKEDOWN, entry) for (origin, _), entry in zip(rows, named, strict=True) if entry is not None]
        lost += gone
        counts.reasons[TAKEDOWN] = len(gone)
        return table.filter(pa.array([entry is None for entry in named]))

    def _documents(self, rows: list[tuple[str, Accepted]]) -> pa.RecordBatch:

        shown = self._shown({a.document for _, a in rows if a.document is not None})
        text = pa.array([(shown[a.document][0] if a.document else a.text) for _, a in rows], pa.large_string())
        origin = pa.array([o for o, _ in rows], pa.string())
        columns = {
            "id": self._ids(origin),
            "text": text,
            "source": pa.array(
                [shown[a.document][1] if a.document else a.source or self.ctx.step for _, a in rows], pa.string()
            ),
            "origin": origin,
            "meta": pa.array(
                [orjson.dumps(dict(a.meta), option=orjson.OPT_SORT_KEYS).decode() for _, a in rows], pa.string()
            ),
            "content_hash": content_hash(text),
        }
        table = pa.RecordBatch.from_arrays(list(columns.values()), schema=schema.DOCUMENT)
        for name, kind in self.stage.adds().items():
            table = table.append_column(
                f"{self.ctx.step}.{name}", pa.array([a.columns.get(name) for _, a in rows], kind)
            )
        return table

    def _shown(self, wanted: set[str]) -> dict[str, tuple[str, str]]:
        """Text and source of documents that were shown, by hex id."""
        found: dict[str, tuple[str, str]] = {}
        ids = pa.array(sorted(bytes.fromhex(one) for one in wanted), schema.ID_TYPE)
        for batch in batches_of(self.store, self.parts) if wanted else ():
            rows = batch.rows.select(["id", "text", "source"]).filter(pc.is_in(batch.column("id"), value_set=ids))
            for one, text, source in zip(*(rows.column(name).to_pylist() for name in rows.schema.names), strict=True):
                found[one.hex()] = (text, source)
        return found

    def _ids(self, origin: pa.Array) -> pa.Array:
        return hash128(origin.cast(pa.large_string()))

    def _dropped(self, lost: list[tuple[str, str, str]]) -> str | None:
        if not lost:
            return None
        origin = pa.array([o for o, _, _ in lost], pa.string())
        step = pa.repeat(self.ctx.step, len(lost))
        columns = [
            self._ids(origin),
            step,
            origin,
            step,
            pa.array([r for _, r, _ in lost]),
            pa.array([d for _, _, d in lost]),
            pa.nulls(len(lost), pa.int64()),
        ]
        key = self.store.fresh(self.folder, "dropped", ".arrow")
        with new_table(self.store, key, schema.DROPPED) as out:
            out.write(one_batch(pa.Table.from_arrays(columns, schema=schema.DROPPED)))
        return key


def taken_down(store: Store, receipt: Mapping[str, Any], removals: Removals | None) -> dict[str, str]:
    """Of the documents of an AcceptTask's receipt those that a removal list names: hex id and entry."""
    if removals is None:
        return {}
    found: dict[str, str] = {}
    for batch in batches_of(store, [Part.load(receipt["part"])]):
        for one, entry in zip(batch.column("id").to_pylist(), removals.named(batch.rows).to_pylist(), strict=True):
            if entry is not None:
                found[one.hex()] = entry
    return found
