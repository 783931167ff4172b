"""Indexes of earlier data: what a deduplicating step leaves, so that later data is compared with it and its text is not read.

An index is a folder: sealed tables (store/tables.py), and ``index.json``, which says what they are::

    format      1
    stage       name of the stage that wrote it
    settings    what another step must have the same of, to compare with it
    against     contents of the indexes that it builds on, in their order
    content     32 hex digits that stand for what is indexed, the same whatever splits and partitions it was made with
    documents   how many documents were kept
    tables      by name, its files in order: name, rows, size

An index has its own step's documents alone. What it was compared with stays in the indexes that it builds on, which are
named before it wherever it is used: so an index is written once, and grows by what is new.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from curate.environment import redacted
from curate.errors import InputError, RecipeError, StorageError
from curate.store.files import Store, encode_json, store_at
from curate.store.latest import LATEST, latest
from curate.store.object_file import ObjectFile
from curate.store.sealed import checksum, open_json, seal_json

FORMAT: Final = 1
"""Of the folder and its tables; another one can't be read."""
FACTS: Final = "index.json"
SHORT: Final = 12
"""Hex digits of a content that name an index to people, as in the details of verdicts."""
_AGAIN: Final = "copy it again, or remove it and run again what made it"


@dataclass(frozen=True)
class TableFile:
    """One file of a table."""

    name: str
    rows: int
    size: int


@dataclass(frozen=True)
class Index:
    """What ``index.json`` says, and where it stands; see the module."""

    at: Store
    stage: str
    settings: dict[str, Any]
    against: tuple[str, ...]
    content: str
    documents: int
    tables: dict[str, tuple[TableFile, ...]]
    facts: int = 0
    """Checksum of ``index.json``."""

    @property
    def folder(self) -> Path:
        """Where it is on a disk; raises StorageError where it is on none."""
        return self.at.root

    @property
    def short(self) -> str:
        """The name that details give it."""
        return self.content[:SHORT]

    def files(self, table: str) -> list[Path | ObjectFile]:
        """A table's files, in order; on an object store they are read by ranges."""
        return [self.at.data(file.name) for file in self.tables[table]]


@dataclass(frozen=True)
class Earlier:
    """An index as a plan found it: tasks carry no more of it than where it lies, and the checksum of its ``index.json``."""

    at: Store
    facts: int

    def open(self) -> Index:
        """What it is, read once a process; raises InputError where another one lies there now."""
        return _as_planned(self.at, self.facts)


@lru_cache(maxsize=64)
def _as_planned(at: Store, facts: int) -> Index:
    index = open_index(at)
    if index.facts != facts:
        raise InputError("the index was changed while a run used it", place=str(at), cure="run again")
    return index


def index_facts(index: Index) -> bytes:
    """``index.json``'s bytes."""
    said = {name: value for name, value in vars(index).items() if name not in ("at", "facts")}
    tables = {name: [vars(file) for file in files] for name, files in index.tables.items()}
    return seal_json(FACTS, encode_json({**said, "format": FORMAT, "against": list(index.against), "tables": tables}))


def index_at(given: str) -> Store:
    """Where the index lies that an address of an object store names: its folder, or ``<run>/<step>``, by the run's pointer.

    Raises RecipeError for an address that is none of an object store's, InputError where there is no index.
    """
    try:
        at = store_at(given)
    except StorageError as error:
        raise RecipeError(
            f"no index can be read there: {error.cause}", place=redacted(given), cure=error.cure
        ) from None
    if at.exists(FACTS):
        return at
    run, _, step = str(at).rpartition("/")
    if "://" in run and run[-1] != "/" and (above := Store(run)).exists(f"{LATEST}/{step}.json"):
        return Store(above.address(latest(above, step)))
    return at


def open_index(place: Path | Store) -> Index:
    """What the index in a folder is; raises InputError where there is none, or one of another format."""
    at = place if isinstance(place, Store) else Store(place)
    if at.remote:
        raw = at.read(FACTS)
        if raw is None:
            raise _none(at, there=False)
        return _parsed(at, raw)
    try:
        stat = (at.root / FACTS).stat()
    except OSError:
        raise _none(at, there=at.root.is_dir()) from None
    return _opened(at, (stat.st_size, stat.st_mtime_ns, stat.st_ino))


def _none(at: Store, *, there: bool) -> InputError:
    return InputError(
        "no index of earlier data: it has no index.json"
        if there
        else f"there is no such {'index' if at.remote else 'folder'}",
        place=str(at),
        cure="name the folder that a step with 'index: true' left, <run>/<step>",
    )


def check_whole(index: Index) -> None:
    """Raise InputError unless all files are there, in their sizes; what is in them is checked when it is read."""
    listed = {entry.key: entry.size for entry in index.at.list()} if index.at.remote else None
    for file in (file for files in index.tables.values() for file in files):
        size = listed.get(file.name) if listed is not None else _size(index.folder / file.name)
        if size != file.size:
            said = "is missing" if size is None else f"has {size:,} bytes instead of {file.size:,}"
            raise InputError(f"the index is not whole: {file.name} {said}", place=str(index.at), cure=_AGAIN)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


@lru_cache(maxsize=64)
def _opened(at: Store, stamp: tuple[int, ...]) -> Index:  # noqa: ARG001 - part of the key
    """What ``index.json`` says; read once a process, and again when it changed."""
    try:
        return _parsed(at, (at.root / FACTS).read_bytes())
    except OSError as error:
        raise InputError(f"the index can't be read ({error})", place=str(at), cure=_AGAIN) from None


def _plain(name: Any) -> str:
    """A file's name; an index that somebody else made names none outside of its folder."""
    if not isinstance(name, str) or "/" in name or name in ("", ".", ".."):
        raise ValueError(f"{name!r} is no file's name")
    return name


def _parsed(at: Store, raw: bytes) -> Index:
    try:
        said = open_json(FACTS, raw)
        version = said.pop("format")
        if version != FORMAT:
            raise InputError(
                f"the index has format {version}, and this version of curate reads {FORMAT}",
                place=str(at),
                cure="run again what made it, with this version",
            )
        tables = {
            name: tuple(TableFile(_plain(f["name"]), int(f["rows"]), int(f["size"])) for f in files)
            for name, files in said["tables"].items()
        }
        return Index(at, **{**said, "against": tuple(said["against"]), "tables": tables}, facts=checksum(raw))
    except (ValueError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise InputError(
            f"the index is damaged: index.json can't be read ({why})", place=str(at), cure=_AGAIN
        ) from None
