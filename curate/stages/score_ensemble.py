"""score.ensemble: one score of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate import assets
from curate.errors import RecipeError
from curate.quality import ranks
from curate.stages.base import Context, Filter, Signals
from curate.stages.keep_order import numbers
from curate.stages.registry import register
from curate.text.batch import Batch


@register("score.ensemble")
class ScoreEnsemble(Filter):
    """Add one score made of several; every row stays. Cut with ``select.where``.

    ``max`` and ``mean`` are of the scores as they are. ``rank_buckets`` is for classifiers whose scores mean different
    things: each score becomes the number of its bucket in the corpus (0 to 19, the highest best), as a 'train.ranks'
    step found them, and the highest bucket counts, as in Nemotron-CC: a document is good if one of the classifiers
    thinks so. Where a score is missing (null or NaN), so is theirs, unless ``skip_missing``.
    """

    revision: ClassVar[int] = 1
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"ranks": "classifiers"}
    signals: ClassVar[Mapping[str, pa.DataType]] = {"score": pa.float32()}

    columns: list[str] = Field(min_length=1, description="columns of scores, such as ['prose.score', 'web.score']")
    how: Literal["max", "mean", "rank_buckets"] = Field(
        description="the highest score, their mean, or the highest bucket of their ranks"
    )
    ranks: str | None = Field(None, description="with rank_buckets: the 'train.ranks' step that saw these columns")
    skip_missing: bool = Field(False, description="use the scores that are there, for rows of which some are missing")

    @model_validator(mode="after")
    def _ranks_for_buckets(self) -> Self:
        if (self.how == "rank_buckets") != (self.ranks is not None):
            raise ValueError("rank_buckets needs ranks, a 'train.ranks' step; max and mean do without")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("a column is named twice")
        return self

    def reads(self) -> frozenset[str]:
        """The columns."""
        return frozenset(self.columns)

    def adds(self) -> Mapping[str, pa.DataType]:
        """The score."""
        return self.signals

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """``score``: of all columns; null where one (with skip_missing: each) of them is."""
        scores = np.empty((len(self.columns), len(docs)))
        for i, name in enumerate(self.columns):
            scores[i] = pc.fill_null(numbers(docs, name), float("nan")).to_numpy(zero_copy_only=False)
            if self.how == "rank_buckets":
                scores[i] = ranks.buckets_of(scores[i], self._edges(name, ctx))
        missing = np.isnan(scores)
        gone = missing.all(axis=0) if self.skip_missing else missing.any(axis=0)
        found = _mean(scores, missing) if self.how == "mean" else np.fmax.reduce(scores, axis=0)
        with np.errstate(over="ignore"):  # beyond float32 is infinity
            small = found.astype(np.float32)
        return {"score": pa.array(small, pa.float32(), mask=gone | np.isnan(found))}

    def _edges(self, name: str, ctx: Context) -> npt.NDArray[np.float64]:
        known = ranks.load(ctx.assets["ranks"])
        if name not in known:
            raise RecipeError(
                f"step '{ctx.step}': '{self.ranks}' has no ranks of '{name}'",
                cure=f"it has: {', '.join(known)}; name the column in train.ranks, too",
            )
        return known[name]


def _mean(scores: npt.NDArray[np.float64], missing: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """float64[n]: the mean of what is there, summed in the order of the columns."""
    total = np.zeros(scores.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):  # inf - inf, and rows without any
        for each, lacks in zip(scores, missing, strict=True):
            total += np.where(lacks, 0.0, each)
        mean: npt.NDArray[np.float64] = total / (~missing).sum(axis=0)
    return mean
