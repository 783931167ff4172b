"""Documents that contain items of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.benchmarks.hits import CODE, HIT, MOSTLY_RUN, REPHRASED, WORDS, Least, parts
from curate.fingerprint import fingerprint
from curate.stages.base import Context, Filter, Signals
from curate.stages.benchmarked import Benchmarked
from curate.stages.registry import register
from curate.text.batch import Batch

if TYPE_CHECKING:
    import numpy.typing as npt

    from curate.benchmarks.hits import Hits


@register("decontaminate")
class Decontaminate(Benchmarked, Filter):
    """Drop documents that contain an item of a benchmark, or cut out the lines that do.

    ``against`` names benchmarks of the registry (``curate benchmarks list``), files of items, or indexes of either; their
    test splits are looked for, with what their prompts show as examples: prompts, reference solutions, choices, tests.

    Layer ``words``: a text is cut into word n-grams (lower case; signs between words do not count, nor do escapes of JSON,
    string literals and HTML: reformatting hides nothing), of 8, 10 or 13 words by its length; the share of *its* n-grams that
    a document contains decides, whatever else the document holds. So do a long run of its words, and the share of the
    document that is its words. An answer of 16 words or more is looked for in the same way; a shorter one (``return
    number % 1.0``) is ordinary code. A prompt of fewer than 16 words must be there word by word, and one of fewer than 8
    only counts where its answer, or its choices, are there as well. No item is skipped: one without any word stops the run.

    Layer ``code``: the functions of a document, whatever it is (a file, a page, a doctest), against those of the items'
    solutions, in a normal form without names, comments, docstrings, annotations and layout: from a match rate of ``tau``
    on, by edit distance, or by the statements in any order. What phi-1's authors pruned by (arXiv 2306.11644, section 5.2).

    Layer ``rephrased``: passages that keep a prompt's names, numbers and rare words, in whatever order and form, from a
    probability of ``likely`` on, by a logistic regression; with ``rephrased: embeddings`` also by what passage and prompt
    mean. 69 % of the prompts that models reworded are found, at a precision of 97 % by documents on 49,000 real ones:
    docs/decisions/0025.

    With ``verdict: cut`` the lines that hold what was found go, and the document stays if enough of it is left.
    ``hits`` has all that a document has of any item, for ``curate benchmarks report``.

    On 55,000 real documents (web pages, code, books, forums, instructions) the largest share of any prompt of HumanEval,
    MBPP, GSM8K, BBH and TruthfulQA is 0.25, the longest run 24 words: docs/decisions/0022.
    """

    revision: ClassVar[int] = 7
    reasons: ClassVar[Mapping[str, str]] = {
        "benchmark_exact": "holds, word by word, an item that is too short for n-grams; signals name it",
        "benchmark_ngram": "holds at least `containment` of an item's n-grams, or a run of `run` of its words, or is an "
        "item's words by `of_document`; signals name it",
        "benchmark_code": "a function is an item's solution by a match rate of at least `tau`; signals name it",
        "benchmark_rephrased": "a passage says a prompt in other words, by a probability of at least `likely`; signals name it",
        "little_left": "without the lines that hold items, fewer than min_left_chars characters are left (verdict: cut)",
    }
    decide_settings: ClassVar[frozenset[str]] = frozenset(
        {"containment", "run", "of_document", "tau", "likely", "verdict", "min_left_chars"}
    )
    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "item": pa.string(),
        "part": pa.string(),
        "containment": pa.float32(),
        "of_document": pa.float32(),
        "run": pa.int32(),
        "exact": pa.bool_(),
        "code_item": pa.string(),
        "tau": pa.float32(),
        "rephrased_item": pa.string(),
        "likely": pa.float32(),
        "left_chars": pa.int64(),
        "hits": pa.list_(HIT),
    }

    containment: float = Field(0.3, gt=0, le=1, description="share of an item's n-grams from which a document goes")
    run: int = Field(32, ge=16, description="words of an item in a row from which a document goes")
    of_document: float = Field(
        0.8, ge=0.5, le=1, description="share of a document's words from which it goes, where 13 in a row are an item's"
    )
    tau: float = Field(
        0.9, ge=0.8, le=1, description="match rate of a function with an item's solution from which a document goes"
    )
    rephrased: Literal["off", "words", "embeddings"] = Field(
        "words",
        description="look for rephrased prompts: by names, numbers and rare words, or also by static embeddings (the extra "
        "'embeddings')",
    )
    likely: float = Field(
        0.62, gt=0.5, le=1, description="probability from which a passage is a prompt in other words (log-odds of 0.5)"
    )
    verdict: Literal["drop", "cut"] = Field(
        "drop", description="what becomes of a document: it goes, or the lines with items do"
    )
    min_left_chars: int = Field(
        200, ge=0, description="characters that are left of a document after cutting, at least, or it goes"
    )

    def embeds(self) -> bool:
        """Where rephrasings are confirmed by them."""
        return self.rephrased == "embeddings"

    def edits(self) -> bool:
        """Where lines are cut."""
        return self.verdict == "cut"

    def measure_fingerprint(self) -> str:
        """What is cut, and so what is left, hangs on the thresholds."""
        settings = self.model_dump(mode="json", include=set(self.decide_settings)) if self.edits() else {}
        return fingerprint(super().measure_fingerprint(), settings) if settings else super().measure_fingerprint()

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """The strongest hits of a row, and all of them.

        ``item`` string (``humaneval/HumanEval/0``) and ``part`` string (``prompt``, ``answer``, ...) of the hit with the
        largest share, ``containment`` float32 (that share of the part's n-grams); of any hit ``of_document`` float32 (share
        of the row's words, where 13 in a row are the item's), ``run`` int32 (words in a row), ``exact`` bool (a part of
        which only all counts); ``code_item`` string and ``tau`` float32 of the function that is most like a solution;
        ``rephrased_item`` string and ``likely`` float32 (a probability) of the passage that is most like a prompt. Null or 0 where there is
        little of any. ``left_chars`` int64: characters without the lines that would be cut; null unless they are. ``hits``: list of ``HIT``.
        """
        hits, loaded = self._hits(docs, ctx), self.loaded(ctx)
        rows = len(docs)
        words, code, likely = (hits.take(hits.layer == layer) for layer in (WORDS, CODE, REPHRASED))
        return {
            "item": loaded.items.take(_first(words.item, words.row, rows)),
            "part": pa.array(parts()).take(_first(words.part, words.row, rows)),
            "containment": _most(words.strength, words.row, rows),
            "of_document": _most(np.where(words.run >= MOSTLY_RUN, words.of_row, np.float32(0)), words.row, rows),
            "run": _most(words.run, words.row, rows),
            "exact": _most(words.whole, words.row, rows),
            "code_item": loaded.items.take(_first(code.item, code.row, rows)),
            "tau": _most(code.strength, code.row, rows),
            "rephrased_item": loaded.items.take(_first(likely.item, likely.row, rows)),
            "likely": _most(likely.strength, likely.row, rows),
            "left_chars": self._left(docs, ctx),
            "hits": hits.lists(rows, loaded.items),
        }

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """Short items exactly, others by the three strengths; where lines are cut, by what is left."""
        if self.verdict == "cut":
            return [("little_left", pc.less(signals["left_chars"], self.min_left_chars))]
        exact = signals["exact"]
        enough = pc.greater_equal(signals["containment"], pa.scalar(self.containment, pa.float32()))
        long = pc.greater_equal(signals["run"], pa.scalar(self.run, pa.int32()))
        mostly = pc.greater_equal(signals["of_document"], pa.scalar(self.of_document, pa.float32()))
        alike = pc.greater_equal(signals["tau"], pa.scalar(self.tau, pa.float32()))
        likely = pc.greater_equal(signals["likely"], pa.scalar(self.likely, pa.float32()))
        return [
            ("benchmark_exact", exact),
            ("benchmark_ngram", pc.or_(pc.or_(enough, long), mostly)),
            ("benchmark_code", alike),
            ("benchmark_rephrased", likely),
        ]

    def edit(self, docs: Batch, ctx: Context) -> pa.Array:
        """The lines without items."""
        from curate.benchmarks.screen import lines_of
        from curate.text.cuts import without

        def cut() -> _Left:
            hits = self._hits(docs, ctx)
            counted = hits.take(self.least().counted(hits))
            return _Left(without(docs.text, *lines_of(docs, counted, self.loaded(ctx))).text)

        # Measured and edited at once: the batch keeps it from one to the other, for the rows that stay.
        return docs.view(f"{self._found_as(ctx)} without {self.least()}", cut).text

    def _hits(self, docs: Batch, ctx: Context) -> Hits:
        from curate.benchmarks.screen import find

        return docs.view(self._found_as(ctx), lambda: find(docs, self.loaded(ctx), self.rephrased))

    def _found_as(self, ctx: Context) -> str:
        """What a batch knows the hits by."""
        return f"benchmarks {self.loaded(ctx).content} {self.rephrased}"

    def least(self) -> Least:
        return Least(self.containment, self.run, self.of_document, self.tau, self.likely)

    def _left(self, docs: Batch, ctx: Context) -> pa.Array:
        """int64[n]; rows of which nothing is cut are null: they stay, however short they are."""
        nothing = pa.scalar(None, pa.int64())
        if self.verdict == "drop":
            return pa.nulls(len(docs), pa.int64())
        left = self.edit(docs, ctx)
        chars = pc.utf8_length(pc.utf8_trim_whitespace(left)).cast(pa.int64())
        return pc.if_else(pc.equal(left, docs.text), nothing, chars)


@dataclass(frozen=True)
class _Left:
    """Texts without what was cut; a view of a batch, which goes with the rows that are kept."""

    text: pa.LargeStringArray

    def kept(self, keep: pa.BooleanArray) -> _Left:
        """The same of the rows where ``keep`` is true."""
        return _Left(self.text.filter(keep))


def _first(values: npt.NDArray[Any], of: npt.NDArray[np.int64], rows: int) -> pa.Array:
    """By row the value of its first hit, null without; ``of``: rows of hits, ascending."""
    at = np.searchsorted(of, np.arange(rows))
    none = at == np.searchsorted(of, np.arange(rows), side="right")
    return pa.array(np.append(values, np.zeros(1, values.dtype))[np.where(none, len(values), at)], mask=none)


def _most(values: npt.NDArray[Any], of: npt.NDArray[np.int64], rows: int) -> pa.Array:
    """By row the largest value of a hit, 0 without."""
    found = np.zeros(rows, values.dtype)
    np.maximum.at(found, of, values)
    return pa.array(found)
