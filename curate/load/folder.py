"""What a published dataset says of itself: its shards, their rows, and what their tokens mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from curate.errors import DamagedInputError, InputError
from curate.load.place import Place
from curate.store.dataset import DOCUMENTS, SHARDS, TOKENS
from curate.store.latest import LATEST

__all__ = ["Facts", "Shard", "read_folder"]

FORMATS: Final = (TOKENS, DOCUMENTS)
"""``format`` of shards.json that is understood."""


@dataclass(frozen=True)
class Shard:
    """One file.

    Attributes:
        rows: None: it says itself.
        sha256: of its bytes; None where nobody said.
    """

    place: Place
    name: str
    size: int
    rows: int | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        return self.place.of(self.name)


@dataclass(frozen=True)
class Facts:
    """What shards.json says of the whole; None where there is none.

    Attributes:
        vocabulary: ids are below it.
        curriculum: the order in which it is stored is that of a mixture's phases.
    """

    vocabulary: int | None = None
    end_of_text: int | None = None
    padding: int | None = None
    format: str = ""
    curriculum: bool = False


def read_folder(place: Place) -> tuple[list[Shard], Facts, str]:
    """Shards in their order, what is said of them, and ``_fingerprint`` of state.json ("" where there is none).

    Raises InputError for a folder without shards, or whose lists are damaged.
    """
    place = _newest(place)
    state = _json(place, "state.json")
    said = _json(place, SHARDS)
    try:
        fingerprint = str(state.get("_fingerprint", "")) if state else ""
        if said is not None:
            return _listed(place, said), _facts(said), fingerprint
        names = [str(f["filename"]) for f in state["_data_files"]] if state else None
    except (KeyError, TypeError, ValueError, AttributeError):
        name = "state.json" if said is None else SHARDS
        raise DamagedInputError(
            "not the list of shards it should be", place=place.of(name), cure="copy it again"
        ) from None
    sizes = place.streams()
    missing = [name for name in names or () if name not in sizes]
    if missing:
        raise DamagedInputError("the shard is not there", place=place.of(missing[0]), cure="copy the folder again")
    if not sizes:
        raise InputError("no *.arrow file in it", place=place.name, cure="give the folder of a dataset: <run>/<step>")
    return [Shard(place, name, sizes[name]) for name in (names or sizes)], Facts(), fingerprint


def _newest(place: Place) -> Place:
    """Where ``<run>/<step>`` is, which on an object store is no link, but said by ``<run>/latest/<step>.json``."""
    run, _, step = place.name.rpartition("/")
    if not place.remote or run.endswith(":/") or any(place.read(name) for name in (SHARDS, "state.json")):
        return place
    pointer = _json(replace(place, name=run), f"{LATEST}/{step}.json")
    return replace(place, name=f"{run}/{pointer['folder']}") if pointer and "folder" in pointer else place


def _json(place: Place, name: str) -> Mapping[str, Any] | None:
    data = place.read(name)
    if data is None:
        return None
    try:
        return dict(json.loads(data))
    except ValueError:
        raise DamagedInputError("damaged JSON", place=place.of(name), cure="copy it again") from None


def _listed(place: Place, said: Mapping[str, Any]) -> list[Shard]:
    if said["format"] not in FORMATS:
        cure = "read it with the version that wrote it"
        raise InputError(f"format '{said['format']}' is not known", place=place.of(SHARDS), cure=cure)
    return [Shard(place, str(s["name"]), int(s["size"]), int(s["rows"]), str(s["sha256"])) for s in said["shards"]]


def _facts(said: Mapping[str, Any]) -> Facts:
    def number(name: str) -> int | None:
        return None if said.get(name) is None else int(said[name])

    return Facts(
        vocabulary=number("vocab_size"),
        end_of_text=number("end_of_text"),
        padding=number("padding"),
        format=str(said["format"]),
        curriculum=bool(said.get("curriculum")),
    )
