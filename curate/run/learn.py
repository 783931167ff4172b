"""Steps that make a model of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.fingerprint import fingerprint, tree_digest
from curate.recipe.plan import PlannedStep
from curate.run.task import Task, at_step
from curate.spent import spending
from curate.stages.base import Context, Trainer
from curate.store.files import Store
from curate.store.parts import common_schema, conform, read_part
from curate.store.records import Counts, Part, StepRecord
from curate.text.batch import Batch

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
            with spending("train", size=self.size), at_step(self.ctx.step):
                report = self.stage.train(Rows(self.store, self.parts), out, self.ctx)
            return {"folder": key, "digest": tree_digest(out), "report": dict(report)}


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
