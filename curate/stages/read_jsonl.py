"""``read.jsonl``: JSON lines, plain, gz or zst."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

import orjson
import pyarrow as pa

from curate.stages.reading import BATCH_BYTES, BATCH_ROWS, REASONS, Documents, Rows, TextSource, meta_json, strings
from curate.stages.reading_json import BOM, JsonLines, json_type, unparsed
from curate.stages.reading_lines import lines_of
from curate.stages.registry import register
from curate.stages.source import SetAside, Split
from curate.text.json_lines import cut, plain

_MANY_BYTES: Final = 1 << 16
"""Of lines that are taken apart by a kernel: fewer are parsed sooner than it is loaded."""


@register("read.jsonl")
class ReadJsonl(JsonLines, TextSource):
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

    def read_file(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        documents = self.documents(split, source, "byte")
        pending = _Pending(self, documents)
        for position, block in self.blocks(split):
            if block is None:
                pending.too_long(position)
            elif len(block) < _MANY_BYTES or not plain(self.text):
                yield from pending.one_by_one(lines_of(block), position)
            else:
                yield from pending.together(block, position)
        yield from pending.flush()


class _Pending:
    """Records parsed and not yet handed on."""

    def __init__(self, stage: ReadJsonl, documents: Documents) -> None:
        self._documents = documents
        self._text, self._id, self._keep = stage.text, stage.id, stage.keep
        self._own_source = stage.source is None
        self._limit = stage.line_limit()
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
        if position == 0 and line.startswith(BOM):
            line = line[3:]
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if line and not line.isspace():
                self._aside(position, *unparsed(line, error))
            return
        if type(row) is not dict:
            self._aside(position, "malformed", f"a line must be an object, not {json_type(row)}")
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
            self._aside(position, "no_text", f"field '{self._text}' is {json_type(text)} or missing", own)
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
