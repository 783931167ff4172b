"""What a model is counted at, by where its price is from; a model without one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recipes import step, write

from curate import assets
from curate.errors import RecipeError
from curate.recipe.prices import read_prices
from curate.recipe.recipe import Recipe, load_recipe

OPENAI = "https://api.openai.com/v1"
OWN = """prices: house
version: 3
date: 2026-01-02
batch: 0.25
models:
  big: {prompt: 7, completion: 8, also: [big-2026]}
  gpt-4o-mini: {prompt: 0.1, completion: 0.2}
"""


def loaded(folder: Path, *, prices: list[str] | None = None, **model: Any) -> Recipe:
    (folder / "own.yaml").write_text(OWN)
    more = {"prices": prices} if prices else {}
    steps = [step("docs", "read.jsonl", paths=["docs.jsonl"])]
    return load_recipe(write(folder / "r.yaml", steps, models={"writer": model}, **more))


@pytest.mark.parametrize(
    ("model", "prices", "charged", "told"),
    [
        ({}, None, (0, 0), "embedded"),
        ({"model": "x", "base_url": "http://127.0.0.1:8000/v1"}, None, (0, 0), "on this machine"),
        ({"model": "x", "base_url": "http://localhost/v1"}, None, (0, 0), "on this machine"),
        ({"model": "x", "base_url": "http://[::1]:8000/v1"}, None, (0, 0), "on this machine"),
        ({"model": "x", "base_url": "http://[::1]/v1", "prompt_price": 1, "completion_price": 2}, None, (1, 2), "stated"),
        ({"model": "gpt-4o-mini", "base_url": OPENAI}, None, (0.15, 0.6), "openai 1, price of 2024-07-18"),
        ({"model": "gpt-4o-mini-2024-07-18", "base_url": OPENAI}, None, (0.15, 0.6), "openai 1"),
        ({"model": "gpt-4o-mini", "base_url": OPENAI, "completion_price": 3}, None, (0.15, 3), "openai 1"),
        ({"model": "gpt-4o-mini", "base_url": OPENAI, "prompt_price": 0}, None, (0, 0), "stated"),
        ({"model": "gpt-4o-mini", "base_url": OPENAI}, ["own.yaml"], (0.1, 0.2), "house 3, price of 2026-01-02"),
        ({"model": "big-2026", "base_url": "https://h/v1"}, ["own.yaml"], (7, 8), "house 3"),
        ({"model": "gpt-4o-mini", "base_url": OPENAI, "batch": True}, None, (0.075, 0.3), "0.5 of it for a batch"),
        ({"model": "big", "base_url": "https://h/v1", "batch": True}, ["own.yaml"], (1.75, 2), "0.25 of it"),
        ({"model": "x", "base_url": "https://h/v1", "prompt_price": 0}, None, (0, 0), "stated"),
    ],
)  # fmt: skip
def test_where_a_price_is_from(
    tmp_path: Path, model: dict[str, Any], prices: list[str] | None, charged: tuple[float, float], told: str
) -> None:
    """The recipe's word before a table's, one's own table before the shipped one; one's own machine is free."""
    recipe = loaded(tmp_path, prices=prices, **model)
    writer = recipe.models["writer"]
    assert (writer.prompt_price, writer.completion_price) == charged
    assert told in recipe.prices["writer"]


@pytest.mark.parametrize(
    "model",
    [
        {"model": "gpt-99", "base_url": OPENAI},
        {"model": "gpt-4o-mini", "base_url": "https://gateway.example.org/v1"},
        {"model": "x", "base_url": "http://10.0.0.1/v1"},
        {"model": "x", "base_url": "https://127.0.0.1.example.org/v1"},
        {"model": "x", "base_url": "https://h/v1", "completion_price": 1},
        {"model": "x", "base_url": "http://127.0.0.1/v1", "prompt_price": 1},
    ],
)
def test_a_model_without_a_price_is_refused(tmp_path: Path, model: dict[str, Any]) -> None:
    """Whose price nobody states, in the table's words or the recipe's, is not asked; the price of another host is none."""
    with pytest.raises(RecipeError, match="states ") as caught:
        loaded(tmp_path, **model)
    assert caught.value.place.startswith(f"{tmp_path / 'r.yaml'}:") and "prompt_price: 0" in caught.value.cure
    # Whoever looks at what a run left needs no prices.
    load_recipe(tmp_path / "r.yaml", plugins=False)


def test_shipped_tables_are_dated() -> None:
    """Each price has its day, no later than the table's; ids are unique; a batch costs half."""
    table = read_prices(assets.find("data", "prices/openai"))
    ids = [name for model, price in table.models.items() for name in (model, *price.also)]
    assert len(ids) == len(set(ids)) and table.hosts == ["api.openai.com"] and table.batch == 0.5
    assert all(price.since is not None and price.since <= table.date for price in table.models.values())
    assert max(price.since for price in table.models.values() if price.since) == table.date


def test_a_wrong_table_is_told_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(OWN.replace("prompt: 7", "promt: 7"))
    with pytest.raises(RecipeError) as caught:
        read_prices(tmp_path / "wrong.yaml")
    assert caught.value.place == f"{tmp_path / 'wrong.yaml'}:6"
