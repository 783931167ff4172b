"""What generators have in common that ask with prompts of files and keep what their answers say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import Field

from curate import assets
from curate.errors import InputError
from curate.llm.request import Answer, Request
from curate.stages.base import Context
from curate.stages.prompts import Prompt, read_prompt
from curate.stages.recorded import Recorded

SAMPLING: Final = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "stop",
        "presence_penalty",
        "frequency_penalty",
        "repeat_penalty",
    }
)
"""Sampling parameters that a prompt may state, beside ``max_tokens``."""
_DEFAULT_TOKENS: Final = 400


class Prompted(Recorded):
    """Settings of such a generator; its families: one for each prompt file, and for each level of a file that has some."""

    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {**Recorded.asset_settings, "prompts": "data"}

    prompts: list[str] = Field(
        min_length=1, description="prompts to ask with, each a family: files in data/, or your own by their path"
    )
    levels: list[str] | None = Field(None, description="of prompts that have levels only these; null: all of them")
    max_tokens: int | None = Field(None, ge=16, description="limit of one answer; null: what the prompt says")
    temperature: float | None = Field(None, ge=0, le=2, description="sampling temperature; null: what the prompt says")
    top_p: float | None = Field(
        None, gt=0, le=1, description="share of probability that is drawn from; null: what the prompt says"
    )
    structured: bool = Field(
        False, description="the endpoint keeps to a JSON schema: it is sent where the prompt has one"
    )
    keep_prompts: bool = Field(
        True,
        description="records keep the prompt as it was sent; without it they keep its family, version and request key",
    )

    def families(self, ctx: Context, gives: Sequence[str]) -> list[Prompt]:
        """The prompts, one for each family, in the order of the settings; ``gives``: variables that it has values for.

        Raises InputError where two have one name, or where one shows an item of a benchmark.
        """
        found: dict[str, Prompt] = {}
        for number in range(len(self.prompts)):
            prompt = read_prompt(ctx.assets[f"prompts/{number}"], gives)
            wrong = sorted(set(prompt.parameters) - SAMPLING - {"max_tokens"})
            if wrong:
                raise InputError(
                    f"'{wrong[0]}' is no parameter",
                    place=prompt.path,
                    cure=f"there are: max_tokens, {', '.join(sorted(SAMPLING))}",
                )
            for family in prompt.at_levels(self.levels if prompt.levels else None):
                if family.name in found:
                    raise InputError(
                        f"two prompts are called '{family.name}'", place=prompt.path, cure="give each a name of its own"
                    )
                found[family.name] = family
        for prompt in found.values():
            self.refuse_shown(prompt.texts(), ctx)
        return list(found.values())

    def limit(self, prompt: Prompt) -> int:
        """The limit of an answer to a prompt, tokens."""
        return self.max_tokens or int(prompt.parameters.get("max_tokens", _DEFAULT_TOKENS))

    def ask(
        self,
        prompt: Prompt,
        values: Mapping[str, str],
        draw: int,
        subject: Mapping[str, Any],
        *,
        seeds: Mapping[str, str] | None = None,
    ) -> Request:
        """One request. ``seeds``: documents that the prompt shows, by hex id, with the terms of each."""
        messages = prompt.messages(values)
        own = {"temperature": self.temperature, "top_p": self.top_p}
        sampling = {k: v for k, v in prompt.parameters.items() if k != "max_tokens"}
        sampling |= {k: v for k, v in own.items() if v is not None}
        if self.structured and prompt.schema is not None:
            schema = {"name": "answer", "strict": True, "schema": prompt.schema}
            sampling["response_format"] = {"type": "json_schema", "json_schema": schema}
        known = {"prompt_version": prompt.version, "asked": len(messages) - 1, "expects": prompt.expects}
        if prompt.level:
            known["level"] = prompt.level
        if shown := prompt.shows(values):
            known["shown"] = shown
        if seeds:
            known |= {
                "made_from": sorted(seeds),
                "seed_terms": sorted({terms or "unstated" for terms in seeds.values()}),
            }
        return Request(
            messages=messages,
            family=prompt.name,
            draw=draw,
            max_tokens=self.limit(prompt),
            sampling=sampling,
            subject={**subject, **known},
        )

    def record(self, request: Request, answer: Answer, checks: Sequence[str], **more: Any) -> dict[str, Any]:
        """``meta`` of a document made from an answer, as ``Recorded`` writes it, with the prompt.

        ``prompt``: the turn that asked, ``system``: the system message; ``prompt_shown``: what is to be shown instead, only
        where that is another. Turns of example are in the prompt's file.
        """
        at, shown = int(request.subject.get("asked", len(request.messages) - 1)), request.subject.get("shown", "")
        system = [m["content"] for m in request.messages[:1] if m["role"] == "system"]
        said = {
            **({"prompt": request.messages[at]["content"]} if self.keep_prompts else {}),
            **({"system": system[0]} if system and self.keep_prompts else {}),
            **({"prompt_shown": shown} if shown else {}),
        }
        return super().record(request, answer, checks, **said, **more)


def share(count: int, families: int) -> list[int]:
    """How many of ``count`` requests each family gets: equally many, the first ones one more."""
    return [count // families + (number < count % families) for number in range(families)]


def pick(names: Sequence[str], key: int, salt: str) -> str:
    """One of some names for one item, the one with the smallest keyed hash: another name more moves few of the others'.
    Empty where there are none."""
    seed = key.to_bytes(8, "little")

    def order(name: str) -> tuple[bytes, str]:
        return hashlib.blake2b(f"{salt}\x1f{name}".encode(), digest_size=8, key=seed).digest(), name

    return min(names, key=order, default="")


def turns(counts: Sequence[int], size: int) -> Iterator[tuple[int, range]]:
    """Rounds of ``size`` of some families with so many requests each: the family, and the numbers of its requests. The
    families' rounds come in turns, so that a cap ends them alike."""
    for start in range(0, max(counts, default=0), size):
        for family, count in enumerate(counts):
            if start < count:
                yield family, range(start, min(start + size, count))


def in_turns(families: Sequence[Sequence[Request]], size: int) -> list[list[Request]]:
    """Rounds of ``size`` requests, each of one family, in turns."""
    counts = [len(asked) for asked in families]
    return [list(families[family][some.start : some.stop]) for family, some in turns(counts, size)]
