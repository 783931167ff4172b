"""Snapshots of documents, deduplicated one after the other against what came before, or all at once: for tests of indexes."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from corpus import lines
from exchange import results
from recipes import step, write

from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run.cluster import Runner
from curate.run.engine import Engine, Settings
from curate.run.progress import Silent
from curate.stages.base import PART, ROW, Context
from curate.stages.indexed import Indexed
from curate.store.files import Store
from curate.store.index import Earlier, Index, TableFile, index_facts, open_index
from curate.store.tables import read_batches, table_writer
from curate.text.batch import Batch

Verdicts = dict[str, dict[str, Any]]
"""By hex id, the detail of each document that went."""


def write_snapshots(folder: Path, snapshots: Sequence[Sequence[str]], files: int = 2) -> None:
    """Each as some files below ``folder/sN``; documents carry ids of their own."""
    for number, texts in enumerate(snapshots):
        (folder / f"s{number}").mkdir(parents=True)
        rows = [{"id": f"{number}-{i}", "text": text} for i, text in enumerate(texts)]
        for file in range(min(files, len(rows))):
            (folder / f"s{number}" / f"{file}.jsonl").write_bytes(lines(rows[file::files]))


def _reading(folder: Path, number: int) -> dict[str, Any]:
    return step(f"s{number}", "read.jsonl", paths=[f"{folder}/s{number}/*.jsonl"])


def decided(store: Path | Store, recipe: Path, **how: Any) -> tuple[Verdicts, Any]:
    """What a recipe's step ``unique`` dropped, and its record."""
    store = store if isinstance(store, Store) else Store(store)
    with Runner(0) as runner:
        engine = Engine(make_plan(load_recipe(recipe)), store, runner, Silent(), Settings(**how))
        record = engine.run()["unique"]
    found: Verdicts = {}
    for key in record.dropped:
        for batch in read_batches(store.data(key)):
            for row in batch.to_pylist():
                found[row["id"].hex()] = json.loads(row["detail"])
    assert len(found) == sum(record.counts.reasons.values())
    return found, record


def at_once(
    folder: Path, count: int, use: str, settings: Mapping[str, Any], before: Sequence[dict[str, Any]] = (), **how: Any
) -> Verdicts:
    """All snapshots in one run, earlier ones preferred; ``before`` are steps before the one that decides."""
    names = [f"s{number}" for number in range(count)]
    keep = [{"sources": list(names)}, *settings.get("keep", [])]
    steps = [*(_reading(folder, n) for n in range(count)), *before, step("unique", use, **{**settings, "keep": keep})]
    steps[count] = {**steps[count], "from": names}
    return decided(folder / "all", write(folder / "all.yaml", steps), **how)[0]


def one_by_one(
    folder: Path, count: int, use: str, settings: Mapping[str, Any], before: Sequence[dict[str, Any]] = (), **how: Any
) -> list[Verdicts]:
    """Each snapshot in a run of its own, against the indexes of those before it."""
    found = []
    for number in range(count):
        against = [f"{folder}/run{earlier}/unique" for earlier in range(number)]
        unique = step("unique", use, **{"index": True, **settings}, **({"against": against} if against else {}))
        recipe = write(folder / f"{number}.yaml", [_reading(folder, number), *before, unique])
        found.append(decided(folder / f"run{number}", recipe, **how)[0])
    return found


def in_memory(
    folder: Path,
    make: Callable[..., Indexed],
    snapshots: Sequence[pa.Table],
    *,
    partitions: int = 1,
    batch_rows: int = 64,
    seed: int = 0,
) -> tuple[list[Verdicts], Verdicts]:
    """What each snapshot in a row drops, then what all of them at once drop, without an engine (see exchange.py).

    Args:
        make: a stage from more settings. For all at once, documents have the source ``sN``.
        snapshots: documents of the sources ``s0``, ``s1``, ...
    """
    found, left = [], []
    for docs in snapshots:
        stage = make(index=True, against=[f"{n}" for n in range(len(left))])
        earlier = tuple(Earlier(Store(path), open_index(path).facts) for path in left)
        ctx = Context("test", 7, earlier=earlier)
        found.append(_run(stage, docs, ctx, folder / f"{len(left)}", partitions, batch_rows, seed))
        left.append(folder / f"{len(left)}")
    stage = make(keep=[{"sources": [f"s{n}" for n in range(len(snapshots))]}])
    every = pa.concat_tables(snapshots)
    return found, _run(stage, every, Context("test", 7), None, partitions, batch_rows, seed)


def _run(
    stage: Indexed, docs: pa.Table, ctx: Context, leave: Path | None, partitions: int, batch_rows: int, seed: int
) -> Verdicts:
    docs = docs.append_column(PART, pa.array(np.zeros(docs.num_rows), pa.uint32()))
    docs = docs.append_column(ROW, pa.array(np.arange(docs.num_rows), pa.uint32()))
    batches = [Batch(b) for b in docs.combine_chunks().to_batches(max_chunksize=batch_rows)]
    phases = results(stage, batches, partitions, random.Random(seed), batch_rows, ctx)
    if leave is not None:
        _leave(stage, phases, ctx, leave)
    verdicts = phases[stage.decides()]
    ids = docs.column("id").to_pylist()
    return {ids[row[ROW]].hex(): json.loads(row["detail"]) for row in verdicts.to_pylist()}


def _leave(stage: Indexed, phases: Mapping[str, pa.Table], ctx: Context, folder: Path) -> None:
    """An index in the smallest files that there are."""
    folder.mkdir()
    tables: dict[str, tuple[TableFile, ...]] = {}
    settings = dict(stage.index_settings())
    for name, left in stage.leaves().items():
        rows = left.rows(phases[left.phase]) if phases[left.phase].num_rows else left.schema.empty_table()
        settings |= stage.found_in(name, rows)
        files = []
        for number, batch in enumerate(rows.cast(left.schema).combine_chunks().to_batches(max_chunksize=5)):
            path = folder / f"{name}-{number}.arrow"
            with table_writer(path, left.schema) as out:
                out.write(batch)
            files.append(TableFile(path.name, batch.num_rows, path.stat().st_size))
        tables[name] = tuple(files)
    before = tuple(index.content for index in stage.indexes(ctx))
    content = hashlib.sha256(str(folder).encode()).hexdigest()[:32]
    index = Index(Store(folder), stage.name, settings, before, content, 0, tables)
    (folder / "index.json").write_bytes(index_facts(index))


def joined(found: Sequence[Verdicts]) -> Verdicts:
    """What all runs dropped together, without the names of indexes."""
    return {
        document: {name: value for name, value in detail.items() if name != "index"}
        for each in found
        for document, detail in each.items()
    }
