"""Writing the final shards: each is a range in the global order, cut from the sorted partitions that cover it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import DamagedError
from curate.fingerprint import file_digest
from curate.run.task import Task
from curate.stages.base import WEIGHT, Context
from curate.stages.writer import Cut, Writer
from curate.store.files import Store
from curate.store.tables import read_batches


@dataclass(frozen=True)
class Sorted:
    """One sorted partition: its file, and the weight of all partitions before it."""

    file: str
    start: int
    weight: int


@dataclass(frozen=True)
class ShardTask(Task):
    """Writes one final shard."""

    stage: Writer
    ctx: Context
    cut: Cut
    count: int
    partitions: tuple[Sorted, ...]

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "shard"

    def _rows(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        for partition in self.partitions:
            before = partition.start
            for batch in read_batches(self.store.data(partition.file)):
                weight = int(pc.sum(batch.column(WEIGHT)).as_py() or 0)
                if before < self.cut.stop and before + weight > self.cut.start:
                    yield before, batch
                before += weight

    def work(self) -> dict[str, Any]:
        """Write under a name of this attempt's own; the receipt has the shard's sha256."""
        file = self.store.fresh(self.folder, f"shard-{self.cut.index:05d}", ".out")
        with self.store.writing(file) as path:
            facts = self.stage.write(self.cut, self._rows(), path, self.ctx)
            name = self.stage.file_name(self.cut, self.count)
            return {"file": file, "name": name, "sha256": file_digest(path), "size": path.stat().st_size, **facts}


def assemble(store: Store, folder: str, key: str, shards: list[dict[str, Any]], extra: Mapping[str, bytes]) -> str:
    """A folder with the shards under their final names and the small files; its key. What is there is complete: on a
    disk the folder comes into being at once, and on an object store nobody is told of it before."""
    final = f"{folder}/out-{key[:16]}"
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


def complete(store: Store, folder: str, files: list[dict[str, Any]]) -> bool:
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
