"""``read.jsonl``: JSON lines, plain, gz or zst."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from curate.stages.reading import REASONS, TextSource
from curate.stages.reading_documents import Documents, meta_json
from curate.stages.reading_json import JsonLines, Pending, json_type, own_id
from curate.stages.reading_lines import lines_of
from curate.stages.reading_vectors import gathered_vectors, numbers_of
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


class _Pending(Pending):
    """Of lines of which one field is the text."""

    def __init__(self, stage: ReadJsonl, documents: Documents) -> None:
        super().__init__(documents, stage.line_limit())
        self._text, self._id, self._keep = stage.text, stage.id, stage.keep
        self._own_source, self._vector = stage.source is None, stage.vector

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
        row = self.parsed(line, position)
        if row is None:
            return
        text: Any = row.get(self._text)
        if self._record(row, position, len(line)):
            self._singles.append(text)

    def _record(self, row: dict[str, Any], position: int, size: int) -> bool:
        """Take in a record but for its text; whether it has one and is no row set aside."""
        keep = self._keep
        kept = None if keep is None else {k: row[k] for k in keep if k in row and k != self._text}
        text = row.pop(self._text, None)
        vector = None if self._vector is None else numbers_of(row.pop(self._vector, None))
        own = own_id(row, self._id)
        source = row.get("source") if self._own_source else None
        if type(source) is str:
            del row["source"]
        else:
            source = None
        if type(text) is not str:
            self.aside(position, "no_text", f"field '{self._text}' is {json_type(text)} or missing", own)
            return False
        if isinstance(vector, str):
            self.aside(position, "malformed", f"field '{self._vector}' {vector}", own)
            return False
        try:
            meta = meta_json(row if kept is None else kept)
        except ValueError as error:
            self.aside(position, "malformed", f"its fields can't be written as JSON: {error}", own)
            return False
        self.take(meta, position, own, source, size)
        if self._vector is not None:
            self._vectors.append(vector)
        return True

    def vectors(self) -> pa.ListArray | None:
        return gathered_vectors(self._vectors) if self._vector is not None else None

    def _clear(self) -> None:
        super()._clear()
        self._vectors: list[npt.NDArray[np.float32] | None] = []
