"""Gopher's rules on quality and repetition, counted as the paper or as one of three engines does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from curate.stages.base import Context, Filter, Signals
from curate.stages.bounds import Bound, Threshold
from curate.stages.registry import register
from curate.text.batch import Batch
from curate.text.massivetext import COUNTINGS, Counting

_SHARES: Final = (
    *("hash_ratio", "ellipsis_ratio", "symbol_ratio", "bullet_lines", "ellipsis_lines", "alpha_words"),
    *("duplicate_lines", "duplicate_paragraphs", "duplicate_line_chars", "duplicate_paragraph_chars"),
    *(f"top_{n}gram" for n in (2, 3, 4)),
    *(f"duplicate_{n}gram" for n in range(5, 11)),
)


def _limit(default: float, what: str) -> float:
    """A setting for the largest share that is allowed."""
    return Field(default, ge=0, description=what)


@register("filter.massivetext")
class MassiveText(Filter):
    """Drop what Gopher's rules on quality and repetition drop from MassiveText (Rae et al. 2021, arXiv 2112.11446).

    Appendix A1.1 and table A1 name rules and thresholds and leave open how to count. `counting` says how:

    - `paper` (default): as the paper says; where it is silent: words are runs without white space, lines are without
      white space at both ends and blank ones don't count, a paragraph ends at a blank line, a duplicate is what occurred
      before in the document, characters are those in words (in lines) and count once, an n-gram has to repeat to be the
      top one, stop words are different ones in any case, ASCII signs around them ignored.
    - `datatrove`: as `GopherQualityFilter` and `GopherRepetitionFilter` of datatrove 0.10.1: words are tokens as
      spaCy's blank English tokenizer cuts them (`curate.text.tokens`); see `curate.text.line_counts`, `.repetition`.
    - `dolma`: as the tagger `gopher_v1` of dolma 1.2.1: median word length, one `symbols` rule for words with `#` or U+2026,
      stop words by occurrence, every copy of a line counts, n-grams overlap; it has no rules on paragraphs.
    - `dclm`: as the filters of DCLM's baseline, from a description of its code: tokens, of which those without a letter or
      digit don't count as words; one `symbols` rule for the sum of `#` and ellipses; stop words by occurrence; every copy
      of a line or paragraph counts; so do all words that a repeated n-gram covers.

    Shares are float64; a share of nothing is 0. Bytes that are no valid UTF-8 are no letters; see
    `curate.text.spaces.chars` for their length.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = {
        "too_short": "fewer words than min_words",
        "too_long": "more words than max_words",
        "short_words": "the mean (dolma: median) word is shorter than min_word_length",
        "long_words": "the mean (dolma: median) word is longer than max_word_length",
        "hashes": "more '#' signs a word than max_symbol_ratio (paper, datatrove)",
        "ellipses": "more ellipses a word than max_symbol_ratio (paper, datatrove)",
        "symbols": "more '#' signs and ellipses a word, taken together, than max_symbol_ratio (dolma, dclm)",
        "bullets": "more lines that begin with a bullet than max_bullet_lines",
        "ellipsis_lines": "more lines that end with an ellipsis than max_ellipsis_lines",
        "few_alpha_words": "fewer words with a letter than min_alpha_words",
        "no_stop_words": "fewer of the eight commonest English words than min_stop_words",
        "duplicate_lines": "more lines that are duplicates than max_duplicate_lines",
        "duplicate_paragraphs": "more paragraphs that are duplicates than max_duplicate_paragraphs",
        "duplicate_line_chars": "more characters in duplicate lines than max_duplicate_line_chars",
        "duplicate_paragraph_chars": "more characters in duplicate paragraphs than max_duplicate_paragraph_chars",
        "top_2gram": "more characters in the most frequent pair of words than max_top_2gram",
        "top_3gram": "more characters in the most frequent run of 3 words than max_top_3gram",
        "top_4gram": "more characters in the most frequent run of 4 words than max_top_4gram",
        "duplicate_5gram": "more characters in repeated runs of 5 words than max_duplicate_5gram",
        "duplicate_6gram": "more characters in repeated runs of 6 words than max_duplicate_6gram",
        "duplicate_7gram": "more characters in repeated runs of 7 words than max_duplicate_7gram",
        "duplicate_8gram": "more characters in repeated runs of 8 words than max_duplicate_8gram",
        "duplicate_9gram": "more characters in repeated runs of 9 words than max_duplicate_9gram",
        "duplicate_10gram": "more characters in repeated runs of 10 words than max_duplicate_10gram",
    }

    counting: Counting = Field("paper", description="whose way of counting: paper, datatrove, dolma or dclm")
    min_words: int = Field(50, ge=0, description="fewer words are `too_short` (Gopher: 50)")
    max_words: int = Field(100_000, ge=1, description="more words are `too_long` (Gopher: 100000)")
    min_word_length: float = Field(3.0, ge=0, description="characters of the mean word, at least (Gopher: 3)")
    max_word_length: float = Field(10.0, gt=0, description="characters of the mean word, at most (Gopher: 10)")
    max_symbol_ratio: float = _limit(0.1, "'#' signs, or ellipses, a word (Gopher: 0.1)")
    max_bullet_lines: float = _limit(0.9, "share of lines that begin with a bullet (Gopher: 0.9)")
    max_ellipsis_lines: float = _limit(0.3, "share of lines that end with an ellipsis (Gopher: 0.3)")
    min_alpha_words: float = Field(0.8, ge=0, le=1, description="share of words with a letter (Gopher: 0.8)")
    min_stop_words: int = Field(
        2, ge=0, description="how many of: the be to of and that have with (Gopher: 2); 0 for other languages"
    )
    max_duplicate_lines: float = _limit(0.3, "share of lines (Gopher: 0.3)")
    max_duplicate_paragraphs: float = _limit(0.3, "share of paragraphs (Gopher: 0.3)")
    max_duplicate_line_chars: float = _limit(0.2, "share of characters (Gopher: 0.2; dolma's mixing configs: 0.3)")
    max_duplicate_paragraph_chars: float = _limit(0.2, "share of characters (Gopher: 0.2)")
    max_top_2gram: float = _limit(0.2, "share of characters (Gopher: 0.2)")
    max_top_3gram: float = _limit(0.18, "share of characters (Gopher: 0.18)")
    max_top_4gram: float = _limit(0.16, "share of characters (Gopher: 0.16)")
    max_duplicate_5gram: float = _limit(0.15, "share of characters (Gopher: 0.15)")
    max_duplicate_6gram: float = _limit(0.14, "share of characters (Gopher: 0.14)")
    max_duplicate_7gram: float = _limit(0.13, "share of characters (Gopher: 0.13)")
    max_duplicate_8gram: float = _limit(0.12, "share of characters (Gopher: 0.12)")
    max_duplicate_9gram: float = _limit(0.11, "share of characters (Gopher: 0.11)")
    max_duplicate_10gram: float = _limit(0.10, "share of characters (Gopher: 0.10)")

    bounds: ClassVar[Sequence[Bound]] = (
        Bound("too_short", "words", "<", "min_words"),
        Bound("too_long", "words", ">", "max_words"),
        Bound("short_words", "word_length", "<", "min_word_length"),
        Bound("long_words", "word_length", ">", "max_word_length"),
        Bound("hashes", "hash_ratio", ">", "max_symbol_ratio"),
        Bound("ellipses", "ellipsis_ratio", ">", "max_symbol_ratio"),
        Bound("symbols", "symbol_ratio", ">", "max_symbol_ratio"),
        Bound("bullets", "bullet_lines", ">", "max_bullet_lines"),
        Bound("ellipsis_lines", "ellipsis_lines", ">", "max_ellipsis_lines"),
        Bound("few_alpha_words", "alpha_words", "<", "min_alpha_words"),
        Bound("no_stop_words", "stop_words", "<", "min_stop_words"),
        Bound("duplicate_lines", "duplicate_lines", ">", "max_duplicate_lines"),
        Bound("duplicate_paragraphs", "duplicate_paragraphs", ">", "max_duplicate_paragraphs"),
        Bound("duplicate_line_chars", "duplicate_line_chars", ">", "max_duplicate_line_chars"),
        Bound("duplicate_paragraph_chars", "duplicate_paragraph_chars", ">", "max_duplicate_paragraph_chars"),
        *(Bound(f"top_{n}gram", f"top_{n}gram", ">", f"max_top_{n}gram") for n in (2, 3, 4)),
        *(Bound(f"duplicate_{n}gram", f"duplicate_{n}gram", ">", f"max_duplicate_{n}gram") for n in range(5, 11)),
    )

    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "words": pa.int64(),
        "stop_words": pa.int64(),
        "word_length": pa.float64(),
        **dict.fromkeys(_SHARES, pa.float64()),
    }

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """Counts int64 and shares float64, one of each a row; ``word_length`` is null in a text without words."""
        from curate.text.line_counts import line_counts
        from curate.text.repetition import repetition
        from curate.text.word_counts import word_counts

        way = COUNTINGS.index(self.counting)
        words = docs.words("tokens" if self.counting in ("datatrove", "dclm") else "gopher")
        counts, lengths = word_counts(*docs.utf8, words.rows, words.starts, words.stops, way)
        lines = line_counts(*docs.utf8, docs.lines.rows, docs.lines.starts, way)
        grams = repetition(*docs.utf8, words.rows, words.hashes, words.starts, words.stops, lengths, way)
        return self._shares({**counts, **lines, **grams})

    def _shares(self, n: Mapping[str, npt.NDArray[np.int64]]) -> Signals:
        """Signals from counts: what each share is of is the counting's choice."""
        dolma, dclm, datatrove = (self.counting == name for name in ("dolma", "dclm", "datatrove"))
        words = n["plain_words"] if dclm else n["words"]
        chars = n["chars"] if datatrove else n["word_chars"]
        symbols = n["symbol_words"] if dolma else n["hashes"] + n["ellipses"]
        length = np.divide(n["plain_chars"], np.maximum(n["plain_words"], 1))
        tops = {f"top_{k}gram": (n[f"top_{k}"], chars) for k in (2, 3, 4)}
        repeated = {f"duplicate_{k}gram": (n[f"repeated_{k}"], n[f"all_{k}"] if dolma else chars) for k in range(5, 11)}
        shares = {
            "hash_ratio": (n["hashes"], words),
            "ellipsis_ratio": (n["ellipses"], words),
            "symbol_ratio": (symbols, words),
            "bullet_lines": (n["bullet_lines"], n["lines"]),
            "ellipsis_lines": (n["ellipsis_lines"], n["lines"]),
            "alpha_words": (n["plain_alpha_words"] if dclm else n["alpha_words"], words),
            "duplicate_lines": (n["duplicate_lines"], n["units"]),
            "duplicate_paragraphs": (n["duplicate_paragraphs"], n["paragraphs"]),
            "duplicate_line_chars": (
                n["duplicate_line_chars"],
                chars if datatrove or dolma else n["line_chars"],
            ),
            "duplicate_paragraph_chars": (
                n["duplicate_paragraph_chars"],
                chars if datatrove else n["paragraph_chars"],
            ),
            **tops,
            **repeated,
        }
        return {
            "words": pa.array(n["plain_words"]),
            "stop_words": pa.array(n["stop_words"]),
            "word_length": pa.array(
                n["median_twice"] / 2 if dolma else length, mask=(n["plain_words"] == 0) & (not dolma)
            ),
            **{name: pa.array(part / np.maximum(whole, 1)) for name, (part, whole) in shares.items()},
        }

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """The table's, without those on signs that the counting does not have."""
        return [rule for rule in super().rules(signals) if rule[0] not in self._left_out()]

    def thresholds(self) -> Sequence[Threshold]:
        """Those of the rules that the counting has."""
        return [threshold for threshold in super().thresholds() if threshold.reason not in self._left_out()]

    def _left_out(self) -> set[str]:
        """One rule on all signs, or one for each kind of them."""
        return {"hashes", "ellipses"} if self.counting in ("dolma", "dclm") else {"symbols"}
