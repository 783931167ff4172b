"""What a run's decontamination found: hits by layer and strength, by benchmark, by item; examples; items without any hit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.benchmarks.hits import LAYERS, Hits, parts
from curate.benchmarks.index import load
from curate.errors import CurateError, RecipeError
from curate.report.contamination_examples import Example, examples_of
from curate.report.edits import as_asked
from curate.report.run_folder import REASON, RunFolder, recipe_path
from curate.report.step import Step
from curate.stages.decontaminate import Decontaminate

LEVELS: Final = (0.95, 0.9, 0.85, 0.8)
"""Strengths that are told of: those of phi-1's match rate tau (arXiv 2306.11644)."""


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: see ``hits.LAYERS``.
        documents: by strength (``0.95``), the documents with a hit of at least that, and so gone at such a threshold.
        counted: those with a hit that counts by the step's settings.
        alone: of these, those that no other layer finds.
        items: of benchmarks, with a hit that counts.
    """

    name: str
    documents: dict[str, int]
    counted: int
    alone: int
    items: int


@dataclass(frozen=True)
class Found:
    """An item that documents hold: how many, and the strongest hit."""

    item: str
    documents: int
    layer: str
    part: str
    strength: float


@dataclass(frozen=True)
class Kept:
    """A benchmark: its items, how many have a hit that counts, and the names of those without (after ``benchmark/``)."""

    benchmark: str
    items: int
    hit: int
    without: list[str]


@dataclass(frozen=True)
class Contamination:
    """What a step found.

    Attributes:
        step: its id.
        rows: documents it looked at.
        reasons: how many went, by reason.
        layers: in the order of ``hits.LAYERS``.
        items: with a hit that counts, most documents first.
        benchmarks: empty where the index is not at hand; ``note`` then says so.
        examples: a document beside what it holds.
    """

    step: str
    rows: int
    reasons: dict[str, int]
    layers: list[Layer]
    items: list[Found]
    benchmarks: list[Kept]
    examples: list[Example]
    note: str = ""


@dataclass
class _Table:
    """Hits of all rows; ``row`` counts the rows that have any."""

    hits: Hits
    names: list[str]
    ids: list[bytes]
    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def contamination(run: RunFolder, wanted: str | None = None, examples: int = 6) -> list[Contamination]:
    """Of each ``decontaminate`` step of a run, or of the one that is named.

    Raises RecipeError where there is none.
    """
    steps = [s for s in run.steps.values() if isinstance(s.made, Decontaminate) and wanted in (None, s.id)]
    if not steps:
        there = [s.id for s in run.steps.values() if isinstance(s.made, Decontaminate)]
        cure = f"there are: {', '.join(there)}" if there else "a recipe has one as: use: decontaminate"
        what = f"no step '{wanted}' that decontaminates" if wanted else "no step that decontaminates"
        raise RecipeError(f"this run has {what}", place=str(run.store), cure=cure)
    return [_of_step(run, step, step.made, examples) for step in steps if isinstance(step.made, Decontaminate)]


def _of_step(run: RunFolder, step: Step, stage: Decontaminate, examples: int) -> Contamination:
    table = _table(run, step)
    counted = stage.least().counted(table.hits)
    note, asked, recipe = "", as_asked(run, step, stage), recipe_path(run.store)
    try:
        loaded = load(asked.folders(recipe.parent if recipe is not None else None))
    except CurateError as error:
        loaded, note = None, f"the index of its benchmarks can't be had ({error}): items without hits are not known"
    items = _items(table, counted)
    return Contamination(
        step.id,
        table.rows,
        dict(table.reasons),
        _layers(table, counted),
        items,
        [] if loaded is None else _benchmarks(loaded.items.to_pylist(), loaded.benchmarks, {f.item for f in items}),
        [] if loaded is None else examples_of(run, asked, loaded, _chosen(table, counted, examples)),
        note,
    )


# -- reading -------------------------------------------------------------------------------------------------


def _batches(run: RunFolder, step: Step) -> Iterator[pa.RecordBatch]:
    for key in step.record.signals:
        yield from run.batches(key, ["id", REASON, "hits"])


def _table(run: RunFolder, step: Step) -> _Table:
    """The rows with hits; the others are counted."""
    rows, reasons = 0, Counter[str]()
    some: list[pa.RecordBatch] = []
    for batch in _batches(run, step):
        rows += batch.num_rows
        if REASON in batch.schema.names:
            counts = pc.value_counts(batch.column(REASON).drop_null()).to_pylist()
            reasons.update({str(c["values"]): c["counts"] for c in counts})
        if "hits" in batch.schema.names:
            some.append(batch.filter(pc.greater(pc.fill_null(pc.list_value_length(batch.column("hits")), 0), 0)))
    lists = pa.chunked_array([b.column("hits") for b in some], type=Decontaminate.signals["hits"]).combine_chunks()
    ids = [i for b in some for i in b.column("id").to_pylist()]
    hits, names = _hits(lists)
    return _Table(hits, names, ids, rows, reasons)


def _hits(lists: pa.ListArray) -> tuple[Hits, list[str]]:
    """Hits as they were found, but for ``whole`` (such have the strength 1) and ``unit``; and the names of their items."""
    values = lists.flatten()
    items = values.field("item").dictionary_encode()
    row = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)

    def number(name: str, known: Sequence[str]) -> npt.NDArray[np.int8]:
        found = pc.fill_null(pc.index_in(values.field(name), pa.array(known, pa.string())), -1)
        return np.asarray(found.to_numpy(zero_copy_only=False).astype(np.int8))

    def plain(name: str) -> Any:
        return values.field(name).to_numpy(zero_copy_only=False)

    none = np.zeros(len(row), np.int32)
    hits = Hits(
        row=row,
        item=items.indices.to_numpy(zero_copy_only=False).astype(np.int32),
        layer=number("layer", LAYERS),
        part=number("part", parts()),
        strength=plain("strength"),
        run=plain("run"),
        of_row=plain("of_document"),
        whole=none.astype(np.bool_),
        unit=none,
        start=none.astype(np.int64),
        stop=none.astype(np.int64),
    )
    return hits, items.dictionary.to_pylist()


# -- counting ------------------------------------------------------------------------------------------------


def _layers(table: _Table, counted: npt.NDArray[np.bool_]) -> list[Layer]:
    hits = table.hits
    by_layer = {number: set(hits.row[counted & (hits.layer == number)].tolist()) for number in range(len(LAYERS))}
    found = []
    for number, name in enumerate(LAYERS):
        mine = hits.layer == number
        others: set[int] = set().union(*(rows for n, rows in by_layer.items() if n != number))
        at = {f"{level:.2f}": mine & (hits.strength >= np.float32(level)) for level in LEVELS}
        found.append(
            Layer(
                name,
                {level: len(np.unique(hits.row[where])) for level, where in at.items()},
                len(by_layer[number]),
                len(by_layer[number] - others),
                len(np.unique(hits.item[mine & counted])),
            )
        )
    return found


def _items(table: _Table, counted: npt.NDArray[np.bool_]) -> list[Found]:
    hits = table.hits.take(counted)
    rows: dict[int, set[int]] = defaultdict(set)
    best: dict[int, int] = {}
    for at in np.lexsort((hits.layer, -hits.strength)).tolist():
        best.setdefault(int(hits.item[at]), at)
        rows[int(hits.item[at])].add(int(hits.row[at]))
    found = [
        Found(
            table.names[item],
            len(rows[item]),
            LAYERS[hits.layer[at]],
            parts()[hits.part[at]],
            round(float(hits.strength[at]), 4),
        )
        for item, at in best.items()
    ]
    return sorted(found, key=lambda f: (-f.documents, f.item))


def _benchmarks(items: list[str], benchmarks: Sequence[Mapping[str, Any]], hit: set[str]) -> list[Kept]:
    """Items stand in the order of their benchmarks."""
    found, first = [], 0
    for said in benchmarks:
        mine = items[first : first + int(said["items"])]
        first += len(mine)
        without = [name.partition("/")[2] for name in mine if name not in hit]
        found.append(Kept(str(said["key"]), len(mine), len(mine) - len(without), without))
    return found


def _chosen(table: _Table, counted: npt.NDArray[np.bool_], many: int) -> list[tuple[bytes, str, str, str, float]]:
    """(document, item, layer, part, strength) of ``many`` hits: layers in turn, the strongest first, items once."""
    hits = table.hits.take(counted)
    # Of equally strong ones the document with the lowest id, whatever order they were written in.
    ids = np.argsort(np.argsort(np.array([i.hex() for i in table.ids]))) if table.ids else np.zeros(0, np.int64)
    order = np.lexsort((ids[hits.row], hits.item, -hits.strength))
    queues = [[at for at in order.tolist() if hits.layer[at] == number] for number in range(len(LAYERS))]
    chosen: list[tuple[bytes, str, str, str, float]] = []
    seen: set[int] = set()
    while any(queues) and len(chosen) < many:
        for queue in queues:
            while queue and int(hits.item[queue[0]]) in seen:
                queue.pop(0)
            if queue and len(chosen) < many:
                at = queue.pop(0)
                item = int(hits.item[at])
                seen.add(item)
                part, layer = parts()[hits.part[at]], LAYERS[hits.layer[at]]
                chosen.append((table.ids[hits.row[at]], table.names[item], layer, part, float(hits.strength[at])))
    return chosen


def folded(names: Sequence[str]) -> str:
    """Names in few words: those that differ in the number at their end alone are told as ranges, ``HumanEval/0-5, 7``."""
    heads: dict[str, list[int]] = {}
    said: list[str] = []
    for name in names:
        digits = len(name) - len(name.rstrip("0123456789"))
        head, number = (name[:-digits], name[-digits:]) if digits else (name, "")
        if number and str(int(number)) == number:
            heads.setdefault(head, []).append(int(number))
        else:
            said.append(name)
    for head, numbers in heads.items():
        numbers.sort()
        runs: list[list[int]] = []
        for one in numbers:
            if runs and one == runs[-1][1] + 1:
                runs[-1][1] = one
            else:
                runs.append([one, one])
        said.append(head + ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs))
    return "; ".join(said)
