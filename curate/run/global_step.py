"""Global steps and writers: what the driver does between the tasks of an exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from curate.errors import InputError, RecipeError
from curate.fingerprint import fingerprint
from curate.recipe.plan import PlannedStep
from curate.run import dataset
from curate.run.apply import ApplyTask
from curate.run.exchange import PARTITION_BYTES, CutTask, MapTask, even_bounds
from curate.run.pieces import Partitions, Share, Sums, spans
from curate.run.reduce import ReduceTask
from curate.stages.base import MOST_GROUPS, Global, Phase, Span, Writer
from curate.store.parts import common_schema
from curate.store.records import Counts, Part, StepRecord

if TYPE_CHECKING:
    from curate.run.engine import Engine

MOST_PARTITIONS: Final = 1024
"""Of an exchange. Every map is cut into as many pieces, and every reduce reads one of each map: see docs/scale.md."""
PACK_BYTES: Final = 32 << 20
"""Neighbouring parts with fewer bytes share a map task, up to so many."""
PACK_ITEMS: Final = 32
"""Most parts of a map task: what bounds its message to the scheduler."""

Item = TypeVar("Item")


def packed(items: Sequence[Item], size: Callable[[Item], int]) -> list[list[Item]]:
    """Neighbours together, up to PACK_BYTES and PACK_ITEMS; a larger item alone."""
    packs: list[list[Item]] = []
    total = 0
    for item in items:
        if not packs or total + size(item) > PACK_BYTES or len(packs[-1]) >= PACK_ITEMS:
            packs.append([])
            total = 0
        packs[-1].append(item)
        total += size(item)
    return packs


class Exchange:
    """One phase of a step: maps, cuts where keys are uneven, reduces.

    Args:
        partitions: into how many ranges of the key rows are cut; results do not depend on it.
    """

    def __init__(
        self,
        engine: Engine,
        step: PlannedStep,
        stage: Global | Writer,
        identity: str,
        folder: str,
        phase: int,
        partitions: int,
    ) -> None:
        self.engine, self.step, self.stage = engine, step, stage
        self.identity, self.folder, self.number, self.partitions = identity, folder, phase, partitions
        self.ctx = engine.context(step)
        self.phase: Phase | None = stage.phases()[phase] if isinstance(stage, Global) else None
        self.name = self.phase.name if self.phase else "shuffle"

    def of_parts(self, parts: list[Part]) -> list[MapTask]:
        """Maps of documents."""
        schema = common_schema(self.engine.store, parts)
        tasks = []
        for pack in packed(list(enumerate(parts)), lambda item: item[1].bytes):
            key = self._key("parts", [(number, part.key) for number, part in pack])
            size = sum(part.bytes for _, part in pack)
            tasks.append(replace(self._map(key, size), parts=tuple(pack), part_schema=schema))
        return tasks

    def of_files(self, files: list[tuple[str, str, int]]) -> list[MapTask]:
        """Maps of what the phase before gave: key of the task, file, bytes."""
        tasks = []
        for pack in packed(files, lambda item: item[2]):
            key = self._key("files", [key for key, _, _ in pack])
            tasks.append(replace(self._map(key, sum(s for _, _, s in pack)), files=tuple(file for _, file, _ in pack)))
        return tasks

    def _key(self, what: str, inputs: Sequence[Any]) -> str:
        return fingerprint(self.identity, self.number, what, inputs, self.partitions)

    def _map(self, key: str, size: int) -> MapTask:
        how = (self.stage, self.ctx, self.number, self.partitions)
        return MapTask(self.engine.store, self.folder, key, *how, size)

    def run(self, maps: list[MapTask]) -> tuple[list[tuple[str, Any]], list[Span]]:
        """(Task key, receipt) and Span of each partition that has rows, in key order."""
        engine, name = self.engine, (self.step.id,)
        mapped = engine.tasks(name, f"{self.name}: map", maps)
        if self.phase is not None and not self.phase.even and self.partitions > 1:
            mapped = self._cut(self.phase, maps, mapped)
        partitions = Partitions()
        for task in maps:
            if mapped[task.key]["file"]:
                partitions.add(mapped[task.key]["file"], mapped[task.key]["index"])
        sums = partitions.sums()
        self._check_groups(sums.values())
        where = spans(list(sums.values()))
        above = fingerprint([t.key for t in maps])
        sizes = partitions.bytes()
        with partitions.published(engine.store, self.folder) as shares:
            reduces = [
                ReduceTask(
                    engine.store,
                    self.folder,
                    fingerprint(self.identity, self.number, "reduce", p, self.partitions, above),
                    self.stage,
                    self.ctx,
                    self.number,
                    shares[p],
                    sizes[p],
                    span,
                )
                for p, span in zip(sums, where, strict=True)
            ]
            reduced = engine.tasks(name, f"{self.name}: reduce", reduces)
        return [(t.key, reduced[t.key]) for t in reduces], where

    def _cut(self, phase: Phase, maps: list[MapTask], mapped: Mapping[str, Any]) -> dict[str, Any]:
        """What maps wrote as a whole, cut into partitions of about equal size; receipts by the maps' keys."""
        written = {task.key: mapped[task.key] for task in maps if mapped[task.key]["file"]}
        bounds = tuple(even_bounds((r["sample"] for r in written.values()), self.partitions).tolist())
        cuts = {}
        for key, receipt in written.items():
            runs = tuple(receipt["index"]["batches"])
            above = fingerprint("cut", key, bounds)
            cuts[key] = CutTask(self.engine.store, self.folder, above, receipt["file"], runs, bounds, phase.group)
        done = self.engine.tasks((self.step.id,), f"{phase.name}: cut", cuts.values())
        return {**mapped, **{key: done[task.key] for key, task in cuts.items()}}

    def _check_groups(self, sums: Iterable[tuple[int, int, Sums]]) -> None:
        """Raise RecipeError when there are more groups than sums are held for."""
        groups: set[str] = set()
        for _, _, inner in sums:
            groups.update(inner)
            if len(groups) > MOST_GROUPS and self.phase is not None:
                raise RecipeError(
                    f"{self.phase.group_label}: has more than {MOST_GROUPS:,} different values",
                    place=f"{self.step.step.place}: step {self.step.id}",
                    cure="name a column with fewer, as the source or the language",
                )


