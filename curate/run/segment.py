"""A segment: consecutive row-local steps, fused into one task per split that streams its batches once.

A segment that begins with a source writes the survivors' text once. One that begins with parts writes no text at
all: an overlay beside each part says which rows go and holds the columns that were added. Only where a step of it
edits text, it writes the survivors anew, as a part of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from curate.errors import DamagedError
from curate.run.measured import signals_folder
from curate.run.mend import CURE, check_file
from curate.run.quarantine import Lethal, RowTask
from curate.run.row_step import RowStep
from curate.run.stream import Stream
from curate.stages.catalog import check_unchanged
from curate.stages.removals import Removals
from curate.stages.source import Source, Split
from curate.store.files import crash_point
from curate.store.records import Part


@dataclass(frozen=True)
class SegmentTask(RowTask):
    """Streams one split, or one part, through the steps of a segment.

    Attributes:
        root: lineage of the text, under which measurements are kept for later runs with other thresholds.
        steps: the filters, in order.
        source, split, source_id: what to read when the segment begins with a source.
        part: what to read otherwise.
        sample, limit: see recipe.plan.Options; limit counts down over the splits of a source.
        removals: documents of the source that must not be used.
        in_slices: whether steps get batches as small as can be; results are the same.
        lethal: rows that steps must not see: they are dropped there, for killing workers.
    """

    root: str
    steps: tuple[RowStep, ...]
    source: Source | None = None
    split: Split | None = None
    source_id: str = ""
    part: Part | None = None
    sample: float = 1.0
    limit: int | None = None
    removals: Removals | None = None
    in_slices: bool = False
    lethal: tuple[Lethal, ...] = ()

    @property
    def writes_text(self) -> bool:
        """Whether it makes a base file, and not an overlay."""
        return self.part is None or any(step.stage.edits() for step in self.steps)

    @property
    def kinds(self) -> frozenset[str]:
        """Those of its steps."""
        return frozenset(step.stage.runs_on for step in self.steps if step.stage.runs_on)

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "segment"

    @property
    def place(self) -> str:
        """The split, or the part."""
        if self.split is None:
            return f"step '{self.steps[-1].id}', part {self.key[:12]}"
        return f"{self.split.name} [{self.split.start}, {self.split.stop})"

    @property
    def depth(self) -> int:
        """How many filters there are."""
        return len(self.steps)

    def step_at(self, number: int) -> str:
        """Id of a filter."""
        return self.steps[number].id

    def careful(self, lethal: tuple[Lethal, ...] = ()) -> SegmentTask:
        """In slices, without some rows."""
        return replace(self, in_slices=True, lethal=lethal)

    def rehearse(self, start: int, stop: int, depth: int) -> dict[str, Any]:
        """Take some rows through the first filters and keep nothing; see RowTask."""
        with ExitStack() as stack:
            near = stack.enter_context(self._near())
            return Stream(replace(near, steps=self.steps[:depth]), stack, keeps=False).rehearse(start, stop)

    @property
    def size(self) -> int:
        """Bytes of input, for progress."""
        return self.split.bytes if self.split else self.part.bytes if self.part else 0

    @property
    def cost(self) -> int | None:
        """Bytes of input."""
        return self.size

    def settled(self, value: dict[str, Any]) -> dict[str, Any]:
        """With pointers put that make side tables known to later runs, whatever becomes of this step's receipt.

        Two steps may measure the same, of texts that were edited in between. Where a killed attempt came so far, its
        table is the one: it has the same rows.
        """
        signals = dict(value["signals"])
        for step in self.steps:
            if step.id in signals:
                pointer = f"{signals_folder(step.measure, self.root)}/{self.key}-{step.id}.json"
                signals[step.id] = self.store.put_if_absent(pointer, {"file": signals[step.id]})["file"]
        return {**value, "signals": signals}

    def work(self) -> dict[str, Any]:
        """Stream the batches; returns the receipt: the part, counts by step, side tables."""
        with ExitStack() as stack:
            stream = Stream(stack.enter_context(self._near()), stack)
            stream.run()
            stack.close()
        if self.split is not None:
            check_unchanged(self.split.files())  # what was read of a file that was changed since is not committed
        crash_point("segment.before-data")
        return stream.receipt()

    @contextmanager
    def _near(self) -> Iterator[SegmentTask]:
        """The same task; where it reads a piece of a file that was cut, which lies in the store, it reads it from a disk.
        Raises DamagedError for a piece that is not what was written."""
        key = self.store.key_of(self.split.path) if self.split is not None else None
        if self.split is None or key is None or not key.startswith("pieces/"):
            yield self
            return
        with ExitStack() as stack:
            try:
                path = stack.enter_context(self.store.reading(key))
                path.stat()
            except FileNotFoundError:
                raise DamagedError("is missing", place=self.store.name(key), cure=CURE) from None
            if self.split.xxh3:
                check_file(self.store.name(key), path, self.split.xxh3)
            yield replace(self, split=replace(self.split, path=str(path)))
