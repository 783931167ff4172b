"""The last kind of stage: one that writes the final dataset from rows in one global order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError
from curate.stages.base import Context, Phase, Read, Span, Stage
from curate.text.batch import Batch


@dataclass(frozen=True)
class Cut:
    """One output shard: a range in the global order, in weight."""

    index: int
    start: int
    stop: int


class Writer(Stage):
    """Writes the final dataset from rows in one global order."""

    def map(self, docs: Batch, ctx: Context) -> pa.Table:
        """Rows to write, with KEY (a keyed hash of the id) and WEIGHT (tokens, or 1 for a document)."""
        raise NotImplementedError

    def sort_by(self) -> tuple[str, ...]:
        """Columns after KEY that make the order total."""
        raise NotImplementedError

    def phases(self) -> tuple[Phase, ...]:
        """One exchange, that sorts all rows."""
        return (Phase("shuffle", (Read(self.map),), self._sorted, self.sort_by()),)

    def _sorted(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Sorted rows as they are; an id that comes twice means that branches were joined that share documents."""
        ids = rows.column("id").combine_chunks()
        same = pc.equal(ids.slice(1), ids.slice(0, max(0, len(ids) - 1)))
        if pc.any(same).as_py():
            which = ids[pc.index(same, True).as_py()].as_py().hex()
            raise InputError(
                f"document {which} comes twice",
                place=f"step {ctx.step}",
                cure="two rows of a source share an id, or 'from' joins steps that hold the same documents",
            )
        return rows

    def layout(self, total_weight: int) -> list[Cut]:
        """The shards, a pure function of the total weight."""
        raise NotImplementedError

    def write(
        self, cut: Cut, rows: Iterator[tuple[int, pa.RecordBatch]], path: Path, ctx: Context
    ) -> Mapping[str, Any]:
        """Write one shard to ``path`` from (global weight before the batch, batch) pairs that cover the cut;
        return plain values about it (``rows``, ``tokens``)."""
        raise NotImplementedError

    def file_name(self, cut: Cut, count: int) -> str:
        """The shard's file name in the dataset's folder."""
        raise NotImplementedError

    def finish(self, shards: Sequence[Mapping[str, Any]], total_weight: int, ctx: Context) -> Mapping[str, bytes]:
        """Small files that complete the dataset's folder, by name."""
        raise NotImplementedError
