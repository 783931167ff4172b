"""A written dataset: its shards, and what they say of themselves.

Token sequences and encoded documents bring ``shards.json``; a dataset of texts has what ``provenance.json`` says of its
shards, or where it lies alone, just the shards themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa

from curate.errors import DamagedError, InputError
from curate.fingerprint import file_digest
from curate.store.files import Store, store_at
from curate.store.object_file import ObjectFile
from curate.store.provenance import provenance
from curate.store.records import SIDE
from curate.store.tables import open_data

__all__ = ["DOCUMENTS", "PIECES", "SHARDS", "TOKENS", "Dataset", "Kind", "Shard", "open_dataset", "side_table"]

SHARDS: Final = "shards.json"
"""File in a dataset's folder; stages/shards_file.py writes it."""
TOKENS: Final = "curate.tokens/1"
"""Format of sequences of one length."""
DOCUMENTS: Final = "curate.documents/1"
"""Format of encoded documents."""

Kind = Literal["tokens", "documents", "text"]
_KINDS: Final[dict[str, Kind]] = {TOKENS: "tokens", DOCUMENTS: "documents"}
PIECES: Final = pa.schema(
    [
        pa.field("sequence", pa.int64()),
        pa.field("at", pa.int32()),
        pa.field("length", pa.int32()),
        pa.field("start", pa.int64()),
        pa.field("document", pa.string()),
        pa.field("source", pa.string()),
        pa.field("component", pa.string()),
        pa.field("epoch", pa.int32()),
        pa.field("cut", pa.bool_()),
    ]
)
"""The table beside a shard of sequences: which tokens of which document stand where. ``sequence`` is the number in the whole
dataset, ``at`` and ``length`` places in it, ``start`` the token of the document at which the piece begins (its last token is
end-of-text), ``cut`` whether the piece is less than the document."""
_CURE: Final = "copy the dataset again from its run, or run its recipe again"
_READ: Final = 8 << 20


@dataclass(frozen=True)
class Shard:
    """One file of a dataset.

    Attributes:
        name: in the dataset's folder.
        sha256, size: of its bytes; empty and -1 where nobody says.
        rows: sequences or documents; -1 where nobody says.
        tokens: without padding; 0 for texts.
    """

    name: str
    sha256: str = ""
    size: int = -1
    rows: int = -1
    tokens: int = 0


@dataclass(frozen=True)
class Dataset:
    """A written dataset, opened.

    Attributes:
        folder: where it lies.
        kind: packed ``tokens``, encoded ``documents``, or ``text``.
        shards: in order.
        said: all of ``shards.json``; empty for texts.
        sources: by component what came of it; see docs/shards.md.
    """

    folder: Store
    kind: Kind
    shards: tuple[Shard, ...]
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sequence(self) -> int:
        """Tokens in each row of packed tokens."""
        return int(self.said.get("sequence", 0))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the token ids: uint16, or uint32 from a vocabulary of 65,536."""
        return np.dtype(self.said["dtype"])

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return int(self.said["vocab_size"])

    @property
    def end_of_text(self) -> int:
        """The id that ends a document."""
        return int(self.said["end_of_text"])

    @property
    def padding(self) -> int:
        """The id that fills a sequence; may be the same."""
        return int(self.said["padding"])

    @property
    def sources(self) -> dict[str, dict[str, Any]]:
        """By component of the mixture, what came of its documents."""
        return dict(self.said.get("sources", {}))

    def schema(self) -> pa.Schema:
        """Of the shards; raises InputError for a dataset without any."""
        if not self.shards:
            raise InputError(
                "the dataset has no shard", place=str(self.folder), cure="give the folder of a writer's step"
            )
        with self._reading(self.shards[0]) as (_, reader):
            return reader.schema

    def batches(self, shard: Shard) -> Iterator[pa.RecordBatch]:
        """A shard's record batches, memory-mapped where it lies on a disk; raises DamagedError for what is no Arrow."""
        with self._reading(shard) as (place, reader):
            try:
                yield from reader
            except (OSError, pa.ArrowInvalid) as error:
                raise _no_arrow(place, error) from None

    def _reading(self, shard: Shard) -> _Reading:
        return _Reading(self.folder.name(shard.name), self.folder.data(shard.name))

    def check(self, shard: Shard) -> None:
        """Raise DamagedError for a shard that is missing or is not the one that was written."""
        place = self.folder.name(shard.name)
        if not self.folder.exists(shard.name):
            raise DamagedError("is missing", place=place, cure=_CURE)
        size, digest = facts(self.folder.data(shard.name))
        if shard.size not in (-1, size):
            raise DamagedError(f"has {size:,} bytes instead of {shard.size:,}", place=place, cure=_CURE)
        if shard.sha256 not in ("", digest):
            where = SHARDS if self.said else "provenance.json"
            raise DamagedError(f"differs from its SHA-256 in {where}", place=place, cure=_CURE)


