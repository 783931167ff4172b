"""Texts that a user names: files, a folder, or what a step of a run gives; to be read as often as one likes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from curate.errors import RecipeError
from curate.report.inspect import end_of_segment
from curate.report.run_folder import RunFolder, is_run, open_run
from curate.report.scoring import FORMATS, source_for, splits_of
from curate.stages.source import SetAside
from curate.store.files import store_at

_COLUMNS: Final = ("text", "source", "meta")


class Texts:
    """A dataset's rows, with the columns ``text``, ``source`` and ``meta`` and those that a run's steps added.

    Attributes:
        name: as the user gave it.
        bytes: about how many are read; what ``numbered`` tells adds up to it.
        set_aside: records that are no documents, by reason, when they have been read once.
        notes: what a reader must know.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.bytes = 0
        self.set_aside: dict[str, int] = {}
        self.notes: list[str] = []

    def numbered(self, read: Callable[[int], None] = lambda _: None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Batches, each with the number of its first row; ``read`` is told how many bytes were read since the last time."""
        start = 0
        for batch in self._batches(read):
            yield start, batch
            start += batch.num_rows

    def _batches(self, read: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
        raise NotImplementedError


class _Files(Texts):
    def __init__(self, name: str, text: str) -> None:
        super().__init__(name)
        self._stage = source_for([name], text)
        self._splits = splits_of(self._stage)
        self.bytes = sum(split.bytes for split in self._splits)

    def _batches(self, read: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
        self.set_aside.clear()
        for split in self._splits:
            for item in self._stage.read(split, "file"):
                if isinstance(item, SetAside):
                    self.set_aside[item.reason] = self.set_aside.get(item.reason, 0) + 1
                else:
                    yield item
            read(split.bytes)


class _Step(Texts):
    def __init__(self, name: str, run: RunFolder, step: str | None, columns: tuple[str, ...]) -> None:
        super().__init__(name)
        if step is not None and step not in run.steps:
            raise RecipeError(
                f"the run has no step '{step}'", place=str(run.store), cure=f"it has: {', '.join(run.steps)}"
            )
        ends = run.ends() if step is None else [run.steps[step]]
        self._run, self._columns, parts = run, columns, {}
        for end in ends:
            last, between = end_of_segment(run, end)
            if between:
                self.notes.append(f"what '{end.id}' gave is here without what {', '.join(between)} dropped after it")
            parts.update({part.key: part for part in last.record.parts})
        self._parts = list(parts.values())
        self.bytes = sum(part.bytes for part in self._parts)
        if run.note:
            self.notes.append(run.note)

    def _batches(self, read: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
        for part in self._parts:
            yield from self._run.visible(part, self._columns)
            read(part.bytes)


def open_texts(name: str, text: str, by: str) -> Texts:
    """The rows of a file, a folder or a pattern (``text``: the field that holds the text), or of ``RUN`` or ``RUN:STEP``;
    ``by`` is a column that is wanted too, or ``meta.FIELD``.

    Raises InputError or RecipeError for what is neither.
    """
    path = Path(name)
    plain = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    files = any(plain.endswith(end) for _, ends in FORMATS for end in ends)
    if files or "*" in name or (path.is_dir() and not is_run(store_at(name))):
        return _Files(name, text)
    run, colon, step = name.rpartition(":")
    known = colon and not step.startswith("//") and not path.exists()
    columns = tuple(dict.fromkeys([*_COLUMNS, *([] if by.startswith("meta.") else [by])]))
    return _Step(name, open_run(run if known else name), step if known else None, columns)
