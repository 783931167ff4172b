"""Tasks that run once: training, choosing what to ask a model, making documents of its answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.fingerprint import fingerprint, tree_digest
from curate.llm.request import Answer, Request
from curate.recipe.plan import PlannedStep
from curate.run.row_step import text_bytes
from curate.run.task import Task, at_step
from curate.stages.base import Accepted, Context, Generator, Rejected, Trainer
from curate.stages.removals import REASON as TAKEDOWN
from curate.stages.removals import Removals
from curate.store.files import Store
from curate.store.parts import columns_of, common_schema, conform, read_part
from curate.store.records import Counts, Part, StepRecord
from curate.store.tables import new_table, one_batch
from curate.text.batch import Batch
from curate.text.hashing import content_hash, hash128

if TYPE_CHECKING:
    from curate.run.engine import Engine


def batches_of(store: Store, parts: tuple[Part, ...] | list[Part]) -> Iterator[Batch]:
    """Visible rows of parts in order, as batches with one schema: columns that a part lacks are null."""
    whole = common_schema(store, parts)
    for part in parts:
        for visible in read_part(store, part):
            if visible.rows.num_rows:
                yield Batch(conform(visible.rows, whole))


@dataclass(frozen=True)
class Rows:
    """The rows of some parts, read anew each time they are gone through."""

    store: Store
    parts: tuple[Part, ...]

    def __iter__(self) -> Iterator[Batch]:
        return batches_of(self.store, self.parts)


@dataclass(frozen=True)
class TrainTask(Task):
    """Trains a model from all rows of some parts."""

    stage: Trainer
    ctx: Context
    parts: tuple[Part, ...]

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "train"

    @property
    def size(self) -> int:
        """Bytes of input, for progress."""
        return sum(p.bytes for p in self.parts)

    def work(self) -> dict[str, Any]:
        """Train into a folder of this attempt's own, and say what it holds."""
        key = self.store.fresh(self.folder, "trained", "")
        with self.store.writing_folder(key) as out:
            with at_step(self.ctx.step):
                report = self.stage.train(Rows(self.store, self.parts), out, self.ctx)
            return {"folder": key, "digest": tree_digest(out), "report": dict(report)}


@dataclass(frozen=True)
class RequestsTask(Task):
    """Chooses what to ask, from all rows of some parts where the stage reads documents."""

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


def load_requests(value: list[list[dict[str, Any]]]) -> list[list[Request]]:
    """Rounds from a RequestsTask's receipt."""
    return [[Request(**{**r, "messages": tuple(r["messages"])}) for r in round_] for round_ in value]


@dataclass(frozen=True)
class AcceptTask(Task):
    """Turns the answers of closed rounds into one part of documents.

    A document's id is hashed from (step, round, number in the round): a pure function of what was asked. ``parts`` are
    read again for the texts of documents that were shown. ``taken`` has, by hex id, the entry of a removal list that names
    one of these documents: it is dropped.
    """

    stage: Generator
    ctx: Context
    parts: tuple[Part, ...]
    requests: list[list[Request]]
    answers: list[list[Answer | None]]
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
        for r, (asked, answered) in enumerate(zip(self.requests, self.answers, strict=False)):
            for n, (request, answer) in enumerate(zip(asked, answered, strict=True)):
                origin = f"{self.ctx.step}/{request.family}#{r}.{n}"
                counts.rows_in += 1
                result: Accepted | Rejected = Rejected("no_answer", "every attempt failed; see the journal")
                if answer is not None:
                    counts.bytes_in += len(answer.text.encode("utf-8", "replace"))
                    result = self.stage.accept(request, answer, self.ctx)
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
        import orjson

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


def run_trainer(
    engine: Engine, step: PlannedStep, stage: Trainer, identity: str, folder: str, parts: list[Part]
) -> StepRecord:
    """Run a Trainer step; its record is known by the digest of what was made."""
    key = fingerprint(identity, [p.key for p in parts])
    task = TrainTask(engine.store, folder, key, stage, engine.context(step), tuple(parts))
    receipt = engine.tasks((step.id,), "training", [task])[key]
    rows, size = sum(p.rows for p in parts), sum(p.bytes for p in parts)
    record = StepRecord(step.id, stage.name, identity, fingerprint(receipt["digest"]), Counts(rows, rows, size, size))
    record.folder, record.report = receipt["folder"], {**receipt["report"], "digest": receipt["digest"]}
    return record
