"""YAML to plain values that remember their lines: the only module that knows YAML.

Recipes may come from strangers: safe tags only, no aliases (a few lines of them can expand to gigabytes), a bounded
size, and no key twice.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from curate.errors import RecipeError

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 50
"""Levels of nesting: a recipe needs about six, and the time to parse grows with their square."""
_INTEGERS: Final = range(-(1 << 63), 1 << 63)
"""What Arrow's kernels take."""

M = TypeVar("M", bound=BaseModel)
_OPENS: Final = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSES: Final = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


@dataclass(frozen=True)
class Source:
    """A parsed YAML file: values, and the line of each by its path of keys and indices."""

    path: Path
    values: Any
    lines: dict[tuple[str | int, ...], int]

    def place(self, where: Iterable[str | int] = ()) -> str:
        """``file:line`` of a value, or of the nearest thing around it."""
        path = tuple(where)
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.path}:{self.lines.get(path, 1)}"


def read_yaml(path: Path, what: str = "recipe") -> Source:
    """Parse a file; raises RecipeError with the line for whatever is wrong. ``what``: what the user takes it for."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        cure = "see 'curate copy --help' for a start" if what == "recipe" else ""
        raise RecipeError(f"there is no such {what}", place=str(path), cure=cure) from None
    except OSError as error:
        raise RecipeError(f"can't be read ({error.strerror})", place=str(path)) from None
    if len(raw) > MAX_BYTES:
        raise RecipeError(f"is larger than {MAX_BYTES} bytes", place=str(path), cure=f"a {what} is a page of text")
    try:
        text = raw.decode("utf-8")
        depth = 0
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            depth += isinstance(token, _OPENS) - isinstance(token, _CLOSES)
            if depth > MAX_DEPTH:
                raise RecipeError("is nested too deeply", place=f"{path}:{token.start_mark.line + 1}")
            if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
                raise RecipeError(
                    "anchors and aliases are not allowed",
                    place=f"{path}:{token.start_mark.line + 1}",
                    cure="write it out",
                )
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise RecipeError("is not UTF-8 text", place=str(path)) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"is no YAML: {error.problem}", place=f"{path}:{line}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RecipeError(
            f"is no YAML: character U+{error.character:04X} is not allowed", place=f"{path}:{line}"
        ) from None
    if node is None:
        raise RecipeError("is empty", place=str(path))
    lines: dict[tuple[str | int, ...], int] = {}
    values = _values(node, (), lines, path)
    return Source(path, values, lines)


def _values(node: yaml.Node, where: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int], path: Path) -> Any:
    lines.setdefault(where, node.start_mark.line + 1)
    if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.startswith("tag:yaml.org,2002:python"):
        raise RecipeError(
            f"tag '{node.tag}' is not allowed", place=f"{path}:{node.start_mark.line + 1}", cure="remove it"
        )
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise RecipeError("a key must be a plain word", place=f"{path}:{line}")
            key = str(key_node.value)
            if problem := _no_value(key):
                raise RecipeError(f"a key is no plain word: {problem}", place=f"{path}:{line}")
            if key in result:
                raise RecipeError(f"'{key}' stands here twice", place=f"{path}:{line}", cure="remove one")
            lines[(*where, key)] = line
            result[key] = _values(value_node, (*where, key), lines, path)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_values(child, (*where, i), lines, path) for i, child in enumerate(node.value)]
    if ":" in node.value and node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
        return str(node.value)  # 12:00:00 was a number to base 60 in YAML 1.1; whoever writes it means a time
    loader = yaml.SafeLoader("")
    try:
        value = loader.construct_object(node, deep=True)
        problem = _no_value(value, node.value)
    except (yaml.YAMLError, ValueError) as error:
        problem = getattr(error, "problem", None) or str(error)
    if problem:
        raise RecipeError(f"is no plain value: {problem}", place=f"{path}:{node.start_mark.line + 1}")
    return value


def _no_value(value: Any, written: str = "") -> str:
    """Why a value has no form that every part of a run can take; empty where it has one."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{written or value} is not finite"
    if isinstance(value, int) and value not in _INTEGERS:
        return "an integer of more than 64 bits"
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return f"character {error.start + 1} is half a character (U+{ord(value[error.start]):04X})"
    return ""


def check_numbers(model: BaseModel, source: Source, where: tuple[str | int, ...], what: str) -> None:
    """Raise RecipeError for a setting that is no number a run can take: pydantic reads texts ("inf") as numbers, too."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), model.model_dump(exclude_unset=True, by_alias=True))]
    while waiting:
        at, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*at, key), each) for key, each in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [((*at, number), each) for number, each in enumerate(value)]
        elif problem := _no_value(value):
            raise RecipeError(f"{what} '{'.'.join(map(str, at))}': {problem}", place=source.place((*where, *at)))


def validated(model: type[M], values: Any, source: Source, where: tuple[str | int, ...], what: str) -> M:
    """A pydantic model from plain values; its first error as one RecipeError with line and nearest name."""
    try:
        found = model.model_validate(values)
    except ValidationError as error:
        raise explained(error, model, source, where, what) from None
    check_numbers(found, source, where, what)
    return found


def explained(
    error: ValidationError, model: type[BaseModel], source: Source, where: tuple[str | int, ...], what: str
) -> RecipeError:
    """The first of pydantic's complaints in a user's words."""
    first = error.errors(include_url=False)[0]
    location: tuple[str | int, ...] = ()
    for number, part in enumerate(first["loc"], 1):
        # Pydantic names, too, which type of several a value was tried as, and that it was a key: nobody wrote that.
        written = (*where, *location, part) in source.lines
        if written or (number == len(first["loc"]) and first["type"] == "missing"):
            location = (*location, part)
    field = str(location[-1]) if location else ""
    dotted = ".".join(map(str, location))
    place = source.place((*where, *location))
    if first["type"] == "extra_forbidden":
        owner = _owner(model, location)
        known = list(owner.model_fields) if owner else []
        aliases = [f.alias or n for n, f in owner.model_fields.items()] if owner else known
        near = difflib.get_close_matches(field, aliases, n=1, cutoff=0.5)
        cure = f"did you mean '{near[0]}'?" if near else f"it has: {', '.join(aliases) or 'no settings'}"
        return RecipeError(f"{what} has no setting '{field}'", place=place, cure=cure)
    if first["type"] == "missing":
        return RecipeError(f"{what} needs '{dotted}'", place=place, cure="add it")
    # What was given for these may hold a key.
    hidden = isinstance(first.get("input"), dict | list) or field in ("key_env", "base_url")
    given = "" if hidden else f" (given: {first.get('input')!r})"
    message = first["msg"].removeprefix("Value error, ")
    at = f" '{dotted}'" if dotted else ""
    return RecipeError(f"{what}{at}: {message}{given}", place=place)


def _owner(model: type[BaseModel], location: tuple[str | int, ...]) -> type[BaseModel] | None:
    owner: type[BaseModel] | None = model
    for step in location[:-1]:
        field = next((f for n, f in owner.model_fields.items() if str(step) in (n, f.alias)), None) if owner else None
        # A key or an index inside a dict or list of models leads to no field: the model stays.
        owner = _model_in(field.annotation) or owner if field else owner
    return owner


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in a field's type: ``Model``, ``Model | None``, ``dict[str, Model]``, ``list[Model]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
