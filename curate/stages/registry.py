"""The stages by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TypeVar

from curate.errors import RecipeError
from curate.stages.base import Stage

S = TypeVar("S", bound=type[Stage])
_registry: dict[str, type[Stage]] = {}


def register(name: str) -> Callable[[S], S]:
    """Class decorator: make a stage known under ``name``."""

    def add(stage: S) -> S:
        if name in _registry:
            raise ValueError(f"two stages are called {name}")
        stage.name = name
        _registry[name] = stage
        return stage

    return add


def registered() -> dict[str, type[Stage]]:
    """All stages by name, sorted."""
    return dict(sorted(_registry.items()))


def stage_class(name: str) -> type[Stage]:
    """A stage by name; raises RecipeError with the nearest name."""
    if name not in _registry:
        near = difflib.get_close_matches(name, _registry, n=1)
        raise RecipeError(f"no stage '{name}'", cure=f"did you mean '{near[0]}'?" if near else "see 'curate stages'")
    return _registry[name]
