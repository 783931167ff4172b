"""Input files: where they lie, what they are called, and what tells one version of a file from another."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.fingerprint import fingerprint, stream_digest
from curate.stages import remote

Stamps = npt.NDArray[np.int64]
"""A row for each file: its size, then mtime and ctime in ns, or 128 bits of what its store says of its version."""
STAMP_BYTES: Final = 24
"""Bytes of a row of them."""
NO_STAMP: Final = (-1, 0, 0)
"""Of what is no file: a link that leads nowhere, a pipe."""
_NO_STAMP: Final = np.array(NO_STAMP, np.int64).tobytes()


@dataclass(frozen=True)
class InputFile:
    """A file to read.

    Attributes:
        path: where it is now: an absolute path, or a URL.
        name: its name relative to its source's root, with ``/``: part of row ids.
        stamp: size and version when it was listed, as bytes of a row of Stamps.
        given: what its store guarantees of its content (an ETag, a checksum), as an identity; empty where it
            guarantees nothing: then the content itself is hashed.
    """

    path: str
    name: str
    stamp: bytes
    given: str = ""

    @property
    def size(self) -> int:
        """Its bytes when it was listed."""
        return int(np.frombuffer(self.stamp, np.int64)[0])


@dataclass(frozen=True)
class Files:
    """Files below one root, by columns: a million of them have to be cheap.

    Attributes:
        root: the folder, an absolute path or a URL, without ``/`` at its end.
        names: relative to the root, with ``/``, sorted.
        given: see InputFile; None where no file has one.
        outright: whether the one file was named outright.
        links: which of them are symbolic links; their stamps are those of what they lead to.
    """

    root: str
    names: Sequence[str]
    stamps: Stamps
    given: Sequence[str] | None = None
    outright: bool = False
    links: frozenset[int] = frozenset()

    @classmethod
    def in_order(
        cls,
        root: str,
        names: Sequence[str],
        stamps: array[int],
        links: Container[str] = (),
        given: Sequence[str] | None = None,
        *,
        outright: bool = False,
    ) -> Files:
        """Files as they were found, ``stamps`` one after the other; sorted here by name."""
        order = sorted(range(len(names)), key=names.__getitem__)
        rows = np.frombuffer(stamps, np.int64).reshape(-1, 3) if names else np.empty((0, 3), np.int64)
        names = [names[n] for n in order]
        given = [given[n] for n in order] if given is not None and any(given) else None
        where = frozenset(n for n, name in enumerate(names) if name in links) if links else frozenset()
        return cls(root, names, rows[np.array(order, np.int64)], given, outright, where)

    def __len__(self) -> int:
        return len(self.names)

    def path(self, number: int) -> str:
        """Where a file is."""
        return join(self.root, self.names[number])

    def file(self, number: int) -> InputFile:
        """One of them."""
        given = self.given[number] if self.given is not None else ""
        return InputFile(self.path(number), self.names[number], self.stamps[number].tobytes(), given)

    def chosen(self, numbers: Sequence[int]) -> Files:
        """Some of them."""
        given = None if self.given is None else [self.given[n] for n in numbers]
        where = np.asarray(numbers, np.int64)
        links = frozenset(new for new, old in enumerate(numbers) if old in self.links) if self.links else self.links
        return Files(self.root, [self.names[n] for n in numbers], self.stamps[where], given, self.outright, links)

    @property
    def local(self) -> bool:
        """Whether they lie in the file system."""
        return not remote.is_url(self.root)


class Range(NamedTuple):
    """A part of a file that is read by one task; see the fields of a Split."""

    start: int
    stop: int
    bytes: int
    offset: int = 0
    content: int = 0
    sequential: bool = False


class Catalog:
    """Says what is known of files; this one keeps nothing: all is found when it is asked for.

    Attributes:
        one_by_one: whether files are looked at one after the other, as somebody wants more: then none is read with others,
            and which ones are read depends on no split.
    """

    one_by_one = False

    def digests(
        self, files: Files, checks: str = "", check: Callable[[InputFile], object] = lambda _: None
    ) -> Sequence[str]:
        """What stands for the content of each file: what its store guarantees, else a digest of its bytes.

        Args:
            files: those asked for.
            checks: identity of ``check``: a file that passed it, and was not changed since, need not pass it again.
            check: raises InputError for a file that is not what its name says. Files for whose content a store
                vouches are not opened: they are checked when they are read.
        """
        del checks
        found = []
        for number in range(len(files)):
            file = files.file(number)
            if not file.given:
                check(file)
            found.append(self.digest(file))
        return found

    def sound(self, files: Files) -> Files:
        """Those of some files that are not known to be damaged: here nothing is known."""
        return files

    def ranges(self, key: str, find: Callable[[], Iterable[Range]]) -> list[Range]:
        """What ``find`` gives; ``key`` is an identity of all that this depends on, a file's content among it."""
        del key
        return list(find())

    def digest(self, file: InputFile) -> str:
        """Of one file."""
        return file.given or digest_of(file)


class Unhashed(Catalog):
    """Reads no content: for what keeps nothing that depends on it."""

    def digest(self, file: InputFile) -> str:
        return fingerprint(file.path, file.stamp.hex())


def digest_of(file: InputFile) -> str:
    """Digest of a file's bytes; raises InputError when it can't be read, or was changed meanwhile."""
    with remote.opened(file.path, file.stamp) as opened:
        digest = stream_digest(opened)
    check_unchanged([(file.path, file.stamp)])
    return digest


def join(root: str, name: str) -> str:
    """The path of a file below a root."""
    return f"{root}/{name}" if not root.endswith("/") else root + name


def stamp_of(path: str) -> bytes:
    """The file's stamp now; raises OSError for what is not there.

    A local file's mtime can be set back (cp -p, rsync -t over another version of the same size), its ctime can't.
    """
    if remote.is_url(path):
        return remote.stamp(path)
    facts = os.stat(path)  # noqa: PTH116 - a Path for each of a million files costs more than the call
    return stamp_bytes(facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def stamp_bytes(size: int, first: int, second: int) -> bytes:
    """A row of Stamps as bytes."""
    return np.array([size, first, second], np.int64).tobytes()


def file_at(path: str, name: str) -> InputFile:
    """The file at a path or URL, as it is now, under a name."""
    if not remote.is_url(path):
        return InputFile(path, name, stamp_of(path))
    facts = remote.info(path)
    return InputFile(path, name, stamp_bytes(*remote.stamp_of_info(path, facts)), remote.given(path, facts))


def together(files: Sequence[InputFile]) -> Files:
    """Files of one root, in their order, by columns."""
    root = files[0].path.removesuffix(f"/{files[0].name}") if files else ""
    stamps = np.frombuffer(b"".join(f.stamp for f in files), np.int64).reshape(-1, 3)
    return Files(
        root, [f.name for f in files], stamps, [f.given for f in files] if any(f.given for f in files) else None
    )


def check_unchanged(read: Sequence[tuple[str, bytes]]) -> None:
    """Raise InputError for a file that is no longer what it was when its digest was taken: what was read of it must
    not be committed. ``read`` has paths and stamps."""
    for path, stamp in read:
        if stamp == _NO_STAMP or remote.checks_each_read(path):
            continue
        try:
            same = stamp_of(path) == stamp
        except OSError:
            same = False
        if not same:
            raise remote.changed(path)
