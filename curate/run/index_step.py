"""The index that a Global step leaves of what it kept: tables made of rows of its phases, and a folder with all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from curate.errors import InputError
from curate.fingerprint import fingerprint
from curate.recipe.plan import PlannedStep
from curate.run.dataset import assemble, small_files
from curate.run.task import Task
from curate.stages.base import Context
from curate.stages.indexed import MADE_BY, Indexed
from curate.store.files import Store
from curate.store.index import FACTS, Index, TableFile, index_facts
from curate.store.tables import read_batches, table_writer
from curate.text.hashing import sum128

if TYPE_CHECKING:
    from curate.run.engine import Engine
    from curate.run.phases import Result

_M64: Final = (1 << 64) - 1


@dataclass(frozen=True)
class IndexTask(Task):
    """Makes one file of an index's table from a file of a phase's rows.

    Its receipt has the file, its rows and size, and the sum of hashes of what its rows index (see Left.content).
    """

    stage: Indexed
    ctx: Context
    table: str
    rows: str
    bytes: int

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "index"

    @property
    def cost(self) -> int | None:
        """Bytes of input."""
        return self.bytes

    def work(self) -> dict[str, Any]:
        """Read, choose, write, batch by batch."""
        left = self.stage.leaves()[self.table]
        file = self.store.fresh(self.folder, self.table, ".arrow")
        contents, rows = [], 0
        found: dict[str, Any] = {}
        with self.store.writing(file) as path:
            with table_writer(path, left.schema) as out:
                for batch in read_batches(self.store.data(self.rows)):
                    chosen = left.rows(pa.Table.from_batches([batch])).combine_chunks()
                    for each in chosen.to_batches():
                        out.write(each)
                    _add_found(found, self.stage.found_in(self.table, chosen))
                    contents.append(sum128([chosen.column(name) for name in left.content]))
                    rows += chosen.num_rows
            size = path.stat().st_size
        return {
            "file": file,
            "rows": rows,
            "size": size,
            "content": _sum(contents),
            **({"found": found} if found else {}),
        }


def _add_found(found: dict[str, Any], more: Mapping[str, Any]) -> None:
    """What rows have in common must be common to all of them."""
    for name, value in more.items():
        if found.setdefault(name, value) != value:
            raise InputError(f"{name} of what is indexed differ: {found[name]}, {value}", cure="index what is alike")


def _sum(parts: Iterable[Sequence[int]]) -> tuple[int, int]:
    first, second = (sum(halves) & _M64 for halves in zip((0, 0), *parts, strict=True))
    return first, second


def write_index(
    engine: Engine, step: PlannedStep, stage: Indexed, identity: str, folder: str, results: Mapping[str, list[Result]]
) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    """Make the index's files and put them together; the folder's key, its files, and what the manifest says of it.

    Args:
        results: tasks that gave rows, by phase.
    """
    ctx = engine.context(step)
    tasks: dict[str, list[IndexTask]] = {}
    for table, left in stage.leaves().items():
        tasks[table] = [
            IndexTask(
                engine.store,
                folder,
                fingerprint(identity, "index", table, key),
                stage,
                ctx,
                table,
                receipt["file"],
                receipt["bytes"],
            )
            for key, receipt in results[left.phase]
        ]
    receipts = engine.tasks((step.id,), "writing the index", [task for some in tasks.values() for task in some])
    found = {table: [r for task in some if (r := receipts[task.key])["rows"]] for table, some in tasks.items()}
    index = _facts(stage, ctx, found, engine.plan.makers(step.id))
    shards = [{"file": r["file"], "name": _name(r), "size": r["size"]} for some in found.values() for r in some]
    key = fingerprint("index", index.content, [shard["name"] for shard in shards])
    facts = {FACTS: index_facts(index)}
    made = assemble(engine.store, folder, f"out-{key[:16]}", shards, facts)
    files = [{"name": shard["name"], "size": shard["size"]} for shard in shards] + small_files(facts)
    return made, files, {"content": index.content, "documents": index.documents}


def _name(receipt: Mapping[str, Any]) -> str:
    """A file's name in the index is the one that it was written, and sealed, under."""
    return str(receipt["file"].rpartition("/")[2])


def _facts(stage: Indexed, ctx: Context, found: Mapping[str, list[dict[str, Any]]], makers: Sequence[str]) -> Index:
    against = tuple(index.content for index in stage.indexes(ctx))
    settings = {**stage.all_index_settings(), **({MADE_BY: list(makers)} if makers else {})}
    for receipt in (r for receipts in found.values() for r in receipts):
        _add_found(settings, receipt.get("found", {}))
    sums = {table: _sum(r["content"] for r in receipts) for table, receipts in found.items()}
    tables = {
        table: tuple(TableFile(_name(r), r["rows"], r["size"]) for r in receipts) for table, receipts in found.items()
    }
    return Index(
        at=Store(Path()),
        stage=stage.name,
        settings=settings,
        against=against,
        content=fingerprint(stage.name, settings, against, sums),
        documents=sum(file.rows for file in next(iter(tables.values()))),
        tables=tables,
    )
