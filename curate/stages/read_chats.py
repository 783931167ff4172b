"""``read.chats``: logs of requests, conversations, columns of queries and answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from curate.stages import chat_messages, reading_parquet
from curate.stages.answered import ASSISTANT, MESSAGES, MODEL, QUERY, SCORE, TASK, query_id, text_of
from curate.stages.catalog import InputFile, Range
from curate.stages.chat_forms import Exchange, Fields, at, exchange
from curate.stages.chat_messages import NotRead
from curate.stages.reading import REASONS
from curate.stages.reading_documents import BATCH_BYTES, Documents, meta_json
from curate.stages.reading_json import JsonLines, Pending, json_type, own_id
from curate.stages.reading_lines import lines_of
from curate.stages.registry import register
from curate.stages.source import SetAside, Split
from curate.stages.stated import TERMS_FIELDS


class Consent(BaseModel):
    """Who agreed that what was said may be used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str = Field("consent", min_length=1, description="field, or dotted path, that says so")
    values: tuple[bool | int | str, ...] = Field(
        (True,), min_length=1, description="values that mean consent; true is also 'true', 1 is also '1'"
    )

    def given(self, record: dict[str, Any]) -> bool:
        """Whether a record has it."""
        return _word(at(record, self.field)) in {_word(value) for value in self.values}


