"""Rows by the value of a column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import ClassVar, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.stages.base import (
    KEY,
    PART,
    ROW,
    VERDICTS,
    WEIGHT,
    Context,
    Filter,
    Global,
    Phase,
    Signals,
    Span,
    Stage,
)
from curate.stages.bounds import Bound
from curate.stages.keep_order import numbers
from curate.stages.registry import register
from curate.text.batch import Batch

_REASONS: Final = {
    "no_value": "the column is null (or not a number) in this row",
    "below_threshold": "the value is less than at_least",
    "above_threshold": "the value is greater than at_most",
    "below_top": "the value is not among the highest that `top` keeps",
}


@register("select.where")
class SelectWhere(Filter):
    """Keep rows whose value lies within bounds, or the share of rows with the highest values.

    Either ``at_least`` and ``at_most`` (one or both; bounds are kept), or ``top``: of the rows that have a value, the
    highest ``ceil(top * rows)`` stay; equal values are told apart by a keyed hash of the id. Rows without a value go.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = _REASONS
    bounds: ClassVar[Sequence[Bound]] = (
        Bound("below_threshold", "value", "<", "at_least"),
        Bound("above_threshold", "value", ">", "at_most"),
    )

    signals: ClassVar[Mapping[str, pa.DataType]] = {"value": pa.float64()}

    column: str = Field(description="numeric column, as in `value.score`")
    at_least: float | None = Field(None, description="lowest value kept")
    at_most: float | None = Field(None, description="highest value kept")
    top: float | None = Field(None, gt=0, le=1, description="share of rows kept, the highest values first")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        bounds = self.at_least is not None or self.at_most is not None
        if bounds == (self.top is not None):
            raise ValueError("set at_least, at_most or both, or else top")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"no value is at least {self.at_least} and at most {self.at_most}")
        return self

    def reads(self) -> frozenset[str]:
        """The column."""
        return frozenset({self.column})

    def concrete(self) -> Stage:
        """Itself, or with ``top`` the Global stage that ranks all rows."""
        return self if self.top is None else SelectTop(column=self.column, top=self.top)

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """``value`` float64: the column; null where it is null or NaN."""
        return {"value": _values(docs, self.column)}

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """A row needs a value; then the bounds."""
        return [("no_value", pc.is_null(signals["value"], nan_is_null=True)), *super().rules(signals)]


class SelectTop(Global):
    """``select.where`` with ``top``: rank all rows, keep the first. Made by SelectWhere.concrete, not registered.

    A row's key is its value, high to low, in the upper 32 bits (so values are told apart to float32's precision), and a
    keyed hash of its id in the lower 32, which spreads equal values over partitions. Its rank is then the number of
    rows before its partition plus its place in it.
    """

    name: ClassVar[str] = "select.where"
    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = _REASONS

    column: str
    top: float

    def reads(self) -> frozenset[str]:
        """The column."""
        return frozenset({self.column})

    def phases(self) -> tuple[Phase, ...]:
        """One: by rank."""
        return (Phase("rank", self._map, self._reduce, ("id",)),)

    def _map(self, docs: Batch, ctx: Context) -> pa.Table:
        from curate.text.hashing import keyed_hash

        values = pc.fill_null(_values(docs, self.column), float("nan")).to_numpy(zero_copy_only=False)
        has = ~np.isnan(values)
        with np.errstate(over="ignore"):  # beyond float32 is infinity, and still in order
            bits = (values.astype(np.float32) + np.float32(0)).view(np.uint32)
        sign = np.uint32(1 << 31)
        high = ~np.where(bits & sign, ~bits, bits | sign)
        # After minus infinity (0xFF800000) there is room for rows without a value.
        high = np.where(has, high, np.uint32(0xFFFFFFFF)).astype(np.uint64)
        low = keyed_hash(docs.column("id"), ctx.key(ctx.step, "ties")) >> np.uint64(32)
        return pa.table(
            {
                KEY: pa.array((high << np.uint64(32)) | low),
                WEIGHT: pa.array(has.astype(np.int64)),
                "id": docs.column("id"),
                PART: docs.column(PART),
                ROW: docs.column(ROW),
            }
        )

    def _reduce(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        # Fractions: 0.1 of 30 rows is 3, whatever 0.1 is in binary.
        kept = math.ceil(Fraction(repr(self.top)) * span.total_weight)
        has = rows.column(WEIGHT).to_numpy() > 0
        rank = span.start_rows + np.arange(rows.num_rows)
        goes = ~has | (rank >= kept)
        gone = rows.filter(pa.array(goes))
        reason = np.where(has[goes], "below_top", "no_value")
        table = {PART: gone.column(PART), ROW: gone.column(ROW), "reason": pa.array(reason.tolist(), pa.string())}
        return pa.table({**table, "detail": pa.nulls(gone.num_rows, pa.string())}, VERDICTS)


def _values(docs: Batch, column: str) -> pa.Array:
    values = numbers(docs, column)
    return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)
