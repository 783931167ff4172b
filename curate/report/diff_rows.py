"""Which documents only one of two results has, and what the other one says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.report.plain import number
from curate.report.run_folder import RunFolder
from curate.text.arrow import fixed

EXAMPLES: Final = 3
NOT_READ: Final = "not read"
"""Where a run says nothing of a document: its input lacks it, or a sample or a limit left it out."""
NOT_KEPT: Final = "not in the result"
"""Where a document is in the other run, but in no branch that leads to its result."""

Keys = npt.NDArray[np.bytes_]


@dataclass(frozen=True)
class Example:
    """One document: its id, its origin, and what was measured or whom it lost to, in a line."""

    id: str
    origin: str
    said: str


@dataclass
class Missing:
    """Documents that a result lacks for one reason.

    Attributes:
        step, reason: where and why it dropped them; for NOT_READ and NOT_KEPT the step is empty.
        sentence: what the reason means.
    """

    step: str
    reason: str
    sentence: str
    documents: int
    examples: list[Example] = field(default_factory=list)


@dataclass
class Rows:
    """How two results differ in their documents.

    Attributes:
        both: ids that both have.
        edited: of these, with another text.
        only_a, only_b: how many only one has.
        missing_in_a, missing_in_b: why the other one lacks them, most first; empty where it is no run but a copy.
    """

    both: int
    edited: int
    only_a: int
    only_b: int
    missing_in_a: list[Missing] = field(default_factory=list)
    missing_in_b: list[Missing] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether both have the same documents."""
        return not (self.edited or self.only_a or self.only_b)


@dataclass(frozen=True)
class Side:
    """A result whose documents are compared: a run, or a dataset's folder that was copied away.

    Attributes:
        writer: only the documents of this dataset; None: all of the run's results.
    """

    run: RunFolder | None
    folder: Path | None = None
    writer: str | None = None

    def documents(self) -> Keys | None:
        """(id, content hash) of every document, sorted by id, each id once; None where a copy does not name them."""
        found = [np.empty((0, 32), np.uint8), *(self._of_run() if self.run is not None else self._of_folder())]
        rows = np.concatenate([f for f in found if f is not None])
        if self.run is None and len(found) == 1:
            return None
        keys = rows.view("S16").reshape(-1, 2)
        order = np.argsort(keys[:, 0], kind="stable")
        keys = keys[order]
        first = np.concatenate(([True], keys[1:, 0] != keys[:-1, 0])) if len(keys) else np.zeros(0, bool)
        return keys[first]

    def _of_run(self) -> Iterator[npt.NDArray[np.uint8]]:
        assert self.run is not None
        names = self.run.steps[self.writer].inputs if self.writer is not None else [s.id for s in self.run.ends()]
        for part in {p.key: p for name in names for p in self.run.steps[name].record.parts}.values():
            for rows in self.run.visible(part, ["id", "content_hash"]):
                yield np.concatenate([fixed(rows.column("id")), fixed(rows.column("content_hash"))], axis=1)

    def _of_folder(self) -> Iterator[npt.NDArray[np.uint8]]:
        assert self.folder is not None
        for path in sorted(self.folder.glob("*.arrow")):
            with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
                for batch in reader if {"id", "content_hash"} <= {*reader.schema.names} else ():
                    pair = [_unhex(batch.column(name)) for name in ("id", "content_hash")]
                    yield np.concatenate(pair, axis=1)


def _unhex(column: pa.Array) -> npt.NDArray[np.uint8]:
    raw = b"".join(bytes.fromhex(value or "").ljust(16, b"\0") for value in column.to_pylist())
    return np.frombuffer(raw, np.uint8).reshape(-1, 16)


