"""Rules on source code after StarCoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.stages.base import Context, Filter, Signals
from curate.stages.registry import register
from curate.text.batch import Batch


@register("filter.code_rules")
class CodeRules(Filter):
    """Drop source files that no textbook would print: generated, minified, encoded, tables of numbers, bare constants.

    Defaults follow StarCoder (Li et al. 2023, section 3.2: longest line 1000, mean line 100, alphanumeric 0.25) and
    StarCoder2 (Lozhkov et al. 2024: encoded data); those marked "ours" are chosen for Python. Lines and characters are
    defined in ``curate.text.code_rules``. Shares are float64, 0 to 1; a share of nothing is 0.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = {
        "too_short": "fewer characters than min_chars",
        "too_long": "more characters than max_chars",
        "generated": "says near its beginning that a program wrote it",
        "long_lines": "a line longer than max_line_chars",
        "long_mean_line": "lines longer than max_mean_line_chars on average",
        "encoded_data": "base64, hexadecimal or escaped bytes, in one long run or as a large share of the file",
        "few_alphanumeric": "fewer letters and digits than min_alphanumeric",
        "mostly_digits": "more digits than max_digits",
        "mostly_comments": "more comment lines than max_comment_lines",
        "no_code": "nothing but imports and constants",
    }

    min_chars: int = Field(64, ge=0, description="shorter files are `too_short` (ours)")
    max_chars: int = Field(1_000_000, ge=1, description="longer files are `too_long` (ours)")
    drop_generated: bool = Field(True, description="drop what says that a program wrote it")
    max_line_chars: int = Field(1000, ge=1, description="longest line allowed (StarCoder: 1000)")
    max_mean_line_chars: float = Field(100.0, gt=0, description="mean line length allowed (StarCoder: 100)")
    max_encoded_run: int = Field(1024, ge=64, description="bytes of the longest run of encoded data (StarCoder2: 1024)")
    max_encoded: float = Field(0.5, ge=0, le=1, description="share of encoded bytes (StarCoder2: 0.5)")
    min_alphanumeric: float = Field(0.25, ge=0, le=1, description="share of all characters (StarCoder: 0.25)")
    max_digits: float = Field(0.3, ge=0, le=1, description="share of digits in what is no white space (ours)")
    max_comment_lines: float = Field(
        0.8, ge=0, le=1, description="share of the lines that are not blank (StarCoder: 0.8)"
    )
    max_declarations: float = Field(
        0.95,
        ge=0,
        le=1,
        description="share of code lines that import or set constants, where nothing is defined (ours)",
    )

    decide_settings: ClassVar[frozenset[str]] = frozenset(
        {
            "min_chars",
            "max_chars",
            "drop_generated",
            "max_line_chars",
            "max_mean_line_chars",
            "max_encoded_run",
            "max_encoded",
            "min_alphanumeric",
            "max_digits",
            "max_comment_lines",
            "max_declarations",
        }
    )

    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "chars": pa.int64(),
        "lines": pa.int64(),
        "longest_line": pa.int64(),
        "defs": pa.int64(),
        "classes": pa.int64(),
        "docstring_marks": pa.int64(),
        "encoded_run": pa.int64(),
        "mean_line": pa.float64(),
        "alphanumeric": pa.float64(),
        "digits": pa.float64(),
        "comment_lines": pa.float64(),
        "declarations": pa.float64(),
        "encoded": pa.float64(),
        "generated": pa.bool_(),
    }

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """Counts int64, shares float64 and ``generated`` bool, one of each a row."""
        from curate.text.code_rules import code_counts

        n = code_counts(*docs.utf8)
        filled = np.maximum(n["code_lines"] + n["comment_lines"], 1)
        values = {
            "chars": n["chars"],
            "lines": n["lines"],
            "longest_line": n["longest_line"],
            "mean_line": n["chars"] / np.maximum(n["lines"], 1),
            "alphanumeric": n["alphanumeric"] / np.maximum(n["chars"], 1),
            "digits": n["digits"] / np.maximum(n["solid"], 1),
            "comment_lines": n["comment_lines"] / filled,
            "declarations": n["declaration_lines"] / np.maximum(n["code_lines"], 1),
            "defs": n["defs"],
            "classes": n["classes"],
            "docstring_marks": n["docstring_marks"],
            "encoded": n["encoded_bytes"] / np.maximum(n["bytes"], 1),
            "encoded_run": n["encoded_longest"],
            "generated": n["generated"] > 0,
        }
        return {name: pa.array(column) for name, column in values.items()}

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """Each reason's rule, in the order of ``reasons``."""
        s = signals
        undefined = pc.equal(pc.add(s["defs"], s["classes"]), 0)
        return [
            ("too_short", pc.less(s["chars"], self.min_chars)),
            ("too_long", pc.greater(s["chars"], self.max_chars)),
            ("generated", pc.and_(s["generated"], pa.scalar(self.drop_generated))),
            ("long_lines", pc.greater(s["longest_line"], self.max_line_chars)),
            ("long_mean_line", pc.greater(s["mean_line"], self.max_mean_line_chars)),
            (
                "encoded_data",
                pc.or_(pc.greater(s["encoded_run"], self.max_encoded_run), pc.greater(s["encoded"], self.max_encoded)),
            ),
            ("few_alphanumeric", pc.less(s["alphanumeric"], self.min_alphanumeric)),
            ("mostly_digits", pc.greater(s["digits"], self.max_digits)),
            ("mostly_comments", pc.greater(s["comment_lines"], self.max_comment_lines)),
            ("no_code", pc.and_(undefined, pc.greater(s["declarations"], self.max_declarations))),
        ]
