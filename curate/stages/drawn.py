"""Generators that ask about topics: topic x audience x style x seed, each drawn by keyed hash, none again before all are used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from pydantic import Field

from curate import assets
from curate.errors import InputError
from curate.llm.request import Request
from curate.stages.base import Context
from curate.stages.material import Material, Seed, Told, extract, quoted, read_material
from curate.stages.prompted import Prompted, share, turns
from curate.stages.prompts import Prompt
from curate.stages.topics import Topics, draws, load_topics
from curate.text.batch import Batch

SECTION: Final = ("title", "section", "outline", "before")
"""Values that a section of an outline has."""
TOPIC: Final = ("topic", "chapter", "about")
_SCREENED_AT_ONCE: Final = 1024


@dataclass(frozen=True)
class _Subject:
    """What one request is about."""

    told: Told | None
    audience: str
    style: str


class _Shown:
    """Which seed each request of a family shows, and how often that was shown before: families with a place for one take turns,
    and none is shown again before all were."""

    def __init__(self, seeds: Sequence[Seed], seeded: Sequence[Prompt], prompt: Prompt) -> None:
        self._seeds = seeds if prompt in seeded else ()
        self._first = seeded.index(prompt) if self._seeds else 0
        self._step = len(seeded)

    def nth(self, n: int) -> tuple[Seed, int] | None:
        """That of the n-th request; None for a prompt that shows none."""
        if not self._seeds:
            return None
        at = self._first + n * self._step
        return self._seeds[at % len(self._seeds)], at // len(self._seeds)


class Drawn(Prompted):
    """Settings of such a generator, and how it draws.

    What a prompt has no place for is not drawn: one without ``{style}`` gets no styles, one without ``{topic}`` is asked
    about its seed alone.
    """

    may_read: ClassVar[bool] = True
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {**Prompted.asset_settings, "topics": "data"}

    topics: str = Field(
        "topics/python", description="file in data/ with audiences, styles, and topics where `from` gives none"
    )
    seed_chars: int = Field(1_000, ge=100, description="longest extract of a document that is shown as a seed")

    most_seeds: int | None = Field(
        None,
        ge=1,
        description="at most so many documents are seeds, in memory; another extract of each is shown when all were. null: as"
        " many as there are passages",
    )

    def gives(self) -> tuple[str, ...]:
        """Variables that it has values for."""
        return ("words", "audience", "style", *TOPIC, *SECTION, "extract")

    def own_values(self, prompt: Prompt) -> Mapping[str, str]:
        """Values of its own."""
        return {}

    def drawn(self, docs: Iterable[Batch], count: int, ctx: Context) -> Iterator[list[Request]]:
        """So many requests, shared by the families, in rounds. A request is made when its round is: millions of them are a
        few numbers until then, beside the topics and seeds that all of them are made of."""
        topics = load_topics(ctx.assets["topics"])
        families = self.families(ctx, self.gives())
        seeded = [prompt for prompt in families if "extract" in prompt.variables]
        shares = share(count, len(families))
        most = sum(n for prompt, n in zip(families, shares, strict=True) if prompt in seeded)
        most = min(most, self.most_seeds or most)
        material = read_material(docs, most, ctx.key(ctx.step, "seeds"))
        if seeded and not material.seeds:
            raise InputError(
                f"the prompt '{seeded[0].name}' shows an extract of a document, and there is none",
                place=f"step {ctx.step}",
                cure="name the step with the documents in 'from:', or ask with another prompt",
            )
        seeds = self._clean(material.seeds, ctx)
        asked = [
            self._family(prompt, n, _Shown(seeds, seeded, prompt), topics, material, ctx)
            for prompt, n in zip(families, shares, strict=True)
        ]
        return ([asked[family](n) for n in some] for family, some in turns(shares, self.round))

    def _family(
        self, prompt: Prompt, count: int, shown: _Shown, topics: Topics, material: Material, ctx: Context
    ) -> Callable[[int], Request]:
        """The n-th of so many requests of a family."""
        subjects = self._subjects(prompt, topics, material, ctx)
        kept = self._allowed(subjects, count, ctx.key(ctx.step, prompt.name), ctx) if subjects else []

        def request(n: int) -> Request:
            seed = shown.nth(n)
            if not kept:  # about its seed alone
                return self._request(prompt, _Subject(None, "", ""), seed[1] if seed else n, seed, ctx)
            return self._request(prompt, kept[n % len(kept)], n // len(kept), seed, ctx)

        return request

    def _subjects(self, prompt: Prompt, topics: Topics, material: Material, ctx: Context) -> list[_Subject]:
        """All combinations of what the prompt has a place for."""
        used, place = set(prompt.variables), str(ctx.assets["topics"])
        told: Sequence[Told | None] = [None]
        if used & set(SECTION):
            told = material.sections
            if not told:
                raise InputError(
                    f"the prompt '{prompt.name}' asks for sections of outlines, and there are none",
                    place=f"step {ctx.step}",
                    cure="name a step of generate.outlines in 'from:'",
                )
        elif used & set(TOPIC):
            told = material.topics or [Told(p.topic, p.chapter, p.about) for p in topics.passages]
        audiences = topics.audiences if "audience" in used else ("",)
        styles = topics.styles if "style" in used else ("",)
        if not told or not audiences or not styles:
            missing = "passages" if not told else "audiences" if not audiences else "styles"
            raise InputError(f"no {missing} to write for", place=place, cure="name some, or ask with another prompt")
        if told == [None] and audiences == ("",) and styles == ("",):
            return []
        return [
            _Subject(t, a, s)
            for t in told
            for a in ((t.audience,) if t is not None and t.audience and "audience" in used else audiences)
            for s in ((t.style,) if t is not None and t.style and "style" in used else styles)
        ]

    def _allowed(self, subjects: list[_Subject], count: int, key: int, ctx: Context) -> list[_Subject]:
        """The subjects in the order in which they are drawn, so many at least or all; none of a topic that names a function of
        a benchmark."""
        names = [
            "\x1f".join((*([s.told.name] if s.told else []), s.audience, *([s.style] if s.style else [])))
            for s in subjects
        ]
        order = [subjects[i] for i, _ in draws(names, len(names), key)]
        kept: list[_Subject] = []
        verdicts: dict[str, bool] = {}
        place = str(ctx.assets["topics"])
        for at in range(0, len(order), _SCREENED_AT_ONCE):
            some = order[at : at + _SCREENED_AT_ONCE]
            fresh = {s.told.name: s.told for s in some if s.told is not None and s.told.name not in verdicts}
            said = [f"{t.chapter}\n\n{t.topic}\n\n{t.about}" for t in fresh.values()]
            listed = not any(t.made_from for t in fresh.values())
            verdicts |= dict(zip(fresh, self.unknown(said, ctx, place=place if listed else None), strict=True))
            kept += [s for s in some if s.told is None or verdicts[s.told.name]]
            if len(kept) >= count:
                break
        if not kept:
            raise InputError(
                "no topics to write about: benchmarks ask for all of them", place=place, cure="name others"
            )
        return kept

    def _clean(self, seeds: Sequence[Seed], ctx: Context) -> list[Seed]:
        """Seeds that hold no item of a benchmark."""
        kept = self.unknown([seed.text for seed in seeds], ctx, place=None) if seeds else []
        found = [seed for seed, keep in zip(seeds, kept, strict=True) if keep]
        if seeds and not found:
            raise InputError(
                "no seeds: each holds an item of a benchmark", place=f"step {ctx.step}", cure="read others"
            )
        return found

    def _request(
        self, prompt: Prompt, subject: _Subject, draw: int, seed: tuple[Seed, int] | None, ctx: Context
    ) -> Request:
        told = subject.told
        values: dict[str, str] = {
            "words": str(self.words(prompt)),
            "audience": subject.audience,
            "style": subject.style,
        }
        values |= {"topic": "", "chapter": "", "about": "", "extract": "", **dict.fromkeys(SECTION, "")}
        facts: dict[str, Any] = {"audience": subject.audience} if subject.audience else {}
        facts |= {"style": subject.style} if subject.style else {}
        made_from: dict[str, str] = {}
        if told is not None:
            values |= {"topic": told.topic, "chapter": told.chapter, "about": told.about, **told.more}
            facts = {"topic": told.topic, "chapter": told.chapter, **facts, **told.facts}
            made_from |= told.made_from
        if seed is not None and "extract" in prompt.variables:
            one, number = seed
            piece = extract(one.text, self.seed_chars, ctx.key(ctx.step, prompt.name), f"{one.id}/{number}")
            values["extract"] = quoted(piece, one.id, ctx.key(ctx.step, "mark"))
            made_from[one.id] = one.terms
        return self.ask(prompt, {**values, **self.own_values(prompt)}, draw, facts, seeds=made_from)

    def words(self, prompt: Prompt) -> int:
        """How many words to ask for, by the limit of an answer."""
        return max(40, int(self.limit(prompt) / TOKENS_A_WORD) // 10 * 10)


TOKENS_A_WORD: Final = 3.0
"""Tokens of answer for each word asked for: code takes more tokens a word, and small models write more than asked."""
