"""What a source step reads: splits, with files' digests cached, and long compressed files cut into pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, overload

import numpy as np
import zstandard

from curate.errors import StorageError
from curate.fingerprint import content_digest, fingerprint
from curate.run.damaged_inputs import DamagedInputs
from curate.run.task import Task
from curate.spent import each, spending
from curate.stages.catalog import Catalog, Files, InputFile, Range, check_unchanged
from curate.stages.source import Source, Split
from curate.store.files import Store, crash_point, storage_errors
from curate.store.known_files import KnownFiles
from curate.store.known_ranges import KnownRanges

MOST_NAMED: Final = 10_000
"""Input files of a source that the manifest names one by one."""

_BLOCK: Final = 1 << 20
"""Bytes of a piece that a cutting task holds at once."""


class Digests(Catalog):
    """Digests of input files, and what they are split into, kept in the store: a stamp only saves reading a file again.

    Attributes:
        listed: what was asked for since it was emptied last, and what was answered: what a source reads.
        later: the same, where digests are found when somebody looks at a file (``one_by_one``).
        only_looks: whether a store that can't be written to stops nobody: what was learnt is lost then.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: KnownFiles | None = None
        self._ranges = KnownRanges(store)
        self.damaged = DamagedInputs(store)
        self.listed: list[tuple[Files, Sequence[str]]] = []
        self.later: list[_Later] = []
        self.one_by_one = False
        self.only_looks = False

    def digests(
        self, files: Files, checks: str = "", check: Callable[[InputFile], object] = lambda _: None
    ) -> Sequence[str]:
        if self.one_by_one:
            found_later = _Later(files, partial(self._found, checks=checks, check=check, some=True))
            self.later.append(found_later)
            return found_later
        found = self._found(files, checks, check)
        self.listed.append((files, found))
        return found

    def _found(
        self, files: Files, checks: str, check: Callable[[InputFile], object], *, some: bool = False
    ) -> Sequence[str]:
        """Digests of files; ``some``: there are others below their root."""
        if files.given is not None and all(files.given):
            found: Sequence[str] = files.given
        else:
            self._known = self._known or KnownFiles(self._store)
            known = self._known.find(files.root, files.names, files.stamps, checks)
            found = known.digests
            try:
                for number in known.missing:
                    file = files.file(number)
                    check(file)
                    found[number] = found[number] or self.digest(file)
                    known.checked[number] = True
            finally:
                # Also when one of them is damaged, or somebody has no patience: see Engine.splits.
                done = np.flatnonzero(known.checked).tolist()
                kept = files.chosen(done)
                self._known.keep(kept.root, kept.names, kept.stamps, [found[n] for n in done], checks, some=some)
        return found

    def asked(self) -> list[tuple[Files, Sequence[str]]]:
        """What was listed; of what is found one by one, the files that were asked for."""
        return [*self.listed, *(later.asked() for later in self.later)]

    def forget(self) -> None:
        """Nothing is listed."""
        self.listed.clear()
        self.later.clear()

    def sound(self, files: Files) -> Files:
        return self.damaged.sound(files)

    def ranges(self, key: str, find: Callable[[], Iterable[Range]]) -> list[Range]:
        known = self._ranges.find(key)
        found = list(find()) if known is None else [Range(*part) for part in known]
        self._ranges.keep(key, found)
        return found

    def save(self) -> None:
        """Keep what was learnt."""
        with suppress(OSError, StorageError) if self.only_looks else nullcontext():
            self._ranges.save()
            if self._known is not None:
                self._known.save()


class _Later(Sequence[str]):
    """Digests of files that are found when they are looked at; see Digests."""

    def __init__(self, files: Files, find: Callable[[Files], Sequence[str]]) -> None:
        self._files, self._find = files, find
        self._known: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> list[str]: ...

    def __getitem__(self, at: int | slice) -> str | list[str]:
        if not isinstance(at, slice):
            number = range(len(self))[at]
            return self[number : number + 1][0]
        wanted = range(len(self))[at]
        if new := [number for number in wanted if number not in self._known]:
            self._known.update(zip(new, self._find(self._files.chosen(new)), strict=True))
        return [self._known[number] for number in wanted]

    def asked(self) -> tuple[Files, list[str]]:
        """The files that were looked at, and their digests."""
        known = sorted(self._known)
        return self._files.chosen(known), [self._known[number] for number in known]


def split_identity(split: Split) -> str:
    """What a split's rows depend on: its content, and the name and position that go into their ids."""
    return fingerprint(split.digest, split.name, split.start, split.stop, split.offset, list(split.members))


