"""generate.exercises: a named function with a docstring, a body, and assertions that call it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

import pyarrow as pa
from pydantic import Field

from curate import assets
from curate.errors import InputError
from curate.llm.request import Answer, Request
from curate.stages import answers
from curate.stages.base import Accepted, Context, Rejected
from curate.stages.registry import register
from curate.stages.screened import CONTAMINATED, Screened
from curate.stages.topics import Exercise, draws, load_topics, made_by, rounds
from curate.text.batch import Batch

FAMILY: Final = "exercise"

_SYSTEM: Final = "You write short, correct Python exercises."
_PROMPT: Final = """\
Write a Python function `{name}` about {topic}.{task}{words} One ```python block, nothing else: the function with type \
hints, a one-sentence docstring and a short body, then 3 lines `assert {name}(...) == ...` with small inputs whose \
results are easy to check by hand."""
_TASK: Final = " It returns {task}."
_WORDS: Final = " The docstring must use the words: {words}."

# One turn of example: with it a 0.5B model keeps to the form and writes a third fewer tokens.
_EXAMPLE: Final = (
    _PROMPT.format(
        name="letters_in",
        topic="strings",
        task=_TASK.format(task="the number of letters in a text"),
        words=_WORDS.format(words="text"),
    ),
    '''```python
def letters_in(text: str) -> int:
    """Return how many characters of the text are letters."""
    return sum(1 for c in text if c.isalpha())


