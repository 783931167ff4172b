"""The phases of a Global stage, one after the other: what each reads, its exchange, and its rounds until it is done."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pyarrow as pa

from curate.errors import RecipeError
from curate.fingerprint import fingerprint
from curate.recipe.plan import PlannedStep
from curate.run.exchange import PARTITION_BYTES, CutTask, MapTask, even_bounds
from curate.run.map_inputs import Feed, Inputs
from curate.run.order import Order
from curate.run.pieces import Partitions, Share, Sums, spans, sums_of_groups
from curate.run.reduce import ReduceTask, RestTask
from curate.stages.base import DOCUMENTS, MOST_GROUPS, MOST_REPORTED, OUTSIDE, Global, Phase, Read, Span
from curate.stages.writer import Writer
from curate.store.object_file import ObjectFile
from curate.store.parts import common_schema
from curate.store.records import Part
from curate.store.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from curate.run.engine import Engine

MOST_PARTITIONS: Final = 1024
"""Of an exchange. Every map is cut into as many pieces, and every reduce reads one of each map: see docs/scale.md."""
PACK_BYTES: Final = 32 << 20
"""Neighbouring inputs with fewer bytes share a map task, up to so many."""
PACK_ITEMS: Final = 32
"""Most inputs of a map task: what bounds its message to the scheduler."""

Item = TypeVar("Item")
Result = tuple[str, Any]
"""Key and receipt of a task."""


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


@dataclass(frozen=True)
class Work:
    """What one map task is to do.

    Attributes:
        read: which of the phase's reads.
        known: what makes up its inputs' identity.
        mapped: about how many bytes of rows it gives, see Read.row_bytes.
        bytes: of text, where it reads whole documents.
    """

    read: int
    inputs: Feed
    known: tuple[Any, ...]
    mapped: int
    bytes: int = 0


def documents(engine: Engine, parts: list[Part], number: int, read: Read) -> list[Work]:
    """All documents of some parts."""
    schema = _chosen(common_schema(engine.store, parts), read.columns)

    def mapped(item: tuple[int, Part]) -> int:
        # Of columns without the text it is known how large their rows are.
        size = item[1].bytes if read.columns is None or not read.row_bytes else 0
        return max(size, item[1].rows * read.row_bytes)

    return [
        Work(
            number,
            Inputs(parts=tuple(pack), schema=schema, columns=read.columns),
            ("parts", [(number, part.key) for number, part in pack]),
            sum(map(mapped, pack)),
            sum(part.bytes for _, part in pack),
        )
        for pack in packed(list(enumerate(parts)), mapped)
    ]


def _chosen(schema: pa.Schema, columns: tuple[str, ...] | None) -> pa.Schema:
    """The schema of rows of which just these columns, and the id, are read."""
    return schema if columns is None else pa.schema([f for f in schema if f.name == "id" or f.name in columns])


class Exchange:
    """The maps of a phase, and where what they write lies.

    Args:
        phase: which of the stage's.
        work: for its maps; how many partitions it has, what they give decides: results do not depend on it.
        name: what a user reads, where it is not the phase's.
    """

    def __init__(
        self,
        engine: Engine,
        step: PlannedStep,
        stage: Global | Writer,
        identity: str,
        folder: str,
        phase: int,
        work: list[Work],
        name: str = "",
    ) -> None:
        self.engine, self.step, self.stage = engine, step, stage
        self.identity, self.folder, self.number = identity, folder, phase
        self.ctx = engine.context(step)
        self.phase = stage.phases()[phase]
        self.name = name or self.phase.name
        size = sum(each.mapped for each in work)
        self.partitions = engine.settings.partitions or max(1, min(MOST_PARTITIONS, -(-size // PARTITION_BYTES)))
        self.maps = [self._map(each) for each in work]

    def _map(self, work: Work) -> MapTask:
        key = fingerprint(self.identity, self.number, work.read, work.known, self.partitions)
        how = (self.stage, self.ctx, self.number, self.partitions)
        return MapTask(self.engine.store, self.folder, key, *how, work.read, work.inputs, work.mapped, work.bytes)

    def run(self) -> tuple[Partitions, list[Span]]:
        """Where each partition's rows are, and Span of each that has rows, in key order."""
        mapped, partitions = self.engine.tasks((self.step.id,), f"{self.name}: map", self.maps), Partitions()
        if not self.phase.even and self.partitions > 1:
            mapped = self._cut(mapped)
        for task in self.maps:
            if mapped[task.key]["file"]:
                partitions.add(mapped[task.key]["file"], mapped[task.key]["index"])
        sums = partitions.sums()
        self._check_groups(sums.values())
        return partitions, spans(list(sums.values()), all_groups=self.phase.all_groups)

    def _cut(self, mapped: Mapping[str, Any]) -> dict[str, Any]:
        """What maps wrote as a whole, cut into partitions of about equal size; receipts by the maps' keys."""
        written = {task.key: mapped[task.key] for task in self.maps if mapped[task.key]["file"]}
        bounds = tuple(even_bounds((r["sample"] for r in written.values()), self.partitions).tolist())
        cuts = {}
        for key, receipt in written.items():
            runs = tuple(receipt["index"]["batches"])
            above = fingerprint("cut", key, bounds)
            cuts[key] = CutTask(self.engine.store, self.folder, above, receipt["file"], runs, bounds, self.phase.group)
        done = self.engine.tasks((self.step.id,), f"{self.phase.name}: cut", cuts.values())
        return {**mapped, **{key: done[task.key] for key, task in cuts.items()}}

    def _check_groups(self, sums: Iterable[tuple[int, int, Sums]]) -> None:
        """Raise RecipeError when there are more groups than sums are held for."""
        groups: set[str] = set()
        for _, _, inner in sums:
            groups.update(inner)
            if len(groups) > MOST_GROUPS:
                raise RecipeError(
                    f"{self.phase.group_label}: has more than {MOST_GROUPS:,} different values",
                    place=f"{self.step.step.place}: step {self.step.id}",
                    cure="name a column with fewer, as the source or the language",
                )


