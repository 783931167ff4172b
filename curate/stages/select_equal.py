"""`select.where` with `equals`: rows by a column of strings. Made by SelectWhere.concrete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from curate.stages.base import Context, Filter, Signals
from curate.stages.select_ranked import REASONS
from curate.stages.strata import columns_of, strata
from curate.text.batch import Batch


class SelectEqual(Filter):
    """Keep rows whose value is one of some strings. Not registered: see SelectWhere for settings."""

    name: ClassVar[str] = "select.where"
    revision: ClassVar[int] = 2
    reasons: ClassVar[Mapping[str, str]] = REASONS
    signals: ClassVar[Mapping[str, pa.DataType]] = {"value": pa.string()}
    decide_settings: ClassVar[frozenset[str]] = frozenset({"equals"})

    column: str
    equals: tuple[str, ...]

    def reads(self) -> frozenset[str]:
        """The column, where it is one."""
        return columns_of(self.column)

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """``value``: the column as a string; ``(none)`` where it is null or ``meta`` lacks the field."""
        return {"value": strata(docs, self.column)}

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """One."""
        return [("other_value", pc.invert(pc.is_in(signals["value"], value_set=pa.array(self.equals, pa.string()))))]
