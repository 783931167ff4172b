"""Settings that sources share, and which splits their files are: ``reading_documents`` makes documents of the records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from curate.fingerprint import fingerprint
from curate.stages import remote
from curate.stages.catalog import Catalog, Files, InputFile, Range
from curate.stages.reading_documents import BATCH_BYTES, BATCH_ROWS, Documents
from curate.stages.reading_files import absent, find_files
from curate.stages.reading_packs import SHARE, gathered, pack, packs
from curate.stages.reading_vectors import COLUMN, KIND
from curate.stages.source import SetAside, Source, Split
from curate.store.service import AT_ONCE

DAMAGED_FILE: Final = "damaged_file"
REASONS: Final[Mapping[str, str]] = {
    DAMAGED_FILE: "the file is damaged, cut short or gone, and `on_damage` is set_aside: one row stands for all of it",
    "malformed": "the record does not parse, or is no object",
    "no_text": "the text field is missing, null, no string, empty, or only white space",
    "invalid_utf8": "the record holds bytes that are not UTF-8",
    "too_large": "the text has more than max_document_bytes bytes, or its line more than any such text needs",
}


class RecordSource(Source):
    """Settings of every source whose records have fields.

    Own ids may be strings or whole numbers of at most 64 bits; other values are no ids and stay in ``meta``.
    ``meta`` is JSON with sorted keys. What JSON lacks is written so: NaN and infinities as null, bytes as their text
    or else ``base64:...``, dates and times in ISO 8601, decimals and integers beyond 64 bits as strings (from JSON
    lines such integers are read as floats).
    """

    id: str | None = Field(
        "id", description="field that holds the record's own id; null, or a record without it: its position is used"
    )
    source: str | None = Field(
        None, description="the documents' source; null: a record's own `source` if it is a string, else the step's id"
    )
    max_document_bytes: int = Field(32 << 20, ge=1, description="documents with more bytes are `too_large`")
    keep: list[str] | None = Field(
        None, description="fields kept in `meta`; null: all but the text, id and source used"
    )
    license: str | None = Field(
        None,
        min_length=1,
        description="terms of records that state none, put into `meta`; as meta.FIELD what that field of a record says, a list's"
        " all together",
    )

    def ranges(self, file: InputFile, split_bytes: int) -> Iterable[Range]:
        """Parts of one file that tasks read; raises InputError for a file that is not what its name says."""
        raise NotImplementedError

    def splitting(self, catalog: Catalog, split_bytes: int) -> Callable[[InputFile, str], list[Split]]:
        """What gives a file's splits, asked for with what stands for its content."""
        settings = self.fingerprint()

        def splits(file: InputFile, content: str) -> list[Split]:
            key = fingerprint(settings, file.name, content, split_bytes)
            parts = catalog.ranges(key, lambda: self.ranges(file, split_bytes))
            return [Split.of(file, content, part) for part in parts]

        return splits

    def documents(self, split: Split, step: str, unit: str) -> Documents:
        """The maker of this split's documents; ``unit`` is what positions count (byte, row)."""
        return Documents(
            split.name,
            step,
            source=self.source,
            max_bytes=self.max_document_bytes,
            unit=unit,
            terms=self.license,
            schema=self.documents_schema(step),
        )


class TextSource(RecordSource):
    """Settings of a source whose records have their text in one field, and perhaps an embedding in another one."""

    text: str = Field("text", min_length=1, description="field that holds the text")
    vector: str | None = Field(
        None,
        min_length=1,
        description="field that holds an embedding of the record, a list of numbers of one length: becomes the column "
        "`<step>.vector` (float32), null where a record has none",
    )

    def adds(self) -> Mapping[str, pa.DataType]:
        """The vector, where the records have one."""
        return {} if self.vector is None else {COLUMN: KIND}


