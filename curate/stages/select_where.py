"""Rows by the value of a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.stages.amounts import Count, Share
from curate.stages.base import Context, Filter, Signals, Stage
from curate.stages.bounds import Bound
from curate.stages.keep_order import numbers
from curate.stages.registry import register
from curate.stages.select_equal import SelectEqual
from curate.stages.select_ranked import REASONS, SelectRanked, value_columns
from curate.stages.strata import columns_of
from curate.text.batch import Batch


@register("select.where")
class SelectWhere(Filter):
    """Keep rows whose value lies within bounds or is a given one, or the best of all rows: a share of them, or so many tokens.

    One of: ``equals: train``, or a list of such strings (``(none)``: rows without a value); ``at_least`` and ``at_most`` (one
    or both; bounds are kept); ``top: 10%``, of the rows that have a value the
    highest ``ceil(top * rows)``; ``tokens: 6B``, the highest ones until the next would pass that many tokens. Equal
    values are told apart by a keyed hash of the id, so the same rows stay however the corpus is split. Rows without a
    value go. With ``within: source`` share and budget count for each source (or column, or ``meta.FIELD``) on its own;
    with ``floor: 5%`` beside it they count over all, but of each at least that share stays.
    """

    revision: ClassVar[int] = 2
    reasons: ClassVar[Mapping[str, str]] = REASONS
    bounds: ClassVar[Sequence[Bound]] = (
        Bound("below_threshold", "value", "<", "at_least"),
        Bound("above_threshold", "value", ">", "at_most"),
    )

    signals: ClassVar[Mapping[str, pa.DataType]] = {"value": pa.float64()}
    decide_settings: ClassVar[frozenset[str]] = frozenset(
        {"equals", "top", "tokens", "tokens_column", "bytes_per_token", "within", "floor"}
    )

    column: str = Field(
        description="numeric column, as in `value.score`; with `equals` a column of strings, or `meta.FIELD`"
    )
    equals: str | list[str] | None = Field(
        None, description="the value kept, or several, as in `train` of `split.side`"
    )
    at_least: float | None = Field(None, description="lowest value kept")
    at_most: float | None = Field(None, description="highest value kept")
    top: Share | None = Field(None, gt=0, le=1, description="share of rows kept, the highest values first: 10% or 0.1")
    tokens: Count | None = Field(
        None, ge=1, description="tokens kept, the highest values first: 6B, 500M; the row that would pass it goes"
    )
    tokens_column: str | None = Field(
        None, description="column with each row's tokens; without it they are estimated as bytes / bytes_per_token"
    )
    bytes_per_token: float = Field(
        4.0,
        gt=0,
        description="bytes of text that make a token: about 4 for prose, 3 for code; see a tokenizer's report",
    )
    within: str | None = Field(
        None, description="column or `meta.FIELD` whose values are strata, each with a top or a budget of its own"
    )
    floor: Share | None = Field(
        None,
        gt=0,
        lt=1,
        description="with `within`: top and tokens count over all, but this share of each stratum stays",
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        bounds = self.at_least is not None or self.at_most is not None
        forms = (bounds, self.equals is not None, self.top is not None, self.tokens is not None)
        if sum(forms) != 1:
            raise ValueError("set one of: equals, at_least and at_most (one or both), top, tokens")
        if self.equals == []:
            raise ValueError("equals names no value: nothing would stay")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"no value is at least {self.at_least} and at most {self.at_most}")
        if self.within is not None and (bounds or self.equals is not None):
            raise ValueError("within goes with top or tokens; bounds and values are the same for every stratum")
        if self.tokens is None and self.tokens_column is not None:
            raise ValueError("tokens_column goes with tokens")
        if self.floor is not None and self.within is None:
            raise ValueError("floor needs within: of what is that share to stay?")
        if self.floor is not None and self.top is not None and self.floor > self.top:
            raise ValueError(f"a floor of {self.floor:g} of each stratum can't lie above a top of {self.top:g}")
        return self

    def reads(self) -> frozenset[str]:
        """The column, the tokens' and the strata's."""
        if self.equals is not None:
            return columns_of(self.column)
        return value_columns(self.column, self.tokens_column) | columns_of(self.within)

    def concrete(self) -> Stage:
        """Itself, with ``equals`` the filter of strings, or with ``top`` or ``tokens`` the Global stage that ranks all rows."""
        if self.equals is not None:
            values = (self.equals,) if isinstance(self.equals, str) else tuple(self.equals)
            return SelectEqual(column=self.column, equals=values)
        if self.top is None and self.tokens is None:
            return self
        return SelectRanked.model_validate(self.model_dump(exclude={"at_least", "at_most", "equals"}))

    def counted_by(self) -> str | None:
        """The source: whose documents go, the report says."""
        return "source"

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """``value`` float64: the column; null where it is null or NaN."""
        values = numbers(docs, self.column)
        return {"value": pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)}

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """A row needs a value; then the bounds."""
        return [("no_value", pc.is_null(signals["value"], nan_is_null=True)), *super().rules(signals)]
