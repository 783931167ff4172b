"""Small results that are dear to make, kept by a digest of all that they depend on: ``kept/<kind>/<which>/*.json``.

A file holds what one task made, ``{digest in hex: value}``; it is put once and never changed, so any number of workers may
add theirs at once. Two that make the same at once both keep it. Nothing depends on what is kept: without it, it is made
again, with the same result. So a damaged file is passed over.

A process holds what it has read as sorted digests and encoded values: some 100 bytes for each.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import DamagedError
from curate.store.files import Store

FOLDER: Final = "kept"
DIGEST_BYTES: Final = 16
_CHUNKS: Final = 16
"""More are made one."""


@dataclass
class _Chunk:
    """What some files hold, sorted by digest."""

    digests: npt.NDArray[np.bytes_]
    values: pa.Array


@dataclass
class _Read:
    """What this process has read of one folder."""

    files: set[str] = field(default_factory=set)
    chunks: list[_Chunk] = field(default_factory=list)


_read: dict[tuple[str, str], _Read] = {}
_reading: Final = threading.Lock()


@dataclass(frozen=True)
class Kept:
    """What is kept in a store. Picklable, and small: workers get it by value."""

    store: Store

    def get(self, kind: str, which: str, digests: Sequence[bytes]) -> list[Any | None]:
        """The values of some digests (DIGEST_BYTES each), None where there is none.

        Args:
            kind: of what, a word: the name of a folder.
            which: what all values there depend on beside what is in the digests (revisions, versions): any text.
        """
        folder = _folder(kind, which)
        read = _read.setdefault((str(self.store), folder), _Read())
        found = [_find(read.chunks, digest) for digest in digests]
        if None in found:
            with _reading:
                self._read_on(folder, read)
            found = [_find(read.chunks, digest) for digest in digests]
        return [None if value is None else json.loads(value) for value in found]

    def put(self, kind: str, which: str, values: Mapping[bytes, Any]) -> None:
        """Keep some values (of plain JSON) by digest."""
        if values:
            named = blake2b(b"".join(sorted(values)), digest_size=DIGEST_BYTES).hexdigest()
            said = {digest.hex(): values[digest] for digest in sorted(values)}
            self.store.put_if_absent(f"{_folder(kind, which)}/{named}.json", said)

    def _read_on(self, folder: str, read: _Read) -> None:
        """Read the files that are new."""
        keys = [entry.key for entry in self.store.list(folder) if entry.key.endswith(".json")]
        new = [key for key in keys if key not in read.files and not key.rpartition("/")[2].startswith(".")]
        rows: dict[bytes, str] = {}
        for key in new:
            try:
                said = self.store.read_json(key)
            except DamagedError:
                continue
            rows |= {bytes.fromhex(digest): json.dumps(value) for digest, value in (said or {}).items()}
        if rows:
            # A list of its own: another thread may be looking through the old one.
            read.chunks = [*read.chunks, _chunk(rows)]
            if len(read.chunks) > _CHUNKS:
                read.chunks = [_merged(read.chunks)]
        read.files |= set(new)


def _folder(kind: str, which: str) -> str:
    return f"{FOLDER}/{kind}/{blake2b(which.encode(), digest_size=8).hexdigest()}"


def _chunk(rows: Mapping[bytes, str]) -> _Chunk:
    order = sorted(rows)
    return _Chunk(np.array(order, f"S{DIGEST_BYTES}"), pa.array([rows[d] for d in order], pa.large_string()))


def _merged(chunks: Sequence[_Chunk]) -> _Chunk:
    digests = np.concatenate([chunk.digests for chunk in chunks])
    order = np.argsort(digests, kind="stable")
    return _Chunk(digests[order], pa.concat_arrays([chunk.values for chunk in chunks]).take(pa.array(order)))


def _find(chunks: Sequence[_Chunk], digest: bytes) -> str | None:
    wanted = np.array(digest, f"S{DIGEST_BYTES}")
    for chunk in chunks:
        at = int(np.searchsorted(chunk.digests, wanted))
        if at < len(chunk.digests) and chunk.digests[at] == wanted:
            return str(chunk.values[at].as_py())
    return None
