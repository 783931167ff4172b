"""generate.textbooks: short textbook passages, one topic for one audience each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.llm.request import Answer, Request
from curate.stages import answers
from curate.stages.base import Context
from curate.stages.drawn import Drawn
from curate.stages.generator import Accepted, Rejected
from curate.stages.prompts import read_prompt
from curate.stages.registry import register
from curate.stages.screened import CONTAMINATED
from curate.stages.written import Written
from curate.text.batch import Batch

_MIN_WORDS_TO_JUDGE: Final = 50


@register("generate.textbooks")
class GenerateTextbooks(Drawn):
    """Ask for textbook passages. Topic, audience, style and seed are drawn without replacement, by keyed hash.

    Constraining topic and audience is how phi-1's textbooks were kept apart (arXiv 2306.11644); the prompts are ours.
    Topics are those of a file, or what ``generate.topics`` grew, where ``from`` names it; with an outline
    (``generate.outlines``) each of its sections is a passage; other documents in ``from`` are seeds: an extract of one is
    shown by prompts that have a place for it, and ``meta.made_from`` names it. An answer that was cut at ``max_tokens``
    keeps its whole sentences (``meta.trimmed``) if enough is left. One that says how it was asked for is rejected, and so is one
    that copies its seed; what was filled into a prompt (topic, audience, style, outline) may be said. Topics that name a
    function of a benchmark in ``against`` are not asked for, and passages that hold one of its items are rejected.
    """

    revision: ClassVar[int] = 7
    reasons: ClassVar[Mapping[str, str]] = {
        **Written.reasons,
        "refused": answers.REFUSED,
        "truncated": answers.TRUNCATED,
        "too_short": "fewer than min_chars characters",
        "repetitive": "the share of distinct words is below min_unique_words",
        "leaked": answers.LEAKED,
        "copied": "more than max_copied of its runs of eight words are its seed's",
        "contaminated": CONTAMINATED,
    }
    ledger: ClassVar[Mapping[str, str]] = {
        **Written.ledger,
        "refused": "refused",
        "truncated": "truncated",
        "too_short": "wrong_format",
        "repetitive": "low_score",
        "leaked": "wrong_format",
        "copied": "low_score",
        "contaminated": "contaminated",
    }

    prompts: list[str] = Field(
        ["prompts/textbook"],
        min_length=1,
        description="prompts to ask with, each a family: files in data/, or your own by their path",
    )
    passages: int = Field(200, ge=1, description="how many passages to ask for")
    min_chars: int = Field(300, ge=1, description="shorter passages are rejected")
    min_unique_words: float = Field(0.25, ge=0, le=1, description="least share of distinct words, from 50 words on")
    max_copied: float = Field(0.1, ge=0, le=1, description="share of runs of eight words that may be the seed's")

    def requests(self, docs: Iterable[Batch], ctx: Context) -> Iterable[list[Request]]:
        """One request a passage."""
        return self.drawn(docs, self.passages, ctx)

    def accept(self, request: Request, answer: Answer, ctx: Context) -> Accepted | Rejected:
        """The passage without boilerplate, or why there is none."""
        given = answers.plain(answer.text)
        text = answers.unwrap(given)
        if self.refused(given, answer.finish_reason):
            return Rejected("refused", answers.excerpt(given))
        cut = answer.finish_reason == "length"
        if cut:
            text = answers.whole_sentences(text)
        if len(text) < self.min_chars:
            reason = "truncated" if cut else "too_short"
            return Rejected(reason, f"{len(text)} characters: {answers.excerpt(text)}")
        share = answers.unique_words(text)
        if len(text.split()) >= _MIN_WORDS_TO_JUDGE and share < self.min_unique_words:
            return Rejected("repetitive", f"{share:.2f} of the words are distinct")
        asked = request.messages[: int(request.subject["asked"]) + 1]
        if leak := answers.leaked(text, asked, self._told(request, ctx)):
            return Rejected("leaked", answers.excerpt(leak))
        share = answers.copied(text, answers.shown(asked))
        if share > self.max_copied:
            return Rejected("copied", f"{share:.2f} of the runs of {answers.RUN} words")
        if item := self.held(text, ctx):
            return Rejected("contaminated", item)
        return Accepted(text + "\n", self.record(request, answer, ["length", "distinct_words", "not_copied"]))

    def _told(self, request: Request, ctx: Context) -> Sequence[str] | None:
        """What the request's prompt says itself, without what was filled in."""
        for number in range(len(self.prompts)):
            path = ctx.assets[f"prompts/{number}"]
            said = _between(path, path.stat().st_mtime_ns, self.gives()).get(request.family)
            if said is not None:
                return said
        return None

    def report(self, docs: pa.Table, noted: Sequence[Mapping[str, Any]] = ()) -> Mapping[str, Any]:
        """Passages and their characters."""
        return {
            "passages": docs.num_rows,
            "characters": pc.sum(docs.column("chars")).as_py() or 0,
        }


@lru_cache(maxsize=64)
def _between(path: Path, changed: int, gives: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:  # noqa: ARG001
    """By family what the prompts in a file say themselves; ``changed``: when it was."""
    return {prompt.name: prompt.between() for prompt in read_prompt(path, gives).at_levels()}
