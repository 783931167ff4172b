"""generate.topics: a tree of topics, grown from a few roots."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

import orjson
import pyarrow as pa
from pydantic import Field

from curate import assets
from curate.errors import InputError
from curate.llm.request import Answer, Request
from curate.stages import answers, forms
from curate.stages.base import Context
from curate.stages.generator import Accepted, Rejected
from curate.stages.material import GENERATED
from curate.stages.prompted import Prompted, in_turns
from curate.stages.prompts import Prompt
from curate.stages.registry import register
from curate.stages.screened import CONTAMINATED
from curate.stages.topic_tree import Alike, TopicTree
from curate.stages.topics import Root, load_topics
from curate.stages.written import Written
from curate.text.batch import Batch

GIVES: Final = ("topic", "path", "children")
_MOST_CHARS: Final = 100
"""A longer line is a sentence, no topic."""
_AFTER: Final = re.compile(r"[ \t]*(?:[:：]|[ \t][–—-][ \t]).*", re.DOTALL)


@register("generate.topics")
class GenerateTopics(Prompted):
    """Ask for narrower topics of a few roots, then of those that are new, breadth first, to tens of thousands.

    phi-1.5 was seeded by 20,000 topics (arXiv 2309.05463); how they were found was not published. Each answer is a list; each
    of its topics is a document (``text``), with ``meta.path`` (the topics above it, from its root) and ``meta.level``. A topic
    that says what an earlier one says, by its words without order, case and plural, or by static embeddings
    (``alike: embeddings``, an optional extra), goes as ``duplicate``. ``generate.textbooks``, ``generate.outlines`` and
    ``generate.exercises`` write about them where ``from`` names this step.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = {
        **Written.reasons,
        "refused": answers.REFUSED,
        "truncated": "the answer was cut at max_tokens before two topics were whole",
        "no_topics": "fewer than two topics can be read in the answer",
        "contaminated": CONTAMINATED,
    }
    ledger: ClassVar[Mapping[str, str]] = {
        **Written.ledger,
        "refused": "refused",
        "truncated": "truncated",
        "no_topics": "unparsable",
        "contaminated": "contaminated",
    }
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {**Prompted.asset_settings, "roots": "data"}

    prompts: list[str] = Field(
        ["prompts/topic"],
        min_length=1,
        description="prompts to ask with, each a family: files in data/, or your own by their path",
    )
    drop_duplicates: bool = Field(
        False, description="drop topics of nearly the same words, too: `alike` tells them finer"
    )
    roots: str = Field("topics/everyday", description="file of topics in data/ with roots")
    topics: int = Field(
        1_000, ge=1, description="how many topics to grow to: nothing is asked once so many are there or on their way"
    )
    children: int = Field(10, ge=2, le=100, description="narrower topics that a request asks for")
    depth: int = Field(4, ge=1, le=20, description="levels below the roots")
    draws: int = Field(1, ge=1, le=20, description="how often each topic's narrower ones are asked for")
    alike: Alike = Field(
        "words",
        description="words, or embeddings too (pip install 'phi-curate[embeddings]'): what tells that topics are one",
    )
    similarity: float = Field(0.9, gt=0, le=1, description="with embeddings: the cosine from which two topics are one")

    def requests(self, docs: Iterable[Batch], ctx: Context) -> list[list[Request]]:
        """Requests about the roots; those about what is accepted follow, see ``grown``."""
        roots = self._roots(ctx)
        asked = [
            [self._request(prompt, root.topic, [], root.about, draw) for root in roots for draw in range(self.draws)]
            for prompt in self.families(ctx, GIVES)
        ]
        return in_turns(asked, self.round)

    def grown(self, ctx: Context) -> TopicTree:
        """The tree of what is accepted."""
        roots, families = self._roots(ctx), self.families(ctx, GIVES)

        def ask(one: Accepted) -> list[Request]:
            prompt = next(p for p in families if p.name == one.meta["family"])
            path = [*one.meta["path"]]
            return [self._request(prompt, one.text, path, "", draw) for draw in range(self.draws)]

        return TopicTree(
            [root.topic for root in roots],
            ask,
            out=len(roots) * len(families) * self.draws,
            children=self.children,
            most=self.topics,
            depth=self.depth,
            alike=self.alike,
            similarity=self.similarity,
        )

    def _roots(self, ctx: Context) -> Sequence[Root]:
        place = ctx.assets["roots"]
        roots = load_topics(place).roots
        kept = self.unknown([f"{r.topic}\n\n{r.about}" for r in roots], ctx, place=str(place))
        roots = tuple(root for root, keep in zip(roots, kept, strict=True) if keep)
        if not roots:
            raise InputError("no roots to grow from", place=str(place), cure="name some: 'roots: [{topic: ...}]'")
        return roots

    def _request(self, prompt: Prompt, topic: str, path: list[str], about: str, draw: int) -> Request:
        values = {
            "topic": topic if not about else f"{topic}: {about}",
            "path": " > ".join(path),
            "children": str(self.children),
        }
        return self.ask(prompt, values, draw, {"path": [*path, topic], "level": len(path) + 1})

    def accept(self, request: Request, answer: Answer, ctx: Context) -> list[Accepted] | Rejected:
        """The topics of a list, or why there are none."""
        given = answers.plain(answer.text)
        if self.refused(given, answer.finish_reason):
            return Rejected("refused", answers.excerpt(given))
        cut = answer.finish_reason == "length"
        found = read_topics(given, cut=cut)[: self.children]
        path = [str(p) for p in request.subject["path"]]
        above = {p.casefold() for p in path}
        found = [topic for topic in found if topic.casefold() not in above]
        if len(found) < 2:
            return Rejected("truncated" if cut else "no_topics", answers.excerpt(given))
        held = [self.held(topic, ctx) for topic in ("\n".join(found),)]
        if held[0]:
            return Rejected("contaminated", held[0])
        return [Accepted(topic, self._meta(request, answer, number, len(found))) for number, topic in enumerate(found)]

    def _meta(self, request: Request, answer: Answer, number: int, of: int) -> dict[str, Any]:
        """As of any record; what the answer cost is said once, with its first topic."""
        meta = self.record(request, answer, ["list"], **{GENERATED: "topic"}, of_answer=[number, of])
        if number:
            meta |= {"prompt_tokens": 0, "completion_tokens": 0, "dollars": 0.0}
        return meta

    def report(self, docs: pa.Table, noted: Sequence[Mapping[str, Any]] = ()) -> Mapping[str, Any]:
        """Topics by level, and by root."""
        meta = [orjson.loads(m) for m in docs.column("meta").to_pylist()]
        levels, roots = [str(m["level"]) for m in meta], [m["path"][0] for m in meta]
        return {
            "topics": docs.num_rows,
            "by_level": {level: levels.count(level) for level in sorted(set(levels))},
            "by_root": {root: roots.count(root) for root in sorted(set(roots))},
        }


def read_topics(text: str, *, cut: bool) -> list[str]:
    """The topics of an answer, JSON or a list of lines, each once, without what explains it; of one that was cut without the
    last line. Lines that are sentences are none."""
    value = forms.json_value(text)
    if isinstance(value, dict):
        value = next((v for v in value.values() if isinstance(v, list)), None)
    if isinstance(value, list):
        lines = [str(v.get("topic", "")) if isinstance(v, dict) else str(v) for v in value if isinstance(v, dict | str)]
    else:
        body = text.rpartition("\n")[0] if cut else text
        lines = forms.entries(body)
    named = (_AFTER.sub("", line).strip(' *_`"“”.;,') for line in lines)
    found: dict[str, str] = {}
    for line in named:
        if line and len(line) <= _MOST_CHARS and not line.endswith(("?", "!")) and any(c.isalpha() for c in line):
            found.setdefault(line.casefold(), line)
    return list(found.values())
