"""Which documents only one of two results has, and what the other one says of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate import schema
from curate.report.dataset_folder import batches, shards
from curate.report.plain import number
from curate.report.run_folder import RunFolder
from curate.store.files import Store
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
    folder: Store | None = None
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
        for shard in shards(self.folder):
            for batch in batches(self.folder.data(shard.key)):
                if not {"id", "content_hash"} <= {*batch.schema.names}:
                    return
                yield np.concatenate([_unhex(batch.column(name)) for name in ("id", "content_hash")], axis=1)


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
    kinds = {("", NOT_READ): 0, ("", NOT_KEPT): 1}
    not_dropped = len(kinds)
    why = np.zeros(len(ids), np.int32)
    for rows in _bases(run):
        why[_found(rows, ids)[1]] = 1
    for rows in _dropped(run):
        hits, at = _found(rows, ids)
        pairs = zip(*(rows.column(name).filter(hits).to_pylist() for name in ("step", "reason")), strict=True)
        codes = np.array([kinds.setdefault(pair, len(kinds)) for pair in pairs], np.int32)
        # A document of two branches may be dropped in both: what is said first counts, and what is written last.
        free = why[at] < not_dropped
        why[at[free][::-1]] = codes[free][::-1]
    counts = np.bincount(why, minlength=len(kinds))
    groups = sorted((pair for pair, code in kinds.items() if counts[code]), key=lambda p: (-counts[kinds[p]], p))
    # Those with the smallest ids, whatever the order in which tables are read.
    shown = {p: [_id(one) for one in ids[np.flatnonzero(why == kinds[p])[:EXAMPLES]]] for p in groups}
    every = [one for ones in shown.values() for one in ones]
    rows_here, rows_there = (side.rows(every, text=False) if side is not None else {} for side in (run, other))
    found = []
    for step, reason in groups:
        sentence = run.steps[step].sentence(reason) if step in run.steps else ""
        examples = []
        for one in shown[step, reason]:
            origin = rows_here[one].origin or (rows_there[one].origin if one in rows_there else "")
            examples.append(Example(one.hex(), origin, _said(run, rows_here[one], step, reason)))
        found.append(Missing(step, reason, sentence, int(counts[kinds[step, reason]]), examples))
    return found


def _found(rows: pa.RecordBatch, ids: Keys) -> tuple[pa.Array, npt.NDArray[np.intp]]:
    """Which rows are of these documents (sorted), and of which of them each of those is."""
    keys = fixed(rows.column("id")).view("S16").reshape(-1)
    at = np.searchsorted(ids, keys).clip(max=len(ids) - 1)
    hits = ids[at] == keys
    return pa.array(hits), at[hits]


def _id(key: bytes) -> bytes:
    return key.ljust(schema.ID_BYTES, b"\0")  # numpy takes zeros at the end for none


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
