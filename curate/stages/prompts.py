"""Prompts as assets: Markdown files with front matter, which a user reads, copies and edits.

The front matter is YAML between two lines ``---``; what follows is the body, the user's turn. A placeholder is a declared
variable in braces, ``{topic}``; ``{{topic}}`` stands for those letters and braces; any other brace is text. Nothing is
evaluated, and what is put in is not looked at again: a value with braces in it is text, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curate.errors import InputError, did_you_mean

__all__ = ["Prompt", "fill", "read_prompt"]

_NAME: Final = r"[a-z][a-z0-9_]*"
_PLACE: Final = re.compile(rf"\{{\{{({_NAME})\}}\}}|\{{({_NAME})\}}")
_FENCE: Final = "---"
_EXAMPLE: Final = "see data/prompts/exercise.md"
LEVEL: Final = "level"
"""The variable that a prompt's levels fill."""


class _Example(BaseModel):
    """A turn of example: the body filled with these values, and the answer to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: dict[str, str] = {}
    answer: str = Field(min_length=1)


class _Front(BaseModel):
    """The front matter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    version: int = Field(ge=1)
    about: str = Field(min_length=1)
    system: str = ""
    variables: dict[str, str] = {}
    clauses: dict[str, str] = {}
    levels: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    examples: tuple[_Example, ...] = ()
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    expects: str = ""
    shown: str = ""


@dataclass(frozen=True)
class Prompt:
    """One prompt family: what is said to a model, with places for values.

    Attributes:
        name: of the family; what is accounted, reported and stopped by.
        version: its author's number; the content bears on a step's identity whether the number was raised or not.
        about: one sentence for a reader.
        system: the system message; empty for none.
        body: the user's turn.
        variables: what may stand in braces, each with a sentence that says what it is.
        clauses: by variable what is put in its place instead of the value, which it holds in braces; where the value is
            empty, nothing is.
        parameters: sampling parameters and ``max_tokens``, unless the step says others.
        examples: turns of example, each what the user says and the answer.
        schema: JSON schema of the answer, for endpoints that keep to one.
        expects: the form that the answer must have, by a name that the stage knows.
        shown: what a record shows instead of the prompt that was used (prompt erasing, arXiv 2311.11045); empty: that one.
        levels: by name what is put in the place of ``{level}``: each level is a family of its own, see ``at_levels``.
        level: the name of the level, where it has one.
        path: the file.
    """

    name: str
    version: int
    about: str
    system: str
    body: str
    variables: Mapping[str, str]
    clauses: Mapping[str, str]
    parameters: Mapping[str, Any]
    examples: tuple[tuple[str, str], ...]
    schema: Mapping[str, Any] | None
    expects: str
    shown: str
    levels: Mapping[str, str] = field(default_factory=dict)
    level: str = ""
    path: str = ""

    def at_levels(self, wanted: Sequence[str] | None = None) -> list[Prompt]:
        """A family for each level (of ``wanted``, where given), called ``NAME-LEVEL``; itself where it has no levels.

        Raises InputError for a level that the prompt has not.
        """
        if not self.levels:
            return [self]
        for name in wanted or ():
            if name not in self.levels:
                raise InputError(f"no level '{name}'", place=self.path, cure=did_you_mean(name, list(self.levels)))
        chosen = [name for name in self.levels if wanted is None or name in wanted]
        return [
            replace(self, name=f"{self.name}-{name}", level=name, levels={name: self.levels[name]}) for name in chosen
        ]

    def messages(self, values: Mapping[str, str]) -> tuple[Mapping[str, str], ...]:
        """The chat: the system message, the turns of example, the body with the values in it."""
        said = [{"role": "system", "content": self.filled(self.system, values)}] if self.system else []
        for asked, answer in self.examples:
            said += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        return (*said, {"role": "user", "content": self.filled(self.body, values)})

    def shows(self, values: Mapping[str, str]) -> str:
        """What a record shows instead of the prompt that was used; empty where that is shown."""
        return self.filled(self.shown, values) if self.shown else ""

    def filled(self, template: str, values: Mapping[str, str]) -> str:
        """One of its texts with values in it."""
        levelled = {**values, LEVEL: self.levels[self.level]} if self.level else values
        return fill(template, {name: self._clause(name, levelled[name]) for name in self.variables})

    def _clause(self, name: str, value: str) -> str:
        return fill(self.clauses[name], {name: value}) if value and name in self.clauses else value

    def texts(self) -> list[str]:
        """Everything that it says itself, for who looks for something in it."""
        said = [self.system, self.body, *self.clauses.values(), *self.levels.values()]
        return [text for text in (*said, *(t for turn in self.examples for t in turn)) if text]

    def between(self) -> tuple[str, ...]:
        """The same in pieces, between the places for values."""
        parts = (_PLACE.sub(lambda m: f"{{{m[1]}}}" if m[1] else "\x00", text).split("\x00") for text in self.texts())
        return tuple(part for some in parts for part in some if part.strip())


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with each ``{name}`` replaced by the value of that name, and ``{{name}}`` by ``{name}``; what a value
    holds is not replaced again. Raises KeyError for a name without a value."""
    return _PLACE.sub(lambda m: f"{{{m[1]}}}" if m[1] else values[m[2]], template)


def read_prompt(path: Path, gives: Iterable[str]) -> Prompt:
    """The prompt in a file.

    ``gives``: the variables that the stage has values for. Raises InputError, with the line, for front matter that is none,
    for a placeholder that is not declared, for a variable that is not used or that the stage does not give.
    """
    try:
        text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"no prompt: {error}", place=str(path)) from None
    front, body, first = _parts(text, path)
    value = _front(front, path)
    if not body.strip():
        raise InputError("the prompt says nothing", place=f"{path}:{first}", cure=_EXAMPLE)
    declared = {**value.variables, **({LEVEL: "the level's text"} if value.levels else {})}
    for name, line, where in _places(text, value):
        if name not in declared:
            raise InputError(
                f"{{{name}}} is no variable of the prompt{where}",
                place=f"{path}:{line}",
                cure=f"{did_you_mean(name, list(declared))}; to say it as it is, write {{{{{name}}}}}",
            )
    for name, clause in value.clauses.items():
        if name not in declared or {m[2] for m in _PLACE.finditer(clause)} - {None, name}:
            raise InputError(
                f"clause '{name}' is of no variable, or names another one",
                place=f"{path}:{_line_of(text, name, 'clauses')}",
                cure="a clause holds the value of the variable that it is called after",
            )
    used = {name for name, _, where in _places(text, value) if "clause" not in where}
    known = set(gives) | ({LEVEL} if value.levels else set())
    for name in declared:
        line = _line_of(text, name)
        if name not in known:
            raise InputError(
                f"the stage has no value for the variable '{name}'",
                place=f"{path}:{line}",
                cure=did_you_mean(name, sorted(known)),
            )
        if name not in used:
            raise InputError(
                f"the variable '{name}' is declared and not used",
                place=f"{path}:{line}",
                cure=f"write {{{name}}} where its value belongs, or remove it",
            )
    return _prompt(value, body.strip(), declared, path)


def _prompt(value: _Front, body: str, declared: Mapping[str, str], path: Path) -> Prompt:
    made = Prompt(
        name=value.name,
        version=value.version,
        about=value.about,
        system=value.system.strip(),
        body=body,
        variables=declared,
        clauses=value.clauses,
        parameters=value.parameters,
        examples=(),
        schema=value.schema_,
        expects=value.expects,
        shown=value.shown.strip(),
        levels=value.levels,
        path=str(path),
    )
    # An example is filled at its own values; of a prompt with levels it has one of them, or none.
    turns = []
    for number, example in enumerate(value.examples, 1):
        missing = sorted(set(declared) - set(example.values))
        more = sorted(set(example.values) - set(declared))
        if more:
            raise InputError(
                f"example {number} gives '{more[0]}', which is no variable", place=str(path), cure=_EXAMPLE
            )
        values = {**dict.fromkeys(missing, ""), **example.values}
        turns.append((made.filled(body, values), example.answer.strip()))
    return replace(made, examples=tuple(turns))


def _parts(text: str, path: Path) -> tuple[str, str, int]:
    """Front matter, body, and the line of the body's first."""
    lines = text.split("\n")
    if lines[0].strip() != _FENCE:
        raise InputError("no front matter: the first line is not '---'", place=f"{path}:1", cure=_EXAMPLE)
    for number, line in enumerate(lines[1:], 1):
        if line.rstrip() == _FENCE:
            return "\n".join(lines[1:number]), "\n".join(lines[number + 1 :]), number + 2
    raise InputError("the front matter has no end: no other line '---'", place=f"{path}:1", cure=_EXAMPLE)


