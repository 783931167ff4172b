"""Tasks of a step that asks a model: choosing what to ask, judging a round, making documents of all answers."""

from __future__ import annotations

import collections.abc
import itertools
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, cast

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
from curate.stages.base import Context
from curate.stages.conductor import Judged
from curate.stages.family import Seen, seen_of
from curate.stages.generator import NO_ANSWER, Accepted, Generator, Rejected
from curate.stages.removals import REASON as TAKEDOWN
from curate.stages.removals import Removals
from curate.stages.written import DUPLICATE, Written
from curate.store.files import Store
from curate.store.parts import columns_of, common_schema
from curate.store.records import Counts, Part
from curate.store.tables import new_table, one_batch, open_table
from curate.text.hashing import content_hash, hash128

Outcome = Rejected | list[Accepted]
"""What an answer becomes."""


PLAN: Final = pa.schema([pa.field("round", pa.uint32()), pa.field("request", pa.large_binary())])
"""A table of requests, each as JSON, in the order of their rounds."""
_PLAN_BYTES: Final = 8 << 20
"""Of requests in a batch of it."""


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

    def work(self) -> dict[str, Any]:
        """Write the plan; the receipt says how many rounds and requests it has."""
        key = self.store.fresh(self.folder, "plan", ".arrow")
        rounds = requests = size = 0
        rows: list[tuple[int, bytes]] = []
        passed: dict[str, int] = {}
        with new_table(self.store, key, PLAN) as out:
            for round_ in _telling(self.stage.requests(Rows(self.store, self.parts), self.ctx), passed):
                rows += [(rounds, orjson.dumps(asdict(request))) for request in round_]
                size += sum(len(request) for _, request in rows[-len(round_) :])
                rounds, requests = rounds + 1, requests + len(round_)
                if size >= _PLAN_BYTES:
                    out.write(_plan_rows(rows))
                    rows, size = [], 0
            if rows:
                out.write(_plan_rows(rows))
        return {"data": key, "rounds": rounds, "requests": requests, "passed_over": passed}


def _telling(rounds: Iterable[list[Request]], passed: dict[str, int]) -> Iterator[list[Request]]:
    """The rounds; then what they say was passed over, if they do, is in ``passed``."""
    told = yield from cast("collections.abc.Generator[list[Request], None, Mapping[str, int] | None]", rounds)
    passed.update({what: count for what, count in (told or {}).items() if count})


def _plan_rows(rows: Sequence[tuple[int, bytes]]) -> pa.RecordBatch:
    numbers, requests = zip(*rows, strict=True)
    return pa.RecordBatch.from_arrays(
        [pa.array(numbers, pa.uint32()), pa.array(requests, pa.large_binary())], schema=PLAN
    )


