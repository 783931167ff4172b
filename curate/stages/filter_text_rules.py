"""Rules on prose after Gopher and FineWeb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.stages.base import Context, Filter, Signals
from curate.stages.bounds import Bound
from curate.stages.registry import register
from curate.text.batch import Batch


@register("filter.text_rules")
class TextRules(Filter):
    """Drop prose that a language model learns nothing from: fragments, lists, tables, spam, repetition.

    Defaults are Gopher's (Rae et al. 2021, appendix A1.1) and FineWeb's (Penedo et al. 2024), except where said.
    Words, lines and characters are defined in ``curate.text.rules``; profiles of other tools count otherwise. Shares
    are float64, 0 to 1; a share of nothing (no line, no letter) is 0.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = {
        "too_short": "fewer words than min_words",
        "too_long": "more words than max_words",
        "word_length": "the mean word is shorter than min_word_length or longer than max_word_length",
        "symbols": "more '#' or more ellipses a word than max_symbol_ratio",
        "few_alpha_words": "fewer words with a letter than min_alpha_words",
        "mostly_digits": "more digits among what is no white space than max_digits",
        "no_stop_words": "fewer of the eight commonest English words than min_stop_words",
        "bullets": "more lines that begin with a bullet than max_bullet_lines",
        "ellipsis_lines": "more lines that end in an ellipsis than max_ellipsis_lines",
        "duplicate_lines": "more lines that repeat an earlier one, by count or characters, than allowed",
        "short_lines": "more short lines (menus, link lists) than max_short_lines",
        "unended_lines": "fewer lines that end like a sentence than min_ended_lines",
        "shouting": "more capitals among the letters than max_upper",
    }

    min_words: int = Field(50, ge=0, description="fewer words are `too_short` (Gopher: 50)")
    max_words: int = Field(100_000, ge=1, description="more words are `too_long` (Gopher: 100000)")
    min_word_length: float = Field(3.0, ge=0, description="mean characters a word, at least (Gopher: 3)")
    max_word_length: float = Field(10.0, gt=0, description="mean characters a word, at most (Gopher: 10)")
    max_symbol_ratio: float = Field(0.1, ge=0, description="'#' signs or ellipses a word (Gopher: 0.1)")
    min_alpha_words: float = Field(0.8, ge=0, le=1, description="share of words with a letter (Gopher: 0.8)")
    max_digits: float = Field(0.3, ge=0, le=1, description="share of digits in what is no white space (ours)")
    min_stop_words: int = Field(
        2,
        ge=0,
        le=8,
        description="different ones of: the be to of and that have with (Gopher: 2); 0 for other languages",
    )
    max_bullet_lines: float = Field(0.9, ge=0, le=1, description="share of lines (Gopher: 0.9)")
    max_ellipsis_lines: float = Field(0.3, ge=0, le=1, description="share of lines (Gopher: 0.3)")
    max_duplicate_lines: float = Field(0.3, ge=0, le=1, description="share of lines (Gopher: 0.3)")
    max_duplicate_chars: float = Field(0.2, ge=0, le=1, description="share of characters (Gopher: 0.2; FineWeb: 0.01)")
    max_short_lines: float = Field(
        0.67, ge=0, le=1, description="share of lines of up to 30 characters (FineWeb: 0.67)"
    )
    min_ended_lines: float = Field(0.12, ge=0, le=1, description="share of lines that end a sentence (FineWeb: 0.12)")
    max_upper: float = Field(0.5, ge=0, le=1, description="share of capitals among ASCII letters (ours)")

    bounds: ClassVar[Sequence[Bound]] = (
        Bound("too_short", "words", "<", "min_words"),
        Bound("too_long", "words", ">", "max_words"),
        Bound("word_length", "word_length", "<", "min_word_length"),
        Bound("word_length", "word_length", ">", "max_word_length"),
        Bound("symbols", "symbol_ratio", ">", "max_symbol_ratio"),
        Bound("few_alpha_words", "alpha_words", "<", "min_alpha_words"),
        Bound("mostly_digits", "digits", ">", "max_digits"),
        Bound("no_stop_words", "stop_words", "<", "min_stop_words"),
        Bound("bullets", "bullet_lines", ">", "max_bullet_lines"),
        Bound("ellipsis_lines", "ellipsis_lines", ">", "max_ellipsis_lines"),
        Bound("duplicate_lines", "duplicate_lines", ">", "max_duplicate_lines"),
        Bound("duplicate_lines", "duplicate_chars", ">", "max_duplicate_chars"),
        Bound("short_lines", "short_lines", ">", "max_short_lines"),
        Bound("unended_lines", "ended_lines", "<", "min_ended_lines"),
        Bound("shouting", "upper", ">", "max_upper"),
    )

    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "words": pa.int64(),
        "chars": pa.int64(),
        "lines": pa.int64(),
        "longest_line": pa.int64(),
        "stop_words": pa.int64(),
        "word_length": pa.float64(),
        "symbol_ratio": pa.float64(),
        "alpha_words": pa.float64(),
        "digits": pa.float64(),
        "bullet_lines": pa.float64(),
        "ellipsis_lines": pa.float64(),
        "duplicate_lines": pa.float64(),
        "duplicate_chars": pa.float64(),
        "short_lines": pa.float64(),
        "ended_lines": pa.float64(),
        "upper": pa.float64(),
    }

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """Counts int64 and shares float64, one of each a row; see ``signals``."""
        from curate.text.rules import prose_counts

        n = prose_counts(*docs.utf8)
        words, lines = np.maximum(n["words"], 1), np.maximum(n["lines"], 1)
        values = {
            "words": n["words"],
            "chars": n["chars"],
            "lines": n["lines"],
            "longest_line": n["longest_line"],
            "word_length": n["word_chars"] / words,
            "symbol_ratio": np.maximum(n["hashes"], n["ellipses"]) / words,
            "alpha_words": n["alpha_words"] / words,
            "digits": n["digits"] / np.maximum(n["word_chars"], 1),
            "stop_words": n["stop_words"],
            "bullet_lines": n["bullet_lines"] / lines,
            "ellipsis_lines": n["ellipsis_lines"] / lines,
            "duplicate_lines": n["duplicate_lines"] / lines,
            "duplicate_chars": n["duplicate_chars"] / np.maximum(n["line_chars"], 1),
            "short_lines": n["short_lines"] / lines,
            "ended_lines": n["ended_lines"] / lines,
            "upper": n["upper"] / np.maximum(n["letters"], 1),
        }
        return {name: pa.array(column) for name, column in values.items()}
