"""Reading a source's splits: those that can be read from anywhere, and pieces of files that are being cut meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from curate.errors import DamagedInputError, InputError
from curate.fingerprint import fingerprint
from curate.recipe.plan import PlannedStep
from curate.run.inputs import CutTask, split_identity
from curate.run.row_step import RowStep
from curate.run.segment import SegmentTask
from curate.run.task import Task
from curate.stages.source import Source, Split

if TYPE_CHECKING:
    from curate.run.engine import Engine

Done = Callable[[tuple[str, ...], str, Task], Any]
"""What gives the receipt of a task of some steps: by doing it, or only if it was done."""


@dataclass(frozen=True)
class Reading:
    """What the tasks of a segment that begins with a source have in common.

    Attributes:
        head: the source step.
        steps: the filters after it.
        names: ids of all of them, for progress.
        folder: where they commit.
        chain: identity of all steps of the segment.
    """

    engine: Engine
    head: PlannedStep
    steps: tuple[RowStep, ...]
    names: tuple[str, ...]
    folder: str
    chain: str

    @property
    def source(self) -> Source:
        """The source."""
        assert isinstance(self.head.stage, Source)
        return self.head.stage

    @cached_property
    def _meaning(self) -> str:
        return self.source.fingerprint()

    def task(self, split: Split, limit: int | None = None) -> SegmentTask:
        """The task that reads a split."""
        sample, identity = self.engine.plan.options.sample, split_identity(split)
        return SegmentTask(
            self.engine.store,
            self.folder,
            fingerprint(self.chain, identity, limit),
            # Where the rows came from, whatever the thresholds: measurements are kept under it.
            fingerprint(self._meaning, self.head.id, identity, sample, limit),
            self.steps,
            self.source,
            split,
            self.head.id,
            None,
            sample,
            limit,
            self.engine.plan.removals,
        )

    def cuts(self, splits: list[Split]) -> dict[str, CutTask]:
        """By digest of the split: the tasks that cut what can only be read from its beginning."""
        engine, size = self.engine, self.engine.settings.split_bytes
        # A piece ends where a line is too long for any document.
        longest = getattr(self.source, "max_document_bytes", None)
        return {
            s.digest: CutTask(
                engine.store,
                f"pieces/{s.digest[:16]}",
                fingerprint(s.digest, size, longest, "blocks"),
                self.source,
                s,
                size,
            )
            for s in splits
            if s.sequential
        }

    def run(self, splits: list[Split]) -> list[Any]:
        """Read the splits; receipts in input order."""
        cuts = self.cuts(splits)
        seen = dict.fromkeys((cut.key for cut in cuts.values()), 0)

        def follow(task: Task) -> list[Task]:
            """Pieces are read as soon as they are there."""
            if not isinstance(task, CutTask):
                return []
            pieces = list(task.pieces_from(seen[task.key]))
            seen[task.key] += len(pieces)
            return [self.task(task.split_of(piece)) for piece in pieces]

        whole = {split.digest: self.task(split) for split in splits if not split.sequential}
        packed = sum(cut.split.bytes for cut in cuts.values())
        found = self.engine.tasks(self.names, "reading", [*cuts.values(), *whole.values()], follow, packed)
        return [found[(whole.get(split.digest) or self.task(split)).key] for split in _with_pieces(splits, cuts, found)]

    def first(self, splits: Iterable[Split], limit: int, done: Done) -> tuple[list[Split], list[Any]] | None:
        """One split after the other, until there are enough documents: those that were read, and their receipts.

        Args:
            splits: asked for as they are read; what comes behind them is not looked at.
            done: gives a task's receipt; None ends it all.
        """
        read, receipts = list[Split](), list[Any]()
        for split in splits:
            read.append(split)
            cuts, cut = self.cuts([split]), dict[str, Any]()
            for task in cuts.values():
                if (pieces := done((self.head.id,), "cutting", task)) is None:
                    return None
                cut[task.key] = pieces
            for each in _with_pieces([split], cuts, cut):
                if (receipt := done(self.names, "reading", self.task(each, limit))) is None:
                    return None
                receipts.append(receipt)
                limit -= receipt["counts"][self.head.id]["rows_out"]
                if limit <= 0:
                    return read, receipts
        return read, receipts


def first_documents(
    engine: Engine, reading: Reading, limit: int, check: Callable[[], None]
) -> tuple[list[Split], list[Any]]:
    """The splits of a segment's source that its first documents come from, and their receipts. What comes behind them is
    listed, and neither hashed nor read.

    Args:
        check: called before anything is read.
    """
    checked = False

    def done(names: tuple[str, ...], what: str, task: Task) -> Any:
        nonlocal checked
        receipt = engine.store.read_whole(task.receipt)
        if receipt is not None:
            return receipt
        if not checked:
            check()
            checked = True
        return engine.tasks(names, what, [task])[task.key]

    found = _one_by_one(engine, reading, limit, done)
    assert found is not None
    return found


def known_first(engine: Engine, reading: Reading, limit: int) -> list[Split] | None:
    """The same splits, if all of them have been read; None where one would have to be."""
    found = _one_by_one(engine, reading, limit, lambda *asked: engine.store.read_whole(asked[-1].receipt))
    return None if found is None else found[0]


def _one_by_one(engine: Engine, reading: Reading, limit: int, done: Done) -> tuple[list[Split], list[Any]] | None:
    engine.nothing_listed()
    engine.digests.one_by_one = reading.source.one_by_one
    try:
        found = reading.first(_each_split(engine, reading), limit, done)
    except DamagedInputError as error:
        if engine.leaves_out(error):
            return _one_by_one(engine, reading, limit, done)
        raise
    finally:
        engine.digests.one_by_one = False
        engine.digests.save()
    if found is not None:
        engine.say_read(reading.head, found[0])
    return found


def _each_split(engine: Engine, reading: Reading) -> Iterator[Split]:
    """Errors of a source that looks for splits say where the recipe has it; those of tasks know better where they are."""
    try:
        yield from reading.source.each_split(
            engine.plan.recipe.path.parent, engine.digests, engine.settings.split_bytes
        )
    except DamagedInputError:
        raise  # its place is the file's path, by which it may be set aside
    except InputError as error:
        raise in_recipe(error, reading.head) from None


def in_recipe(error: InputError, step: PlannedStep) -> InputError:
    """The same, with the place of a step in its recipe."""
    place = f"{step.step.place}: {error.place}" if error.place else step.step.place
    return InputError(error.cause, place=place, cure=error.cure)


def _with_pieces(splits: list[Split], cuts: dict[str, CutTask], receipts: dict[str, Any]) -> list[Split]:
    """Splits in order, those that were cut as their pieces."""
    result: list[Split] = []
    for split in splits:
        cut = cuts.get(split.digest)
        result += [cut.split_of(piece) for piece in receipts[cut.key]] if cut is not None else [split]
    return result
