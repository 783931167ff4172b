"""Writing the final shards: each is a range in the global order, cut from the partitions that cover it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import DamagedError
from curate.fingerprint import file_digest
from curate.run.exchange import ROWS_PER_BATCH, sort_rows, tables_of
from curate.run.pieces import Share
from curate.run.reduce import lots
from curate.run.task import Task, at_step
from curate.stages.base import WEIGHT, Context, Span
from curate.stages.writer import Cut, Writer
from curate.store.files import Store
from curate.store.tables import batches_by_bytes

TASK_BYTES: Final = 128 << 20
"""Bytes of rows whose shards one task writes, or one shard if it is larger: a partition (run/phases.py) is then gone through
by 1.3 tasks on average, and few enough bytes are lost with a task."""

_NOWHERE: Final = Span(0, 0)
"""A writer's rows are reduced to themselves, wherever they lie."""


@dataclass(frozen=True)
class Partition:
    """A range of the order: where its rows are, about how many bytes of memory they take, the weight of all before it,
    and its own."""

    share: Share
    bytes: int
    start: int
    weight: int


@dataclass(frozen=True)
class ShardTask(Task):
    """Writes some final shards, one after the other in the order, from what the maps wrote.

    Attributes:
        cuts: the shards.
        count: how many there are in all.
        partitions: those that cover the cuts.
    """

    stage: Writer
    ctx: Context
    cuts: tuple[Cut, ...]
    count: int
    partitions: tuple[Partition, ...]

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "shard"

    def work(self) -> list[dict[str, Any]]:
        """Write under names of this attempt's own; the receipt has each shard's sha256."""
        rows = _InOrder(self._sorted())
        return [self._write(cut, rows.of(cut)) for cut in self.cuts]

    def _sorted(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """All rows of the partitions in order, each batch with the weight before it."""
        phase = self.stage.phases()[0]
        for partition in self.partitions:
            before = partition.start
            for table in lots(self.store, partition.share.pieces(self.store), partition.bytes):
                with at_step(self.ctx.step):
                    reduced = list(tables_of(phase.reduce(sort_rows(table, phase.sort_by), _NOWHERE, self.ctx)))
                for rows in reduced:
                    for batch in batches_by_bytes(rows.combine_chunks(), ROWS_PER_BATCH):
                        yield before, batch
                        before += _weight(batch)

    def _write(self, cut: Cut, rows: Iterator[tuple[int, pa.RecordBatch]]) -> dict[str, Any]:
        file = self.store.fresh(self.folder, f"shard-{cut.index:05d}", ".out")
        with self.store.writing(file) as path:
            facts = self.stage.write(cut, rows, path, self.ctx)
            name = self.stage.file_name(cut, self.count)
            return {"file": file, "name": name, "sha256": file_digest(path), "size": path.stat().st_size, **facts}


class _InOrder:
    """Batches that are gone through once, for cuts that follow one another: what a cut ends in is the next one's, too."""

    def __init__(self, batches: Iterator[tuple[int, pa.RecordBatch]]) -> None:
        self._batches = batches
        self._held: tuple[int, pa.RecordBatch] | None = None

    def of(self, cut: Cut) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Those that cover a cut."""
        while (item := self._held or next(self._batches, None)) is not None:
            before, batch = item
            after = before + _weight(batch)
            self._held = item if after > cut.stop else None
            if before < cut.stop and after > cut.start:
                yield item
            if after >= cut.stop:
                return


def _weight(batch: pa.RecordBatch) -> int:
    return int(pc.sum(batch.column(WEIGHT)).as_py() or 0)


def together(cuts: list[Cut], size: int) -> list[tuple[Cut, ...]]:
    """Cuts in order, as many together as one task writes; ``size``: bytes of rows of all."""
    each = max(1, TASK_BYTES * len(cuts) // max(1, size))
    return [tuple(cuts[i : i + each]) for i in range(0, len(cuts), each)]


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
