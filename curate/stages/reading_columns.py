"""Records that are already columns (Parquet, Arrow, datasets): which columns are read, and how they become rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from curate import schema as documents_schema
from curate.errors import InputError, did_you_mean
from curate.stages.reading import TextSource
from curate.stages.reading_documents import BATCH_BYTES, BATCH_ROWS, Documents, Rows, meta_json, strings, take
from curate.stages.reading_vectors import is_vectors, vectors_of
from curate.stages.source import SetAside
from curate.stages.stated import TERMS, is_terms, terms_of
from curate.stages.terms import UNSTATED, strictest


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold texts: strings or bytes, of any width, also dictionary-encoded."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
    )


@dataclass(frozen=True)
class Columns:
    """The columns of one schema that are read, by role; ``meta`` has those kept.

    ``written``: the records are documents that ``write.text`` wrote. What their ``meta`` says stays what it is (terms, who wrote
    them, what they were made of), with the id that they had as ``document``.
    """

    text: str
    own: str | None
    source: str | None
    meta: tuple[str, ...]
    written: bool = False
    vector: str | None = None

    @classmethod
    def of(cls, stage: TextSource, schema: pa.Schema, place: str) -> Columns:
        """The columns a stage reads; raises InputError when one that its settings name is missing or no text."""
        names = list(schema.names)
        own_named = [stage.id] if "id" in stage.model_fields_set and stage.id is not None else []
        vector = [stage.vector] if stage.vector is not None else []
        settings = (("text", [stage.text]), ("vector", vector), ("id", own_named), ("keep", stage.keep or []))
        for setting, wanted in settings:
            for name in wanted:
                if names.count(name) != 1:
                    what = f"no column '{name}'" if name not in names else f"two columns '{name}'"
                    raise InputError(f"{what} (setting {setting})", place=place, cure=did_you_mean(name, names))
        kind = schema.field(stage.text).type
        if not is_text(kind):
            texts = [f.name for f in schema if is_text(f.type)]
            raise InputError(
                f"column '{stage.text}' holds {kind}, not text",
                place=place,
                cure=f"columns of text: {', '.join(texts) or 'none'}",
            )
        for name in vector:
            if not is_vectors(schema.field(name).type):
                lists = [f.name for f in schema if is_vectors(f.type)]
                raise InputError(
                    f"column '{name}' holds {schema.field(name).type}, no vectors",
                    place=place,
                    cure=f"columns of lists of numbers: {', '.join(lists) or 'none'}",
                )
        own = stage.id if names.count(stage.id) == 1 else None
        if own is not None and not (is_text(schema.field(own).type) or pa.types.is_integer(schema.field(own).type)):
            own = None
        source = None
        if stage.source is None and names.count("source") == 1 and is_text(schema.field("source").type):
            source = "source"
        used = {stage.text} if stage.keep is not None else {stage.text, own, source, stage.vector}
        # A name that two columns share can't be asked for: such columns are left out.
        meta = [n for n in (names if stage.keep is None else stage.keep) if n not in used and names.count(n) == 1]
        written = set(documents_schema.DOCUMENT.names) <= set(names) and "meta" in meta and own == "id"
        if written:
            meta = [n for n in meta if n not in ("origin", "content_hash")]
        return cls(stage.text, own, source, tuple(dict.fromkeys(meta)), written, stage.vector)

    def names(self) -> list[str]:
        """Columns to read, each once."""
        named = (self.text, self.own, self.source, self.vector, *self.meta)
        return list(dict.fromkeys(n for n in named if n is not None))

    def documents(
        self, batch: pa.RecordBatch, position: int, documents: Documents
    ) -> Iterator[pa.RecordBatch | SetAside]:
        """Documents of a record batch whose first row has this position."""
        for start, stop in _slices(batch.column(self.text)):
            yield from self._slice(batch.slice(start, stop - start), position + start, documents)

    def _slice(self, batch: pa.RecordBatch, position: int, documents: Documents) -> Iterator[pa.RecordBatch | SetAside]:
        asides: list[tuple[int, SetAside]] = []
        good = np.ones(batch.num_rows, np.bool_)
        own, bad_own = self._strings(batch, self.own)
        source, bad_source = self._strings(batch, self.source)
        text, bad_text = self._strings(batch, self.text)
        assert text is not None

        def aside(row: int, reason: str, detail: str) -> None:
            if good[row]:
                good[row] = False
                known = own[row].as_py() if own is not None and row not in bad_own else None
                asides.append(documents.aside(position + row, reason, detail, known or None))

        for name, bad in ((self.text, bad_text), (self.own, bad_own), (self.source, bad_source)):
            for row in bad:
                aside(row, "invalid_utf8", f"column '{name}' holds bytes that are not UTF-8")
        for row in pc.indices_nonzero(text.is_null()).to_pylist():
            aside(row, "no_text", f"column '{self.text}' is null")
        vector = None
        if self.vector is not None:
            vector, wrong = vectors_of(batch.column(self.vector))
            for row, why in wrong.items():
                aside(row, "malformed", f"column '{self.vector}' {why}")
        metas: list[bytes] = []
        for row, meta in enumerate(self._metas(batch)):
            if isinstance(meta, str):
                aside(row, "invalid_utf8" if "UTF-8" in meta else "malformed", meta)
            metas.append(b"" if isinstance(meta, str) else meta)
        count = batch.num_rows
        nulls = pa.nulls(count, pa.string())
        own = nulls if own is None else pc.if_else(pc.equal(own, ""), pa.scalar(None, pa.string()), own)
        positions = pa.array(np.arange(position, position + count, dtype=np.int64))
        rows = Rows(text.cast(pa.large_string()), own, positions, source, strings(metas), vector)
        rows = take(rows, pa.array(good))
        yield from documents.batches(rows, asides)

    def _strings(self, batch: pa.RecordBatch, name: str | None) -> tuple[pa.Array | None, set[int]]:
        """A column as valid strings, and the rows, null now, that were not UTF-8."""
        if name is None:
            return None, set()
        wide = name == self.text
        column = batch.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_integer(column.type):
            return column.cast(pa.string()), set()
        raw = column.cast(pa.large_binary() if wide else pa.binary())
        kind = pa.large_string() if wide else pa.string()
        try:
            return raw.cast(kind), set()  # checks the UTF-8
        except pa.ArrowInvalid:
            values: list[str | None] = []
            bad: set[int] = set()
            for row, value in enumerate(raw.to_pylist()):
                try:
                    values.append(None if value is None else value.decode())
                except UnicodeDecodeError:
                    values.append(None)
                    bad.add(row)
            return pa.array(values, kind), bad

    def _metas(self, batch: pa.RecordBatch) -> list[bytes | str]:
        """JSON of each row's other fields, or a line that says why there is none."""
        if not self.meta:
            return [b"{}"] * batch.num_rows
        other = batch.select(list(self.meta))
        try:
            rows = other.to_pylist()
            if self.written:
                ids = batch.column("id").to_pylist()
                rows = [_as_written(row, own) for row, own in zip(rows, ids, strict=True)]
            return [meta_json(row) for row in rows]
        except (ValueError, TypeError, OverflowError):  # UnicodeDecodeError is a ValueError
            return [_meta(other.slice(row, 1)) for row in range(batch.num_rows)]


