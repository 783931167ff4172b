"""What a source is: the stage that reads documents from files, split by split."""

from __future__ import annotations

import builtins
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import pyarrow as pa

from curate.fingerprint import fingerprint
from curate.schema import DOCUMENT
from curate.stages.base import Stage
from curate.stages.catalog import STAMP_BYTES, Catalog, InputFile, Range, join
from curate.stages.remote import is_url

SPLIT_BYTES: Final = 64 << 20
"""Bytes of input that a split aims at. Output never depends on it."""


@dataclass(frozen=True)
class Split:
    """A piece of input that one task reads; independent of the number of workers.

    Attributes:
        path: file or folder to read now (absolute, or a URL; never part of any identity).
        name: the file's path relative to the source's root, with ``/``: part of row ids.
        start, stop: the range in units of the format (bytes, row groups, record batches); stop -1 = to the end.
        digest: digest of content and range: part of the task's key.
        bytes: about how many bytes of input it stands for, for progress.
        offset: position in the plain text (or of the row) at which it begins, where ``start`` is no such position.
        content: how many bytes of plain text a range of a compressed file becomes.
        sequential: can only be read from its beginning (gz, one zst frame) and is large: the engine calls
            ``Source.cut`` and reads the pieces instead.
        members: for a split that is many small files: their names relative to ``path``.
        xxh3: of the file at ``path``, where the store wrote it; empty for inputs.
        stamps: of the file, or of each member, as they were when they were listed (see catalog.Stamps); empty for
            what is no file of the user's.
    """

    path: str
    name: str
    start: int
    stop: int
    digest: str
    bytes: int
    offset: int = 0
    content: int = 0
    sequential: bool = False
    members: tuple[str, ...] = ()
    xxh3: str = ""
    stamps: builtins.bytes = b""

    @classmethod
    def of(cls, file: InputFile, digest: str, part: Range) -> Self:
        """The split that reads a part of a file; ``digest`` stands for the file's content."""
        key = split_digest(digest, file.name, part.start, part.stop)
        return cls(path=file.path, name=file.name, digest=key, stamps=file.stamp, **part._asdict())

    def files(self) -> list[tuple[str, builtins.bytes]]:
        """Paths and stamps of the files it reads."""
        if not self.members:
            return [(self.path, self.stamps)] if self.stamps else []
        size = STAMP_BYTES
        stamps = [self.stamps[at : at + size] for at in range(0, len(self.stamps), size)]
        return [(_below(self.path, name), stamp) for name, stamp in zip(self.members, stamps, strict=False)]

    def __reduce__(self) -> tuple[Any, ...]:
        # Names of hundreds of neighbours say little: what goes to a worker stays small.
        *fields, members, xxh3, stamps = (getattr(self, name) for name in _FIELDS)
        packed = zlib.compress("\0".join(members).encode("utf-8", "surrogateescape")), zlib.compress(stamps)
        return _unpacked, (*fields, len(members), packed[0], xxh3, packed[1])


_FIELDS: Final = tuple(each.name for each in fields(Split))


def split_digest(content: str, name: str, start: int, stop: int) -> str:
    """Digest of one range of a file. The name is in it, as it is in the rows' ids."""
    return fingerprint(content, name, start, stop)


def _unpacked(*values: Any) -> Split:
    count, members, xxh3, stamps = values[-4:]
    names = zlib.decompress(members).decode("utf-8", "surrogateescape").split("\0") if count else []
    fields: list[Any] = [*values[:-4], tuple(names), xxh3, zlib.decompress(stamps)]
    return Split(*fields)


def _below(root: str, name: str) -> str:
    path = join(root, name)
    return path if is_url(path) else os.path.normpath(path)


@dataclass(frozen=True)
class SetAside:
    """A row that could not become a document.

    Attributes:
        origin: where it stands, as a document's origin would say it.
        reason: one of the source's reasons.
        detail: what exactly is wrong, one line.
        after: how many rows of the batch that follows stand before it: ``--limit`` counts to a document, not a batch.
    """

    origin: str
    reason: str
    detail: str
    after: int = field(default=0, compare=False)


class Source(Stage):
    """Reads documents from files.

    Attributes:
        one_by_one: whether ``each_split`` looks at a file when its splits are asked for, and at none behind it.
    """

    seeded: ClassVar[bool] = False
    one_by_one: ClassVar[bool] = False

    def fingerprint(self) -> str:
        """Settings without places, and without what becomes of damaged files: what was read the splits' digests say."""
        return fingerprint(
            self.name, self.revision, self.model_dump(mode="python", exclude={"paths", "path", "on_damage"})
        )

    def documents_schema(self, step: str) -> pa.Schema:
        """Columns of the rows that it reads as a step of this id: schema.DOCUMENT's, then those that it adds."""
        return pa.schema([*DOCUMENT, *(pa.field(f"{step}.{name}", kind) for name, kind in self.adds().items())])

    def absent(self, base: Path) -> list[str]:
        """Places, as the settings name them, where there is nothing; known without listing or reading any file."""
        return []

    def splits(self, base: Path, catalog: Catalog, split_bytes: int) -> list[Split]:
        """All splits in input order.

        Args:
            base: the recipe's folder, for relative paths.
            catalog: says what is known of files: their digests, which the engine keeps.
            split_bytes: what a split aims at.

        Raises InputError for a path that is missing, matches nothing, or is not what its name says.
        """
        raise NotImplementedError

    def each_split(self, base: Path, catalog: Catalog, split_bytes: int) -> Iterator[Split]:
        """The same one after the other; see ``one_by_one``."""
        yield from self.splits(base, catalog, split_bytes)

    def cut(self, split: Split, split_bytes: int) -> Iterator[tuple[int, bytes]]:
        """Pieces of a sequential split: (position in the decompressed original, whole lines of about split_bytes)."""
        raise NotImplementedError

    def read(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        """The split's rows in order, as batches of ``documents_schema(source)``, and the rows set aside, in between.

        ``source``: the step's id.
        """
        raise NotImplementedError
