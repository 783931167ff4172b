"""Files of JSON lines, plain, gz or zst: how they are checked, cut and read, whatever their lines say."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import orjson
import pyarrow as pa

from curate.errors import InputError
from curate.stages.catalog import InputFile, Range
from curate.stages.reading import FileSource
from curate.stages.reading_documents import BATCH_BYTES, BATCH_ROWS, Documents, Rows, strings
from curate.stages.reading_files import head, looks_like, not_what_it_says
from curate.stages.reading_lines import (
    LineBlock,
    gz_blocks,
    kind_of,
    line_blocks,
    lines_of,
    pieces,
    plain_blocks,
    zst_blocks,
)
from curate.stages.reading_zstd import frames
from curate.stages.source import SetAside, Split

_NAMES: Final = (".jsonl", ".ndjson", ".json")
_SIDE_BYTES: Final = 1 << 20
"""What a line may hold beside its text."""
BOM: Final = b"\xef\xbb\xbf"
"""A byte order mark, which may begin a file."""


class JsonLines(FileSource):
    """A source that reads JSON lines; its own ``read_file`` makes documents of them."""

    suffixes: ClassVar = tuple(f"{name}{packed}" for name in _NAMES for packed in ("", ".gz", ".zst"))

    def check(self, file: InputFile) -> None:
        _check(file)

    def ranges(self, file: InputFile, split_bytes: int) -> Iterator[Range]:
        return _ranges(file, split_bytes)

    def cut(self, split: Split, split_bytes: int) -> Iterator[tuple[int, bytes]]:
        blocks = ((at, None if block is None else lines_of(block)) for at, block in self.blocks(split))
        yield from pieces(blocks, max(split_bytes, 1), self.line_limit())

    def line_limit(self) -> int:
        """Bytes that a line may have."""
        # JSON may write any byte of a text as six: \u0001.
        return self.max_document_bytes * 6 + _SIDE_BYTES

    def blocks(self, split: Split) -> Iterator[LineBlock]:
        """The lines that begin in a split's range, many together."""
        path, stamp, limit = split.path, split.stamps, self.line_limit()
        kind = kind_of(head(path, stamp, 4))
        if kind == "gz":
            return line_blocks(gz_blocks(path, stamp), split.offset, first=True, limit=limit)
        if kind == "zst":
            stop = None
            if split.stop >= 0:
                stop = split.offset + split.content
            elif not split.xxh3:
                # A decompressor takes the end of the file for the end of the text: a file of a pack that was cut short
                # is found by its frames.
                deque(frames(path, stamp), maxlen=0)
            blocks = zst_blocks(path, split.start, stamp)
            return line_blocks(blocks, split.offset, first=split.start == 0, limit=limit, stop=stop)
        # A line that begins at `start` has its line feed one byte before: the range is moved by one.
        start, stop = max(split.start - 1, 0), split.stop - 1 if split.stop >= 0 else None
        return line_blocks(
            plain_blocks(path, start, stamp, stop), start, first=split.start == 0, limit=limit, stop=stop
        )


class Pending:
    """Documents made of lines and not yet handed on.

    Args:
        documents: of the split.
        limit: bytes that a line may have.
    """

    def __init__(self, documents: Documents, limit: int) -> None:
        self._documents, self._limit = documents, limit
        self._clear()

    def _clear(self) -> None:
        self._texts: list[pa.Array] = []
        self._singles: list[str] = []
        self._owns: list[str | None] = []
        self._positions: list[int] = []
        self._sources: list[str | None] = []
        self._metas: list[bytes] = []
        self._asides: list[tuple[int, SetAside]] = []
        self._size = 0

    def full(self) -> bool:
        """Whether it is time to hand on a batch."""
        return self._size >= BATCH_BYTES or len(self._owns) >= BATCH_ROWS or len(self._asides) >= BATCH_ROWS

    def too_long(self, position: int) -> None:
        """Set aside a line that was too long to be held."""
        self.aside(position, "too_large", f"the line has more than {self._limit} bytes")

    def aside(self, position: int, reason: str, detail: str, own: str | None = None) -> None:
        """Set a row aside."""
        self._asides.append(self._documents.aside(position, reason, detail, own))

    def parsed(self, line: bytes, position: int) -> dict[str, Any] | None:
        """The object that a line is; None, and set aside, where it is none, or where it is blank."""
        if len(line) > self._limit:
            self.too_long(position)
            return None
        if position == 0 and line.startswith(BOM):
            line = line[3:]
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if line and not line.isspace():
                self.aside(position, *_unparsed(line, error))
            return None
        if type(row) is not dict:
            self.aside(position, "malformed", f"a line must be an object, not {json_type(row)}")
            return None
        return row

    def take(self, meta: bytes, position: int, own: str | None, source: str | None, size: int) -> None:
        """Take in all of a document but its text; ``size``: about how many bytes it has."""
        self._metas.append(meta)
        self._positions.append(position)
        self._owns.append(own)
        self._sources.append(source)
        self._size += size

    def vectors(self) -> pa.ListArray | None:
        """Of the documents that are pending, where records have any."""
        return None

    def flush(self) -> Iterator[pa.RecordBatch | SetAside]:
        """What is pending as documents and rows set aside."""
        rows = None
        if self._owns:
            rows = Rows(
                pa.concat_arrays([*self._texts, pa.array(self._singles, pa.large_string())]),
                pa.array(self._owns, pa.string()),
                pa.array(self._positions, pa.int64()),
                pa.array(self._sources, pa.string()),
                strings(self._metas),
                self.vectors(),
            )
        asides = self._asides
        self._clear()
        yield from self._documents.batches(rows, asides)