def read_files(splits: Sequence[Split], listed: Sequence[tuple[Files, Sequence[str]]]) -> list[dict[str, Any]]:
    """Names and digests of what a source reads, however it is split: for the manifest.

    Of more than MOST_NAMED files one entry stands for all: how many, and a digest of all names and digests. What is
    no file of the user's (a dataset on the hub, a package) is named as its splits are.
    """
    if not listed:
        return [{"name": s.name, "digest": s.digest} for s in sorted(splits, key=lambda split: split.name)]
    found = sorted(pair for files, digests in listed for pair in zip(files.names, digests, strict=True))
    if len(found) <= MOST_NAMED:
        return [{"name": name, "digest": digest} for name, digest in found]
    state = hashlib.sha256()
    for name, digest in found:
        state.update(f"{name}\0{digest}\0".encode())
    return [{"name": "*", "files": len(found), "digest": state.hexdigest()[:32]}]


@dataclass(frozen=True)
class CutTask(Task):
    """Cuts a long file that can only be read from its beginning into pieces, committing each as it goes."""

    source: Source
    split: Split
    split_bytes: int

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
        with ExitStack() as stack:
            for offset, data in each("cut", self.source.cut(self.split, min(_BLOCK, self.split_bytes)), size=_length):
                # What stands for a line that is too long has another length: the positions behind it begin anew.
                if piece is not None and (piece.bytes >= self.split_bytes or offset != piece.offset + piece.bytes):
                    pieces.append(self._commit(piece, len(pieces)))
                    piece = None
                if piece is None:
                    known = self.store.read_whole(self._receipt_of(len(pieces)))
                    piece = _Piece(self.store, self.folder, len(pieces), offset, known)
                    stack.enter_context(piece.file)
                piece.write(data)
            if piece is not None:
                pieces.append(self._commit(piece, len(pieces)))
        return pieces

    def _commit(self, piece: _Piece, number: int) -> dict[str, Any]:
        value = piece.close()
        if piece.known is not None:
            return piece.known
        check_unchanged(self.split.files())
        value = self.store.put_if_absent(self._receipt_of(number), value)
        crash_point("cut.after-piece")
        return value

    def pieces_from(self, number: int) -> Iterator[dict[str, Any]]:
        """Pieces that are committed so far, from one on: they can be read while the rest is being cut.

        Once all are, the task's own receipt has them: one piece's receipt may have been set aside as damaged.
        """
        if (whole := self.store.read_whole(self.receipt)) is not None:
            yield from whole[number:]
            return
        while (piece := self.store.read_whole(self._receipt_of(number))) is not None:
            yield piece
            number += 1

    def split_of(self, piece: dict[str, Any]) -> Split:
        """The split that a piece is."""
        return Split(
            path=self.store.address(piece["file"]),
            name=self.split.name,
            start=0,
            stop=-1,
            digest=fingerprint(self.split.digest, piece["offset"], piece["bytes"]),
            # Of the file, for progress: how much of it a piece was is not known. Text shrinks to about a quarter.
            bytes=piece["bytes"] // 4,
            offset=piece["offset"],
            xxh3=piece.get("xxh3", ""),  # pieces of earlier versions have none
        )


def _length(block: tuple[int, bytes]) -> int:
    return len(block[1])


class _Piece:
    """A piece that is being written; only counted where it is committed already. ``file`` is open meanwhile."""

    def __init__(self, store: Store, folder: str, number: int, offset: int, known: dict[str, Any] | None) -> None:
        self.known, self.offset, self.bytes = known, offset, 0
        self.file = ExitStack()
        if known is None:
            self._key = store.fresh(folder, f"{number:06d}", ".piece.zst")
            self._path = self.file.enter_context(store.writing(self._key))
            with storage_errors(str(self._path)):
                self._out = zstandard.ZstdCompressor(level=1).stream_writer(self._path.open("wb"))

    def write(self, data: bytes) -> None:
        """Append whole lines."""
        self.bytes += len(data)
        if self.known is None:
            with spending("write", size=len(data)), storage_errors(str(self._path)):
                self._out.write(data)

    def close(self) -> dict[str, Any]:
        """Make it durable; its receipt."""
        if self.known is not None:
            return self.known
        with storage_errors(str(self._path)):
            self._out.close()
            digest = content_digest(self._path)
            self.file.close()
        return {"file": self._key, "offset": self.offset, "bytes": self.bytes, "xxh3": digest}
