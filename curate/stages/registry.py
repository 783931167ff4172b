"""The stages by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TypeVar

from curate.errors import RecipeError
from curate.stages import load, load_all
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


def remove(name: str) -> None:
    """Forget a stage: of a plugin that could not be loaded as a whole."""
    _registry.pop(name, None)


def stage_class(name: str) -> type[Stage]:
    """A stage by name; raises RecipeError with the plugin that has it, or with the nearest name."""
    if name not in _registry:
        load(name)
    if name not in _registry:
        from curate.stages.plugins import offered_by

        load_all()
        offers = offered_by(name)
        if offers:
            raise RecipeError(
                f"no stage '{name}', but plugin '{offers[0]}' has one",
                cure=f"name it to load it: 'plugins: [{offers[0]}]' in the recipe, or curate --plugin {offers[0]}",
            )
        near = difflib.get_close_matches(name, _registry, n=1)
        raise RecipeError(f"no stage '{name}'", cure=f"did you mean '{near[0]}'?" if near else "see 'curate stages'")
    return _registry[name]
