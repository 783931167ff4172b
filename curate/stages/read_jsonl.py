"""``read.jsonl``: JSON lines, plain, gz or zst."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import orjson
import pyarrow as pa

from curate.errors import InputError
from curate.stages.catalog import InputFile, Range
from curate.stages.reading import BATCH_BYTES, BATCH_ROWS, REASONS, Documents, FileSource, Rows, meta_json, strings
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
from curate.stages.registry import register
from curate.stages.source import SetAside, Split
from curate.text.json_lines import cut, plain

_NAMES: Final = (".jsonl", ".ndjson", ".json")
_SIDE_BYTES: Final = 1 << 20
"""What a line may hold beside its text."""
_MANY_BYTES: Final = 1 << 16
"""Of lines that are taken apart by a kernel: fewer are parsed sooner than it is loaded."""
_BOM: Final = b"\xef\xbb\xbf"


@register("read.jsonl")
class ReadJsonl(FileSource):
    r"""Read JSON lines: one object per line; names end in .jsonl, .ndjson or .json, then perhaps .gz or .zst.

    Large plain files, and zst files of many frames that state their size, are read in parts; a line belongs to the
    part in which it begins. Other large gz and zst files are read once from their beginning and cut into pieces, which
    other workers read meanwhile.

    Blank lines are passed over; CRLF and a byte order mark at the start are understood. What JSON forbids (NaN, a
    lone surrogate such as ``"\ud800"``) is `malformed`. A file that ends inside a gzip member or a zstd frame stops
    the run: none of its rows can be trusted to be all.
    """

    revision: ClassVar[int] = 1
    reasons: ClassVar = REASONS

    suffixes: ClassVar = tuple(f"{name}{packed}" for name in _NAMES for packed in ("", ".gz", ".zst"))

    def check(self, file: InputFile) -> None:
        _check(file)

    def ranges(self, file: InputFile, split_bytes: int) -> Iterator[Range]:
        return _ranges(file, split_bytes)

    def cut(self, split: Split, split_bytes: int) -> Iterator[tuple[int, bytes]]:
        blocks = ((at, None if block is None else lines_of(block)) for at, block in self._blocks(split))
        yield from pieces(blocks, max(split_bytes, 1), self._line_limit())

    def read_file(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        documents = self.documents(split, source, "byte")
        pending = _Pending(self, documents)
        for position, block in self._blocks(split):
            if block is None:
                pending.too_long(position)
            elif len(block) < _MANY_BYTES or not plain(self.text):
                yield from pending.one_by_one(lines_of(block), position)
            else:
                yield from pending.together(block, position)
        yield from pending.flush()

    def _line_limit(self) -> int:
        # JSON may write any byte of a text as six: \u0001.
        return self.max_document_bytes * 6 + _SIDE_BYTES

    def _blocks(self, split: Split) -> Iterator[LineBlock]:
        path, stamp, limit = split.path, split.stamps, self._line_limit()
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


class _Pending:
    """Records parsed and not yet handed on."""

    def __init__(self, stage: ReadJsonl, documents: Documents) -> None:
        self._documents = documents
        self._text, self._id, self._keep = stage.text, stage.id, stage.keep
        self._own_source = stage.source is None
        self._limit = stage._line_limit()  # noqa: SLF001 - one module, one idea
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
        self._aside(position, "too_large", f"the line has more than {self._limit} bytes")

    def one_by_one(self, lines: list[bytes], position: int) -> Iterator[pa.RecordBatch | SetAside]:
        """Take in lines, and hand on what is complete."""
        for line in lines:
            self.add(line, position)
            position += len(line) + 1
            if self.full():
                yield from self.flush()

    def together(self, block: bytes, position: int) -> Iterator[pa.RecordBatch | SetAside]:
        """The same for a block of whole lines, of which most are in order: their texts never become objects."""
        found = cut(block, self._text)
        try:
            rows = iter(orjson.loads(found.rest))
        except orjson.JSONDecodeError:
            yield from self.one_by_one(lines_of(block), position)
            return
        starts, begin = found.starts.tolist(), 0
        for i, good in enumerate(found.good.tolist()):
            start, size = starts[i], starts[i + 1] - starts[i] - 1
            row = next(rows) if good else None
            if row is None or size > self._limit or not self._record(row, position + start, size):
                self._extend(found.texts[begin:i])
                begin = i + 1
                if row is None or size > self._limit:
                    self.add(block[start : start + size], position + start)
            if self.full():
                self._extend(found.texts[begin : i + 1])
                begin = i + 1
                yield from self.flush()
        self._extend(found.texts[begin:])

    def _extend(self, texts: pa.Array) -> None:
        if len(texts):
            if self._singles:
                self._texts.append(pa.array(self._singles, pa.large_string()))
                self._singles = []
            self._texts.append(texts)

    def add(self, line: bytes, position: int) -> None:
        """Take in one line."""
        if len(line) > self._limit:
            self.too_long(position)
            return
        if position == 0 and line.startswith(_BOM):
            line = line[3:]
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if line and not line.isspace():
                self._unparsed(line, position, error)
            return
        if type(row) is not dict:
            self._aside(position, "malformed", f"a line must be an object, not {_json_type(row)}")
            return
        text: Any = row.get(self._text)
        if self._record(row, position, len(line)):
            self._singles.append(text)

    def _record(self, row: dict[str, Any], position: int, size: int) -> bool:
        """Take in a record but for its text; whether it has one and is no row set aside."""
        keep = self._keep
        kept = None if keep is None else {k: row[k] for k in keep if k in row and k != self._text}
        text = row.pop(self._text, None)
        own = None
        if self._id is not None:
            value = row.get(self._id)
            if (type(value) is str and value) or type(value) is int:
                del row[self._id]
                own = str(value)
        source = row.get("source") if self._own_source else None
        if type(source) is str:
            del row["source"]
        else:
            source = None
        if type(text) is not str:
            self._aside(position, "no_text", f"field '{self._text}' is {_json_type(text)} or missing", own)
            return False
        try:
            meta = meta_json(row if kept is None else kept)
        except ValueError as error:
            self._aside(position, "malformed", f"its fields can't be written as JSON: {error}", own)
            return False
        self._owns.append(own)
        self._positions.append(position)
        self._sources.append(source)
        self._metas.append(meta)
        self._size += size
        return True

    def _unparsed(self, line: bytes, position: int, error: orjson.JSONDecodeError) -> None:
        try:
            line.decode()
        except UnicodeDecodeError as bad:
            self._aside(position, "invalid_utf8", f"byte {bad.start} of the line is not UTF-8")
        else:
            self._aside(position, "malformed", f"not JSON, at character {error.pos} of the line: {error.msg}")

    def _aside(self, position: int, reason: str, detail: str, own: str | None = None) -> None:
        self._asides.append(self._documents.aside(position, reason, detail, own))

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
            )
        asides = self._asides
        self._clear()
        yield from self._documents.batches(rows, asides)


def _json_type(value: object) -> str:
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
    if lower.endswith(".json") and start.removeprefix(_BOM).lstrip().startswith(b"["):
        raise InputError(
            "one JSON array, not JSON lines",
            place=file.path,
            cure="make lines of it: jq -c '.[]' FILE > FILE.jsonl",
        )
    return kind
