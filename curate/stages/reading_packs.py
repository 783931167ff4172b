"""Packs: neighbouring small files that one task reads.

A task for each of a million small files would cost more than reading them. Where a pack ends depends on names, and
on sizes where they are many: a file that is added or removed changes its own pack, and at most the next ones up to
the next name at which a pack ends. Packs bear on no row: not on ids, order or bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import pyarrow as pa
import xxhash

from curate.stages.catalog import Files
from curate.stages.source import SetAside, Split

SHARE: Final = 256
"""A file is small when it has less than this part of a split: 256 KiB, which are read and filtered in about the time
that a task of its own would cost beside it."""
_END_MASK: Final = (1 << 8) - 1
"""A pack ends after about 256 files."""
_MOST_FILES: Final = 512
"""... and after so many at the latest: their names and stamps go to a worker in one small message."""


def packs(files: Files, start: int, stop: int, split_bytes: int) -> Iterator[tuple[int, int]]:
    """Ranges of files that are packs, of the range [start, stop)."""
    sizes = files.stamps[:, 0]
    first, size = start, 0
    for number in range(start, stop):
        size += max(0, int(sizes[number]))
        full = size >= split_bytes or number + 1 - first >= _MOST_FILES
        if full or xxhash.xxh3_64_intdigest(files.names[number].encode("utf-8", "surrogateescape")) & _END_MASK == 0:
            yield first, number + 1
            first, size = number + 1, 0
    if first < stop:
        yield first, stop


def pack(files: Files, start: int, stop: int, digests: Sequence[str], name: str) -> Split:
    """The split that reads files [start, stop) of those that ``digests`` belong to."""
    names = tuple(files.names[start:stop])
    state = hashlib.sha256()
    for member, digest in zip(names, digests[start:stop], strict=True):
        state.update(f"{member}\0{digest}\0".encode())
    stamps = files.stamps[start:stop]
    size = int(stamps[:, 0].clip(0).sum())
    return Split(files.root, name, 0, len(names), state.hexdigest()[:32], size, members=names, stamps=stamps.tobytes())


def gathered(
    found: Iterable[pa.RecordBatch | SetAside], most_rows: int, most_bytes: int
) -> Iterator[pa.RecordBatch | SetAside]:
    """Small batches of several files as fewer larger ones; what was set aside stays where it stood among the rows."""
    held: list[pa.RecordBatch] = []
    asides: list[SetAside] = []
    ahead: list[SetAside] = []
    rows = size = 0
    for item in found:
        if isinstance(item, SetAside):
            ahead.append(item)
            continue
        more = item.column("text").nbytes
        if held and (rows + item.num_rows > most_rows or size + more > most_bytes):
            yield from asides
            yield pa.concat_batches(held)
            held, asides, rows, size = [], [], 0, 0
        asides += [replace(aside, after=rows + aside.after) for aside in ahead]
        ahead = []
        held.append(item)
        rows += item.num_rows
        size += more
    yield from asides
    if held:
        yield from [replace(aside, after=rows + aside.after) for aside in ahead]
        yield pa.concat_batches(held)
    else:
        yield from ahead
