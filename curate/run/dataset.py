"""Writing the final shards: each is a range in the global order, cut from the sorted partitions that cover it."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import DamagedError, StorageError
from curate.fingerprint import file_digest
from curate.run.task import Task
from curate.stages.base import WEIGHT, Context, Cut, Writer
from curate.store.files import Store, crash_point, storage_errors, sync_file, sync_folder
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
            for batch in read_batches(self.store.path(partition.file)):
                weight = int(pc.sum(batch.column(WEIGHT)).as_py() or 0)
                if before < self.cut.stop and before + weight > self.cut.start:
                    yield before, batch
                before += weight

    def work(self) -> dict[str, Any]:
        """Write under a name of this attempt's own; the receipt has the shard's sha256."""
        file = self.store.fresh(self.folder, f"shard-{self.cut.index:05d}", ".out")
        path = self.store.path(file)
        facts = self.stage.write(self.cut, self._rows(), path, self.ctx)
        sync_file(path)
        name = self.stage.file_name(self.cut, self.count)
        return {"file": file, "name": name, "sha256": file_digest(path), "size": path.stat().st_size, **facts}


def assemble(store: Store, folder: str, key: str, shards: list[dict[str, Any]], extra: dict[str, bytes]) -> str:
    """A folder with the shards under their final names and the small files; complete or not there at all."""
    final = f"{folder}/out-{key[:16]}"
    if complete(store, final, shards):
        return final
    shutil.rmtree(store.path(final), ignore_errors=True)
    building = store.path(f"{folder}/.out-{uuid.uuid4().hex[:12]}")
    with storage_errors(str(building)):
        building.mkdir(parents=True)
        try:
            for shard in shards:
                check_size(store.path(shard["file"]), shard["size"])
                _link(store.path(shard["file"]), building / shard["name"])
            for name, data in sorted(extra.items()):
                with (building / name).open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            sync_folder(building)
            try:
                building.rename(store.path(final))
            except OSError:
                # Another driver was first; what it built has the same bytes.
                if not store.path(final).is_dir():
                    raise
            sync_folder(store.path(folder))
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return final


def complete(store: Store, folder: str, shards: list[dict[str, Any]]) -> bool:
    """Whether all shards are there: a user may have removed one. Raises DamagedError for one of another size."""
    there = [(path, s["size"]) for s in shards if (path := store.path(folder) / s["name"]).is_file()]
    for path, size in there:
        check_size(path, size)
    return len(there) == len(shards) and store.path(folder).is_dir()


def check_size(path: Path, size: int) -> None:
    """Raise DamagedError for a shard that is not as large as it was written."""
    found = path.stat().st_size
    if found != size:
        raise DamagedError(
            f"has {found:,} bytes instead of {size:,}", place=str(path), cure="run again: it is written anew"
        )


def _link(source: os.PathLike[str], target: os.PathLike[str]) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        sync_file(Path(target))


def publish(store: Store, step: str, folder: str) -> None:
    """Let ``<run>/<step>`` point at a finished folder, in one atomic act."""
    crash_point("publish.before-link")
    link = store.root / step
    temporary = store.root / f".{step}.{uuid.uuid4().hex[:12]}"
    with storage_errors(str(link)):
        if link.is_dir() and not link.is_symlink():
            # Copying a run without its links (scp -r, cp -L) makes folders of them.
            raise StorageError(
                "is a folder of its own, and no link to what the step made",
                place=str(link),
                cure="move it away and run again",
            )
        temporary.symlink_to(folder, target_is_directory=True)
        temporary.replace(link)
        sync_folder(store.root)
