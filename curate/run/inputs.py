"""What a source step reads: splits, with files' digests cached, and long compressed files cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import zstandard

from curate.errors import DamagedError, InputError
from curate.fingerprint import content_digest, fingerprint
from curate.run.task import Task
from curate.stages.source import Source, Split
from curate.store.files import Store, crash_point, storage_errors, sync_file

Stamp = tuple[str, int, int, int]
"""A file's path, size, mtime and ctime in ns, as they were when its digest was computed."""
_BLOCK: Final = 1 << 20
"""Bytes of a piece that a cutting task holds at once."""


def stamp_of(path: Path) -> Stamp:
    """The file's stamp now. mtime can be set back (cp -p, rsync -t over another version of the same size), ctime can't."""
    facts = path.stat()
    return (str(path), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def check_unchanged(stamps: tuple[Stamp, ...]) -> None:
    """Raise InputError for a file that is no longer what its digest says: what was read of it must not be committed."""
    for stamp in stamps:
        try:
            same = stamp_of(Path(stamp[0])) == stamp
        except OSError:
            same = False
        if not same:
            raise InputError(
                "the file was changed while it was being read",
                place=stamp[0],
                cure="run again when nothing writes to it any more: what is committed is kept",
            )


class Digests:
    """Content digests of input files; (path, size, mtime, ctime) only saves reading a file again."""

    KEY = "digests.json"

    def __init__(self, store: Store) -> None:
        self._store = store
        try:
            known = store.read_json(self.KEY)
        except DamagedError:
            known = None
        self._known: dict[str, list[Any]] = known if isinstance(known, dict) else {}
        self._changed = False

    def __call__(self, path: Path) -> str:
        """Digest of a file's content."""
        stamp = stamp_of(path)
        entry = self._known.get(str(path))
        if entry is None or entry[:-1] != list(stamp[1:]):
            entry = [*stamp[1:], content_digest(path)]
            check_unchanged((stamp,))
            self._known[str(path)] = entry
            self._changed = True
        return str(entry[-1])

    def stamps(self, split: Split) -> tuple[Stamp, ...]:
        """Of the files that a split reads, as they were when their digests were computed."""
        paths = [str(Path(split.path) / member) for member in split.members] or [split.path]
        return tuple((path, *self._known[path][:-1]) for path in paths if path in self._known)

    def save(self) -> None:
        """Keep what was learnt."""
        if self._changed:
            self._store.replace_json(self.KEY, self._known)
            self._changed = False


def split_identity(split: Split) -> str:
    """What a split's rows depend on: its content, and the name and position that go into their ids."""
    return fingerprint(split.digest, split.name, split.start, split.stop, split.offset, list(split.members))


def read_files(splits: list[Split], digest: Digests) -> list[dict[str, str]]:
    """Names and content digests of what splits read, however it was split: for the manifest."""
    found: dict[str, list[str]] = {}
    for split in splits:
        path = Path(split.path)
        if split.members:
            # A member may be a link that leads nowhere, or a pipe: its source sets it aside.
            members = [f"{m}={digest(path / m) if (path / m).is_file() else 'no file'}" for m in split.members]
            found.setdefault(split.name, []).extend(members)
        else:
            found.setdefault(split.name, []).append(digest(path) if path.is_file() else split.digest)
    return [
        {"name": name, "digest": values[0] if len(set(values)) == 1 else fingerprint(sorted(set(values)))}
        for name, values in sorted(found.items())
    ]


@dataclass(frozen=True)
class CutTask(Task):
    """Cuts a long file that can only be read from its beginning into pieces, committing each as it goes."""

    source: Source
    split: Split
    split_bytes: int
    stamps: tuple[Stamp, ...] = ()

    @property
    def point(self) -> str:
        """Prefix of its crash points."""
        return "map"

    @property
    def size(self) -> int:
        """Nothing, for progress: its pieces count when they are read."""
        return 0

    def _receipt_of(self, number: int) -> str:
        return f"{self.folder}/receipts/{self.key}.{number}.json"

    def work(self) -> list[dict[str, Any]]:
        """The pieces, as plain values; pieces that an earlier attempt committed are not written again."""
        pieces: list[dict[str, Any]] = []
        piece: _Piece | None = None
        for offset, data in self.source.cut(self.split, min(_BLOCK, self.split_bytes)):
            # What stands for a line that is too long has another length: the positions behind it begin anew.
            if piece is not None and (piece.bytes >= self.split_bytes or offset != piece.offset + piece.bytes):
                pieces.append(self._commit(piece, len(pieces)))
                piece = None
            if piece is None:
                known = self.store.read_whole(self._receipt_of(len(pieces)))
                piece = _Piece(self.store, self.folder, len(pieces), offset, known)
            piece.write(data)
        if piece is not None:
            pieces.append(self._commit(piece, len(pieces)))
        return pieces

    def _commit(self, piece: _Piece, number: int) -> dict[str, Any]:
        value = piece.close()
        if piece.known is not None:
            return piece.known
        check_unchanged(self.stamps)
        value = self.store.put_if_absent(self._receipt_of(number), value)
        crash_point("cut.after-piece")
        return value

    def pieces_from(self, number: int) -> Iterator[dict[str, Any]]:
        """Pieces that are committed so far, from one on: they can be read while the rest is being cut."""
        while (piece := self.store.read_whole(self._receipt_of(number))) is not None:
            yield piece
            number += 1

    def split_of(self, piece: dict[str, Any]) -> Split:
        """The split that a piece is."""
        return Split(
            path=str(self.store.path(piece["file"])),
            name=self.split.name,
            start=0,
            stop=-1,
            digest=fingerprint(self.split.digest, piece["offset"], piece["bytes"]),
            # Of the file, for progress: how much of it a piece was is not known. Text shrinks to about a quarter.
            bytes=piece["bytes"] // 4,
            offset=piece["offset"],
            xxh3=piece.get("xxh3", ""),  # pieces of earlier versions have none
        )


class _Piece:
    """A piece that is being written; only counted where it is committed already."""

    def __init__(self, store: Store, folder: str, number: int, offset: int, known: dict[str, Any] | None) -> None:
        self.known, self.offset, self.bytes = known, offset, 0
        if known is None:
            self._key = store.fresh(folder, f"{number:06d}", ".piece.zst")
            self._path = store.path(self._key)
            with storage_errors(str(self._path)):
                self._out = zstandard.ZstdCompressor(level=1).stream_writer(self._path.open("wb"))

    def write(self, data: bytes) -> None:
        """Append whole lines."""
        self.bytes += len(data)
        if self.known is None:
            with storage_errors(str(self._path)):
                self._out.write(data)

    def close(self) -> dict[str, Any]:
        """Make it durable; its receipt."""
        if self.known is not None:
            return self.known
        with storage_errors(str(self._path)):
            self._out.close()
            sync_file(self._path)
        return {"file": self._key, "offset": self.offset, "bytes": self.bytes, "xxh3": content_digest(self._path)}
