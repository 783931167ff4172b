"""Global steps and writers: what the driver does between the tasks of an exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from curate.errors import InputError
from curate.fingerprint import fingerprint
from curate.recipe.plan import PlannedStep
from curate.run import dataset
from curate.run.apply import ApplyTask
from curate.run.edit import EditTask, edit_report
from curate.run.index_step import write_index
from curate.run.phases import Phases
from curate.run.pieces import Share
from curate.stages.base import Global
from curate.stages.cuts_spans import CutsSpans
from curate.stages.indexed import Indexed
from curate.stages.writer import SUMS, Writer
from curate.store.records import SIDE, Counts, Part, StepRecord

if TYPE_CHECKING:
    from curate.run.engine import Engine


def run_global(
    engine: Engine, step: PlannedStep, stage: Global, identity: str, folder: str, parts: list[Part]
) -> StepRecord:
    """Phase after phase; then verdicts and added columns are joined back to the parts that they are about."""
    phases = Phases(engine, step, stage, identity, folder, parts)
    phases.run()
    verdicts = phases.naming(stage.decides())
    by = stage.counted_by()
    everything = fingerprint([p.key for p in parts])
    keys = [fingerprint(identity, "apply", number, everything) for number in range(len(parts))]
    with verdicts.published(engine.store, folder) as shares:
        tasks = {
            number: _joining(engine, step, stage, folder, keys[number], part, shares.get(number, Share()))
            for number, part in enumerate(parts)
            # Parts that no verdict is about have the columns that are added, too, and are counted where rows are.
            if number in shares or by is not None or stage.adds()
        }
        receipts = engine.tasks((step.id,), "joining verdicts", tasks.values())
    record = StepRecord(step.id, stage.name, identity, identity, Counts())
    told = {name: rows for name in stage.reported() if (rows := phases.rows(name)) is not None}
    record.report = dict(stage.report(told, engine.context(step))) if stage.reported() else {}
    if isinstance(stage, Indexed) and stage.index:
        made = write_index(engine, step, stage, identity, folder, phases.results)
        record.indexed, record.files, record.report["index"] = made
    for number, (key, part) in enumerate(zip(keys, parts, strict=True)):
        if number in tasks:
            receipt = receipts[key]
            record.parts.append(Part.load(receipt["part"]))
            record.dropped += [receipt["dropped"]] if receipt["dropped"] else []
            record.signals += receipt.get("signals", ())
            record.counts.add(Counts.load(receipt["counts"]))
        else:
            record.parts.append(replace(part, key=key))
            record.counts.add(Counts(part.rows, part.rows, part.bytes, part.bytes))
    if isinstance(stage, CutsSpans):
        record.report |= edit_report(list(receipts.values()))
    return record


def _joining(
    engine: Engine, step: PlannedStep, stage: Global, folder: str, key: str, part: Part, share: Share
) -> ApplyTask:
    how = (engine.store, folder, key, part, share, stage.counted_by())
    if isinstance(stage, CutsSpans):
        return EditTask(*how, stage=stage, ctx=engine.context(step))
    return ApplyTask(*how, step=step.id, schema=stage.verdicts())


def run_writer(
    engine: Engine, step: PlannedStep, stage: Writer, identity: str, folder: str, parts: list[Part], key: str
) -> StepRecord:
    """Bring all rows into their order, cut it into shards, write each, and put the folder together."""
    phases = Phases(engine, step, stage, identity, folder, parts)
    phases.run()
    order, ctx = phases.orders[stage.phases()[-1].name], engine.context(step)
    cuts = stage.layout(order.weight) if order.weight else []
    if not cuts:
        raise InputError(
            "nothing is left to write",
            place=f"{step.step.place}: step {step.id}",
            cure="see 'curate inspect' for what each step dropped; loosen a threshold or read more",
        )
    with order.cut(engine.store, folder, cuts) as cut:
        tasks = [
            dataset.ShardTask(
                engine.store, folder, fingerprint(identity, "shards", known, key), stage, ctx, some, len(cuts)
            )
            for known, some, _ in cut
        ]
        receipts = engine.tasks((step.id,), "writing shards", tasks)
    shards = [shard for task in tasks for shard in receipts[task.key]]
    rows, size = sum(p.rows for p in parts), sum(p.bytes for p in parts)
    record = StepRecord(step.id, stage.name, identity, identity, Counts(rows, rows, size, size))
    record.report = dict(stage.report(shards, phases.sums))
    record.shards = [_told(shard) for shard in shards]
    extra = stage.finish(record.shards, record.report, ctx)
    record.files = dataset.small_files(extra)
    name = f"out-{key[:16]}"
    record.folder = dataset.assemble(engine.store, folder, name, shards, extra)
    if sides := [shard["side"] for shard in shards if "side" in shard]:
        record.beside = dataset.assemble(engine.store, folder, f"{name}{SIDE}", sides, {})
    return record


def _told(shard: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of a shard: neither its sums, nor the keys under which it, and the table beside it, were written."""
    told = {name: value for name, value in shard.items() if name not in ("file", SUMS)}
    return {**told, "side": _told(told["side"])} if "side" in told else told
