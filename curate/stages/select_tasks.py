"""select.tasks: queries drawn task by task, as FLAN-like collections are sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.stages.amounts import Count
from curate.stages.base import KEY, PART, ROW, VERDICTS, WEIGHT, Context, Global, Phase, Read, Span
from curate.stages.registry import register
from curate.stages.select_ranked import GROUP, Places
from curate.stages.strata import META, columns_of, strata
from curate.text.batch import Batch

_ROW_BYTES: Final = 64
"""A row without its text: hash, weight, task, id, address."""


@register("select.tasks")
class SelectTasks(Global):
    """Draw rows as Orca (arXiv 2306.02707, algorithm 1) draws queries: a task, each as likely as any other, then one of its
    rows that was not drawn yet, until there are ``rows``; a task without rows left is drawn no more.

    So small tasks are taken whole and large ones alike, however much larger some are than others. ``per_task`` bounds what
    comes of one task, as a task that has no more rows; without ``rows`` all that it lets through stay. Rows without a task
    are a task of their own.

    It is the sequential process itself, not its expectation: how many rows of each task exist is counted, the tasks are drawn
    one after the other with hashes as dice, and each task's rows are taken in the order of a keyed hash of their ids. What is
    drawn depends on ids, tasks and seed, never on files, partitions or order; what fewer ``rows`` draw is among what more do.

    Reasons: `over_cap` for rows behind the first ``per_task`` of their task, else `not_drawn`.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = {
        "over_cap": "its task has `per_task` rows before it in the order of a keyed hash",
        "not_drawn": "`rows` were drawn before it was its turn",
    }

    rows: Count | None = Field(
        None, ge=1, description="how many are drawn: 2500000, or 2.5M; null: all that per_task lets"
    )
    per_task: Count | None = Field(None, ge=1, description="at most so many of a task; null: all of them")
    task: str = Field("meta.task", description="column, or field of `meta`, that names a row's task")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.rows is None and self.per_task is None:
            raise ValueError("neither rows nor per_task: nothing would be dropped")
        return self

    def reads(self) -> frozenset[str]:
        """The task's column, where it is one."""
        return columns_of(self.task)

    def counted_by(self) -> str | None:
        """The task."""
        return self.task

    def phases(self) -> tuple[Phase, ...]:
        """One: rows in the order of a hash, counted by task."""
        column = "meta" if self.task.startswith(META) else self.task
        read = Read(self._map, columns=("id", column), row_bytes=_ROW_BYTES)
        return (
            Phase("draw", (read,), self._drawn, ("id",), GROUP, f"task: {self.task}", all_groups=self.rows is not None),
        )

    def _map(self, docs: Batch, ctx: Context) -> pa.Table:
        from curate.text.hashing import keyed_hash

        return pa.table(
            {
                KEY: pa.array(keyed_hash(docs.column("id"), ctx.key(ctx.step, "order"))),
                WEIGHT: pa.array(np.zeros(len(docs), np.int64)),
                GROUP: strata(docs, self.task),
                "id": docs.column("id"),
                PART: docs.column(PART),
                ROW: docs.column(ROW),
            }
        )

    def _drawn(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Verdicts on those that are not drawn."""
        rank = Places(rows, span).rank
        over = rank >= self.per_task if self.per_task is not None else np.zeros(len(rank), np.bool_)
        late = np.zeros(len(rank), np.bool_)
        if self.rows is not None:
            draws = self.draws({task: there for task, (there, _) in span.everything.items()}, ctx)
            tasks = pc.dictionary_encode(rows.column(GROUP).combine_chunks())
            taken = np.array([draws[task] for task in tasks.dictionary.to_pylist()], np.int64)
            late = rank >= taken[tasks.indices.to_numpy()] if len(taken) else late
        gone = rows.filter(pa.array(over | late))
        reason = pc.if_else(pa.array(over[over | late]), "over_cap", "not_drawn")
        columns = {PART: gone.column(PART), ROW: gone.column(ROW), "reason": reason}
        return pa.table({**columns, "detail": pa.nulls(gone.num_rows, pa.string())}, VERDICTS)

    def draws(self, there: Mapping[str, int], ctx: Context) -> dict[str, int]:
        """How many rows of each task are drawn; ``there``: how many it has."""
        from curate.text.urns import drawn

        names = sorted(there)
        sizes = np.array([there[name] for name in names], np.int64)
        if self.per_task is not None:
            sizes = np.minimum(sizes, self.per_task)
        if self.rows is None:
            return dict(zip(names, sizes.tolist(), strict=True))
        return dict(zip(names, drawn(sizes, self.rows, ctx.key(ctx.step, "tasks")).tolist(), strict=True))
