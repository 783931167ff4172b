"""Texts of items that an index knows by name alone, read where they are on this machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from curate.benchmarks import fetch
from curate.benchmarks.index import Loaded, digest_of, item_name
from curate.benchmarks.items import Item, read_items
from curate.benchmarks.registry import Benchmark
from curate.errors import InputError, RecipeError


def prompts(names: Collection[str], loaded: Loaded, known: Mapping[str, Benchmark]) -> dict[str, str]:
    """The prompts of some items.

    Args:
        names: as ``Loaded.items`` has them.
        loaded: the index that has them.
        known: benchmarks whose items may be read, by key; only those of which an item is named are.

    Raises RecipeError for a benchmark that is not among them or whose items are not on this machine, with the command that
    fetches them; InputError for items that are not those of the index.
    """
    wanted = {name.partition("/")[0] for name in names}
    items: dict[str, Item] = {}
    for said in loaded.benchmarks:
        if said["key"] in wanted:
            items |= items_of(said, known)
    return {name: items[name].prompt for name in names}


def items_of(said: Mapping[str, Any], known: Mapping[str, Benchmark]) -> dict[str, Item]:
    """All items of a benchmark by name; ``said``: what the index says of it. Raises as ``prompts`` does."""
    key = said["key"]
    if key not in known:
        raise RecipeError(
            f"there are no texts of benchmark '{key}': an index has hashes alone, and the registry does not know it",
            cure="give its file of items (or a registry of your own) in 'items'",
        )
    benchmark = known[key]
    files = fetch.needed(benchmark)
    fetch.check(benchmark, files)
    items = read_items(benchmark, files.files, said["splits"])
    if digest_of(items) != said["digest"]:
        raise InputError(
            f"the items of benchmark '{key}' here are not those that the index was made of (version {said['version']})",
            cure="build the index again: curate benchmarks build",
        )
    return {item_name(key, item.id): item for item in items}
