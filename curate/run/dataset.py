"""Writing the final shards: each is a range in the global order, cut from the partitions that cover it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.errors import DamagedError
from curate.fingerprint import file_digest
from curate.run.order import Windows
from curate.run.task import Task
from curate.spent import spending
from curate.stages.base import Context, Cut
from curate.stages.writer import Writer
from curate.store.files import Store


@dataclass(frozen=True)
class ShardTask(Task):
    """Writes some final shards, one after the other in the order, from what the maps wrote.

    Attributes:
        rows: the shards, as windows of the last phase, and where their rows are.
        count: how many there are in all.
    """

    stage: Writer
    ctx: Context
    rows: Windows
    count: int

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "shard"

    def work(self) -> list[dict[str, Any]]:
        """Write under names of this attempt's own; the receipt has each shard's sha256."""
        with spending("shard"):
            return [self._write(cut, rows) for cut, rows in self.rows.batches(self.store, self.stage, self.ctx)]

    def _write(self, cut: Cut, rows: Iterator[tuple[int, pa.RecordBatch]]) -> dict[str, Any]:
        name, side = self.stage.file_name(cut, self.count), self.stage.side_name(cut, self.count)
        with ExitStack() as stack:
            file, path = self._fresh(cut, "shard", stack)
            if side is None:
                facts = self.stage.write(cut, rows, path, None, self.ctx)
                return {"file": file, **_told(path, name), **facts}
            beside, table = self._fresh(cut, "side", stack)
            facts = self.stage.write(cut, rows, path, table, self.ctx)
            return {"file": file, **_told(path, name), **facts, "side": {"file": beside, **_told(table, side)}}

    def _fresh(self, cut: Cut, what: str, stack: ExitStack) -> tuple[str, Path]:
        file = self.store.fresh(self.folder, f"{what}-{cut.index:05d}", ".out")
        return file, stack.enter_context(self.store.writing(file))


def _told(path: Path, name: str) -> dict[str, Any]:
    return {"name": name, "sha256": file_digest(path), "size": path.stat().st_size}


def assemble(
    store: Store, folder: str, name: str, shards: Sequence[Mapping[str, Any]], extra: Mapping[str, bytes]
) -> str:
    """A folder with the shards under their final names and the small files; its key. What is there is complete: on a
    disk the folder comes into being at once, and on an object store nobody is told of it before."""
    final = f"{folder}/{name}"
    if not complete(store, final, [*shards, *small_files(extra)]):
        written = _sizes(store, folder)
        for shard in shards:
            check_size(store.name(shard["file"]), written.get(shard["file"].rpartition("/")[2], 0), shard["size"])
        store.assemble(final, {shard["name"]: shard["file"] for shard in shards}, extra)
    return final


def small_files(extra: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Name, size and sha256 of each."""
    return [{"name": n, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for n, data in extra.items()]


def _sizes(store: Store, folder: str) -> dict[str, int]:
    return {entry.key.removeprefix(f"{folder}/"): entry.size for entry in store.list(folder)}


def complete(store: Store, folder: str, files: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all of them are there: a user may have removed one. Raises DamagedError for one of another size."""
    sizes = _sizes(store, folder)
    there = [file for file in files if file["name"] in sizes]
    for file in there:
        check_size(store.name(f"{folder}/{file['name']}"), sizes[file["name"]], file["size"])
    return len(there) == len(files) and (bool(sizes) or store.exists(folder))


def check_size(place: str, found: int, size: int) -> None:
    """Raise DamagedError for a file that is not as large as it was written."""
    if found != size:
        raise DamagedError(
            f"has {found:,} bytes instead of {size:,}", place=place, cure="run again: it is written anew"
        )
