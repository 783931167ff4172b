"""Indexes of benchmarks: folders of hashes, made once of items, without any text of them, to be shared.

``index.json`` says what is in it (see ``curate.store.index``): which version of the words and of the grammar its hashes are
made with, and of each benchmark the name, version, licence, splits, number of items and digest. ``items.arrow`` has the
items' names, ``words.npz``, ``trees.npz`` and ``prompts.npz`` the arrays of the layers, and ``vectors.npz``, where it was
asked for, the static embeddings of prompts; hashes stand in order of their values, not of the text.

The same items give the same bytes. An index with hashes of another version is refused: it would find nothing.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.benchmarks.items import Item
from curate.benchmarks.registry import Benchmark
from curate.errors import InputError, StorageError
from curate.fingerprint import fingerprint
from curate.store.arrays import read_arrays, write_arrays
from curate.store.files import Store
from curate.store.index import FACTS, Index, TableFile, check_whole, index_facts, open_index
from curate.store.tables import read_table, table_writer

if TYPE_CHECKING:
    from curate.text import overlap, rephrased, syntax

T = TypeVar("T")
STAGE: Final = "benchmarks"
"""What ``index.json`` calls what wrote it; indexes of earlier data have the names of stages."""
_ITEMS: Final = pa.schema([("item", pa.string()), ("benchmark", pa.string()), ("split", pa.string())])
_AGAIN: Final = "build it again: curate benchmarks build"


def grammar() -> dict[str, int]:
    """Versions of what hashes are made with, by layer."""
    from curate.text import overlap_joined, rephrased_joined, syntax

    return {"words": overlap_joined.FORMAT, "syntax": syntax.GRAMMAR, "rephrased": rephrased_joined.FORMAT}


@dataclass(frozen=True)
class Loaded:
    """Some indexes as one, ready for look-up; a process holds it once.

    Attributes:
        content: 32 hex digits that stand for what is indexed, and in which order.
        items: their names, as ``humaneval/HumanEval/0``.
        benchmarks: what ``index.json`` says of each benchmark, in order.
        words: of prompts, answers, choices, tests and few-shot texts.
        trees: of the functions of solutions; None where there are none.
        prompts: stems of prompts.
        vectors: float16[p, d]; static embeddings of the passages of ``prompts``, where all indexes have them.
        names: ``syntax.name_hash`` of the functions that the items ask for, ascending.
    """

    content: str
    items: pa.StringArray
    benchmarks: tuple[Mapping[str, Any], ...]
    words: overlap.Index
    trees: syntax.TreeIndex | None
    prompts: rephrased.RephraseIndex
    vectors: npt.NDArray[np.float16] | None
    names: npt.NDArray[np.uint64]

    @property
    def nbytes(self) -> int:
        """Memory of the arrays."""
        trees = self.trees
        vectors = [self.vectors] if self.vectors is not None else []
        arrays = [*_fields(self.words), *_fields(self.prompts), *vectors, self.names]
        if trees is not None:
            arrays += [
                array for part in (trees, trees.trees) for array in vars(part).values() if array is not trees.trees
            ]
        return self.items.nbytes + sum(array.nbytes for array in arrays)


def _fields(arrays: Any) -> list[Any]:
    return [getattr(arrays, field.name) for field in dataclasses.fields(arrays)]


def item_name(benchmark: str, item: str) -> str:
    """What an item is called wherever it is named: with its benchmark before its id, unless the id begins so."""
    return item if item.startswith(f"{benchmark}/") else f"{benchmark}/{item}"


# -- writing -------------------------------------------------------------------------------------------------


def write_index(out: Path, sources: Sequence[tuple[Benchmark, Sequence[Item]]], *, embeddings: bool = False) -> Index:
    """Make the index of some benchmarks' items in a folder that is not there yet, or is an index.

    ``embeddings``: with static embeddings of the prompts (the extra of that name).

    Raises InputError for a folder that is something else, StorageError where it can't be written.
    """
    if out.exists() and not (out / FACTS).is_file():
        raise InputError("is there already, and is no index", place=str(out), cure="give a folder that is not there")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as work:
            made = _write(Path(work) / "new", sources, embeddings=embeddings)
            if out.exists():
                out.replace(Path(work) / "old")
            (Path(work) / "new").replace(out)
    except OSError as error:
        raise StorageError(
            f"the index can't be written: {error.strerror or error}", place=str(out), cure="choose another folder"
        ) from None
    return dataclasses.replace(made, at=Store(out))


def _write(folder: Path, sources: Sequence[tuple[Benchmark, Sequence[Item]]], *, embeddings: bool) -> Index:
    from curate.benchmarks.layers import prompt_layer, tree_layer, vector_layer, word_layer
    from curate.text.syntax import name_hash

    folder.mkdir()
    keys = [benchmark.key for benchmark, _ in sources]
    if len(set(keys)) < len(keys):
        again = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"two benchmarks are called '{again}'", cure="name a file or an entry otherwise")
    items = [item for _, some in sources for item in some]
    rows = pa.table(
        [
            [item_name(benchmark.key, item.id) for benchmark, some in sources for item in some],
            [benchmark.key for benchmark, some in sources for _ in some],
            [item.split for item in items],
        ],
        schema=_ITEMS,
    )
    with table_writer(folder / "items.arrow", _ITEMS) as out:
        for batch in rows.to_batches():
            out.write(batch)
    write_arrays(folder / "words.npz", vars(word_layer(items)))
    trees = tree_layer(items)
    write_arrays(folder / "trees.npz", vars(trees))
    write_arrays(folder / "prompts.npz", vars(prompt_layer(items)))
    if embeddings:
        write_arrays(folder / "vectors.npz", {"vectors": vector_layer(items)})
    names = [name_hash(item.entry_point) for item in items if item.entry_point]
    write_arrays(
        folder / "names.npz", {"names": np.unique(np.array([*names, *trees.names[trees.names > 0]], np.uint64))}
    )
    facts = [_said(benchmark, some) for benchmark, some in sources]
    tables: dict[str, tuple[TableFile, ...]] = {
        path.stem: (TableFile(path.name, len(items), path.stat().st_size),) for path in sorted(folder.iterdir())
    }
    content = fingerprint(STAGE, grammar(), [[said["key"], said["digest"]] for said in facts])
    index = Index(Store(folder), STAGE, {"grammar": grammar(), "benchmarks": facts}, (), content, len(items), tables)
    (folder / FACTS).write_bytes(index_facts(index))
    return index


def _said(benchmark: Benchmark, items: Sequence[Item]) -> dict[str, Any]:
    """What ``index.json`` says of a benchmark."""
    return {
        "key": benchmark.key,
        "name": benchmark.title,
        "version": benchmark.version,
        "task": benchmark.task,
        "license": benchmark.license,
        "source": benchmark.source,
        "splits": sorted({item.split for item in items}),
        "items": len(items),
        "digest": digest_of(items),
    }


def digest_of(items: Sequence[Item]) -> str:
    """32 hex digits that stand for all that some items say."""
    return fingerprint(
        [[i.id, i.split, i.prompt, i.answer, i.test, i.entry_point, list(i.choices), i.few_shot] for i in items]
    )


# -- reading -------------------------------------------------------------------------------------------------


def open_benchmarks(folder: Path) -> Index:
    """What the index in a folder is; raises InputError for what is none, is not whole, or has hashes of another version."""
    if not (folder / FACTS).is_file():
        raise InputError("no index of benchmarks: it has no index.json", place=str(folder), cure=_AGAIN)
    index = open_index(folder)
    if index.stage != STAGE:
        raise InputError(
            f"an index of {index.stage}, not of benchmarks",
            place=str(folder),
            cure="name one that 'curate benchmarks build' made",
        )
    made = index.settings.get("grammar")
    if made != grammar():
        said = ", ".join(f"{name} {version}" for name, version in sorted(dict(made or {}).items()))
        ours = ", ".join(f"{name} {version}" for name, version in sorted(grammar().items()))
        raise InputError(
            f"the index was made with other hashes ({said or 'none'}; this version of curate has {ours})",
            place=str(folder),
            cure=_AGAIN,
        )
    check_whole(index)
    return index


def load(folders: Sequence[Path]) -> Loaded:
    """Some indexes as one; read once a process, and again when one of them has changed."""
    stamps = []
    for folder in folders:
        stat = open_benchmarks(folder).folder.joinpath(FACTS).stat()
        stamps.append((stat.st_size, stat.st_mtime_ns, stat.st_ino))
    return _loaded(tuple(map(str, folders)), tuple(stamps))


@lru_cache(maxsize=4)
def _loaded(folders: tuple[str, ...], stamps: tuple[tuple[int, ...], ...]) -> Loaded:  # noqa: ARG001 - part of the key
    from curate.benchmarks.layers import prompts_of, tree_index_of, trees_of, words_of
    from curate.text import overlap_joined, rephrased_joined

    opened = [open_benchmarks(Path(folder)) for folder in folders]
    benchmarks = [said for index in opened for said in index.settings["benchmarks"]]
    keys = [said["key"] for said in benchmarks]
    if len(set(keys)) < len(keys):
        again = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"benchmark '{again}' is in two indexes", place=", ".join(folders), cure="name it once")
    items = pa.concat_arrays([_items(index) for index in opened])
    firsts = np.cumsum([0] + [index.documents for index in opened])[:-1].tolist()
    words = overlap_joined.joined([_layer(index, "words", words_of) for index in opened], firsts)
    trees = tree_index_of([_layer(index, "trees", trees_of) for index in opened], firsts)
    prompts = rephrased_joined.joined([_layer(index, "prompts", prompts_of) for index in opened], firsts)
    vectors = None
    if all("vectors" in index.tables for index in opened):
        vectors = np.concatenate([_layer(index, "vectors", lambda arrays, _: _vectors_of(arrays)) for index in opened])
        if len(vectors) != len(prompts.item):
            raise InputError("the index is damaged: vectors are missing", place=folders[0], cure=_AGAIN)
    names = np.unique(np.concatenate([_layer(index, "names", lambda arrays, _: _names_of(arrays)) for index in opened]))
    content = fingerprint([index.content for index in opened])
    return Loaded(content, items, tuple(benchmarks), words, trees, prompts, vectors, names)


def _items(index: Index) -> pa.StringArray:
    file = index.folder / index.tables["items"][0].name
    names = read_table(file).column("item").combine_chunks()
    if len(names) != index.documents:
        raise InputError("the index is damaged: items are missing", place=str(file), cure=_AGAIN)
    return names


def _layer(index: Index, table: str, sound: Callable[[Mapping[str, npt.NDArray[Any]], int], T]) -> T:
    """What ``sound`` makes of a file's arrays and the number of items. An index may come from strangers, and kernels read
    where its arrays say: so all of them are looked at first."""
    file = index.folder / index.tables[table][0].name
    try:
        return sound(read_arrays(file), index.documents)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"the index is damaged: {error}", place=str(file), cure=_AGAIN) from None


def _names_of(arrays: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.uint64]:
    names = arrays["names"]
    if names.dtype != np.uint64 or names.ndim != 1:
        raise ValueError("names has other values")
    return names


def _vectors_of(arrays: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float16]:
    vectors = arrays["vectors"]
    if vectors.dtype != np.float16 or vectors.ndim != 2:
        raise ValueError("vectors has other values")
    return vectors