class Phases:
    """Runs the phases of a stage; afterwards it knows what each gave.

    Attributes:
        results: of each phase that is reduced the tasks that gave rows, by its name.
        orders: of each that is ordered where its rows are.
        sums: of each phase with groups the rows and the weight of each group.
    """

    def __init__(
        self, engine: Engine, step: PlannedStep, stage: Global | Writer, identity: str, folder: str, parts: list[Part]
    ) -> None:
        self._engine, self._step, self._stage = engine, step, stage
        self._identity, self._folder, self._parts = identity, folder, parts
        self.results: dict[str, list[Result]] = {}
        self.orders: dict[str, Order] = {}
        self.sums: dict[str, dict[str, tuple[int, int]]] = {}

    def run(self) -> None:
        """All phases, in order."""
        for number, phase in enumerate(self._stage.phases()):
            with ExitStack() as stack:
                work = [w for i, read in enumerate(phase.reads) for w in self._work(i, read, stack)]
                if phase.ordered:
                    self.orders[phase.name] = self._ordered(number, work)
                else:
                    run = self._once if phase.rounds is None else self._in_rounds
                    self.results[phase.name] = run(number, phase, work)

    def naming(self, phase: str) -> Partitions:
        """Where the rows of a phase are that name rows of each part."""
        found = Partitions()
        for _, receipt in self.results[phase]:
            found.add(receipt["file"], receipt["index"])
        return found

    def rows(self, phase: str) -> pa.Table | None:
        """All rows of a phase that is reported; None where there are none. Raises TypeError for one with many."""
        if (count := sum(receipt["rows"] for _, receipt in self.results[phase])) > MOST_REPORTED:
            raise TypeError(f"{self._stage.name} reports phase {phase}, which has {count:,} rows")
        tables = [read_table(self._engine.store.data(receipt["file"])) for _, receipt in self.results[phase]]
        return pa.concat_tables(tables) if tables else None

    # -- what a phase reads ---------------------------------------------------------------------------------

    def _work(self, number: int, read: Read, stack: ExitStack) -> Iterator[Work]:
        if read.at is not None:
            yield from self._named(number, read, stack)
        elif read.windows is not None:
            order = self.orders[read.of]
            windows = list(read.windows(order.weight))
            for known, some, size in stack.enter_context(order.cut(self._engine.store, self._folder, windows)):
                yield Work(number, some, ("windows", known), size)
        elif read.of == DOCUMENTS:
            yield from documents(self._engine, self._parts, number, read)
        elif read.of in self.results:
            yield from _files(number, self.results[read.of])
        else:
            yield from _tables(number, read.of, list(enumerate(self._tables(read.of))))

    def _tables(self, name: str) -> Sequence[Path | ObjectFile]:
        assert isinstance(self._stage, Global)
        return self._stage.tables(self._engine.context(self._step))[name]

    def _named(self, number: int, read: Read, stack: ExitStack) -> Iterator[Work]:
        """Just the rows of documents, or of a table, that an earlier phase names."""
        assert read.at is not None
        naming = self.naming(read.at)
        shares = stack.enter_context(naming.published(self._engine.store, self._folder))
        rows = {part: count for part, (count, _, _) in naming.sums().items()}
        above = fingerprint([key for key, _ in self.results[read.at]])
        if read.of == DOCUMENTS:
            chosen = [
                (n, self._parts[n], rows[n] * (read.row_bytes or p.bytes // p.rows))
                for n, p in enumerate(self._parts)
                if n in shares
            ]
            schema = _chosen(common_schema(self._engine.store, [part for _, part, _ in chosen]), read.columns)
            for pack in packed(chosen, lambda item: item[2]):
                inputs = Inputs(
                    parts=tuple((n, part) for n, part, _ in pack),
                    schema=schema,
                    columns=read.columns,
                    named=tuple(shares[n] for n, _, _ in pack),
                )
                known = ("parts", [(n, part.key) for n, part, _ in pack], above)
                size = sum(size for _, _, size in pack)
                yield Work(number, inputs, known, size)
            return
        named = [(place, path) for place, path in enumerate(self._tables(read.of)) if OUTSIDE + place in shares]
        yield from _tables(number, read.of, named, shares, above)

    # -- how it runs ------------------------------------------------------------------------------------------

    def _exchange(self, number: int, name: str, work: list[Work]) -> list[Result]:
        if not work:
            return []
        engine, stage, folder = self._engine, self._stage, self._folder
        one = Exchange(engine, self._step, stage, self._identity, folder, number, work, name)
        partitions, where = one.run()
        self._add_up(one.phase, partitions)
        sizes, above = partitions.bytes(), fingerprint([task.key for task in one.maps])

        def reduce(partition: int, share: Share, span: Span) -> ReduceTask:
            key = fingerprint(self._identity, number, "reduce", partition, one.partitions, above)
            return ReduceTask(engine.store, folder, key, stage, one.ctx, number, share, sizes[partition], span)

        with partitions.published(engine.store, folder) as shares:
            reduces = [reduce(p, share, span) for (p, share), span in zip(shares.items(), where, strict=True)]
            reduced = engine.tasks((self._step.id,), f"{name}: reduce", reduces)
        return [(task.key, reduced[task.key]) for task in reduces]

    def _add_up(self, phase: Phase, partitions: Partitions) -> None:
        """Note the sums of its groups."""
        if phase.group is not None:
            self.sums[phase.name] = {n: (r, w) for n, (r, w) in sums_of_groups(partitions.sums().values()).items()}

    def _ordered(self, number: int, work: list[Work]) -> Order:
        """Where rows are that nobody reduces."""
        one = Exchange(self._engine, self._step, self._stage, self._identity, self._folder, number, work)
        partitions, where = one.run()
        self._add_up(one.phase, partitions)
        return Order(number, fingerprint([task.key for task in one.maps]), partitions, tuple(where))

    def _once(self, number: int, phase: Phase, work: list[Work]) -> list[Result]:
        return [result for result in self._exchange(number, phase.name, work) if result[1]["file"]]

    def _in_rounds(self, number: int, phase: Phase, work: list[Work]) -> list[Result]:
        """Until no row is marked; the tasks of a round are known by the tasks whose rows they read, and so by all before."""
        assert phase.rounds is not None
        source = phase.reads[0].of
        left = self.results[source]
        done: list[Result] = []
        for round_ in itertools.count(1):
            if sum(r["rows"] for _, r in left) <= phase.rounds.few:
                return done + self._rest(number, phase, left)
            results = self._exchange(number, f"{phase.name}, round {round_}", work)
            done += [result for result in results if result[1]["file"]]
            left = [(key, r["again"]) for key, r in results if "again" in r]
            work = list(_files(0, left))
        raise AssertionError

    def _rest(self, number: int, phase: Phase, left: list[Result]) -> list[Result]:
        if not left:
            return []
        key = fingerprint(self._identity, number, "rest", [key for key, _ in left])
        files, size = tuple(r["file"] for _, r in left), sum(r["bytes"] for _, r in left)
        ctx = self._engine.context(self._step)
        task = RestTask(self._engine.store, self._folder, key, self._stage, ctx, number, files, size)
        receipt = self._engine.tasks((self._step.id,), f"{phase.name}: rest", [task])[key]
        return [(key, receipt)] if receipt["file"] else []


def _files(number: int, results: list[Result]) -> Iterator[Work]:
    """Reduced rows."""
    for pack in packed(results, lambda result: int(result[1]["bytes"])):
        inputs = Inputs(files=tuple(r["file"] for _, r in pack))
        yield Work(number, inputs, ("files", [key for key, _ in pack]), sum(r["bytes"] for _, r in pack))


def _tables(
    number: int,
    table: str,
    files: list[tuple[int, Path | ObjectFile]],
    shares: Mapping[int, Share] | None = None,
    above: str = "",
) -> Iterator[Work]:
    """Files of a table from outside, each with its number in it; ``shares`` name rows of each. The step's fingerprint stands
    for what is in all of them, a task for rows in places: by their names, which no other files have."""
    sized = [(place, file.name, file.stat().st_size if isinstance(file, Path) else file.size) for place, file in files]
    for pack in packed(sized, lambda item: item[2]):
        numbers = tuple(place for place, _, _ in pack)
        named = tuple(shares[OUTSIDE + place] for place in numbers) if shares is not None else ()
        known = ("table", table, [(place, name) for place, name, _ in pack], above)
        inputs = Inputs(table=table, numbers=numbers, named=named)
        yield Work(number, inputs, known, sum(size for _, _, size in pack))