def diff_rows(a: Side, b: Side) -> Rows | None:
    """Compare the documents of two results; None where one of them does not name its documents.

    Holds about 100 bytes for each document of both.
    """
    mine, other = a.documents(), b.documents()
    if mine is None or other is None:
        return None
    common, at_a, at_b = np.intersect1d(mine[:, 0], other[:, 0], assume_unique=True, return_indices=True)
    edited = int((mine[at_a, 1] != other[at_b, 1]).sum())
    only_a, only_b = (np.delete(side[:, 0], at) for side, at in ((mine, at_a), (other, at_b)))
    found = Rows(len(common), edited, len(only_a), len(only_b))
    if b.run is not None:
        found.missing_in_b = _missing(only_a, b.run, a.run)
    if a.run is not None:
        found.missing_in_a = _missing(only_b, a.run, b.run)
    return found


def _missing(ids: Keys, run: RunFolder, other: RunFolder | None) -> list[Missing]:
    """Why a run lacks some documents, by step and reason; ``other`` has them, and knows where they come from."""
    if not len(ids):
        return []
    left = pa.array([one.ljust(16, b"\0") for one in ids.tolist()], schema.ID_TYPE)
    groups: dict[tuple[str, str], int] = {}
    shown: dict[tuple[str, str], list[bytes]] = {}
    seen: set[bytes] = set()
    for rows in _dropped(run):
        for row in rows.filter(pc.is_in(rows.column("id"), value_set=left)).to_pylist():
            # A document of two branches may be dropped in both.
            if row["id"] not in seen:
                seen.add(row["id"])
                _count(groups, shown, (row["step"], row["reason"]), row["id"])
    there = {
        one
        for rows in _bases(run)
        for one in rows.filter(pc.is_in(rows.column("id"), value_set=left)).column("id").to_pylist()
    }
    for one in left.to_pylist():
        if one not in seen:
            _count(groups, shown, ("", NOT_KEPT if one in there else NOT_READ), one)
    found = []
    for key, documents in sorted(groups.items(), key=lambda item: (-item[1], item[0])):
        step, reason = key
        sentence = run.steps[step].sentence(reason) if step in run.steps else ""
        found.append(Missing(step, reason, sentence, documents, _examples(shown[key], run, other, *key)))
    return found


def _count(groups: dict[Any, int], shown: dict[Any, list[bytes]], key: tuple[str, str], one: bytes) -> None:
    groups[key] = groups.get(key, 0) + 1
    # Those with the smallest ids: whatever the order in which tables are read.
    shown[key] = sorted([*shown.get(key, []), one])[:EXAMPLES]


def _examples(ids: Iterable[bytes], run: RunFolder, other: RunFolder | None, step: str, reason: str) -> list[Example]:
    rows = run.rows(ids, text=False)
    elsewhere = other.rows(ids, text=False) if other is not None else {}
    found = []
    for one, row in rows.items():
        origin = row.origin or (elsewhere[one].origin if one in elsewhere else "")
        found.append(Example(one.hex(), origin, _said(run, row, step, reason)))
    return found


def _said(run: RunFolder, row: Any, step: str, reason: str) -> str:
    """What was measured that the reason is about, beside the threshold; else what stands with the row."""
    if step not in run.steps:
        return ""
    made = run.steps[step]
    pairs = []
    for bound in made.bounds(reason):
        value = row.signals.get(step, {}).get(bound.signal)
        if value is not None:
            pairs.append(f"{bound.signal} {number(value)} ({bound.setting} {number(made.settings.get(bound.setting))})")
    return ", ".join(pairs) or str(row.dropped.get(step, ("", ""))[1] or "")


def _dropped(run: RunFolder) -> Iterator[pa.RecordBatch]:
    way = set(run.way())
    # What went on the way into the result first: a branch that only trains may drop it, too.
    for step in sorted(run.steps.values(), key=lambda s: s.id not in way):
        for key in step.record.dropped:
            yield from run.batches(key, ["id", "step", "reason"])


def _bases(run: RunFolder) -> Iterator[pa.RecordBatch]:
    for key in run.bases():
        yield from run.batches(key, ["id"])
