"""generate.textbooks: short textbook passages, one topic for one audience each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate import assets
from curate.errors import InputError
from curate.llm.request import Answer, Request
from curate.stages import answers
from curate.stages.base import Accepted, Context, Rejected
from curate.stages.registry import register
from curate.stages.screened import CONTAMINATED, Screened
from curate.stages.topics import draws, load_topics, made_by, rounds
from curate.text.batch import Batch

FAMILY: Final = "textbook"

_SYSTEM: Final = "You write clear, correct textbooks about programming in Python."
_PROMPT: Final = """\
Write one short textbook section, about {words} words, for {audience}.
Chapter: {chapter}. Topic: {topic}. Explain: {about}.
First the idea in plain words, then one small complete example in a ```python block, then what it prints and why.
Begin with the explanation itself."""
_TOKENS_A_WORD: Final = 3.0
"""Tokens of answer for each word asked for: code takes more tokens a word, and small models write more than asked."""
_MIN_WORDS_TO_JUDGE: Final = 50


@register("generate.textbooks")
class GenerateTextbooks(Screened):
    """Ask for textbook passages. Topic and audience are drawn without replacement, by keyed hash.

    Constraining topic and audience is how phi-1's textbooks were kept apart (arXiv 2306.11644); the prompts are ours. An
    answer that was cut at ``max_tokens`` keeps its whole sentences (``meta.trimmed``) if enough is left. Topics that name a
    function of a benchmark in ``against`` are not asked for, and passages that hold one of its items are rejected.
    """

    revision: ClassVar[int] = 4
    reasons: ClassVar[Mapping[str, str]] = {
        "refused": answers.REFUSED,
        "truncated": answers.TRUNCATED,
        "too_short": "fewer than min_chars characters",
        "repetitive": "the share of distinct words is below min_unique_words",
        "contaminated": CONTAMINATED,
    }
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {**Screened.asset_settings, "topics": "data"}

    topics: str = Field("topics/python", description="file of topics in data/")
    passages: int = Field(200, ge=1, description="how many passages to ask for")
    max_tokens: int = Field(380, ge=32, description="limit of one answer")
    temperature: float = Field(0.7, ge=0, le=2, description="sampling temperature")
    top_p: float = Field(0.95, gt=0, le=1, description="nucleus sampling: share of probability to draw from")
    round: int = Field(8, ge=1, description="requests a round; a round counts only as a whole")
    min_chars: int = Field(300, ge=1, description="shorter passages are rejected")
    min_unique_words: float = Field(0.25, ge=0, le=1, description="least share of distinct words, from 50 words on")

    def requests(self, docs: Iterable[Batch], ctx: Context) -> list[list[Request]]:
        """One request a passage."""
        topics = load_topics(ctx.assets["topics"])
        told = [f"{p.chapter}\n\n{p.topic}\n\n{p.about}" for p in topics.passages]
        kept = self.unknown(told, ctx, place=str(ctx.assets["topics"]))
        passages = [p for p, keep in zip(topics.passages, kept, strict=True) if keep]
        pairs = [(p, a) for p in passages for a in topics.audiences]
        if not pairs:
            raise InputError("no passages or no audiences to write for", place=str(ctx.assets["topics"]))
        names = [f"{p.chapter}\x1f{p.topic}\x1f{p.about}\x1f{a}" for p, a in pairs]
        asked = []
        for i, draw in draws(names, self.passages, ctx.key(ctx.step, FAMILY)):
            passage, audience = pairs[i]
            words = max(40, int(self.max_tokens / _TOKENS_A_WORD) // 10 * 10)
            prompt = _PROMPT.format(words=words, audience=audience, **passage.model_dump())
            asked.append(
                Request(
                    messages=({"role": "system", "content": _SYSTEM}, {"role": "user", "content": prompt}),
                    family=FAMILY,
                    draw=draw,
                    max_tokens=self.max_tokens,
                    sampling={"temperature": self.temperature, "top_p": self.top_p},
                    subject={"topic": passage.topic, "chapter": passage.chapter, "audience": audience},
                )
            )
        return rounds(asked, self.round)

    def accept(self, request: Request, answer: Answer, ctx: Context) -> Accepted | Rejected:
        """The passage without boilerplate, or why there is none."""
        given = answers.plain(answer.text)
        text = answers.unwrap(given)
        if answers.refused(given, answer.finish_reason) or answers.refused(text, answer.finish_reason):
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
        if item := self.held(text, ctx):
            return Rejected("contaminated", item)
        meta = {**made_by(answer, request.family, request.draw), **request.subject, "trimmed": cut}
        return Accepted(text + "\n", meta)

    def report(self, docs: pa.Table, noted: Sequence[Mapping[str, Any]] = ()) -> Mapping[str, Any]:
        """Passages and their characters."""
        return {
            "passages": docs.num_rows,
            "characters": pc.sum(pc.utf8_length(docs.column("text"))).as_py() or 0,
        }