@register("read.chats")
class ReadChats(JsonLines):
    """Read chats: logs of requests to models, conversations, and columns of what was asked and answered.

    A record is a line of JSON, in files as read.jsonl reads them, or a row of a Parquet file, in one of these forms: a request and its response
    (`{request: {model, messages}, response: {choices}}`, files of batches, OpenAI's and Anthropic's, streamed
    ones, too); `{messages: [...]}`; ShareGPT's `{conversations: [{from, value}]}`; columns as `instruction`, `input`,
    `output`. Fields may be named by dotted paths, which also lead into JSON in strings: `label.preference`.
    A request or a response may be JSON in a string; an answer in JSON stays one.

    A document is an answered query: its text is what was said by user and assistant, `meta.messages` the chat, the
    last message the answer. Of several choices each is a document; of a chat of many turns the last answer is the
    one. With `give: queries` a document is the last thing that the user said, and `meta.messages` the chat so far,
    where there is more of it. `meta.query` is equal for all answers to one query. Other fields stay in `meta`.
    """

    revision: ClassVar[int] = 4
    reasons: ClassVar = {
        **REASONS,
        **chat_messages.REASONS,
        "no_consent": "`consent` names a field that says something else, or nothing",
    }

    give: Literal["answers", "queries"] = Field(
        "answers", description="documents: answered queries; or what was asked alone, answered or not"
    )
    format: Literal["auto", "request", "messages", "columns"] = Field(
        "auto", description="the form of all records; auto: each record's fields say it"
    )
    messages: str | None = Field(
        None, description="field with the messages; null: messages, conversations, conversation"
    )
    system: str | None = Field(
        None,
        description="field with the system message, text or blocks of text; null: system, system_prompt, and what a request has beside its messages",
    )
    query: str | None = Field(
        None,
        description="field with what was asked; null: instruction, prompt, question or query, where no messages are",
    )
    input: str | None = Field(
        None, description="field that goes on with what was asked; null: input, where there is one"
    )
    answer: str | None = Field(
        None,
        description="field with the answer; null: output, completion, response or answer, by the name of the query",
    )
    model: str | None = Field(
        None, description="field with the model's name; null: model, of the response if it has one"
    )
    score: str | None = Field(None, description="field with a number that the answer was given; true is 1, false 0")
    task: str = Field("task", description="field with the task that the query is of; may be source or another")
    consent: Consent | None = Field(
        None, description="field and values that mean consent; records without it are `no_consent`"
    )
    keep: list[str] | None = Field(
        None,
        description="fields kept in `meta`, used ones too, beside those of terms; null: all unused ones but `text`, with what is left of request and response",
    )

    suffixes: ClassVar = (*JsonLines.suffixes, *reading_parquet.SUFFIXES)

    def check(self, file: InputFile) -> None:
        if not _is_parquet(file.name):
            super().check(file)
            return
        with reading_parquet.opened(file.path, file.stamp):
            pass

    def ranges(self, file: InputFile, split_bytes: int) -> Iterator[Range]:
        if not _is_parquet(file.name):
            yield from super().ranges(file, split_bytes)
            return
        with reading_parquet.opened(file.path, file.stamp) as (parquet, _):
            yield from reading_parquet.ranges(parquet, split_bytes)

    def read_file(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        if _is_parquet(split.name):
            yield from self._read_parquet(split, source)
            return
        pending = _Pending(self, self.documents(split, source, "byte"))
        for position, block in self.blocks(split):
            if block is None:
                pending.too_long(position)
                continue
            for line in lines_of(block):
                yield from pending.line(line, position)
                position += len(line) + 1
        yield from pending.flush()

    def _read_parquet(self, split: Split, source: str) -> Iterator[pa.RecordBatch | SetAside]:
        pending = _Pending(self, self.documents(split, source, "row"))
        with reading_parquet.opened(split.path, split.stamps) as (parquet, _):
            schema = parquet.schema_arrow
            # Columns that share a name can't be told apart.
            names = [name for name in schema.names if schema.names.count(name) == 1]
            for position, batch in reading_parquet.batches(parquet, split, names):
                yield from pending.rows(batch, position)
        yield from pending.flush()


def _written_out(row: pa.RecordBatch) -> pa.RecordBatch:
    """One row by itself, without what columns of dictionaries and of views, at any depth, hold of other rows."""
    columns = []
    for column in row.columns:
        plain = _plain(column.type)
        columns.append(column if plain == column.type else column.cast(plain))
    return pa.RecordBatch.from_arrays(columns, names=row.schema.names)


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type with the values of dictionaries and of views in their places."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([one.with_type(_plain(one.type)) for one in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain(kind.key_type), kind.item_field.with_type(_plain(kind.item_type)))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_plain(kind.value_type)))
    return kind


def _is_parquet(name: str) -> bool:
    return name.lower().endswith(reading_parquet.SUFFIXES)


class _Pending(Pending):
    """Of lines and rows that are chats."""

    def __init__(self, stage: ReadChats, documents: Documents) -> None:
        super().__init__(documents, stage.line_limit())
        self._stage = stage
        named = {name: getattr(stage, name) for name in ("messages", "system", "query", "input", "answer", "model")}
        self._fields = Fields(stage.format, **named)
        self._answered = stage.give == "answers"

    def line(self, line: bytes, position: int) -> Iterator[pa.RecordBatch | SetAside]:
        """Take in one line; what is handed on, if it is time to."""
        record = self.parsed(line, position)
        if record is not None:
            yield from self._record(record, position)
        if self.full():
            yield from self.flush()

    def rows(self, batch: pa.RecordBatch, position: int) -> Iterator[pa.RecordBatch | SetAside]:
        """The same of the rows of a table, the first of which has this position."""
        half = batch.num_rows // 2
        if not half:  # the others' entries of a dictionary are not its own
            batch = _written_out(batch)
        if batch.nbytes > (BATCH_BYTES if half else self._limit):
            if half:
                yield from self._halves(batch, half, position)
            else:
                yield from self._aside(position, "too_large", f"the row has more than {self._limit} bytes")
            return
        try:
            records = batch.to_pylist()
        except (ValueError, TypeError, OverflowError) as error:
            if half:
                yield from self._halves(batch, half, position)
                return
            utf8 = isinstance(error, UnicodeDecodeError)
            why = "a field holds bytes that are not UTF-8" if utf8 else f"a field can't be read: {str(error)[:200]}"
            yield from self._aside(position, "invalid_utf8" if utf8 else "malformed", why)
            return
        for number, record in enumerate(records, position):
            yield from self._record(record, number)
            if self.full():
                yield from self.flush()

    def _aside(self, position: int, reason: str, detail: str) -> Iterator[pa.RecordBatch | SetAside]:
        """A row that can't be read, set aside; there may be any number of them."""
        self.aside(position, reason, detail)
        if self.full():
            yield from self.flush()

    def _halves(self, batch: pa.RecordBatch, half: int, position: int) -> Iterator[pa.RecordBatch | SetAside]:
        """Few enough rows at a time to be objects together; at last the one that can't be read."""
        yield from self.rows(batch.slice(0, half), position)
        yield from self.rows(batch.slice(half), position + half)

    def _record(self, record: dict[str, Any], position: int) -> Iterator[pa.RecordBatch | SetAside]:
        stage, source = self._stage, None
        # Before what is used is taken out of the record: what is named stays, used or not.
        names = () if stage.keep is None else (*stage.keep, *TERMS_FIELDS)
        kept = {name: record[name] for name in names if name in record}
        own = own_id(record, stage.id)
        if stage.consent is not None and not stage.consent.given(record):
            said = at(record, stage.consent.field)
            word = said if isinstance(said, str) else _word(said)
            what = "missing" if said is None else json_type(said) if word is None else f"{word[:40]!r}"
            self.aside(position, "no_consent", f"field '{stage.consent.field}' is {what}", own)
            return
        facts = self._facts(record)
        if stage.source is None and type(record.get("source")) is str:
            source = record.pop("source")
        try:
            found = exchange(record, self._fields, answered=self._answered)
        except NotRead as why:
            self.aside(position, why.reason, why.detail, own)
            return
        rest = record if stage.keep is None else kept
        yield from self._documents_of(found, {**rest, **facts}, (position, own, source))

    def _facts(self, record: dict[str, Any]) -> dict[str, Any]:
        """What ``meta`` says of every document of a record; fields with its names are taken out of it."""
        stage = self._stage
        task = _word(at(record, stage.task))
        score = None if stage.score is None else _number(at(record, stage.score))
        if task is not None and stage.task != "source":
            record.pop(stage.task, None)
        return {name: value for name, value in ((TASK, task), (SCORE, score)) if value not in (None, "")}

    def _documents_of(
        self, found: Exchange, meta: dict[str, Any], where: tuple[int, str | None, str | None]
    ) -> Iterator[pa.RecordBatch | SetAside]:
        position, own, source = where
        for name in (MESSAGES, "text"):  # of another form: the chat written out, which nobody would think of
            meta.pop(name, None)
        if found.model is not None:
            meta[MODEL] = found.model
        meta[QUERY] = query_id(found.asked)
        if not self._answered:
            if len(found.asked) > 1:
                meta[MESSAGES] = found.asked
            self._add(found.asked[-1]["content"], meta, where)
            return
        if not found.answers:
            self.aside(position, "no_answer", "the record has no answer", own)
        for number, answer in enumerate(found.answers):
            if self.full():  # many choices of a long prompt are far more than their line
                yield from self.flush()
            if number:  # further choices: names of their own
                own = f"{where[1]}/{number}" if where[1] is not None else f"@{position}/{number}"
            if isinstance(answer, NotRead):
                self.aside(position, answer.reason, answer.detail, own)
                continue
            messages = [*found.asked, {"role": ASSISTANT, "content": answer}]
            self._add(text_of(messages), {**meta, MESSAGES: messages}, (position, own, source))

    def _add(self, text: str, meta: dict[str, Any], where: tuple[int, str | None, str | None]) -> None:
        try:
            written = meta_json(meta)
        except ValueError as error:
            self.aside(where[0], "malformed", f"its fields can't be written as JSON: {error}", where[1])
            return
        self._singles.append(text)
        self.take(written, *where, len(text) + len(written))


def _word(value: Any) -> str | None:
    """A value as one word: what JSON and what YAML call true are the same."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return value.lower() if isinstance(value, str) and value.lower() in ("true", "false") else _said(value)


def _said(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | int | None:
    """A score; what is none, or not finite, is not there."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("true", "false"):
            return int(word == "true")
        try:
            value = float(word)
        except ValueError:
            return None
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, int | float) and math.isfinite(value) else None