def _front(front: str, path: Path) -> _Front:
    try:
        value = yaml.safe_load(front)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark is not None else 2
        why = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"the front matter is no YAML: {why}", place=f"{path}:{line}", cure=_EXAMPLE) from None
    if not isinstance(value, dict):
        raise InputError("the front matter is no mapping", place=f"{path}:2", cure=_EXAMPLE)
    try:
        return _Front.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        unknown = first["type"] == "extra_forbidden" and len(first["loc"]) == 1
        fields = [f.alias or name for name, f in _Front.model_fields.items()]
        raise InputError(
            f"front matter: {'no such field' if unknown else first['msg']}: {where}",
            place=f"{path}:{_line_of(_FENCE + chr(10) + front, str(first['loc'][0]))}",
            cure=did_you_mean(where, fields) if unknown else _EXAMPLE,
        ) from None


def _places(text: str, value: _Front) -> list[tuple[str, int, str]]:
    """Placeholders: name, line, and where else than in the body it stands."""
    start = text.index(f"\n{_FENCE}", len(_FENCE)) + 1
    found = [(m[2], text.count("\n", 0, start + m.start()) + 1, "") for m in _PLACE.finditer(text[start:]) if m[2]]
    for name, clause in value.clauses.items():
        found += [
            (m[2], _line_of(text, name, "clauses"), f", in clause '{name}'") for m in _PLACE.finditer(clause) if m[2]
        ]
    for label, said in (("system", value.system), ("shown", value.shown)):
        found += [(m[2], _line_of(text, label), f", in '{label}'") for m in _PLACE.finditer(said) if m[2]]
    return found


def _line_of(text: str, key: str, after: str = "") -> int:
    """The line of the front matter that begins with a key; the first where there is none."""
    lines = text.split("\n")
    start = next((n for n, line in enumerate(lines) if after and line.startswith(f"{after}:")), 0)
    return next((n + 1 for n, line in enumerate(lines[start:], start) if line.strip().startswith(f"{key}:")), 1)
