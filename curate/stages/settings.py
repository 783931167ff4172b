"""The settings of a stage as a list, those inside of others by dotted names: what docs and ``curate stages`` show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

__all__ = ["Setting", "settings_of"]


@dataclass(frozen=True)
class Setting:
    """One setting: ``mix.tokens``; ``mix.components.NAME.weight`` is one of each value of a mapping, and
    ``mix.phases[].share`` of each item of a list. ``default`` is plain, and None where it is required."""

    name: str
    required: bool
    default: Any
    about: str


def settings_of(model: type[BaseModel], before: str = "") -> Iterator[Setting]:
    """All of them, those of a setting's own right behind it."""
    for name, field in model.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        yield Setting(before + name, field.is_required(), to_jsonable_python(default), field.description or "")
        for inner, way in _models(field):
            yield from settings_of(inner, f"{before}{name}{way}.")


def _models(field: FieldInfo) -> list[tuple[type[BaseModel], str]]:
    return list(dict.fromkeys(_inside(field.annotation, "")))


def _inside(annotation: Any, way: str) -> Iterator[tuple[type[BaseModel], str]]:
    """Models in a type, each with how one gets to them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, way
        return
    origin, parts = get_origin(annotation), get_args(annotation)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        yield from _inside(parts[1], f"{way}.NAME")
    else:
        listed = isinstance(origin, type) and issubclass(origin, list | tuple)
        for part in parts:
            yield from _inside(part, f"{way}[]" if listed else way)
