"""What models cost: from the recipe, from price tables, nothing on one's own machine, else the model is refused.

A price bears on what may be asked (the budget) and on what is told, never on what comes out: it is part of no identity.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from curate import assets
from curate.errors import RecipeError
from curate.llm.model import Model
from curate.recipe.document import Source, read_yaml, validated

__all__ = ["LOOPBACK", "PriceTable", "Priced", "priced", "read_prices", "tables_of"]

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
"""Hosts that are one's own machine: what is asked there costs nothing, unless a price is stated."""

_STATED: Final = ("prompt_price", "completion_price")


class Price(BaseModel):
    """US dollars per million tokens of one model, and the day from which that holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: float = Field(ge=0, description="US dollars per million prompt tokens")
    completion: float = Field(ge=0, description="US dollars per million completion tokens")
    since: dt.date | None = Field(None, description="the day from which the price holds")
    also: list[str] = Field(default_factory=list, description="other ids of the same model")


class PriceTable(BaseModel):
    """A versioned table of prices, by declared model id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prices: str = Field(min_length=1, description="the table's name")
    version: int = Field(ge=1)
    date: dt.date = Field(description="the day of which the table is")
    source: str = Field("", description="where the prices are from")
    hosts: list[str] = Field(
        default_factory=list, description="hosts of a base_url for which they hold; none named = any"
    )
    batch: float = Field(1.0, ge=0, le=1, description="share of the price that a batch costs")
    models: dict[str, Price] = Field(min_length=1)

    def find(self, model: Model) -> Price | None:
        """The price of a model at its endpoint, if the table has it."""
        if self.hosts and not (model.hosts and model.hosts <= set(self.hosts)):
            return None
        if model.model in self.models:
            return self.models[model.model]
        return next((price for price in self.models.values() if model.model in price.also), None)


@dataclass(frozen=True)
class Priced:
    """A model with the prices it is counted at.

    Attributes:
        origin: where they are from, for people: ``stated in the recipe``, a table with its version and day, ...
    """

    model: Model
    origin: str

    @property
    def told(self) -> str:
        """One line for people."""
        prices = f"${self.model.prompt_price:g} and ${self.model.completion_price:g}"
        return f"{self.model.model}: {prices} per million prompt and completion tokens ({self.origin})"


def read_prices(path: Path) -> PriceTable:
    """A table from a YAML file; raises RecipeError with the line of what is wrong."""
    source = read_yaml(path)
    if not isinstance(source.values, dict):
        raise RecipeError("a price table is a mapping with 'prices:' and 'models:'", place=source.place())
    return validated(PriceTable, source.values, source, (), "a price table")


def tables_of(paths: Iterable[str], source: Source) -> list[PriceTable]:
    """The tables that a recipe names, in order, then the shipped ones."""
    own = []
    for number, path in enumerate(paths):
        file = assets.locate(path, source.path.parent)
        if not file.is_file():
            raise RecipeError(
                f"there is no price table '{path}'",
                place=source.place(("prices", number)),
                cure="a path starts from the recipe's folder",
            )
        own.append(read_prices(file))
    shipped = assets.ROOT / "data" / "prices"
    return own + [read_prices(path) for path in sorted(shipped.glob("*.yaml"))]


def priced(name: str, model: Model, tables: Sequence[PriceTable], source: Source) -> Priced:
    """A model of a recipe with its prices; raises RecipeError, with the line, for one that has none.

    What the recipe states holds, for a batch as well: it is what is paid. A price that it states for prompts only leaves
    that of completions to the tables, unless it is 0: then the model is free. The first table that knows the model at its
    endpoint is used. Without any, the embedded server and an endpoint on this machine cost nothing.
    """
    stated = {field: getattr(model, field) for field in _STATED if field in model.model_fields_set}
    if len(stated) == len(_STATED):
        return Priced(model, "stated in the recipe")
    if stated and not any(stated.values()):
        return Priced(_with(model, 0.0, 0.0), "stated in the recipe")
    if model.base_url is None:
        return Priced(model, "the embedded server")
    for table in tables:
        if (price := table.find(model)) is not None:
            share = table.batch if model.batch else 1.0
            prompt, completion = share * price.prompt, share * price.completion
            found = _with(model, stated.get("prompt_price", prompt), stated.get("completion_price", completion))
            day = f" of {price.since}" if price.since else f" of {table.date}"
            batch = f", {share:g} of it for a batch" if model.batch else ""
            return Priced(found, f"table {table.prices} {table.version}, price{day}{batch}")
    if model.hosts <= LOOPBACK and not stated:
        return Priced(model, "on this machine")
    cause = f"model '{name}' states no price, and no price table has '{model.model}' at {_host(model)}"
    if stated:
        other = next(field for field in _STATED if field not in stated)
        cause = f"model '{name}' states a {next(iter(stated))} and no {other}"
    raise RecipeError(
        cause,
        place=source.place(("models", name)),
        cure="give it prompt_price and completion_price, dollars per million tokens (prompt_price: 0 for a server of your own)",
    )


def _with(model: Model, prompt: float, completion: float) -> Model:
    return model.model_copy(update={"prompt_price": prompt, "completion_price": completion})


def _host(model: Model) -> str:
    return ", ".join(sorted(model.hosts))
