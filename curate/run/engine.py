"""The driver: walks the plan, skips what is done, sends the rest to the runner, and records every step.

A step is known by its fingerprint (settings, assets, and the identity of the steps above it) and by the key of what
it read; its record lies under both, so that a run goes on where the last one stopped, whoever ran it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from curate.errors import DamagedInputError, InputError
from curate.fingerprint import fingerprint
from curate.recipe.plan import Plan, PlannedStep
from curate.run import damaged_inputs, dataset, generate, global_step, learn
from curate.run.bundle import bundled, unbundled
from curate.run.cluster import Landed, Runner
from curate.run.guard import check_guard
from curate.run.inputs import Digests, read_files, split_identity
from curate.run.lease import Lease
from curate.run.mend import check_store, check_written, mended
from curate.run.progress import Reporter
from curate.run.row_step import RowStep
from curate.run.segment import SegmentTask
from curate.run.source import Reading, first_documents, in_recipe
from curate.run.task import Task
from curate.run.terms import check_teachers, check_terms
from curate.run.trained import Assets
from curate.run.versions import check_versions
from curate.stages.base import Context, Filter, Global, Trainer
from curate.stages.cuts_spans import CutsSpans
from curate.stages.generator import Generator
from curate.stages.reading import DAMAGED_FILE
from curate.stages.source import SPLIT_BYTES, Source, Split
from curate.stages.writer import Writer
from curate.store.files import Store, crash_point
from curate.store.index import Earlier
from curate.store.kept import Kept
from curate.store.latest import set_latest
from curate.store.records import SIDE, Counts, Part, StepRecord, counts_of, total


@dataclass
class Settings:
    """What changes how a run is done, never what comes out of it.

    Attributes:
        split_bytes: bytes of input that a split aims at.
        partitions: partitions of every exchange; None chooses by size.
        verify: read every committed file whole, before anything else, and make anew what is damaged.
    """

    split_bytes: int = SPLIT_BYTES
    partitions: int | None = None
    verify: bool = False


@dataclass
class Engine:
    """Runs a plan in a store; with a lease it stops before it publishes anything when it lost it."""

    plan: Plan
    store: Store
    runner: Runner
    reporter: Reporter
    settings: Settings = field(default_factory=Settings)
    lease: Lease | None = None

    def __post_init__(self) -> None:
        self.records: dict[str, StepRecord] = {}
        self.record_keys: dict[str, str] = {}
        self.inputs: dict[str, list[dict[str, Any]]] = {}
        self.reused: set[str] = set()
        self.digests = Digests(self.store)

    # -- identity ------------------------------------------------------------------------------------------

    def fingerprint(self, step: PlannedStep, ahead: Mapping[str, str] | None = None) -> str:
        """Identity of a step, given the records of all steps above it; ``ahead`` has the identities of those that have none
        yet, being of its segment."""
        above = [(ahead or {}).get(name) or self.records[name].identity for name in step.inputs]
        used = {setting: self.records[name].identity for setting, name in step.uses.items()}
        options = self.plan.reading(step.id)
        extra = generate.identity(step.stage, self.plan.recipe) if isinstance(step.stage, Generator) else None
        return fingerprint(step.static, above, used, options, extra, self._seed(step))

    def context(self, step: PlannedStep) -> Context:
        """What the step's stage may know."""
        made = {setting: str(self.records[name].folder) for setting, name in step.uses.items()}
        assets = Assets(step.assets, self.store, made, self._digests(step))
        earlier = tuple(Earlier(index.at, index.facts) for index in step.earlier)
        return Context(step.id, self._seed(step), assets, Kept(self.store), earlier)

    @staticmethod
    def _digests(step: PlannedStep) -> dict[str, str]:
        """Of assets that a machine may copy: an index is read where it is."""
        whole = {
            setting for setting in step.assets if step.stage.asset_settings[setting.partition("/")[0]] != "indexes"
        }
        return {setting: digest for setting, digest in step.digests.items() if setting in whole}

    def _seed(self, step: PlannedStep) -> int | None:
        return self.plan.recipe.seed if step.stage.seeded else None

    @staticmethod
    def folder(step: str, identity: str) -> str:
        """Key of a step's folder."""
        return f"steps/{step}/{identity[:16]}"

    def input_parts(self, step: PlannedStep) -> list[Part]:
        """Parts that a step reads, in the order of ``from``; those of which no row is left are no work for anybody."""
        return [part for name in step.inputs for part in self.records[name].parts if part.rows]

    def splits(self, step: PlannedStep) -> list[Split]:
        """Splits of a source step; their names and digests go into the manifest."""
        assert isinstance(step.stage, Source)
        self.nothing_listed()
        try:
            splits = step.stage.splits(self.plan.recipe.path.parent, self.digests, self.settings.split_bytes)
        except InputError as error:
            if isinstance(error, DamagedInputError) and self.leaves_out(error):
                return self.splits(step)
            raise in_recipe(error, step) from None
        finally:
            self.digests.save()  # also where it fails: what was read by then is not read again
        self.say_read(step, splits)
        return splits

    def nothing_listed(self) -> None:
        """Forget what the source before was asked."""
        self.digests.forget()
        self.digests.damaged.left_out.clear()

    def say_read(self, step: PlannedStep, splits: list[Split]) -> None:
        """What a source reads, for the manifest."""
        self.inputs[step.id] = read_files(splits, self.digests.asked())
        lost = self.digests.damaged.left_out
        self.inputs[step.id] += [{"name": name, "digest": DAMAGED_FILE} for name in sorted(lost)]
        if lost and not splits:
            raise InputError("every file of it is damaged", place=step.step.place, cure="look at the lines above")

    def reading_key(self, splits: list[Split]) -> str:
        """Identity of what a source reads: its splits, and the files that were left out."""
        lost = sorted(self.digests.damaged.left_out)
        return fingerprint([split_identity(s) for s in splits], *([lost] if lost else []))

    def input_key(self, step: PlannedStep) -> str:
        """Identity of what a step reads that is no source."""
        keys = [part.key for part in self.input_parts(step)]
        if isinstance(step.stage, Filter):
            return fingerprint(keys)
        return fingerprint(keys, generate.limits(step.stage, self.plan))

    # -- running -------------------------------------------------------------------------------------------

    def run(self) -> dict[str, StepRecord]:
        """Run, or go on with, the whole plan; returns the records by step in the recipe's order.

        Damaged files of the store are set aside and made anew (see run/mend.py).
        """
        check_teachers(self.plan)
        if self.settings.verify:
            check_store(self.store, self.reporter.note)
        while True:
            try:
                return mended(self.store, self.reporter.note, self._walk)
            except DamagedInputError as error:
                if not self.leaves_out(error):
                    raise

    def leaves_out(self, error: DamagedInputError) -> bool:
        """Whether the damaged file of an error is one that its source sets aside; it is left out from now on."""
        taken = self.digests.damaged.takes(error)
        if taken:
            self.reporter.note(f"{error.place}: {error.cause}; set aside as a whole: no row of it is used")
        return taken

    def _walk(self) -> dict[str, StepRecord]:
        self.records.clear()
        self.reused.clear()
        for segment in self.plan.segments:
            head = self.plan.steps[segment[0]]
            started = time.monotonic()
            if isinstance(head.stage, Source | Filter):
                reused = self._segment([self.plan.steps[name] for name in segment])
            else:
                reused = self._whole(head)
            self._index()
            for name in segment:
                check_guard(self.plan.steps[name].step, self.records[name].counts)
                if reused:
                    self.reused.add(name)
                self.reporter.finished(self.records[name], (time.monotonic() - started) / len(segment), reused)
        return {name: self.records[name] for name in self.plan.steps}

    def check_lease(self) -> None:
        """Raise BusyError when another command has taken the store."""
        if self.lease is not None:
            self.lease.check()

    def _index(self) -> None:
        self.store.replace_json("steps.json", self.record_keys)

    def known(self, step: PlannedStep, identity: str, key: str) -> StepRecord | None:
        """The record of a step that is complete for this input."""
        value = self.store.read_whole(self._place(step, identity, key))
        if value is None:
            return None
        record = StepRecord.load(value)
        files = [*record.shards, *record.files]
        sides = [shard["side"] for shard in record.shards if "side" in shard]
        if (files and not dataset.complete(self.store, str(record.published), files)) or (
            sides and not dataset.complete(self.store, str(record.beside), sides)
        ):
            self.reporter.note(f"{record.published}: files are gone: step '{step.id}' writes them again")
            return None
        return record

    def _place(self, step: PlannedStep, identity: str, key: str) -> str:
        """Key of a step's record. The end of a segment has parts, a step inside of one has none: with another reader
        one becomes the other, and must not be taken for it."""
        end = isinstance(step.stage, Source | Filter) and any(step.id == s[-1] for s in self.plan.segments)
        return f"{self.folder(step.id, identity)}/done-{key[:16]}{'-end' * end}.json"

    def _done(self, record: StepRecord, key: str) -> None:
        where = self._place(self.plan.steps[record.step], record.fingerprint, key)
        self.check_lease()
        crash_point("step.before-done")
        self.store.put_if_absent(where, record.dump())
        crash_point("step.after-done")
        self.records[record.step] = record
        self.record_keys[record.step] = where

    def _reuse(self, step: PlannedStep, identity: str, key: str) -> bool:
        record = self.known(step, identity, key)
        if record is None:
            return False
        self.records[step.id] = record
        self.record_keys[step.id] = self._place(step, identity, key)
        return True

    def tasks(
        self,
        steps: tuple[str, ...],
        what: str,
        tasks: Iterable[Task],
        follow: Callable[[Task], Iterable[Task]] = lambda _: (),
        more_bytes: int = 0,
    ) -> dict[str, Any]:
        """Run tasks and those that follow them (see Runner), which stand for about ``more_bytes`` of input; receipts
        by task key."""
        tasks = list(tasks)
        receipts: dict[str, Any] = {}
        # Of many small tasks those that are not committed travel together.
        small = {t.receipt: t.key for t in tasks if t.cost is not None}
        known = {small[receipt]: value for receipt, value in self.store.read_wholes(small).items()}
        done = len(known) + len(self.store.present(t.receipt for t in tasks if t.cost is None))
        self.reporter.step(steps, what, sum(t.size for t in tasks) + more_bytes, len(tasks), done)
        committed = [Landed(task, known[task.key], []) for task in tasks if task.key in known]
        left = list(bundled(task for task in tasks if task.key not in known))
        label = f"{'>'.join(dict.fromkeys((steps[0], steps[-1])))}:{what}"
        for sent, value, works in itertools.chain(committed, self.runner.run(left, follow, label)):
            took = {work.key: work for work in works}
            for task, receipt in unbundled(sent, value):
                receipts[task.key] = receipt
                if self.lease is not None:
                    self.lease.glance()
                counts = counts_of(receipt)
                self.reporter.advance(task.size, counts)
                if (work := took.pop(task.key, None)) is not None:
                    self.reporter.worked(steps, work, counts)
            for work in took.values():  # attempts by which it was found out why workers died
                self.reporter.worked(steps, work, {})
        return receipts

    # -- segments ------------------------------------------------------------------------------------------

    def _segment(self, steps: list[PlannedStep]) -> bool:
        identities: dict[str, str] = {}
        for step in steps:
            identities[step.id] = self.fingerprint(step, identities)
        head, last, limit = steps[0], steps[-1], self.plan.options.limit
        folder = self.folder(last.id, identities[last.id])
        splits: list[Split] | None = None
        receipts: list[Any] | None = None
        if isinstance(head.stage, Source):
            if limit is None:
                splits = self.splits(head)
            else:
                check = partial(self.check_versions, steps, identities)
                splits, receipts = first_documents(self, self.reading(steps, identities), limit, check)
        key = self.input_key(head) if splits is None else self.reading_key(splits)
        if all(self._reuse(step, identities[step.id], key) for step in steps):
            return True
        self.check_versions(steps, identities)
        if receipts is None and splits is not None:
            receipts = self.reading(steps, identities).run(splits)
        elif receipts is None:
            rows, chain = self._row_steps(steps), fingerprint([identities[step.id] for step in steps])
            tasks = [
                SegmentTask(self.store, folder, fingerprint(chain, p.key), p.root, rows, part=p)
                for p in self.input_parts(head)
            ]
            found = self.tasks(tuple(s.id for s in steps), "filtering", tasks)
            receipts = [found[t.key] for t in tasks]
        lost = sorted(self.digests.damaged.left_out) if splits is not None else []
        aside = damaged_inputs.dropped(self.store, folder, head.id, lost)
        for step in steps:
            counts = total(Counts.load(r["counts"][step.id]) for r in receipts)
            record = StepRecord(step.id, step.stage.name, identities[step.id], identities[step.id], counts)
            record.signals = [r["signals"][step.id] for r in receipts if step.id in r["signals"]]
            if step is head and lost:
                counts.rows_in += len(lost)
                counts.reasons[DAMAGED_FILE] = len(lost)
            if step is last:
                record.parts = [Part.load(r["part"]) for r in receipts]
                record.dropped = [*(r["dropped"] for r in receipts if r["dropped"]), *aside]
            self._done(record, key)
        return False

    def reading(self, steps: Sequence[PlannedStep], identities: Mapping[str, str]) -> Reading:
        """How a segment that begins with a source is read."""
        folder, names = self.folder(steps[-1].id, identities[steps[-1].id]), tuple(step.id for step in steps)
        chain = fingerprint([identities[step.id] for step in steps])
        return Reading(self, steps[0], self._row_steps(steps), names, folder, chain)

    def check_versions(self, steps: Sequence[PlannedStep], identities: Mapping[str, str]) -> None:
        """Raise for steps that were begun with libraries of other versions."""
        for step in steps:
            check_versions(self.store, self.folder(step.id, identities[step.id]), step)

    def _row_steps(self, steps: Sequence[PlannedStep]) -> tuple[RowStep, ...]:
        made = {name: record.identity for name, record in self.records.items() if record.folder}
        for name, record in self.records.items():
            stage = self.plan.steps[name].stage
            if isinstance(stage, CutsSpans) or (isinstance(stage, Global) and stage.adds()):
                made[name] = fingerprint([part.key for part in record.parts])
        return tuple(
            RowStep(
                s.id, s.stage, self.context(s), self.plan.measure_identity(s.id, made), self.plan.column_types(s.id)
            )
            for s in steps
            if isinstance(s.stage, Filter)
        )

    # -- whole steps ---------------------------------------------------------------------------------------

    def _whole(self, step: PlannedStep) -> bool:
        identity = self.fingerprint(step)
        parts = self.input_parts(step)
        key = self.input_key(step)
        folder = self.folder(step.id, identity)
        if isinstance(step.stage, Writer):
            check_terms(self, step, folder, parts)
        if self._reuse(step, identity, key):
            self._publish(step.id)
            return True
        check_versions(self.store, folder, step)
        stage = step.stage
        if isinstance(stage, Global):
            record = global_step.run_global(self, step, stage, identity, folder, parts)
        elif isinstance(stage, Trainer):
            record = learn.run_trainer(self, step, stage, identity, folder, parts)
        elif isinstance(stage, Generator):
            record = generate.run_generator(self, step, stage, identity, folder, parts)
        elif isinstance(stage, Writer):
            record = global_step.run_writer(self, step, stage, identity, folder, parts, key)
        else:
            raise TypeError(f"the engine does not know what a {type(stage).__name__} is")
        self._done(record, key)
        self._publish(step.id)
        return False

    def _publish(self, step: str) -> None:
        record = self.records[step]
        folder = record.published
        if folder is not None:
            if not record.shards:
                check_written(self.store, folder, record.report)
            self.check_lease()
            crash_point("publish.before-link")
            set_latest(self.store, step, folder)
            if record.beside is not None:
                set_latest(self.store, f"{step}{SIDE}", record.beside)
