"""Reading a source's splits: those that can be read from anywhere, and pieces of files that are being cut meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from curate.fingerprint import fingerprint
from curate.recipe.plan import PlannedStep
from curate.run.inputs import CutTask, split_identity
from curate.run.row_step import RowStep
from curate.run.segment import SegmentTask
from curate.run.task import Task
from curate.stages.source import Source, Split

if TYPE_CHECKING:
    from curate.run.engine import Engine


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
        cuts, limit = self.cuts(splits), self.engine.plan.options.limit
        return self._all(splits, cuts) if limit is None else self._first(splits, cuts, limit)

    def _all(self, splits: list[Split], cuts: dict[str, CutTask]) -> list[Any]:
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

    def _first(self, splits: list[Split], cuts: dict[str, CutTask], limit: int) -> list[Any]:
        """One after the other, until there are enough documents."""
        cut = self.engine.tasks((self.head.id,), "cutting", cuts.values()) if cuts else {}
        receipts: list[Any] = []
        for split in _with_pieces(splits, cuts, cut):
            one = self.task(split, limit)
            receipts.append(self.engine.tasks(self.names, "reading", [one])[one.key])
            limit -= receipts[-1]["counts"][self.head.id]["rows_out"]
            if limit <= 0:
                break
        return receipts


def _with_pieces(splits: list[Split], cuts: dict[str, CutTask], receipts: dict[str, Any]) -> list[Split]:
    """Splits in order, those that were cut as their pieces."""
    result: list[Split] = []
    for split in splits:
        cut = cuts.get(split.digest)
        result += [cut.split_of(piece) for piece in receipts[cut.key]] if cut is not None else [split]
    return result
