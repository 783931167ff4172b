"""`select.where` with `top` or `tokens`: all rows in one order, the first ones stay. Made by SelectWhere.concrete.

The order is total and a function of the rows alone: value from high to low (to the last bit of a float64), then a
keyed hash of the id, then the id. Partitions are ranges of it, so what stays never depends on their number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError, RecipeError
from curate.stages.base import KEY, PART, ROW, VERDICTS, WEIGHT, Context, Global, Phase, Read, Span
from curate.stages.keep_order import descending, numbers
from curate.stages.strata import columns_of, strata
from curate.text.batch import Batch

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

REASONS: Final = {
    "no_value": "the column is null (or not a number) in this row",
    "no_tokens": "tokens_column is null (or negative) in this row, so that no budget can count it",
    "other_value": "the value is none of those that `equals` names",
    "below_threshold": "the value is less than at_least",
    "above_threshold": "the value is greater than at_most",
    "below_top": "the value is not among the highest that `top` keeps",
    "over_budget": "rows with a higher value fill the budget of `tokens`",
}
GROUP: Final = "group"
"""Of the rows of a phase that Places tells the groups of."""
_WHY: Final = "why"
_FLOOR: Final = "floor"
_LAST: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_SORT: Final = ("value", "tie", "id")
_WHYS: Final = (None, "no_value", "no_tokens")


class SelectRanked(Global):
    """Rank all rows, or those of each stratum; keep the first of them. Not registered: see SelectWhere for settings."""

    name: ClassVar[str] = "select.where"
    revision: ClassVar[int] = 2
    reasons: ClassVar[Mapping[str, str]] = REASONS

    column: str
    top: float | None = None
    tokens: int | None = None
    tokens_column: str | None = None
    bytes_per_token: float = 4.0
    within: str | None = None
    floor: float | None = None

    def reads(self) -> frozenset[str]:
        """The column, the tokens' and the strata's."""
        return value_columns(self.column, self.tokens_column) | columns_of(self.within)

    def counted_by(self) -> str | None:
        """The strata, or the source."""
        return self.within or "source"

    def phases(self) -> tuple[Phase, ...]:
        """One, by rank (within strata, where ``top`` or ``tokens`` count within them); with ``floor`` the first finds
        the rows that stay for their stratum's sake, and the second ranks the others after them."""
        label = f"within: {self.within}"
        reduce = self._floors if self.floor else self._cut
        first = Phase("rank", (Read(self._map),), reduce, _SORT, GROUP, label, even=False)
        if not self.floor:
            return (first,)
        return first, Phase("fill", (Read(self._again, "rank"),), self._filled, _SORT, GROUP, even=False)

    # -- one order -----------------------------------------------------------------------------------------

    def _map(self, docs: Batch, ctx: Context) -> pa.Table:
        from curate.text.hashing import keyed_hash

        values = pc.fill_null(numbers(docs, self.column), float("nan")).to_numpy(zero_copy_only=False)
        weights, counted = self._weights(docs)
        why = np.where(np.isnan(values), 1, np.where(counted, 0, 2)).astype(np.int8)
        tie = keyed_hash(docs.column("id"), ctx.key(ctx.step, "ties"))
        group = strata(docs, self.within) if self.within else pa.repeat(pa.scalar("", pa.string()), len(docs))
        return pa.table(
            {
                KEY: pa.array(np.where(why > 0, _LAST, order_key(values, tie))),
                WEIGHT: pa.array(np.where(why > 0, 0, weights)),
                "value": pa.array(np.where(why > 0, _LAST, descending(pa.array(values)))),
                "tie": pa.array(tie),
                GROUP: pc.if_else(pa.array(why > 0), pa.scalar(None, pa.string()), group),
                _WHY: pa.array(why),
                "id": docs.column("id"),
                PART: docs.column(PART),
                ROW: docs.column(ROW),
            }
        )

    def _weights(self, docs: Batch) -> tuple[I64, npt.NDArray[np.bool_]]:
        """What each row costs, in the unit of ``_budget``, and which rows have a cost."""
        if self.tokens is None:
            return np.ones(len(docs), np.int64), np.ones(len(docs), bool)
        if self.tokens_column is None:
            sizes = pc.binary_length(docs.text)
            return np.asarray(pc.fill_null(sizes, 0).cast(pa.int64())), np.ones(len(docs), bool)
        return token_counts(docs, self.tokens_column)

    def _budget(self) -> int:
        """``tokens``, in bytes where they are estimated: whole numbers, so that sums are exact in any order."""
        assert self.tokens is not None
        each = Fraction(1) if self.tokens_column is not None else Fraction(repr(self.bytes_per_token))
        return math.floor(self.tokens * each)

    # -- deciding ------------------------------------------------------------------------------------------

    def _cut(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Verdicts, each stratum for itself."""
        place = Places(rows, span)
        if self.top is not None:
            return _verdicts(rows, place.rank < place.share(self.top), "below_top")
        return _verdicts(rows, place.upto <= self._budget(), "over_budget")

    def _floors(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """All rows, marked where they are the first of their stratum."""
        assert self.floor is not None
        place = Places(rows, span)
        return rows.append_column(_FLOOR, pa.array(place.has & (place.rank < place.share(self.floor))))

    def _again(self, rows: Batch, ctx: Context) -> pa.Table:
        """Marked rows first, in their own order, then all others: half of the keys for either."""
        floor = np.asarray(rows.column(_FLOOR))
        old = rows.column(KEY).to_numpy()
        half = old >> np.uint64(1)
        key = np.where(rows.column(_WHY).to_numpy() > 0, _LAST, np.where(floor, half, half | np.uint64(1 << 63)))
        table = pa.Table.from_batches([rows.rows]).drop_columns([KEY, GROUP])
        known = pa.array(rows.column(_WHY).to_numpy() == 0)
        group = pc.if_else(known, pa.scalar("", pa.string()), pa.scalar(None, pa.string()))
        return table.append_column(KEY, pa.array(key)).append_column(GROUP, group)

    def _filled(self, rows: pa.Table, span: Span, ctx: Context) -> pa.Table:
        """Verdicts over all strata: marked rows stay, others while there is room."""
        place = Places(rows, span)
        floor = np.asarray(rows.column(_FLOOR).combine_chunks())
        if self.top is not None:
            return _verdicts(rows, floor | (place.rank < place.share(self.top)), "below_top")
        if (floor & (place.upto > self._budget())).any():
            raise InputError(
                f"step '{ctx.step}': a floor of {self.floor:.3g} of each stratum is more than the budget of "
                f"{self.tokens:,} tokens",
                cure="lower floor, or raise tokens",
            )
        return _verdicts(rows, floor | (place.upto <= self._budget()), "over_budget")


class Places:
    """Where the rows of a partition stand in their groups' order.

    Attributes:
        has: bool[n], rows that have a group; what the others' places are means nothing.
        rank: int64[n], how many rows of the group come before.
        upto: int64[n], the sum of the weights of the group's rows up to this one, itself included.
        total: int64[n], rows of the group in the whole corpus.
    """

    def __init__(self, rows: pa.Table, span: Span) -> None:
        group = rows.column(GROUP).combine_chunks().dictionary_encode()
        codes = pc.fill_null(group.indices, len(group.dictionary)).to_numpy()
        spans = [span.groups[name] for name in group.dictionary.to_pylist()] + [Span(0, 0)]
        self.has = codes < len(spans) - 1
        weights = rows.column(WEIGHT).to_numpy()
        before = np.array([s.start_rows for s in spans], np.int64)[codes]
        self.rank = before + _running(codes, np.ones(len(codes), np.int64)) - 1
        self.upto = np.array([s.start_weight for s in spans], np.int64)[codes] + _running(codes, weights)
        self.total = np.array([s.total_rows for s in spans], np.int64)[codes]

    def share(self, of: float) -> I64:
        """int64[n]: ``ceil(of * total)``, exactly: 0.1 of 30 rows is 3, whatever 0.1 is in binary."""
        distinct, at = np.unique(self.total, return_inverse=True)
        exact = Fraction(repr(of))
        return np.array([math.ceil(exact * n) for n in distinct.tolist()], np.int64)[at.reshape(-1)]


def _running(codes: npt.NDArray[np.int32], weights: I64) -> I64:
    """int64[n]: for each row the sum of the weights of the rows with its code up to it, itself included."""
    order = np.argsort(codes, kind="stable")
    sums = np.cumsum(weights[order])
    first = np.concatenate(([True], codes[order][1:] != codes[order][:-1])) if len(codes) else np.zeros(0, bool)
    starts = np.flatnonzero(first)
    lengths = np.diff(np.append(starts, len(codes)))
    result = np.empty(len(codes), np.int64)
    result[order] = sums - np.repeat((sums - weights[order])[starts], lengths)
    return result


def _verdicts(rows: pa.Table, stays: npt.NDArray[np.bool_], reason: str) -> pa.Table:
    why = rows.column(_WHY).to_numpy()
    goes = ~stays | (why > 0)
    gone = rows.filter(pa.array(goes))
    said = pa.array(_WHYS, pa.string()).take(pa.array(why[goes]))
    columns = {PART: gone.column(PART), ROW: gone.column(ROW), "reason": pc.fill_null(said, reason)}
    return pa.table({**columns, "detail": pa.nulls(gone.num_rows, pa.string())}, VERDICTS)


def order_key(values: npt.NDArray[np.float64], tie: U64) -> U64:
    """uint64[n]: keys that never contradict the order by value (high to low, no NaN), then ``tie`` (low to high).

    The upper half orders values to float32's precision. The lower half spreads rows of one value over partitions by
    their tie; values that float32 can't tell apart keep their order, since only one of them, float32's own, has ties
    there: higher ones come before all of these, lower ones after.
    """
    with np.errstate(over="ignore"):  # beyond float32 is infinity, and still in order
        near = values.astype(np.float32) + np.float32(0)
    bits = near.view(np.uint32)
    sign = np.uint32(1 << 31)
    high = (~np.where(bits & sign, ~bits, bits | sign)).astype(np.uint64) << np.uint64(32)
    back = near.astype(np.float64)
    low = np.where(values == back, tie >> np.uint64(32), np.where(values > back, 0, 0xFFFFFFFF).astype(np.uint64))
    return high | low


def value_columns(*columns: str | None) -> frozenset[str]:
    """Those that are set."""
    return frozenset(c for c in columns if c is not None)


def token_counts(docs: Batch, column: str) -> tuple[I64, npt.NDArray[np.bool_]]:
    """int64[n] tokens of each row from a column of whole numbers, and which rows have a count (not null, not negative).

    Raises RecipeError for a column that holds something else.
    """
    values = docs.column(column)
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_null(values.type)):
        raise RecipeError(f"column '{column}' holds {values.type}, not numbers of tokens", cure="name another column")
    try:
        counts = pc.fill_null(values.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        raise RecipeError(
            f"column '{column}' holds numbers that are no whole numbers of tokens", cure="name another column"
        ) from None
    return np.maximum(counts, 0), counts >= 0
