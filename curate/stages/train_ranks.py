"""train.ranks: how the scores of a corpus are distributed, as edges of buckets of equal size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.errors import InputError
from curate.quality import ranks
from curate.quality.sample import Smallest
from curate.stages.base import Context, Trainer
from curate.stages.keep_order import numbers
from curate.stages.registry import register
from curate.text.batch import Batch


@register("train.ranks")
class TrainRanks(Trainer):
    """Find the edges of buckets that hold equal shares of the rows, for each of some columns of scores.

    ``score.ensemble`` with ``how: rank_buckets`` reads them. Exact up to ``max_rows`` rows; of more rows those with the
    smallest keyed hash of their id are looked at, so that the edges are the same however the corpus is split. Rows
    whose score is null, NaN or infinite are left out. Writes ``ranks.json``.
    """

    revision: ClassVar[int] = 1

    columns: list[str] = Field(min_length=1, description="columns of scores, such as ['prose.score', 'web.score']")
    buckets: int = Field(20, ge=2, le=10_000, description="how many buckets; Nemotron-CC has 20")
    max_rows: int = Field(1_000_000, ge=1_000, description="rows that are looked at, at most")

    def reads(self) -> frozenset[str]:
        """The columns."""
        return frozenset(self.columns)

    def train(self, docs: Iterable[Batch], out: Path, ctx: Context) -> Mapping[str, Any]:
        """Sample, sort, write; see the class."""
        from curate.text.hashing import keyed_hash

        sample, rows, key = Smallest(rows=self.max_rows), 0, ctx.key(ctx.step, "sample")
        for batch in docs:
            values = {name: _finite(numbers(batch, name)) for name in self.columns}
            table = pa.RecordBatch.from_pydict({"id": batch.column("id"), **values})
            known = np.any([np.asarray(pc.is_valid(v)) for v in values.values()], axis=0)
            rows += int(known.sum())
            sample.add(table.filter(pa.array(known)), keyed_hash(batch.column("id"), key)[known])
        found = sample.rows()
        edges, counts = {}, {}
        for name in self.columns:
            values_ = found.column(name).drop_null().to_numpy() if found is not None else np.zeros(0)
            if not len(values_):
                raise InputError(
                    f"step '{ctx.step}': no row has a value of '{name}'", cure="look at what the step before measured"
                )
            edges[name], counts[name] = ranks.edges_of(values_, self.buckets), len(values_)
        ranks.save(out, self.buckets, edges)
        return {
            "buckets": self.buckets,
            "rows": rows,
            "looked_at": counts,
            "exact": rows <= self.max_rows,
            "filled": {name: len(np.unique(e)) + 1 for name, e in edges.items()},
        }


def _finite(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