class _Reading:
    """An IPC stream that is open for as long as the block lasts."""

    def __init__(self, place: str, data: Path | ObjectFile) -> None:
        self._place, self._data = place, data

    def __enter__(self) -> tuple[str, pa.ipc.RecordBatchStreamReader]:
        try:
            self._source = open_data(self._data)
            return self._place, pa.ipc.open_stream(self._source)
        except (OSError, pa.ArrowInvalid) as error:
            raise _no_arrow(self._place, error) from None

    def __exit__(self, *_: object) -> None:
        self._source.close()


def _no_arrow(place: str, error: Exception) -> DamagedError:
    why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return DamagedError(f"can't be read as Arrow ({why})", place=place, cure=_CURE)


def facts(data: Path | ObjectFile) -> tuple[int, str]:
    """Bytes and SHA-256 of a file; an object is fetched piece by piece."""
    if isinstance(data, Path):
        return data.stat().st_size, file_digest(data)
    digest, at = hashlib.sha256(), 0
    while at < data.size:
        piece = data.fetch(at, min(at + _READ, data.size))
        digest.update(piece)
        at += piece.size
    return data.size, digest.hexdigest()


def open_dataset(folder: Store) -> Dataset:
    """The dataset in a folder that a writer made, or in a copy of it.

    Raises:
        InputError: there is none.
        DamagedError: ``shards.json`` is not what a writer wrote.
    """
    raw = folder.read(SHARDS)
    if raw is None:
        return Dataset(folder, "text", _shards_of_texts(folder))
    try:
        said = json.loads(raw)
        kind = _KINDS[said["format"]]
        shards = tuple(
            Shard(str(s["name"]), str(s["sha256"]), int(s["size"]), int(s["rows"]), int(s["tokens"]))
            for s in said["shards"]
        )
        found = Dataset(folder, kind, shards, said)
        numbers = (found.vocab_size, found.end_of_text, found.padding, found.dtype.itemsize)
        sound = min(numbers) >= 0 and (kind != "tokens" or found.sequence > 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound or any("/" in shard.name for shard in shards):
        raise DamagedError("is not what a writer wrote", place=folder.name(SHARDS), cure=_CURE)
    return found


def _shards_of_texts(folder: Store) -> tuple[Shard, ...]:
    names = sorted(entry.key for entry in folder.list() if "/" not in entry.key and entry.key.endswith(".arrow"))
    made_of = provenance(folder)
    steps = made_of.get("steps", []) if made_of else []
    said = [shard for step in steps if step["id"] == made_of.get("dataset") for shard in step["shards"]]
    if said:
        return tuple(
            Shard(s["name"], s["sha256"], int(s["size"]), int(s["rows"]), int(s.get("tokens", 0))) for s in said
        )
    if not names:
        raise InputError(
            "is no dataset: no shard in this folder", place=str(folder), cure="give the folder of a writer's step"
        )
    return tuple(Shard(name) for name in names)


def side_table(folder: Store) -> Store:
    """Where the table lies that says which documents each sequence is made of: beside the dataset's folder."""
    return store_at(f"{folder}{SIDE}")
