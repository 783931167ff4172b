"""RefinedWeb's line-wise corrections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.stages.base import Context, Filter, Signals
from curate.stages.bounds import Bound
from curate.stages.registry import register
from curate.text.batch import Batch

if TYPE_CHECKING:
    from curate.text.line_rules import Edited


@register("filter.refinedweb")
class RefinedWeb(Filter):
    """Remove lines of menus, counters and headings, and drop documents that were made of them.

    After Penedo et al. 2023 (arXiv 2306.01116, appendix G.2); numbers that the paper does not give are those of DCLM's
    reimplementation (mlfoundations/dclm, ``dclm_baseline_refinedweb.yaml``). In this order a line goes for its capitals,
    its digits, for being a counter ("3 likes"), for being one word; short lines lose the phrases of menus, and go when
    nothing else is left. Lines end at LF; words are those of ``str.split``; empty lines stay. The share of removed words is
    float64, over words that begin with a letter or digit. DCLM strips the document between two corrections, reads
    the full stops of a phrase as any character, and counts digits of other kinds (superscripts): this does not.

    RefinedWeb's rules on whole documents are Gopher's: ``filter.massivetext``.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = {
        "empty": "there is no word, or no line is left",
        "removed_words": "more of its words went with removed lines and phrases than max_removed_words",
    }

    max_uppercase: float = Field(
        0.5, ge=0, le=1, description="capitals a character of a line, at most (RefinedWeb: mainly; DCLM: 0.5)"
    )
    max_numeric: float = Field(
        0.999999, ge=0, le=1, description="digits a character of a line, at most (RefinedWeb: not all; DCLM: 0.999999)"
    )
    short_line_words: int = Field(
        10, ge=0, description="words of a line that phrases are cut out of, at most (RefinedWeb: 10)"
    )
    begin_phrases: list[str] = Field(
        ["sign-in"], description="cut at the beginning of short lines, whatever their case (RefinedWeb's example)"
    )
    end_phrases: list[str] = Field(
        ["read more..."], description="cut at the end of short lines, whatever their case (RefinedWeb's example)"
    )
    phrases: list[str] = Field(
        ["items in cart"], description="cut anywhere in short lines, whatever their case (RefinedWeb's example)"
    )
    max_removed_words: float = Field(
        0.05, ge=0, le=1, description="share of words that may be removed (RefinedWeb: 0.05)"
    )

    bounds: ClassVar[Sequence[Bound]] = (Bound("removed_words", "removed_word_share", ">", "max_removed_words"),)
    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "words": pa.int64(),
        "removed_words": pa.int64(),
        "removed_word_share": pa.float64(),
        "lines": pa.int64(),
        "removed_lines": pa.int64(),
        "removed_chars": pa.int64(),
        "uppercase_chars": pa.int64(),
        "numeric_chars": pa.int64(),
        "counter_chars": pa.int64(),
        "one_word_chars": pa.int64(),
        "phrase_chars": pa.int64(),
    }

    def edits(self) -> bool:
        """Always: lines go."""
        return True

    def edit(self, docs: Batch, ctx: Context) -> pa.Array:
        """The lines that stay, without phrases of menus."""
        return self._edited(docs).text

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """Counts int64 and a share float64, one of each a row; see ``signals``."""
        from curate.text.line_corrections import CORRECTION_COUNTS

        n = self._edited(docs).columns(CORRECTION_COUNTS)
        share = n["removed_words"] / np.maximum(n["words"], 1)
        values = {**n, "removed_word_share": share}
        return {name: pa.array(values[name]) for name in self.signals}

    def _edited(self, docs: Batch) -> Edited:
        # Measured and edited at once; the batch keeps it from one to the other.
        return docs.view(f"edited {self.measure_fingerprint()}", lambda: self._without_lines(docs))

    def _without_lines(self, docs: Batch) -> Edited:
        from curate.text.line_corrections import corrected_lines

        return corrected_lines(
            *docs.utf8,
            max_upper=self.max_uppercase,
            max_numeric=self.max_numeric,
            short_words=self.short_line_words,
            anywhere=self.phrases,
            end=self.end_phrases,
            begin=self.begin_phrases,
        )

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """That of ``bounds``, behind ``empty``."""
        nothing = pc.or_(pc.equal(signals["words"], 0), pc.equal(signals["lines"], signals["removed_lines"]))
        return [("empty", nothing), *super().rules(signals)]
