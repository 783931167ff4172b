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
from curate.sandbox.exercise import Verdict
from curate.stages import answers
from curate.stages.base import Context
from curate.stages.generator import Accepted, Rejected
from curate.stages.material import read_material
from curate.stages.prompted import Prompted, pick, share, turns
from curate.stages.prompts import Prompt
from curate.stages.registry import register
from curate.stages.screened import CONTAMINATED
from curate.stages.topics import Exercise, Topics, draws, load_topics
from curate.stages.verify_execute import VerifyExecute
from curate.stages.written import Written
from curate.text.batch import Batch

GIVES: Final = ("name", "topic", "task", "words", "audience")
_SCREENED_AT_ONCE: Final = 256
VERDICTS: Final = VerifyExecute.reasons
"""Why code that was run is turned down."""


@register("generate.exercises")
class GenerateExercises(Prompted):
    """Ask for exercises, each with a function name, a topic and words forced into the docstring.

    Constraining the name and forcing words are what kept phi-1's exercises apart (arXiv 2306.11644); the prompts are
    ours: files in data/prompts, each of them, or each level of one, a family of its own. Names are listed in the file of
    topics, or composed of its verbs and nouns, thousands of them, about its concepts or the topics of a step of
    ``generate.topics`` in ``from``. Functions that a benchmark in ``against`` asks for are
    never asked for, and an answer that holds one of its items, by words or as code that does the same step by step, is
    rejected. With ``verify: true`` the code is run as ``verify.execute`` does, in the sandbox, and ``tries`` shows the model
    what went wrong; without, these are text checks only: put ``verify.execute`` behind it. An answer cut at ``max_tokens``
    keeps its whole lines if enough assertions are left.
    """

    revision: ClassVar[int] = 5
    reasons: ClassVar[Mapping[str, str]] = {
        **Written.reasons,
        "refused": answers.REFUSED,
        "truncated": answers.TRUNCATED,
        "no_code_block": "no fenced block of Python in the answer",
        "wrong_name": "no block defines the function that was asked for",
        "no_docstring": "the function has no docstring",
        "too_few_asserts": "fewer than min_asserts assertions call the function",
        "contaminated": CONTAMINATED,
        **{reason: why for reason, why in VERDICTS.items() if reason != "too_few_asserts"},
    }
    ledger: ClassVar[Mapping[str, str]] = {
        **Written.ledger,
        "refused": "refused",
        "truncated": "truncated",
        "no_code_block": "unparsable",
        "wrong_name": "wrong_format",
        "no_docstring": "wrong_format",
        "too_few_asserts": "wrong_format",
        "contaminated": "contaminated",
        **{reason: "failed_execution" for reason in VERDICTS if reason != "too_few_asserts"},
    }
    may_read: ClassVar[bool] = True
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {**Prompted.asset_settings, "topics": "data"}

    prompts: list[str] = Field(
        ["prompts/exercise"],
        min_length=1,
        description="prompts to ask with, each a family: files in data/, or your own by their path",
    )
    topics: str = Field("topics/python", description="file of topics in data/: exercises, or what they are composed of")
    exercises: int = Field(400, ge=1, description="how many exercises to ask for")
    solutions: int = Field(
        1, ge=1, le=64, description="answers to ask for of each exercise: several that differ and are right may stay"
    )
    words: int = Field(3, ge=0, description="at most so many of the exercise's words are forced")
    min_asserts: int = Field(2, ge=0, description="least number of assertions that call the function")
    verify: bool = Field(False, description="run the code in the sandbox: what does not hold, or proves nothing, goes")

    def concrete(self) -> GenerateExercises:
        """Where code is run the running Python bears on what is accepted."""
        return Verifying.model_validate(self.model_dump()) if self.verify else self

    # -- asking ------------------------------------------------------------------------------------------------

    def requests(self, docs: Iterable[Batch], ctx: Context) -> Iterable[list[Request]]:
        """One request an exercise and solution; the exercises of each family in an order of its own."""
        topics = load_topics(ctx.assets["topics"])
        families = self.families(ctx, GIVES)
        concepts = {told.topic: told.made_from for told in read_material(docs, 0, 0).topics}
        chosen = [
            self._chosen(topics, tuple(concepts), count, ctx.key(ctx.step, prompt.name), ctx)
            for prompt, count in zip(families, share(self.exercises, len(families)), strict=True)
        ]

        def request(family: int, n: int) -> Request:
            (exercise, draw), solution = chosen[family][n // self.solutions], n % self.solutions
            return self._request(families[family], exercise, draw, solution, topics, concepts, ctx)

        counts = [len(some) * self.solutions for some in chosen]
        return ([request(family, n) for n in some] for family, some in turns(counts, self.round))

    def _chosen(
        self, topics: Topics, concepts: Sequence[str], count: int, key: int, ctx: Context
    ) -> list[tuple[Exercise, int]]:
        """So many exercises with their draws: without replacement, then again; none that a benchmark asks for."""
        if not count:
            return []
        place = str(ctx.assets["topics"])
        wanted: list[Exercise] = []
        there = _Pool(topics, concepts, key)
        for at in range(0, len(there), _SCREENED_AT_ONCE):
            some = there.some(at, _SCREENED_AT_ONCE)
            names = [e.name for e, _ in some]
            kept = self.unknown([told for _, told in some], ctx, names, place=None if concepts else place)
            wanted += [e for (e, _), keep in zip(some, kept, strict=True) if keep]
            if len(wanted) >= count:
                break
        if not wanted:
            why = "benchmarks ask for all of them" if there else "the file has none"
            raise InputError(f"no exercises to ask for: {why}", place=place, cure="name others")
        return [(wanted[n % len(wanted)], n // len(wanted)) for n in range(count)]

    def _request(
        self,
        prompt: Prompt,
        exercise: Exercise,
        draw: int,
        solution: int,
        topics: Topics,
        concepts: Mapping[str, Mapping[str, str]],
        ctx: Context,
    ) -> Request:
        key = ctx.key(ctx.step, exercise.name, draw)
        words = [exercise.words[i] for i, _ in draws(exercise.words, len(exercise.words), key)[: self.words]]
        values = {
            "name": exercise.name,
            "topic": exercise.topic,
            "task": exercise.task,
            "words": ", ".join(words),
        }
        subject: dict[str, Any] = {"name": exercise.name, "topic": exercise.topic, "words": words}
        if "audience" in prompt.variables:
            subject["audience"] = values["audience"] = pick(topics.audiences, key, "audience")
        if self.solutions > 1:
            subject["solution"] = solution
        seeds = concepts.get(exercise.topic)
        return self.ask(prompt, values, draw * self.solutions + solution, subject, seeds=seeds)

    # -- answers -----------------------------------------------------------------------------------------------

    def accept(self, request: Request, answer: Answer, ctx: Context) -> Accepted | Rejected:
        """The code, or why there is none."""
        text = answers.plain(answer.text)
        if answers.refused(text, answer.finish_reason):
            return Rejected("refused", answers.excerpt(text))
        blocks, rest = answers.code_blocks(text)
        cut = answer.finish_reason == "length"
        if rest is not None:
            # The last line of an open block may be half a line.
            blocks.append(rest.rpartition("\n")[0] if cut else rest)
        if not blocks:
            return Rejected("truncated" if cut else "no_code_block", answers.excerpt(text))
        code = self._join(blocks, str(request.subject["name"]))
        found = self._fault(code, str(request.subject["name"]))
        if found:
            reason = "truncated" if rest is not None and cut and code else found
            return Rejected(reason, answers.excerpt(code or blocks[0]))
        if item := self.held(code, ctx):
            return Rejected("contaminated", item)
        checks, proof = ["docstring", "asserts"], {}
        if all(word.lower() in code.lower() for word in request.subject["words"]):
            checks.append("words")
        if self.verify:
            verdict = self._run(code, ctx)
            if not verdict.passed:
                return Rejected(verdict.reason, verdict.detail)
            checks.append("executed")
            proof = {"executed": {"asserts": verdict.asserts, "mutants": verdict.mutants, "killed": verdict.killed}}
        return Accepted(code, self.record(request, answer, checks, trimmed=rest is not None, **proof))

    def _run(self, code: str, ctx: Context) -> Verdict:
        """What ``verify.execute`` says with its own settings; where the store has it already, nothing is run."""
        gate = VerifyExecute(min_asserts=max(1, self.min_asserts))
        return gate.verdicts([(code.encode(), b"")], ctx)[0].held_to(gate.mutants_killed)

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
        """Exercises by topic, and by family where there are several."""
        meta = [json.loads(m) for m in docs.column("meta").to_pylist()]
        topics, families = ([str(m.get(name, "")) for m in meta] for name in ("topic", "family"))
        found: dict[str, Any] = {"exercises": docs.num_rows, "by_topic": _counts(topics)}
        if any(m.get("words") for m in meta):
            found["used_their_words"] = sum("words" in m.get("checks", ()) for m in meta)
        return {**found, "by_family": _counts(families)} if len(set(families)) > 1 else found


class Verifying(GenerateExercises):
    """The same, with code that is run."""

    needs_python: ClassVar[bool] = True

    def concrete(self) -> GenerateExercises:
        """Itself."""
        return self


def _counts(names: Sequence[str]) -> dict[str, int]:
    return {name: names.count(name) for name in sorted(set(names))}


class _Pool:
    """The exercises of a file in the order in which a family draws them: those that it lists, else those that it composes,
    each verb with each noun about a concept that is drawn for the name; ``concepts``: those of an earlier step."""

    def __init__(self, topics: Topics, concepts: Sequence[str], key: int) -> None:
        self._listed, self._parts, self._key = topics.exercises, topics.composed, key
        composed = self._parts if self._parts is not None and not self._listed else None
        self._names = [e.name for e in self._listed]
        if composed is not None:
            self._names = [f"{verb}_{noun}" for verb in composed.verbs for noun in composed.nouns]
            self._concepts = (
                tuple(concepts) or composed.concepts or tuple(p.topic for p in topics.passages) or ("Python",)
            )
        self._order = [i for i, _ in draws(self._names, len(self._names), key)]

    def __len__(self) -> int:
        return len(self._names)

    def some(self, start: int, count: int) -> list[tuple[Exercise, str]]:
        """Exercises from a place in the order on, each with what is said of it alone."""
        return [self._one(i) for i in self._order[start : start + count]]

    def _one(self, i: int) -> tuple[Exercise, str]:
        if self._listed or self._parts is None:
            one = self._listed[i]
            return one, f"`{one.name}`\n\n{one.topic}\n\n{one.task}\n\n{' '.join(one.words)}"
        name = self._names[i]
        one = Exercise(name=name, topic=pick(self._concepts, self._key, name), words=self._parts.words)
        return one, f"`{name}`\n\n{one.topic}"


def _asserts(code: str, name: str) -> int:
    """Lines that assert something about a call of the function."""
    return len(re.findall(rf"^[ \t]*assert\b[^\n]*\b{re.escape(name)}[ \t]*\(", code, re.MULTILINE))