assert letters_in("a1b2") == 2
assert letters_in("42") == 0
assert letters_in("") == 0
```''',
)


@register("generate.exercises")
class GenerateExercises(Screened):
    """Ask for exercises, each with a function name, a topic and words forced into the docstring.

    Constraining the name and forcing words are what kept phi-1's exercises apart (arXiv 2306.11644); the prompts are
    ours. Functions that a benchmark in ``against`` asks for are never asked for, and an answer that holds one of its
    items, by words or as code that does the same step by step, is rejected. Text checks only: run the code with
    ``verify.execute``. An answer cut at ``max_tokens`` keeps its whole lines if enough assertions are left.
    """

    revision: ClassVar[int] = 4
    reasons: ClassVar[Mapping[str, str]] = {
        "refused": answers.REFUSED,
        "truncated": answers.TRUNCATED,
        "no_code_block": "no fenced block of Python in the answer",
        "wrong_name": "no block defines the function that was asked for",
        "no_docstring": "the function has no docstring",
        "too_few_asserts": "fewer than min_asserts assertions call the function",
        "contaminated": CONTAMINATED,
    }
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {**Screened.asset_settings, "topics": "data"}

    topics: str = Field("topics/python", description="file of topics in data/")
    exercises: int = Field(400, ge=1, description="how many exercises to ask for")
    max_tokens: int = Field(260, ge=32, description="limit of one answer")
    temperature: float = Field(0.7, ge=0, le=2, description="sampling temperature")
    top_p: float = Field(0.95, gt=0, le=1, description="nucleus sampling: share of probability to draw from")
    round: int = Field(8, ge=1, description="requests a round; a round counts only as a whole")
    words: int = Field(3, ge=0, description="at most so many of the exercise's words are forced")
    min_asserts: int = Field(2, ge=0, description="least number of assertions that call the function")

    def requests(self, docs: Iterable[Batch], ctx: Context) -> list[list[Request]]:
        """One request an exercise."""
        place = str(ctx.assets["topics"])
        self.refuse_shown([*_EXAMPLE, _SYSTEM], ctx)
        there = load_topics(ctx.assets["topics"]).exercises
        told = [f"`{e.name}`\n\n{e.topic}\n\n{e.task}\n\n{' '.join(e.words)}" for e in there]
        kept = self.unknown(told, ctx, [e.name for e in there], place=place)
        wanted = [e for e, keep in zip(there, kept, strict=True) if keep]
        if not wanted:
            why = "benchmarks ask for all of them" if there else "the file has none"
            raise InputError(f"no exercises to ask for: {why}", place=place, cure="name others")
        asked = [
            self._request(wanted[i], draw, ctx)
            for i, draw in draws([e.name for e in wanted], self.exercises, ctx.key(ctx.step, FAMILY))
        ]
        return rounds(asked, self.round)

    def _request(self, exercise: Exercise, draw: int, ctx: Context) -> Request:
        order = draws(exercise.words, len(exercise.words), ctx.key(ctx.step, exercise.name, draw))
        words = [exercise.words[i] for i, _ in order[: self.words]]
        forced = _WORDS.format(words=", ".join(words)) if words else ""
        task = _TASK.format(task=exercise.task) if exercise.task else ""
        prompt = _PROMPT.format(topic=exercise.topic, name=exercise.name, task=task, words=forced)
        return Request(
            messages=(
                {"role": "system", "content": _SYSTEM},
                {"role": "user", "content": _EXAMPLE[0]},
                {"role": "assistant", "content": _EXAMPLE[1]},
                {"role": "user", "content": prompt},
            ),
            family=FAMILY,
            draw=draw,
            max_tokens=self.max_tokens,
            sampling={"temperature": self.temperature, "top_p": self.top_p},
            subject={"name": exercise.name, "topic": exercise.topic, "words": words},
        )

    def accept(self, request: Request, answer: Answer, ctx: Context) -> Accepted | Rejected:
        """The code, or why there is none."""
        text = answers.plain(answer.text)
        if answers.refused(text, answer.finish_reason):
            return Rejected("refused", answers.excerpt(text))
        blocks, rest = answers.code_blocks(text)
        cut = rest is not None
        if rest is not None:
            # The last line of an open block may be half a line.
            blocks.append(rest.rpartition("\n")[0] if answer.finish_reason == "length" else rest)
        if not blocks:
            return Rejected("truncated" if answer.finish_reason == "length" else "no_code_block", answers.excerpt(text))
        code = self._join(blocks, str(request.subject["name"]))
        found = self._fault(code, str(request.subject["name"]))
        if found:
            reason = "truncated" if cut and answer.finish_reason == "length" and code else found
            return Rejected(reason, answers.excerpt(code or blocks[0]))
        if item := self.held(code, ctx):
            return Rejected("contaminated", item)
        meta = {**made_by(answer, request.family, request.draw), **request.subject, "trimmed": cut}
        return Accepted(code, meta)

    def _join(self, blocks: list[str], name: str) -> str:
        """The block that defines the function, with what later blocks assert about it; empty if none defines it."""
        defines = re.compile(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(name)}[ \t]*\(", re.MULTILINE)
        first = next((i for i, block in enumerate(blocks) if defines.search(block)), None)
        if first is None:
            return ""
        later = [b for b in blocks[first + 1 :] if _asserts(b, name) and not defines.search(b)]
        parts = [blocks[first], *later] if not _asserts(blocks[first], name) else [blocks[first]]
        return "\n\n".join(p.strip("\n") for p in parts).rstrip() + "\n"

    def _fault(self, code: str, name: str) -> str | None:
        if not code:
            return "wrong_name"
        head = re.search(
            rf"^(?:async[ \t]+)?def[ \t]+{re.escape(name)}[ \t]*\(.*?:[ \t]*(?:#[^\n]*)?\n(.*)",
            code,
            re.DOTALL | re.MULTILINE,
        )
        if head is None or not re.match(r"\s*[rRuU]?(?:\"\"\"|'''|\"|')", head[1]):
            return "no_docstring"
        if _asserts(code, name) < self.min_asserts:
            return "too_few_asserts"
        return None

    def report(self, docs: pa.Table, noted: Sequence[Mapping[str, Any]] = ()) -> Mapping[str, Any]:
        """Exercises by topic."""
        topics = [json.loads(m).get("topic", "") for m in docs.column("meta").to_pylist()]
        return {"exercises": docs.num_rows, "by_topic": {t: topics.count(t) for t in sorted(set(topics))}}


def _asserts(code: str, name: str) -> int:
    """Lines that assert something about a call of the function."""
    return len(re.findall(rf"^[ \t]*assert\b[^\n]*\b{re.escape(name)}[ \t]*\(", code, re.MULTILINE))