def own_id(row: dict[str, Any], field: str | None) -> str | None:
    """A record's own id, taken out of it; None where it has none that is a word or a whole number."""
    value = row.get(field) if field is not None else None
    if field is None or not ((type(value) is str and value) or type(value) is int):
        return None
    return str(row.pop(field))


def _unparsed(line: bytes, error: orjson.JSONDecodeError) -> tuple[str, str]:
    """Reason and detail of a line that is no JSON."""
    try:
        line.decode()
    except UnicodeDecodeError as bad:
        return "invalid_utf8", f"byte {bad.start} of the line is not UTF-8"
    return "malformed", f"not JSON, at character {error.pos} of the line: {error.msg}"


def json_type(value: object) -> str:
    """What a value is called to a user."""
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), "a number")


def _ranges(file: InputFile, split_bytes: int) -> Iterator[Range]:
    kind = _check(file)
    if kind == "plain":
        for start in range(0, file.size, split_bytes):
            stop = min(start + split_bytes, file.size)
            yield Range(start, stop, stop - start)
        return
    groups = _frame_groups(file, split_bytes) if kind == "zst" else []
    # Text shrinks to a quarter or less.
    yield from groups or [Range(0, -1, file.size, sequential=file.size > split_bytes // 4)]


def _frame_groups(file: InputFile, split_bytes: int) -> list[Range]:
    """Groups of frames; none when the file can't be read in parts: it has one frame, a frame does not state its size,
    or one is far larger than a split."""
    groups: list[Range] = []
    start, offset, size, count, in_parts = 0, 0, 0, 0, True
    for frame in frames(file.path, file.stamp):  # to the end in any case: a file cut short is found now
        in_parts = in_parts and frame.content is not None and frame.content <= 4 * split_bytes
        if not in_parts or frame.content is None:
            continue
        count += frame.content > 0
        size += frame.content
        if size >= split_bytes:
            groups.append(Range(start, frame.stop, frame.stop - start, offset, size))
            start, offset, size = frame.stop, offset + size, 0
    if size:
        groups.append(Range(start, file.size, file.size - start, offset, size))
    return groups if in_parts and count > 1 else []


def _check(file: InputFile) -> str:
    """How the file is compressed; raises InputError when that is not what the name says."""
    start = head(file.path, file.stamp)
    kind = kind_of(start)
    lower = file.name.lower()
    for said, suffix in (("gz", ".gz"), ("zst", ".zst")):
        if lower.endswith(suffix):
            if kind != said:
                raise not_what_it_says(file.path, {"gz": "gzip", "zst": "zstd"}[said], start)
            return kind
    if looks_like(start):
        raise not_what_it_says(file.path, "JSON lines", start)
    if b"\0" in start:
        raise InputError("the name says JSON lines, the content is binary", place=file.path, cure="remove it or fix it")
    if lower.endswith(".json") and start.removeprefix(BOM).lstrip().startswith(b"["):
        raise InputError(
            "one JSON array, not JSON lines",
            place=file.path,
            cure="make lines of it: jq -c '.[]' FILE > FILE.jsonl",
        )
    return kind
