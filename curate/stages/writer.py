"""The last kind of stage: one that writes the final dataset from rows in one global order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError
from curate.stages.base import Context, Cut, Phase, Read, Span, Stage
from curate.text.batch import Batch

SUMS: Final = "sums"
"""Of what is said of a shard this is for ``report`` alone: the sums over all shards stand there."""


class Writer(Stage):
    """Writes the final dataset from rows in one global order.

    Class attributes a concrete writer sets:
        writes_columns: whether it writes rows with their columns: another text that a step put beside a row's own, too.
    """

    writes_columns: ClassVar[bool] = False

    def map(self, docs: Batch, ctx: Context) -> pa.Table:
        """Rows to write, with KEY (a keyed hash of the id) and WEIGHT (tokens, or 1 for a document)."""
        raise NotImplementedError

    def sort_by(self) -> tuple[str, ...]:
        """Columns after KEY that make the order total."""
        raise NotImplementedError

    def phases(self) -> tuple[Phase, ...]:
        """One exchange, that sorts all rows; a writer may need others before. The last one is ordered."""
        return (Phase("shuffle", (Read(self.map),), self.one_of_each, self.sort_by(), ordered=True, dense=True),)

    def one_of_each(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
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
        self, cut: Cut, rows: Iterator[tuple[int, pa.RecordBatch]], path: Path, side: Path | None, ctx: Context
    ) -> Mapping[str, Any]:
        """Write one shard to ``path`` from (global weight before the batch, batch) pairs that cover the cut, and what
        stands beside it to ``side``; return plain values about it (``rows``, ``tokens``)."""
        raise NotImplementedError

    def file_name(self, cut: Cut, count: int) -> str:
        """The shard's file name in the dataset's folder."""
        raise NotImplementedError

    def side_name(self, cut: Cut, count: int) -> str | None:
        """Name of the table beside the shard, which lies in a folder of its own; None: there is none."""
        return None

    def report(
        self, shards: Sequence[Mapping[str, Any]], sums: Mapping[str, Mapping[str, tuple[int, int]]]
    ) -> Mapping[str, Any]:
        """Plain values for the manifest, from what is said of all shards, and of each phase with groups the rows and the
        weight of each group."""
        return {}

    def finish(
        self, shards: Sequence[Mapping[str, Any]], report: Mapping[str, Any], ctx: Context
    ) -> Mapping[str, bytes]:
        """Small files that complete the dataset's folder, by name."""
        raise NotImplementedError
