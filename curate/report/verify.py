"""Whether what a run wrote is still what it wrote: every shard against its SHA-256 and its number of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.errors import DamagedError
from curate.fingerprint import file_digest
from curate.report.run_folder import RunFolder
from curate.store.provenance import provenance
from curate.store.tables import open_table


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
            path = run.store.root / step.id / shard["name"]
            files, rows, size = files + 1, rows + int(shard["rows"]), size + int(shard["size"])
            why = _shard(path, shard)
            if why:
                wrong.append((str(path), why))
            done(int(shard["size"]))
        for key in [] if only is not None else _tables(step.record):
            files += 1
            try:
                with open_table(run.store.path(key)) as table:
                    table.check()
            except DamagedError as error:
                wrong.append((str(run.store.path(key)), error.cause))
    return Verified(files, rows, size, wrong)


def _tables(record: Any) -> list[str]:
    parts = [key for part in record.parts for key in (part.data, *part.overlays)]
    return sorted({*parts, *record.dropped, *record.signals})


def _shard(path: Path, said: dict[str, Any]) -> str:
    """What is wrong with a shard; empty when nothing is."""
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != said["size"]:
        return f"has {size:,} bytes instead of {said['size']:,}"
    if file_digest(path) != said["sha256"]:
        return "differs from its SHA-256 in the manifest"
    try:
        rows = count_rows(path)
    except (OSError, pa.ArrowInvalid) as error:
        return f"can't be read as Arrow ({error})"
    return "" if rows == said["rows"] else f"has {rows:,} rows instead of {said['rows']:,}"


def count_rows(path: Path) -> int:
    """Rows of an IPC stream."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
        return sum(batch.num_rows for batch in reader)


def verify_dataset(folder: Path, done: Done) -> Verified:
    """A dataset's folder that lies alone, without its run: every shard against what its ``provenance.json`` says, or
    where there is none, that it can be read to its end."""
    said = {shard["name"]: shard for shard in _shards_of(folder)}
    rows = size = 0
    wrong: list[tuple[str, str]] = [
        (str(folder / name), "is missing") for name in said if not (folder / name).is_file()
    ]
    shards = sorted(folder.glob("*.arrow"))
    for path in shards:
        try:
            if path.name in said and (why := _shard(path, said[path.name])):
                wrong.append((str(path), why))
            else:
                rows += count_rows(path)
        except (OSError, pa.ArrowInvalid) as error:
            wrong.append((str(path), f"can't be read as Arrow ({error})"))
        size += path.stat().st_size
        done(path.stat().st_size)
    return Verified(len(shards), rows, size, wrong)


def _shards_of(folder: Path) -> list[dict[str, Any]]:
    """The shards that a dataset's own account of its origin names; none where it has none."""
    made_of = provenance(folder)
    steps = made_of.get("steps", []) if made_of else []
    return [shard for step in steps if step["id"] == made_of.get("dataset") for shard in step["shards"]]
