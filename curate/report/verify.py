"""Whether what a run wrote is still what it wrote: every shard against its SHA-256 and its number of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.errors import DamagedError
from curate.fingerprint import file_digest
from curate.report.dataset_folder import shards
from curate.report.run_folder import RunFolder
from curate.store.files import Store
from curate.store.latest import latest
from curate.store.object_file import ObjectFile
from curate.store.provenance import provenance
from curate.store.tables import open_data, open_table


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what is wrong, a line each: file, then what."""

    files: int
    rows: int
    bytes: int
    wrong: list[tuple[str, str]]


Done = Callable[[int], None]
"""Called with the bytes of each file that was looked at."""


def verify_run(run: RunFolder, done: Done, only: str | None = None) -> Verified:
    """All final shards of a run, or of one of its writers, and every table against its own checksums."""
    files = rows = size = 0
    wrong: list[tuple[str, str]] = []
    for step in run.steps.values():
        if only is not None and step.id != only:
            continue
        for shard in step.record.shards:
            key = f"{latest(run.store, step.id)}/{shard['name']}"
            files, rows, size = files + 1, rows + int(shard["rows"]), size + int(shard["size"])
            why = _shard(run.store, key, shard)
            if why:
                wrong.append((run.store.name(key), why))
            done(int(shard["size"]))
        for key in [] if only is not None else _tables(step.record):
            files += 1
            try:
                with open_table(run.store.data(key)) as table:
                    table.check()
            except DamagedError as error:
                wrong.append((run.store.name(key), error.cause))
    return Verified(files, rows, size, wrong)


def _tables(record: Any) -> list[str]:
    parts = [key for part in record.parts for key in (part.data, *part.overlays)]
    return sorted({*parts, *record.dropped, *record.signals})


def _shard(store: Store, key: str, said: dict[str, Any]) -> str:
    """What is wrong with a shard; empty when nothing is."""
    if not store.exists(key):
        return "is missing"
    data = store.data(key)
    size = data.stat().st_size if isinstance(data, Path) else data.size
    if size != said["size"]:
        return f"has {size:,} bytes instead of {said['size']:,}"
    try:
        digest, rows = _digest_and_rows(data)
    except (OSError, pa.ArrowInvalid) as error:
        return f"can't be read as Arrow ({error})"
    if digest != said["sha256"]:
        return "differs from its SHA-256 in the manifest"
    return "" if rows == said["rows"] else f"has {rows:,} rows instead of {said['rows']:,}"


def _digest_and_rows(data: Path | ObjectFile) -> tuple[str, int]:
    """SHA-256 and rows of an IPC stream; an object is fetched once."""
    if isinstance(data, Path):
        digest = file_digest(data)
        return digest, count_rows(data)
    hashed = _Hashed(data)
    try:
        with pa.ipc.open_stream(pa.PythonFile(hashed, mode="r")) as reader:
            rows = sum(batch.num_rows for batch in reader)
    except pa.ArrowInvalid:
        rows = 0
    while hashed.read(8 << 20).size:
        pass
    return hashed.sha256.hexdigest(), rows


class _Hashed:
    """An object read from its beginning to its end."""

    closed = False

    def __init__(self, data: ObjectFile) -> None:
        self._data, self._at, self.sha256 = data, 0, hashlib.sha256()

    def read(self, size: int) -> pa.Buffer:
        """The next bytes; fewer at the end."""
        found = self._data.fetch(self._at, min(self._at + size, self._data.size))
        self._at += found.size
        self.sha256.update(found)
        return found

    def readable(self) -> bool:
        """What Arrow asks a file."""
        return True

    def seekable(self) -> bool:
        """What Arrow asks a file."""
        return False

    def tell(self) -> int:
        """What Arrow asks a file."""
        return self._at

    def close(self) -> None:
        """What Arrow asks a file."""
        self.closed = True


def count_rows(data: Path | ObjectFile) -> int:
    """Rows of an IPC stream."""
    with open_data(data) as source, pa.ipc.open_stream(source) as reader:
        return sum(batch.num_rows for batch in reader)


def verify_dataset(folder: Store, done: Done) -> Verified:
    """A dataset's folder that lies alone, without its run: every shard against what its ``provenance.json`` says, or
    where there is none, that it can be read to its end."""
    said = {shard["name"]: shard for shard in _shards_of(folder)}
    rows = size = 0
    wrong: list[tuple[str, str]] = [(folder.name(name), "is missing") for name in said if not folder.exists(name)]
    found = shards(folder)
    for shard in found:
        try:
            if shard.key in said and (why := _shard(folder, shard.key, said[shard.key])):
                wrong.append((folder.name(shard.key), why))
            else:
                rows += count_rows(folder.data(shard.key))
        except (OSError, pa.ArrowInvalid) as error:
            wrong.append((folder.name(shard.key), f"can't be read as Arrow ({error})"))
        size += shard.size
        done(shard.size)
    return Verified(len(found), rows, size, wrong)


def _shards_of(folder: Store) -> list[dict[str, Any]]:
    """The shards that a dataset's own account of its origin names; none where it has none."""
    made_of = provenance(folder)
    steps = made_of.get("steps", []) if made_of else []
    return [shard for step in steps if step["id"] == made_of.get("dataset") for shard in step["shards"]]