@dataclass(frozen=True)
class RoundsOfPlan:
    """The rounds of a plan in order, read anew each time; a batch is in memory at a time.

    Attributes:
        data: key of the table.
        rounds, requests: how many there are.
        passed_over: rows that are not asked about, by what is true of them.
    """

    store: Store
    data: str
    rounds: int
    requests: int
    passed_over: Mapping[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[list[Request]]:
        return self.between(0, self.rounds)

    def between(self, start: int, stop: int) -> Iterator[list[Request]]:
        """Those from one number up to another."""
        for _, rows in itertools.groupby(self._rows(start, stop), key=lambda row: row[0]):
            yield [_load_request(orjson.loads(request)) for _, request in rows]

    def _rows(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        with open_table(self.store.data(self.data)) as reader:
            count = reader.num_record_batches
            # Of a long plan a part is read for every part of the documents: not all that stands before it each time.
            first = bisect_left(range(count), start, key=lambda n: reader.get_batch(n).column("round")[-1].as_py())
            for number in range(first, count):
                batch = reader.get_batch(number)
                rounds = batch.column("round")
                if rounds[0].as_py() >= stop:
                    return
                for round_, request in zip(rounds.to_pylist(), batch.column("request").to_pylist(), strict=True):
                    if start <= round_ < stop:
                        yield round_, request


def _load_request(value: Mapping[str, Any]) -> Request:
    return Request(**{**value, "messages": tuple(value["messages"])})


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
    number: int
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
            "places": [f"{r.family}#{self.number}.{n}" for n, r in enumerate(self.requests)],
            "bytes": _size(self.answers),
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
        [None if again is None else _load_request(again) for again in receipt["another"]],
        [[] if isinstance(outcome, Rejected) else outcome for outcome in outcomes],
        Seen.load(receipt["seen"]),
    )


def _load_outcomes(receipt: Mapping[str, Any]) -> list[Outcome]:
    return [Rejected(**o) if isinstance(o, dict) else [Accepted(**one) for one in o] for o in receipt["outcomes"]]


def _size(answers: Iterable[Answer | None]) -> int:
    return sum(len(answer.text.encode("utf-8", "replace")) for answer in answers if answer is not None)


@dataclass(frozen=True)
class AcceptTask(Task):
    """Turns the answers of some closed rounds into one part of documents.

    A document's id is hashed from (step, family, round, number in the round): a pure function of what was asked. ``parts``
    are read again for the texts of documents that were shown.

    Attributes:
        files: what the keys of closed rounds begin with.
        start, stop: numbers of the first round, and of the one after the last.
        plan: whose rounds they are, where they were not judged.
        judged: else the receipts' keys of their JudgeTasks, and ``repeats`` for each by the number of a document in it the
            place of the one it nearly repeats.
        taken: by hex id, the entry of a removal list that names one of these documents: it is dropped.
    """

    stage: Generator
    ctx: Context
    parts: tuple[Part, ...]
    files: str
    start: int
    stop: int
    plan: RoundsOfPlan | None = None
    judged: tuple[str, ...] = ()
    repeats: tuple[Mapping[int, str], ...] = ()
    taken: Mapping[str, str] = field(default_factory=dict)

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "train"

    def work(self) -> dict[str, Any]:
        """Accept or reject every answer; the receipt has the part, counts by reason, and what was noted."""
        rows: list[tuple[str, Accepted]] = []
        lost: list[tuple[str, str, str]] = []
        noted: list[Mapping[str, Any]] = []
        counts = Counts()
        for origin, result in self._judged(counts) if self.plan is None else self._planned(self.plan, counts):
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
            "noted": noted,
        }

    def _planned(self, plan: RoundsOfPlan, counts: Counts) -> Iterator[tuple[str, Accepted | Rejected]]:
        for number, requests in enumerate(plan.between(self.start, self.stop), self.start):
            answers = [Answer(**a) if a else None for a in self._committed(f"{self.files}{number:06d}.json")]
            counts.bytes_in += _size(answers)
            for n, outcome in enumerate(_outcomes(self.stage, self.ctx, requests, answers)):
                yield from self._of_request(f"{requests[n].family}#{number}.{n}", outcome)

    def _judged(self, counts: Counts) -> Iterator[tuple[str, Accepted | Rejected]]:
        for key, repeats in zip(self.judged, self.repeats, strict=True):
            receipt = self._committed(key)
            counts.bytes_in += receipt["bytes"]
            document = 0
            for place, outcome in zip(receipt["places"], _load_outcomes(receipt), strict=True):
                for origin, result in self._of_request(place, outcome):
                    stays = isinstance(result, Rejected) or document not in repeats
                    yield origin, result if stays else self._repeats(repeats[document])
                    document += not isinstance(result, Rejected)

    def _of_request(self, place: str, outcome: Outcome) -> Iterator[tuple[str, Accepted | Rejected]]:
        """What became of a request, or each document of an answer that became several, by origin."""
        results: Sequence[Accepted | Rejected] = [outcome] if isinstance(outcome, Rejected) else outcome
        for i, result in enumerate(results):
            yield f"{self.ctx.step}/{place}" + (f".{i}" if len(results) > 1 else ""), result

    def _committed(self, key: str) -> Any:
        value = self.store.read_json(key)
        if value is None:
            place = self.store.name(key)
            raise DamagedError("a committed file is missing", place=place, cure="run again to make it anew")
        return value

    def _repeats(self, place: str) -> Rejected:
        """Why a document that repeats the one at a place goes, in the form in which all duplicates are told."""
        if not place:
            return Rejected(DUPLICATE, "the step has it already")
        (kept,) = self._ids(pa.array([f"{self.ctx.step}/{place}"])).to_pylist()
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


@dataclass(frozen=True)
class ReportTask(Task):
    """What a generator says of all documents it made, ``parts``, and of what was noted of other answers."""

    stage: Generator
    ctx: Context
    parts: tuple[Part, ...]
    noted: list[Mapping[str, Any]]

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "train"

    def work(self) -> dict[str, Any]:
        """The report."""
        whole = common_schema(self.store, self.parts)
        batches = [self.stage.told(_without_text(batch.rows)) for batch in batches_of(self.store, self.parts)]
        empty = self.stage.told(_without_text(pa.RecordBatch.from_pylist([], schema=whole)))
        return dict(self.stage.report(pa.Table.from_batches(batches or [empty]), self.noted))


def _without_text(rows: pa.RecordBatch) -> pa.RecordBatch:
    chars = pc.cast(pc.utf8_length(rows.column("text")), pa.int64())
    return rows.set_column(rows.schema.names.index("text"), "chars", chars)


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
