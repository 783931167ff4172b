"""What a recipe lacks before it can run: inputs that are not there, endpoints that stand for one's own.

A full recipe names its inputs by places under ``raw/`` and its models by endpoints in the top-level domain ``.example``
(RFC 2606: nobody can have one). Its steps say by ``about:`` what is to be put there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from curate.errors import InputError, RecipeError
from curate.recipe.recipe import Recipe
from curate.stages.source import Source

__all__ = ["check_ready", "missing_inputs", "unfilled_models"]

_PLACEHOLDER: Final = ".example"


def missing_inputs(recipe: Recipe) -> dict[str, str]:
    """By step, for sources that say what is to be put where they read and where nothing is: what to put where, one line."""
    found: dict[str, str] = {}
    for step in recipe.steps:
        if isinstance(step.stage, Source) and step.about:
            places = step.stage.absent(recipe.path.parent)
            if places:
                found[step.id] = f"there is no {' and no '.join(places)}; put there: {step.about}"
    return found


def unfilled_models(recipe: Recipe) -> dict[str, str]:
    """By name, for models that a step asks and whose endpoint stands for one's own: what to put where, one line."""
    found: dict[str, str] = {}
    for name in sorted(recipe.asked & recipe.models.keys()):
        model = recipe.models[name]
        if any(host.endswith(_PLACEHOLDER) for host in model.hosts):
            found[name] = (
                f"{', '.join(model.endpoints)} stands for an endpoint of yours; put its base_url, model, licence, prices and"
                f" limits there"
            )
    return found


def check_ready(recipe: Recipe) -> None:
    """Raise InputError for inputs that are not there, RecipeError for models without an endpoint: all of them in one line."""
    inputs = missing_inputs(recipe)
    if inputs:
        first, more = _first(inputs)
        cause, _, cure = inputs[first].partition("; ")
        where = "paths start from the recipe's folder, else from where you are"
        raise InputError(
            f"step '{first}': {cause}",
            place=next(step.place for step in recipe.steps if step.id == first),
            cure=f"{cure} ({where}){_also('step', more)}",
        )
    models = unfilled_models(recipe)
    if models:
        first, more = _first(models)
        cause, _, cure = models[first].partition("; ")
        raise RecipeError(
            f"model '{first}': {cause}",
            place=recipe.model_places[first],
            cure=f"{cure} (in a copy: curate copy {recipe.name} my.yaml){_also('model', more)}",
        )


def _first(found: Mapping[str, str]) -> tuple[str, list[str]]:
    first, *more = found
    return first, more


def _also(what: str, more: list[str]) -> str:
    return f"; the same goes for {what}{'s' * (len(more) > 1)} {', '.join(more)}" if more else ""
