"""What all sources share: records become documents, or are set aside with a reason.

A source brings the columns of some records (``Rows``); ``Documents`` gives them ids, origins and hashes.

* The *key* of a record within its file is its own id, or ``@`` and its position where it has none (the byte offset
  of its line in the decompressed file, or its row's ordinal). An own id that begins with ``@`` gets a second one.
* ``origin`` is ``name#key``, where ``name`` is the file's path relative to the source's root.
* ``id`` is the 128-bit hash of (step, name, key). The name has its extensions: a file compressed anew under another
  name gives other ids; moving the whole root to another folder or machine changes nothing.
* Own ids must be unique within a file. Two records that share one are found where all rows meet, by the writer,
  which stops the run and names the id: whether they share a split must not decide what becomes of them.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from curate.schema import DOCUMENT
from curate.stages.reading_vectors import one_length
from curate.stages.source import SetAside
from curate.stages.stated import TERMS_FIELDS
from curate.text.arrow import buffers
from curate.text.hashing import content_hash, hash128

BATCH_ROWS: Final = 4096
"""Most rows of a batch."""
BATCH_BYTES: Final = 2 << 20
"""Bytes of text at which a batch is closed; one document may be larger than that."""

# Python's str.isspace, written out: the set must not change with the version of a Unicode library.
_SPACE: Final = r"\x{9}-\x{D}\x{1C}-\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"
_MAX_DEPTH: Final = 200  # orjson writes at most 254 levels


@dataclass(frozen=True)
class Rows:
    """Columns of some records of one split, row-aligned.

    Attributes:
        text: large_string, valid UTF-8, no nulls.
        own: string, the records' own ids; null where there is none.
        position: int64.
        source: string with nulls, or None when no record names its source.
        meta: string, JSON objects.
        vector: list<float32> with nulls, or None where none is read.
    """

    text: pa.LargeStringArray
    own: pa.StringArray
    position: pa.Int64Array
    source: pa.StringArray | None
    meta: pa.StringArray
    vector: pa.ListArray | None = None


class Documents:
    """Makes the documents of one split, batch by batch, in a schema."""

    def __init__(
        self,
        name: str,
        step: str,
        *,
        source: str | None,
        max_bytes: int,
        unit: str,
        terms: str | None = None,
        schema: pa.Schema = DOCUMENT,
    ) -> None:
        self._name, self._step, self._source, self._max_bytes, self._unit = name, step, source, max_bytes, unit
        self._terms, self._schema = terms, schema
        self._numbers: int | None = None

    def aside(self, position: int, reason: str, detail: str, own: str | None = None) -> tuple[int, SetAside]:
        """A record set aside, with the position by which ``batches`` sorts it in."""
        key = f"@{position}" if own is None else f"@{own}" if own.startswith("@") else own
        return position, SetAside(f"{self._name}#{key}", reason, f"{detail} ({self._unit} {position})")

    def batches(
        self, rows: Rows | None, asides: Sequence[tuple[int, SetAside]] = ()
    ) -> Iterator[pa.RecordBatch | SetAside]:
        """Documents of the rows that have a text; before them, in order, what was set aside."""
        found = list(asides)
        batch, places = None, np.empty(0, np.int64)
        if rows is not None:
            batch, places = self._documents(rows, found)
        for position, row in sorted(found, key=lambda pair: pair[0]):
            yield replace(row, after=int(np.searchsorted(places, position)))
        if batch is not None and batch.num_rows:
            yield batch

    def _documents(self, rows: Rows, found: list[tuple[int, SetAside]]) -> tuple[pa.RecordBatch, np.ndarray]:
        size = pc.binary_length(rows.text)
        large = pc.greater(size, self._max_bytes)
        blank = _blank(rows.text)
        for mask, reason, detail in (
            (large, "too_large", f"the text has more than {self._max_bytes} bytes"),
            (pc.and_not(blank, large), "no_text", "the text is empty or only white space"),
        ):
            found += [
                self.aside(rows.position[row].as_py(), reason, detail, rows.own[row].as_py())
                for row in pc.indices_nonzero(mask).to_pylist()
            ]
        rows = take(rows, pc.invert(pc.or_(large, blank)))
        key = _keys(rows)
        ids = hash128(_join(f"{self._step}\x1f{self._name}", key, "\x1f"))
        columns = [
            ids,
            rows.text,
            self._sources(rows),
            _join(self._name, key, "#").cast(pa.string()),
            rows.meta if self._terms is None else _licensed(rows.meta, self._terms),
            content_hash(rows.text),
        ]
        if rows.vector is not None:
            place = f"step '{self._step}': {self._name}, {self._unit}"
            self._numbers = one_length(rows.vector, self._numbers, lambda row: f"{place} {rows.position[row]}")
            columns.append(rows.vector)
        return pa.RecordBatch.from_arrays(columns, schema=self._schema), rows.position.to_numpy()

    def _sources(self, rows: Rows) -> pa.StringArray:
        if self._source is None and rows.source is not None:
            return pc.fill_null(rows.source, pa.scalar(self._step, pa.string()))
        return pa.repeat(pa.scalar(self._source or self._step, pa.string()), len(rows.text))


def _blank(text: pa.LargeStringArray) -> pa.BooleanArray:
    """Which texts are empty or white space alone; of those that begin with an ASCII letter or sign nothing more is looked at."""
    offsets, data = buffers(text)
    first = np.zeros(len(text), np.uint8)
    there = np.flatnonzero(offsets[1:] > offsets[:-1])
    first[there] = data[offsets[there]]
    maybe = np.flatnonzero((first <= 32) | (first >= 128))
    blank = np.zeros(len(text), np.bool_)
    blank[maybe] = pc.match_substring_regex(text.take(pa.array(maybe)), rf"\A[{_SPACE}]*\z")
    return pa.array(blank)


def take(rows: Rows, mask: pa.BooleanArray) -> Rows:
    """The rows that a mask keeps; nothing is copied when it keeps all."""
    if pc.all(mask).as_py() is not False:
        return rows
    source = None if rows.source is None else rows.source.filter(mask)
    vector = None if rows.vector is None else rows.vector.filter(mask)
    text, own, position, meta = (c.filter(mask) for c in (rows.text, rows.own, rows.position, rows.meta))
    return Rows(text, own, position, source, meta, vector)


def _join(before: str, array: pa.Array, separator: str) -> pa.LargeStringArray:
    kind = pa.large_string()
    return pc.binary_join_element_wise(pa.scalar(before, kind), array.cast(kind), pa.scalar(separator, kind))


def _keys(rows: Rows) -> pa.StringArray:
    place = _join("", rows.position.cast(pa.string()), "@").cast(pa.string())
    if rows.own.null_count == len(rows.own):
        return place
    own = pc.if_else(pc.starts_with(rows.own, "@"), _join("", rows.own, "@").cast(pa.string()), rows.own)
    return pc.coalesce(own, place)


def _plain(value: Any) -> object:
    """What orjson does not know, in types that it knows; raises TypeError for what has no form in JSON."""
    if isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return "base64:" + base64.b64encode(raw).decode()
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return str(value)
    if hasattr(value, "tolist"):  # numpy
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def _walk(value: object, depth: int = 0) -> object:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, Mapping):
        return {str(k): _walk(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(v, depth + 1) for v in value]
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return str(value)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return value


def meta_json(fields: Mapping[str, object]) -> bytes:
    """Canonical JSON of a record's other fields; raises ValueError for what is nested too deeply."""
    option = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
    try:
        return orjson.dumps(fields, default=_plain, option=option)
    except TypeError:  # huge integers, keys that are no strings, unknown types, depth
        pass
    try:
        return orjson.dumps(_walk(fields), default=_plain, option=option)
    except TypeError as error:
        raise ValueError(str(error)) from None


