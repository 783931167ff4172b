"""From what a user names to folders of indexes: a benchmark of the registry, a file of items, a registry, an index.

What is no index yet is made into one, once, in the user's cache: whoever looks documents up reads indexes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from curate import assets
from curate.benchmarks import fetch
from curate.benchmarks.index import grammar, open_benchmarks, write_index
from curate.benchmarks.items import Item, read_items
from curate.benchmarks.registry import Benchmark, is_items, load_registry, of_file, shipped
from curate.errors import CurateError, InputError, RecipeError, did_you_mean
from curate.fingerprint import file_digest, fingerprint
from curate.store.index import FACTS


@dataclass(frozen=True)
class Named:
    """What a name stands for: an index that is there, or benchmarks of which one is made."""

    folder: Path | None
    benchmarks: tuple[Benchmark, ...] = ()


def named(
    given: str, registry: Path | None = None, base: Path | None = None, fields: Mapping[str, str] | None = None
) -> Named:
    """What a name in ``against`` stands for.

    Args:
        given: a name in the registry; or a path (it has a slash or a dot): a folder with an index, a file of items, a YAML
            file of the registry's form, which stands for all of its benchmarks.
        registry: the registry, by default the shipped one.
        base: where paths begin; see ``assets.locate``.
        fields: which field of a file's rows is what, where they are not called as usual.

    Raises RecipeError for what is none of these.
    """
    known = load_registry(registry or shipped())
    if given in known:
        return Named(None, (known[given],))
    path = assets.locate(given, base)
    if (path / FACTS).is_file():
        return Named(path.resolve())
    if path.is_file() and is_items(path.name):
        return Named(None, (of_file(path.absolute(), fields),))
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        return Named(None, tuple(load_registry(path.absolute()).values()))
    if "/" in given or "." in given or path.exists():
        raise RecipeError(
            f"'{given}' is no index of benchmarks, no file of items (.jsonl, .parquet) and no registry (.yaml)"
            if path.exists()
            else f"there is no '{given}'",
            cure="check the path; an index is made by: curate benchmarks build",
        )
    raise RecipeError(f"no benchmark '{given}'", cure=did_you_mean(given, known))


def index_of(given: str, registry: Path | None = None, base: Path | None = None, *, embeddings: bool = False) -> Path:
    """The folder with the index of what a name stands for; made in the cache, unless it is there.

    ``embeddings``: one that has static embeddings of prompts.

    Raises RecipeError, InputError or StorageError where there is none to be had.
    """
    found = named(given, registry, base)
    if found.folder is not None:
        if embeddings and "vectors" not in open_benchmarks(found.folder).tables:
            raise InputError(
                "the index has no embeddings", place=str(found.folder), cure="build it again with --embeddings"
            )
        open_benchmarks(found.folder)
        return found.folder
    folder = fetch.cache() / ".indexes" / fingerprint(_key(found.benchmarks), embeddings)
    try:
        open_benchmarks(folder)
    except CurateError:
        write_index(folder, sources(found.benchmarks), embeddings=embeddings)
    return folder


def _key(benchmarks: Sequence[Benchmark]) -> str:
    """Of what an index would hold: entries, and the bytes of their files."""
    entries = []
    for benchmark in benchmarks:
        said = benchmark.model_dump(
            mode="json", include={"fields", "splits", "first_choice", "items", "version", "task"}
        )
        files = fetch.needed(benchmark).files
        entries.append(
            [benchmark.key, said, benchmark.guess, {name: file_digest(path) for name, path in files.items()}]
        )
    return fingerprint(grammar(), entries)


def sources(
    benchmarks: Sequence[Benchmark],
    splits: Sequence[str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[tuple[Benchmark, list[Item]]]:
    """The benchmarks with their items, of the splits that are checked and shown, or of these."""
    found = []
    for benchmark in benchmarks:
        there = fetch.needed(benchmark)
        fetch.check(benchmark, there)
        items = read_items(benchmark, there.files, splits)
        progress(f"{benchmark.key}: {len(items):,} items")
        found.append((benchmark, items))
    return found