def _as_written(row: dict[str, object], own: object) -> dict[str, object]:
    """``meta`` of a document that was written with one."""
    said = row["meta"]
    try:
        meta = orjson.loads(said) if isinstance(said, str) else None
    except orjson.JSONDecodeError:
        meta = None
    if not isinstance(meta, dict):
        return row
    others = {name: value for name, value in row.items() if name != "meta"}
    # Of texts that a step put beside the row's own, as pair.answers does: they lie in its meta now.
    beside = [said for name, said in others.items() if is_terms(name) and isinstance(said, str)]
    if beside:
        meta[TERMS] = strictest([terms_of(meta) or UNSTATED, *beside])
    return {**others, "document": own, **meta}


def _meta(row: pa.RecordBatch) -> bytes | str:
    try:
        return meta_json(row.to_pylist()[0])
    except UnicodeDecodeError:
        return "a field of meta holds bytes that are not UTF-8"
    except (ValueError, TypeError, OverflowError) as error:
        return f"its fields can't be written as JSON: {str(error)[:200]}"


def _slices(text: pa.Array) -> Iterator[tuple[int, int]]:
    """Ranges of rows with at most BATCH_ROWS rows and about BATCH_BYTES of text."""
    # Of a dictionary never all rows written out: a thousand rows of one long entry are a small file.
    packed = pa.types.is_dictionary(text.type)
    lengths = _lengths(text.dictionary).take(text.indices) if packed else _lengths(text)
    total = np.cumsum(pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False).astype(np.int64))
    start, before = 0, 0
    while start < len(total):
        stop = int(np.searchsorted(total, before + BATCH_BYTES, side="left")) + 1
        stop = min(stop, start + BATCH_ROWS, len(total))
        yield start, stop
        start, before = stop, int(total[stop - 1])


def _lengths(text: pa.Array) -> pa.Array:
    if pa.types.is_string_view(text.type) or pa.types.is_binary_view(text.type):
        text = text.cast(pa.large_binary())
    return pc.binary_length(text)