def partitions_of(engine: Engine, parts: list[Part]) -> int:
    """How many partitions an exchange of these parts has."""
    if engine.settings.partitions is not None:
        return engine.settings.partitions
    return max(1, min(MOST_PARTITIONS, -(-sum(p.bytes for p in parts) // PARTITION_BYTES)))


def run_global(
    engine: Engine, step: PlannedStep, stage: Global, identity: str, folder: str, parts: list[Part]
) -> StepRecord:
    """Phase after phase; then verdicts are joined back to the parts that they are about."""
    partitions = partitions_of(engine, parts)
    results: list[tuple[str, Any]] = []
    for number, _ in enumerate(stage.phases()):
        one = Exchange(engine, step, stage, identity, folder, number, partitions)
        if number == 0:
            maps = one.of_parts(parts)
        else:
            maps = one.of_files([(key, r["file"], r["bytes"]) for key, r in results if r["file"]])
        results = one.run(maps)[0] if maps else []
    verdicts = Partitions()
    for _, receipt in results:
        if receipt["file"]:
            verdicts.add(receipt["file"], receipt["index"])
    by = stage.counted_by()
    everything = fingerprint([p.key for p in parts])
    keys = [fingerprint(identity, "apply", number, everything) for number in range(len(parts))]
    with verdicts.published(engine.store, folder) as shares:
        tasks = {
            number: ApplyTask(engine.store, folder, keys[number], part, shares.get(number, Share()), by)
            for number, part in enumerate(parts)
            # Rows of parts that no verdict is about are counted, too, where rows are counted.
            if number in shares or by is not None
        }
        receipts = engine.tasks((step.id,), "joining verdicts", tasks.values())
    record = StepRecord(step.id, stage.name, identity, identity, Counts())
    for number, (key, part) in enumerate(zip(keys, parts, strict=True)):
        if number in tasks:
            receipt = receipts[key]
            record.parts.append(Part.load(receipt["part"]))
            record.dropped.append(receipt["dropped"])
            record.counts.add(Counts.load(receipt["counts"]))
        else:
            record.parts.append(replace(part, key=key))
            record.counts.add(Counts(part.rows, part.rows, part.bytes, part.bytes))
    return record


def run_writer(
    engine: Engine, step: PlannedStep, stage: Writer, identity: str, folder: str, parts: list[Part], key: str
) -> StepRecord:
    """Sort all rows by key, cut their order into shards, write each, and put the folder together."""
    one = Exchange(engine, step, stage, identity, folder, 0, partitions_of(engine, parts))
    results, where = one.run(one.of_parts(parts)) if parts else ([], [])
    weight = where[0].total_weight if where else 0
    cuts = stage.layout(weight)
    if not cuts:
        raise InputError(
            "nothing is left to write",
            place=f"{step.step.place}: step {step.id}",
            cure="see 'curate inspect' for what each step dropped; loosen a threshold or read more",
        )
    after = [*(span.start_weight for span in where[1:]), weight]
    ordered = [
        dataset.Sorted(receipt["file"], span.start_weight, stop - span.start_weight)
        for (_, receipt), span, stop in zip(results, where, after, strict=True)
    ]
    tasks = []
    for cut in cuts:
        cover = tuple(s for s in ordered if s.start < cut.stop and s.start + s.weight > cut.start)
        task_key = fingerprint(identity, "shard", cut.index, key)
        tasks.append(dataset.ShardTask(engine.store, folder, task_key, stage, one.ctx, cut, len(cuts), cover))
    receipts = engine.tasks((step.id,), "writing shards", tasks)
    shards = [receipts[t.key] for t in tasks]
    told = [{k: v for k, v in shard.items() if k != "file"} for shard in shards]
    record = StepRecord(step.id, stage.name, identity, identity, Counts())
    record.folder = dataset.assemble(engine.store, folder, key, shards, dict(stage.finish(told, weight, one.ctx)))
    rows, size = sum(p.rows for p in parts), sum(p.bytes for p in parts)
    record.counts, record.shards = Counts(rows, rows, size, size), told
    return record
