"""Filters that edit text, for tests of the engine: command_host.py makes them known to the processes that it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.stages.base import Context, Filter, Signals
from curate.stages.registry import register, registered
from curate.text.batch import Batch


class DropMarked(Filter):
    """Removes the lines that hold a marker, and drops what is too short without them."""

    name: ClassVar[str] = "filter.drop_marked"
    reasons: ClassVar = {"too_short": "fewer than `min_chars` characters are left"}
    decide_settings: ClassVar = frozenset({"min_chars"})
    signals: ClassVar[Mapping[str, pa.DataType]] = {"removed_lines": pa.int64(), "chars": pa.int64()}

    marker: str = Field("%%", description="lines that hold it are removed")
    min_chars: int = Field(0, description="of what is left")

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """Lines that go, and characters that stay."""
        texts = docs.text.to_pylist()
        removed = [sum(self.marker in line for line in t.split("\n")) for t in texts]
        return {
            "removed_lines": pa.array(removed, pa.int64()),
            "chars": pa.array([len(self._without(t)) for t in texts], pa.int64()),
        }

    def rules(self, signals: Signals) -> Sequence[tuple[str, pa.Array]]:
        """One rule."""
        return [("too_short", pc.less(signals["chars"], self.min_chars))]

    def edits(self) -> bool:
        """Always."""
        return True

    def edit(self, docs: Batch, ctx: Context) -> pa.Array:
        """The texts without those lines."""
        return pa.array([self._without(t) for t in docs.text.to_pylist()], pa.large_string())

    def _without(self, text: str) -> str:
        return "\n".join(line for line in text.split("\n") if self.marker not in line)


class DropScored(DropMarked):
    """The same where an earlier step's column is at least a bound: an edit that needs more than the text."""

    name: ClassVar[str] = "filter.drop_scored"
    column: str = Field(description="column of an earlier step")

    def reads(self) -> frozenset[str]:
        """That column."""
        return frozenset({self.column})

    def edit(self, docs: Batch, ctx: Context) -> pa.Array:
        """The texts without those lines, where the column says so."""
        pairs = zip(docs.text.to_pylist(), docs.column(self.column).to_pylist(), strict=True)
        return pa.array([self._without(t) if c else t for t, c in pairs], pa.large_string())


class Length(Filter):
    """Adds a column: how many characters a text had, here; and drops texts that hold a word."""

    name: ClassVar[str] = "filter.length"
    reasons: ClassVar = {"holds": "the text holds `word`"}
    signals: ClassVar[Mapping[str, pa.DataType]] = {"length": pa.int64(), "held": pa.bool_()}

    word: str = Field("~~~", description="what a text must not hold")

    def adds(self) -> Mapping[str, pa.DataType]:
        """The length."""
        return {"length": pa.int64()}

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """Characters, and whether the word is there."""
        length = pc.utf8_length(docs.text).cast(pa.int64())
        return {"length": length, "held": pc.match_substring(docs.text, self.word)}

    def rules(self, signals: Signals) -> Sequence[tuple[str, pa.Array]]:
        """One rule."""
        return [("holds", signals["held"])]


def make_known() -> None:
    """Register them; not done on import, so that tests of all registered stages see the real ones alone."""
    for stage in (DropMarked, DropScored, Length):
        if stage.name not in registered():
            register(stage.name)(stage)
