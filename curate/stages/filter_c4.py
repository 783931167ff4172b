"""C4's rules: remove lines that are no sentences, then drop pages that are no text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate import assets
from curate.stages.base import Context, Filter, Signals
from curate.stages.bounds import Bound, Threshold, rules_of, thresholds_of
from curate.stages.registry import register
from curate.text.batch import Batch

if TYPE_CHECKING:
    from curate.text.line_rules import Edited

_LINE_WORDS: Final = {"paper": 5, "datatrove": 3, "dolma": 3}
_SENTENCES: Final = {"paper": 3, "datatrove": 5, "dolma": 0}


@register("filter.c4")
class C4(Filter):
    """Remove lines that are no sentences of prose, then drop documents with too little left, or with code in them.

    After Raffel et al. 2020 (arXiv 1910.10683, section 2.2). The same rules are counted in three ways (``counting``):

    - ``paper``: the code that made C4 (tensorflow_datasets, ``c4_utils.py``). Lines end where ``str.splitlines`` ends
      them; white space around them goes. In this order a line goes for a word of more than ``max_word_chars``, for not
      ending in . ? ! or a double quotation mark (or for ending in three full stops), for fewer than 5 words, for
      "javascript", for a phrase of policy notices; citations are cut out of it. A document goes for "lorem ipsum" or a
      curly bracket in a line that is still there when these are looked for, and for fewer than 3 sentences. Sentences
      are counted by the rule of ``curate.text.sentences`` (C4: NLTK's Punkt).
    - ``datatrove``: ``C4QualityFilter`` of datatrove 0.10.1: an apostrophe ends a line too, words are counted before
      citations are cut out, 3 words, 5 sentences.
    - ``dolma``: the tagger ``c4_v2`` of dolma 1.2.1, mixed as in its ``configs/c4-replication``: lines end at LF and stay
      as they are; those without . ? ! or a double quotation mark at their end or with fewer than 3 words go; "javascript",
      "lorem ipsum" or a curly bracket anywhere drops the document. Nothing is said of long words, policies,
      citations or sentences.

    Signals ending in ``_chars`` are characters that are removed, without the white space around lines; the others are
    counts of lines, or what remains has them.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = {
        "lorem_ipsum": 'a line holds "lorem ipsum"',
        "javascript": 'the text holds "javascript" (counting: dolma; elsewhere the line goes)',
        "curly_bracket": "a line holds a curly bracket: program code",
        "too_few_sentences": "fewer sentences are left than min_sentences",
        "too_few_paragraphs": "fewer long lines are left than min_paragraphs",
        "bad_words": "what is left holds an entry of the list bad_words",
        "empty": "no line is left",
    }
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"bad_words": "data"}

    counting: Literal["paper", "datatrove", "dolma"] = Field(
        "paper", description="whose definitions of line, word and sentence, and whose thresholds where none is given"
    )
    terminal_punctuation: bool = Field(
        default=True, description="remove lines that do not end like a sentence (C4: true; FineWeb: false)"
    )
    min_line_words: int | None = Field(
        None, ge=0, description="lines with fewer words go (C4: 5; datatrove, dolma: 3; null: as counting says)"
    )
    max_word_chars: int = Field(1000, ge=1, description="lines with a longer word go (C4, datatrove: 1000)")
    javascript: bool = Field(
        default=True, description='remove lines that hold "javascript" (C4: true); dolma: drop the document'
    )
    policy: bool = Field(
        default=True,
        description='remove lines that hold "terms of use", "privacy policy", "cookie policy", "uses cookies", '
        '"use of cookies" or "use cookies" (C4: true)',
    )
    citations: bool = Field(
        default=True, description="cut [1], [], [edit] and [citation needed] out of lines (C4: true)"
    )
    lorem_ipsum: bool = Field(default=True, description='drop documents with "lorem ipsum" (C4: true)')
    curly_bracket: bool = Field(default=True, description="drop documents with a curly bracket (C4: true)")
    min_sentences: int | None = Field(
        None, ge=0, description="sentences left, at least (C4: 3; datatrove: 5; dolma: 0; null: as counting says)"
    )
    min_paragraphs: int = Field(0, ge=0, description="long lines left, at least (C4: no such rule; mC4: 3)")
    paragraph_chars: int = Field(200, ge=0, description="characters of a long line, at least (mC4: 200)")
    bad_words: str | None = Field(
        None,
        description="file with a word or phrase a line: a document goes if one stands in what is left, whatever the case "
        "of ASCII letters, touched by no letter, digit or underscore (C4: the list LDNOOBW, which is not shipped)",
    )

    bounds: ClassVar[Sequence[Bound]] = (
        Bound("too_few_sentences", "sentences", "<", "min_sentences"),
        Bound("too_few_paragraphs", "paragraphs", "<", "min_paragraphs"),
    )
    decide_settings: ClassVar[frozenset[str]] = frozenset({"lorem_ipsum", "curly_bracket"})
    signals: ClassVar[Mapping[str, pa.DataType]] = dict.fromkeys(
        (
            "lines",
            "removed_lines",
            "removed_chars",
            "long_word_chars",
            "citation_chars",
            "unended_chars",
            "short_line_chars",
            "javascript_chars",
            "policy_chars",
            "sentences",
            "paragraphs",
            "lorem_ipsum",
            "javascript",
            "curly_brackets",
            "bad_words",
        ),
        pa.int64(),
    )

    def edits(self) -> bool:
        """Always: lines go."""
        return True

    def edit(self, docs: Batch, ctx: Context) -> pa.Array:
        """The lines that stay."""
        return self._edited(docs).text

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """Counts, int64[n] each; see ``signals``."""
        from curate.text.arrow import buffers
        from curate.text.bad_words import holds, read_bad_words
        from curate.text.line_rules import C4_COUNTS

        edited = self._edited(docs)
        found: dict[str, pa.Array] = {name: pa.array(column) for name, column in edited.columns(C4_COUNTS).items()}
        if self.bad_words is None:
            found["bad_words"] = pa.array(np.zeros(len(docs), np.int64))
        else:
            found["bad_words"] = pa.array(
                holds(*buffers(edited.text), read_bad_words(ctx.assets["bad_words"])).astype(int)
            )
        return found

    def _edited(self, docs: Batch) -> Edited:
        # Measured and edited at once; the batch keeps it from one to the other.
        return docs.view(f"edited {self.measure_fingerprint()}", lambda: self._without_lines(docs))

    def _without_lines(self, docs: Batch) -> Edited:
        from curate.text.line_rules import c4_lines, unpunctuated_lines

        min_words = self._settled().min_line_words
        assert min_words is not None
        words = docs.words("gopher")
        if self.counting == "dolma":
            return unpunctuated_lines(
                *docs.utf8,
                (words.rows, words.starts, words.stops),
                terminal=self.terminal_punctuation,
                min_words=min_words,
                paragraph_chars=self.paragraph_chars,
            )
        return c4_lines(
            *docs.utf8,
            (words.rows, words.starts, words.stops),
            terminal=self.terminal_punctuation,
            apostrophe=self.counting == "datatrove",
            recount=self.counting == "paper",
            citations=self.citations,
            javascript=self.javascript,
            policy=self.policy,
            min_words=min_words,
            max_word_chars=self.max_word_chars,
            paragraph_chars=self.paragraph_chars,
        )

    def thresholds(self) -> Sequence[Threshold]:
        """Those of ``bounds``, with what ``counting`` says where nothing is set."""
        return thresholds_of(self.bounds, self._settled())

    def _settled(self) -> C4:
        """With numbers for the settings that leave them to ``counting``."""
        ours = {"min_line_words": _LINE_WORDS[self.counting], "min_sentences": _SENTENCES[self.counting]}
        return self.model_copy(update={name: n for name, n in ours.items() if getattr(self, name) is None})

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """Each reason's rule, in the order of ``reasons``."""
        none = pa.array([False] * len(signals["lines"]), pa.bool_())

        def some(name: str, asked: bool) -> pa.Array:
            return pc.greater(signals[name], 0) if asked else none

        tried = dict(rules_of(self.bounds, self._settled(), signals))
        return [
            ("lorem_ipsum", some("lorem_ipsum", self.lorem_ipsum)),
            ("javascript", some("javascript", self.counting == "dolma" and self.javascript)),
            ("curly_bracket", some("curly_brackets", self.curly_bracket)),
            *tried.items(),
            ("bad_words", some("bad_words", asked=True)),
            ("empty", pc.equal(signals["lines"], signals["removed_lines"])),
        ]
