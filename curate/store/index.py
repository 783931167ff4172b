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

from curate.errors import InputError
from curate.store.files import encode_json
from curate.store.sealed import open_json, seal_json

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

    folder: Path
    stage: str
    settings: dict[str, Any]
    against: tuple[str, ...]
    content: str
    documents: int
    tables: dict[str, tuple[TableFile, ...]]

    @property
    def short(self) -> str:
        """The name that details give it."""
        return self.content[:SHORT]

    def files(self, table: str) -> list[Path]:
        """A table's files, in order."""
        return [self.folder / file.name for file in self.tables[table]]


def index_facts(index: Index) -> bytes:
    """``index.json``'s bytes."""
    said = {name: value for name, value in vars(index).items() if name != "folder"}
    tables = {name: [vars(file) for file in files] for name, files in index.tables.items()}
    return seal_json(FACTS, encode_json({**said, "format": FORMAT, "against": list(index.against), "tables": tables}))


def open_index(folder: Path) -> Index:
    """What the index in a folder is; raises InputError where there is none, or one of another format."""
    place = folder / FACTS
    try:
        stat = place.stat()
    except OSError:
        raise InputError(
            "no index of earlier data: it has no index.json" if folder.is_dir() else "there is no such folder",
            place=str(folder),
            cure="name the folder that a step with 'index: true' left, <run>/<step>",
        ) from None
    return _opened(folder, (stat.st_size, stat.st_mtime_ns, stat.st_ino))


def check_whole(index: Index) -> None:
    """Raise InputError unless all files are there, in their sizes; what is in them is checked when it is read."""
    for file in (file for files in index.tables.values() for file in files):
        path = index.folder / file.name
        size = path.stat().st_size if path.is_file() else None
        if size != file.size:
            said = "is missing" if size is None else f"has {size:,} bytes instead of {file.size:,}"
            raise InputError(f"the index is not whole: {file.name} {said}", place=str(index.folder), cure=_AGAIN)


@lru_cache(maxsize=64)
def _opened(folder: Path, stamp: tuple[int, ...]) -> Index:  # noqa: ARG001 - part of the key
    """What ``index.json`` says; read once a process, and again when it changed."""
    place = folder / FACTS
    try:
        said = open_json(FACTS, place.read_bytes())
        version = said.pop("format")
        if version != FORMAT:
            raise InputError(
                f"the index has format {version}, and this version of curate reads {FORMAT}",
                place=str(folder),
                cure="run again what made it, with this version",
            )
        tables = {
            name: tuple(TableFile(str(f["name"]), int(f["rows"]), int(f["size"])) for f in files)
            for name, files in said["tables"].items()
        }
        return Index(folder, **{**said, "against": tuple(said["against"]), "tables": tables})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise InputError(
            f"the index is damaged: index.json can't be read ({why})", place=str(folder), cure=_AGAIN
        ) from None
