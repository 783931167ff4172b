"""What one task of an audit does: try every rule on the documents of a split, and count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.run.documents import documents
from curate.run.row_step import RowStep, edited, text_bytes, with_columns
from curate.run.task import Task
from curate.run.warm import measure
from curate.stages.removals import Removals
from curate.stages.source import Source, Split
from curate.text.batch import Batch

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class AuditTask(Task):
    """Reads a split and tries every rule on its documents; its receipt holds counts alone.

    Attributes:
        steps: the filters, each with the step of the tree that it reads.
        only: the one step whose rules count; None: all.
        removals: documents that are left out.
    """

    source: Source
    split: Split
    source_id: str
    steps: tuple[tuple[RowStep, str], ...]
    only: str | None
    sample: float
    limit: int | None
    removals: Removals | None = None

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "segment"

    @property
    def size(self) -> int:
        """Bytes of input, for progress."""
        return self.split.bytes

    def work(self) -> dict[str, Any]:
        """Counts by step and rule."""
        counts = AuditCounts()
        for read in documents(self.source, self.split, self.source_id, self.sample, self.limit, self.removals):
            counts.set_aside += len(read.aside)
            if read.rows.num_rows:
                counts.add(self, read.rows)
        return counts.receipt()


class AuditCounts:
    """Sums over batches, by names, so that tasks can be added up in any order."""

    def __init__(self) -> None:
        self.documents = self.set_aside = self.broken = 0
        self.steps: dict[str, dict[str, int]] = {}
        self.rules: dict[tuple[str, str], dict[str, int]] = {}
        self.pairs: dict[tuple[tuple[str, str], tuple[str, str]], int] = {}

    def add(self, task: AuditTask, rows: pa.RecordBatch) -> None:
        """Try all rules on a batch of documents."""
        n = rows.num_rows
        after, alive = {task.source_id: Batch(rows)}, {task.source_id: np.ones(n, bool)}
        names: list[tuple[str, str]] = []
        broken: list[Flags] = []
        for step, before in task.steps:
            docs = after[before]
            signals = measure(step, docs)
            seen = docs.with_rows(with_columns(docs.rows, step, signals))
            after[step.id] = edited(step, seen) if step.stage.edits() else seen
            here = alive[before].copy()
            alive[step.id] = here
            if task.only not in (None, step.id):
                continue
            tried = [(reason, _flags(condition)) for reason, condition in step.stage.rules(signals)]
            arrived = int(here.sum())
            for reason, flags in tried:
                names.append((step.id, reason))
                broken.append(flags)
                self._rule(step.id, reason, broken=flags.sum(), first=(flags & here).sum())
                here &= ~flags
            sums = {
                "documents": n,
                "broken": int(np.logical_or.reduce([f for _, f in tried]).sum()) if tried else 0,
                "arrived": arrived,
                "dropped": arrived - int(here.sum()),
                "bytes_in": text_bytes(docs.rows),
                "bytes_out": text_bytes(after[step.id].rows),
            }
            _into(self.steps.setdefault(step.id, {}), sums)
        self.documents += n
        if broken:
            self._together(names, np.stack(broken))

    def _rule(self, step: str, reason: str, **more: int) -> None:
        _into(self.rules.setdefault((step, reason), {"broken": 0, "only": 0, "first": 0}), more)

    def _together(self, names: list[tuple[str, str]], broken: Flags) -> None:
        """Documents that break exactly one rule, and pairs of rules; ``broken`` is bool [rules, documents]."""
        how_many = broken.sum(axis=0)
        self.broken += int((how_many > 0).sum())
        for name, only in zip(names, (broken & (how_many == 1)).sum(axis=1), strict=True):
            self._rule(*name, only=int(only))
        # Whole numbers, exact in float64, which has fast products.
        both = (broken.astype(np.float64) @ broken.T.astype(np.float64)).astype(np.int64)
        for i, j in zip(*np.nonzero(np.triu(both, 1)), strict=True):
            pair = (names[i], names[j])
            self.pairs[pair] = self.pairs.get(pair, 0) + int(both[i, j])

    def receipt(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "documents": self.documents,
            "set_aside": self.set_aside,
            "broken": self.broken,
            "steps": self.steps,
            "rules": [[*name, counts] for name, counts in self.rules.items()],
            "pairs": [[*one, *other, both] for (one, other), both in self.pairs.items()],
        }

    def merge(self, receipt: dict[str, Any]) -> None:
        """Add a task's counts."""
        self.documents += receipt["documents"]
        self.set_aside += receipt["set_aside"]
        self.broken += receipt["broken"]
        for name, counts in receipt["steps"].items():
            _into(self.steps.setdefault(name, {}), counts)
        for step, reason, counts in receipt["rules"]:
            self._rule(step, reason, **counts)
        for a, b, c, d, both in receipt["pairs"]:
            pair = ((a, b), (c, d))
            self.pairs[pair] = self.pairs.get(pair, 0) + both


def _into(sums: dict[str, int], more: dict[str, int]) -> None:
    for name, value in more.items():
        sums[name] = sums.get(name, 0) + int(value)


def _flags(condition: pa.Array) -> Flags:
    return pc.fill_null(condition, False).to_numpy(zero_copy_only=False)
