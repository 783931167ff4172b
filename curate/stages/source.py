"""What a source is: the stage that reads documents from files, split by split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

import pyarrow as pa

from curate.fingerprint import fingerprint
from curate.stages.base import Stage

SPLIT_BYTES: Final = 64 << 20
"""Bytes of input that a split aims at. Output never depends on it."""


@dataclass(frozen=True)
class Split:
    """A piece of input that one task reads; independent of the number of workers.

    Attributes:
        path: file or folder to read now (absolute; never part of any identity).
        name: the file's path relative to the source's root, with ``/``: part of row ids.
        start, stop: the range in units of the format (bytes, row groups, record batches); stop -1 = to the end.
        digest: digest of content and range: part of the task's key.
        bytes: about how many bytes of input it stands for, for progress.
        offset: position of the first byte of ``path`` in the original, for pieces that ``Source.cut`` made.
        sequential: can only be read from its beginning (gz, one zst frame) and is large: the engine calls
            ``Source.cut`` and reads the pieces instead.
        members: for a split that is many small files: their names relative to ``path``.
        xxh3: of the file at ``path``, where the store wrote it; empty for inputs.
    """

    path: str
    name: str
    start: int
    stop: int
    digest: str
    bytes: int
    offset: int = 0
    sequential: bool = False
    members: tuple[str, ...] = ()
    xxh3: str = ""


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
    """Reads documents from files."""

    seeded: ClassVar[bool] = False

    def fingerprint(self) -> str:
        """Settings without places: what was read is known by the splits' digests, wherever it lies."""
        return fingerprint(self.name, self.revision, self.model_dump(mode="python", exclude={"paths", "path"}))

    def splits(self, base: Path, digest: Callable[[Path], str], split_bytes: int) -> list[Split]:
        """All splits in input order.

        Args:
            base: the recipe's folder, for relative paths.
            digest: content digest of a file, cached by the engine.
            split_bytes: what a split aims at.

        Raises InputError for a path that is missing, matches nothing, or is not what its name says.
        """
        raise NotImplementedError

    def cut(self, split: Split, split_bytes: int) -> Iterator[tuple[int, bytes]]:
        """Pieces of a sequential split: (position in the decompressed original, whole lines of about split_bytes)."""
        raise NotImplementedError

    def read(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        """The split's rows in order, as batches in schema.DOCUMENT, and the rows set aside, in between."""
        raise NotImplementedError
