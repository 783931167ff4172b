"""FineWeb's rules: what they add to Gopher's and C4's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.stages.base import Context, Filter, Signals
from curate.stages.bounds import Bound
from curate.stages.registry import register
from curate.text.batch import Batch


@register("filter.fineweb")
class FineWeb(Filter):
    """Drop lists, menus and pages that repeat themselves: FineWeb's rules beside Gopher's and C4's.

    After Penedo et al. 2024 (arXiv 2406.17557, section 3.6), counted as ``FineWebQualityFilter`` of datatrove 0.10.1 does:
    lines end at LF, those of white space alone do not count, a line's last character is its last, white space or not;
    a share of nothing counts as one of 1. What a word is, ``counting`` says; it bears on `list_ratio` alone. Shares are
    float64.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = {
        "empty": "no line has anything but white space",
        "line_punct_ratio": "fewer lines that end like a sentence than min_ended_lines",
        "short_line_ratio": "more short lines than max_short_lines",
        "char_dup_ratio": "more characters in lines that repeat an earlier one than max_duplicate_chars",
        "list_ratio": "more line ends a word than max_newlines: a list",
    }

    counting: Literal["paper", "datatrove"] = Field(
        "paper", description="words are runs without white space, or (datatrove) the tokens of spaCy's blank tokenizer"
    )
    min_ended_lines: float = Field(
        0.12, ge=0, le=1, description="share of lines that end with one of line_ends, at least (FineWeb: 0.12)"
    )
    allow_no_ended_line: bool = Field(
        default=False, description="keep documents without any such line (FineWeb: false; FineWeb-2: true)"
    )
    line_ends: str = Field(
        "",
        description="signs that end a line like a sentence; empty: the 159 of all scripts "
        "(datatrove 0.10.1; 0.2, in FineWeb's first year: . ' \" ! ?)",
    )
    max_short_lines: float = Field(0.67, ge=0, le=1, description="share of short lines, at most (FineWeb: 0.67)")
    short_line_chars: int = Field(30, ge=0, description="characters of a short line, at most (FineWeb: 30)")
    max_duplicate_chars: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of characters in repeated lines, at most (FineWeb's code: 0.01; its paper: 0.1)",
    )
    max_newlines: float = Field(0.3, ge=0, description="line ends a word, at most (FineWeb: 0.3)")

    bounds: ClassVar[Sequence[Bound]] = (
        Bound("line_punct_ratio", "ended_lines", "<", "min_ended_lines"),
        Bound("short_line_ratio", "short_lines", ">", "max_short_lines"),
        Bound("char_dup_ratio", "duplicate_chars", ">", "max_duplicate_chars"),
        Bound("list_ratio", "newlines", ">", "max_newlines"),
    )
    decide_settings: ClassVar[frozenset[str]] = frozenset({"allow_no_ended_line"})
    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "lines": pa.int64(),
        "words": pa.int64(),
        "ended_lines": pa.float64(),
        "short_lines": pa.float64(),
        "duplicate_chars": pa.float64(),
        "newlines": pa.float64(),
    }

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """Counts int64 and shares float64, one of each a row; see ``signals``."""
        from curate.text.line_shapes import TERMINAL_POINTS, line_shapes

        ends = tuple(map(ord, self.line_ends)) or TERMINAL_POINTS
        n = line_shapes(*docs.utf8, self.short_line_chars, ends)
        words = np.diff(docs.words("tokens" if self.counting == "datatrove" else "gopher").rows)
        lines = np.maximum(n["lines"], 1)
        values = {
            "lines": n["lines"],
            "words": words,
            "ended_lines": n["ended_lines"] / lines,
            "short_lines": n["short_lines"] / lines,
            "duplicate_chars": n["duplicate_chars"] / np.maximum(n["chars"], 1),
            "newlines": n["newlines"] / np.maximum(words, 1),
        }
        return {name: pa.array(column) for name, column in values.items()}

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """Those of ``bounds``, behind ``empty``; none ended line is no few, if it is allowed."""
        tried = dict(super().rules(signals))
        if self.allow_no_ended_line:
            tried["line_punct_ratio"] = pc.and_(tried["line_punct_ratio"], pc.greater(signals["ended_lines"], 0))
        return [("empty", pc.equal(signals["lines"], 0)), *tried.items()]