def meta_object(meta: str | None) -> dict[str, Any]:
    """The fields of a document's ``meta``; none of what is no JSON object."""
    if meta is None:
        return {}
    try:
        value = orjson.loads(meta)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(meta)  # NaN, lone surrogates
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _licensed(metas: pa.StringArray, terms: str) -> pa.StringArray:
    """``meta`` with a field ``license`` where nothing says the terms: these, or what the field that ``meta.FIELD`` names says.

    Each row is parsed and written again, which takes a few microseconds.
    """
    field = terms.removeprefix("meta.") if terms.startswith("meta.") else None
    found = []
    for meta in metas.to_pylist():
        row = orjson.loads(meta)
        if not any(row.get(name) for name in TERMS_FIELDS):
            said = terms if field is None else _terms(row.get(field))
            row |= {"license": said} if said else {}
        found.append(meta_json(row))
    return strings(found)


def _terms(said: object) -> str:
    """Terms that a field states: a name, or several that hold together."""
    names = said if isinstance(said, list) else [said]
    return " AND ".join(sorted({name.strip() for name in names if isinstance(name, str) and name.strip()}))


def strings(values: list[bytes]) -> pa.StringArray:
    """A string array from valid UTF-8, without decoding it."""
    return pa.array(values, pa.binary()).view(pa.string())
