"""generate.outlines: the plan of a chapter, whose sections generate.textbooks writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

import pyarrow as pa
from pydantic import Field

from curate.llm.request import Answer, Request
from curate.stages import answers, forms
from curate.stages.base import Context
from curate.stages.drawn import Drawn
from curate.stages.generator import Accepted, Rejected
from curate.stages.material import GENERATED
from curate.stages.prompts import Prompt
from curate.stages.registry import register
from curate.stages.screened import CONTAMINATED
from curate.stages.written import Written
from curate.text.batch import Batch

_TITLE: Final = re.compile(
    r"[#*_ \t]*(?:title|titel|titre|título|titolo|название|标题|タイトル)[*_]*[ \t]*[:：][*_ \t]*(.+)", re.IGNORECASE
)
_HEADING: Final = re.compile(r"#{1,3}[ \t]+(.+)")
_NUMBERED: Final = re.compile(
    r"[ \t]*(?:#{1,6}[ \t]*)?(?:section[ \t]*)?[*_]*\(?\d{1,2}[.):][*_]*[ \t]+(.+)", re.IGNORECASE
)
_SPLIT: Final = re.compile(r"[*_ \t]*(?:[:：]|[ \t][–—-][ \t]|(?<=[?？])[ \t])[*_ \t]*")
_MOST_TITLE: Final = 160


@register("generate.outlines")
class GenerateOutlines(Drawn):
    """Ask for outlines of chapters: a title, and sections with a sentence each.

    A step of its own, so that an outline can be looked at, filtered and used again: ``generate.textbooks`` with a step of
    these in ``from`` and a prompt with a place for ``{section}`` writes each section. Topic, audience, style and seed are
    drawn as there. The document is the outline as a list; ``meta.sections`` has its parts.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = {
        **Written.reasons,
        "refused": answers.REFUSED,
        "truncated": "the answer was cut at max_tokens before min_sections sections were whole",
        "no_sections": "fewer than min_sections sections can be read in the answer",
        "repeated_sections": "two sections have one title",
        "contaminated": CONTAMINATED,
    }
    ledger: ClassVar[Mapping[str, str]] = {
        **Written.ledger,
        "refused": "refused",
        "truncated": "truncated",
        "no_sections": "unparsable",
        "repeated_sections": "wrong_format",
        "contaminated": "contaminated",
    }

    prompts: list[str] = Field(
        ["prompts/outline"],
        min_length=1,
        description="prompts to ask with, each a family: files in data/, or your own by their path",
    )
    outlines: int = Field(50, ge=1, description="how many outlines to ask for")
    sections: int = Field(4, ge=2, le=30, description="sections to ask for; what comes beyond is left out")
    min_sections: int = Field(2, ge=1, description="outlines with fewer sections are rejected")

    def gives(self) -> tuple[str, ...]:
        """Beside what topics give, the number of sections."""
        return (*super().gives(), "sections")

    def own_values(self, prompt: Prompt) -> Mapping[str, str]:
        """The number of sections."""
        return {"sections": str(self.sections)}

    def requests(self, docs: Iterable[Batch], ctx: Context) -> Iterable[list[Request]]:
        """One request an outline."""
        return self.drawn(docs, self.outlines, ctx)

    def accept(self, request: Request, answer: Answer, ctx: Context) -> Accepted | Rejected:
        """The outline, or why there is none."""
        given = answers.plain(answer.text)
        if self.refused(given, answer.finish_reason):
            return Rejected("refused", answers.excerpt(given))
        cut = answer.finish_reason == "length"
        title, sections = read_outline(given, str(request.subject.get("topic", "")), cut=cut)
        sections = sections[: self.sections]
        if len(sections) < self.min_sections:
            return Rejected("truncated" if cut else "no_sections", answers.excerpt(given))
        names = [section["title"].casefold() for section in sections]
        if len(set(names)) < len(names):
            return Rejected("repeated_sections", answers.excerpt("; ".join(names)))
        lines = [f"{n}. {s['title']}: {s['about']}" for n, s in enumerate(sections, 1)]
        text = f"# {title}\n\n" + "\n".join(lines) + "\n"
        if item := self.held(text, ctx):
            return Rejected("contaminated", item)
        more = {GENERATED: "outline", "title": title, "sections": sections}
        return Accepted(text, self.record(request, answer, ["sections"], **more))

    def report(self, docs: pa.Table, noted: Sequence[Mapping[str, Any]] = ()) -> Mapping[str, Any]:
        """Outlines, and how many sections they have together."""
        import orjson

        return {
            "outlines": docs.num_rows,
            "sections": sum(len(orjson.loads(m).get("sections", ())) for m in docs.column("meta").to_pylist()),
        }


def read_outline(text: str, topic: str, *, cut: bool) -> tuple[str, list[dict[str, str]]]:
    """Title and sections of an answer, JSON or numbered lines; the last line of one that was cut is left out.

    Without a title of its own it has that of the topic; a section without a sentence has its title for one.
    """
    value = forms.json_value(text)
    if isinstance(value, dict) and isinstance(value.get("sections"), list):
        found = [_section(s.get("title"), s.get("about")) for s in value["sections"] if isinstance(s, dict)]
        return _short(value.get("title")) or _short(topic), [s for s in found if s]
    lines = text.split("\n")
    lines = lines[:-1] if cut else lines
    title = next((m[1] for line in lines if (m := _TITLE.match(line) or _HEADING.match(line))), "")
    sections = []
    for line in lines:
        if match := _NUMBERED.match(line):
            name, *rest = _SPLIT.split(match[1], maxsplit=1)
            sections.append(_section(name, rest[0] if rest else ""))
    return _short(title) or _short(topic), [s for s in sections if s]


def _section(title: object, about: object) -> dict[str, str]:
    name = _short(title)
    return {"title": name, "about": _short(about, 400).rstrip(".") or name} if name else {}


def _short(text: object, limit: int = _MOST_TITLE) -> str:
    line = " ".join(text.split()).strip(' *_#"“”') if isinstance(text, str) else ""
    return line if len(line) <= limit else ""