class FileSource(RecordSource):
    """A source that reads files.

    Files are named by path, folder, glob or URL (``s3://``, ``gs://``, ``hf://datasets/``, ``memory://``,
    ``file://``). A path is relative to the recipe's folder, else to the working folder, else to the assets that come
    with curate. Its root is the folder itself, the part of a glob before the first wildcard, or the folder of a single
    file; two files of one name under two roots are an error. What stands for the content of a file is a digest of its
    bytes, or what its store guarantees (S3's ETag, a checksum of GS or the hub): then it is read only when its rows
    are. Small files are read in packs, by one task each.
    """

    paths: list[str] = Field(min_length=1, description="files, folders, globs or URLs of these, read in this order")

    on_damage: Literal["stop", "set_aside"] = Field(
        "stop",
        description="what a file that is damaged, cut short or gone does: stop the run, or be `damaged_file`, as a whole",
    )

    one_by_one: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]]
    """What names of files end in."""

    def check(self, file: InputFile) -> None:
        """Raise InputError when a file is not what its name says."""
        raise NotImplementedError

    def read_file(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        """Rows of a split of one file; a range from 0 to -1 is all of it."""
        raise NotImplementedError

    def absent(self, base: Path) -> list[str]:
        return absent(self.paths, base)

    def splits(self, base: Path, catalog: Catalog, split_bytes: int) -> list[Split]:
        return list(self.each_split(base, catalog, split_bytes))

    def each_split(self, base: Path, catalog: Catalog, split_bytes: int) -> Iterator[Split]:
        split_bytes = max(split_bytes, 1)
        for listed in find_files(self.paths, base, self.suffixes):
            files = catalog.sound(listed) if self.on_damage == "set_aside" else listed
            digests = catalog.digests(files, self.fingerprint(), self.check)
            small = files.stamps[:, 0] < (0 if catalog.one_by_one else split_bytes // SHARE)
            alone, together = self._parts(files, small, split_bytes)
            ends, looked_at = dict(together), self._looked_at(catalog, files, alone, digests, split_bytes)
            for number in sorted([*alone, *ends]):
                if number in ends:
                    yield pack(files, number, ends[number], digests, "")
                else:
                    yield from next(looked_at)

    @staticmethod
    def _parts(files: Files, small: npt.NDArray[np.bool_], split_bytes: int) -> tuple[list[int], list[tuple[int, int]]]:
        """Files that have splits of their own, and ranges of those that are read in packs."""
        alone, together, start = [], [], 0
        for number in [*np.flatnonzero(~small).tolist(), len(files)]:
            for first, last in packs(files, start, number, split_bytes):
                if last - first > 1:
                    together.append((first, last))
                else:
                    alone.append(first)
            if number < len(files):
                alone.append(number)
            start = number + 1
        return alone, together

    def _looked_at(
        self, catalog: Catalog, files: Files, numbers: list[int], digests: Sequence[str], split_bytes: int
    ) -> Iterator[list[Split]]:
        """Splits of some of the files, one after the other; several remote ones are looked at at a time, where all are wanted."""
        splits = self.splitting(catalog, split_bytes)
        wanted = map(files.file, numbers), map(digests.__getitem__, numbers)
        if files.local or catalog.one_by_one:
            yield from map(splits, *wanted)
            return
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield from pool.map(splits, *wanted)

    def read(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        if not split.members:
            yield from self.read_file(split, source)
            return
        yield from gathered(self._members(split, source), BATCH_ROWS, BATCH_BYTES)

    def _members(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        members = [
            Split(path, name, 0, -1, "", 0, stamps=stamp)
            for name, (path, stamp) in zip(split.members, split.files(), strict=True)
        ]
        if not remote.is_url(split.path):
            for member in members:
                yield from self.read_file(member, source)
            return
        with remote.fetched(split.files()) as contents:
            for member, _ in zip(members, contents, strict=True):
                self.check(InputFile(member.path, member.name, member.stamps))  # nobody has opened it yet
                yield from self.read_file(member, source)
