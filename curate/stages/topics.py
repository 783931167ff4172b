"""Reading ``data/topics/*.yaml``: audiences, styles, passages, exercises and roots that the generators draw from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from curate.errors import InputError
from curate.llm.request import Answer

T = TypeVar("T")


class Passage(BaseModel):
    """What a textbook passage is about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str = Field(min_length=1)
    chapter: str = Field(min_length=1)
    about: str = Field(min_length=1)


class Exercise(BaseModel):
    """A function to write: its name, its topic, and words that its docstring must use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z_][a-z0-9_]*$")
    topic: str = Field(min_length=1)
    task: str = Field("", description="what it returns, in a clause: helps a model too weak to invent a good task")
    words: tuple[str, ...] = ()


class Composed(BaseModel):
    """Parts that exercises are composed of: each verb with each noun is a function's name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verbs: tuple[str, ...] = Field(min_length=1)
    nouns: tuple[str, ...] = Field(min_length=1)
    concepts: tuple[str, ...] = Field((), description="what the exercises are about; none: topics of `passages`")
    words: tuple[str, ...] = Field((), description="words of which some must be used")

    @field_validator("verbs", "nouns")
    @classmethod
    def _identifiers(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise ValueError(f"'{name}' is no part of a function's name")
        return names


class Root(BaseModel):
    """Where a tree of topics begins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str = Field(min_length=1)
    about: str = ""


class Topics(BaseModel):
    """One file of topics."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    audiences: tuple[str, ...] = ()
    styles: tuple[str, ...] = Field((), description="how a text is written: as a lesson, a story, a talk")
    passages: tuple[Passage, ...] = ()
    exercises: tuple[Exercise, ...] = ()
    composed: Composed | None = None
    roots: tuple[Root, ...] = ()


def load_topics(path: Path) -> Topics:
    """The topics in a file; raises InputError that names the field that is wrong."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"not a file of topics: {str(error).splitlines()[0]}", place=str(path)) from None
    try:
        return Topics.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"not a file of topics: {where}: {first['msg']}", place=str(path)) from None


def draws(names: Sequence[str], count: int, key: int) -> list[tuple[int, int]]:
    """``count`` pairs (position in ``names``, draw): without replacement in the order of a keyed hash of the names,
    and again with the next draw when all are used. One more name moves none of the others relative to each other."""

    def order(i: int) -> tuple[bytes, str]:
        return hashlib.blake2b(names[i].encode(), digest_size=16, key=key.to_bytes(8, "little")).digest(), names[i]

    once = sorted(range(len(names)), key=order)
    return [(once[n % len(once)], n // len(once)) for n in range(count)] if once else []


def rounds(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Items cut into rounds of ``size``, one after the other; the last may be shorter."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


def made_by(answer: Answer, family: str, draw: int) -> dict[str, Any]:
    """The fields of ``meta`` that every generated document has: who wrote it, under which terms, from which draw."""
    return {"model": answer.model, "licence": answer.licence, "family": family, "draw": draw, "answer": answer.key}
