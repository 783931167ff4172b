"""Queries among documents: what each asks, and all of them in the order of a keyed hash, in bounded memory.

The order is one of what is asked alone, so two steps that read the same queries under one key go through them alike, and
any number of them from its beginning is a random sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.stages.answered import ASSISTANT, MESSAGES, SUBMIX, SYSTEM, USER, query_id, without_drawn
from curate.stages.reading_documents import meta_object
from curate.text.batch import Batch

__all__ = ["ASKED_ALIKE", "NO_QUERY", "TOO_LONG", "Query", "asked", "in_order", "rows_of"]

I64 = npt.NDArray[np.int64]
_AT_ONCE: Final = 128 << 20
"""Bytes of documents that are in memory at a time: the rows are gone through once more for each so many."""
_ROLES: Final = frozenset({SYSTEM, USER, ASSISTANT})


@dataclass(frozen=True)
class Query:
    """A query.

    Attributes:
        document: the document that it is, hex id.
        id: what stands for what is asked, see ``answered.query_id``.
        messages: the chat so far, the last by the user.
        meta: of the document; ``submix``, where it says none, is its source.
        columns: values of the columns that were asked for, by name.
    """

    document: str
    id: str
    messages: tuple[Mapping[str, str], ...]
    meta: Mapping[str, Any]
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What the user says last."""
        return self.messages[-1]["content"]

    @property
    def system(self) -> str:
        """The chat's own system message; empty where it has none."""
        return self.messages[0]["content"] if self.messages[0]["role"] == SYSTEM else ""


def asked(text: str, meta: Mapping[str, Any]) -> tuple[Mapping[str, str], ...] | None:
    """What a document asks: its ``meta.messages`` up to the last that a user says (of an answered query that is before the
    answer), else its text. None: it asks nothing, or what is in the place of its messages is no chat."""
    given = meta.get(MESSAGES)
    if given is None:
        return ({"role": USER, "content": text},) if text.strip() else None
    if not isinstance(given, list):
        return None
    found: list[Mapping[str, str]] = []
    for number, message in enumerate(given):
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if role not in _ROLES or not isinstance(content, str) or (role == SYSTEM and number):
            return None
        found.append({"role": role, "content": content})
    if found and found[-1]["role"] == ASSISTANT:
        found.pop()
    return tuple(found) if found and found[-1]["role"] == USER and found[-1]["content"].strip() else None


TOO_LONG: Final = "longer than max_query_chars"
NO_QUERY: Final = "asks nothing, or is no chat"
ASKED_ALIKE: Final = "asks what another one asks"
"""Why documents are no queries that are asked."""


def in_order(
    docs: Iterable[Batch],
    key: int,
    *,
    longest: int,
    passed: Counter[str],
    columns: Sequence[str] = (),
    at_once: int = _AT_ONCE,
) -> Iterator[Query]:
    """The queries of documents, each once: of documents that ask the same the one with the smallest id.

    Goes through the documents once to find the order, 64 bytes each, and once for each ``at_once`` bytes of what is taken.

    Args:
        docs: may be gone through several times, in one order.
        key: of the hash.
        longest: characters of a chat; longer ones are passed over.
        passed: documents that are passed over are counted in it, by reason, and all others as ``""``.
        columns: whose values are wanted.
        at_once: bytes.
    """
    rows, sizes = _order(docs, key, longest, passed)
    ends = np.cumsum(sizes)
    start = 0
    while start < len(rows):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + at_once, "right")))
        yield from _taken(docs, rows[start:stop], columns)
        start = stop


def _order(docs: Iterable[Batch], key: int, longest: int, passed: Counter[str]) -> tuple[I64, I64]:
    """Numbers of the rows in the order, and bytes of each; counts in ``passed`` all rows by what becomes of them."""
    from curate.text.arrow import fixed
    from curate.text.hashing import keyed_hash

    rows: list[I64] = []
    sizes: list[I64] = []
    names: list[npt.NDArray[np.uint64]] = []
    first = 0
    for batch in docs:
        found = [_found(*one) for one in _pairs(batch)]
        asks = np.array([query is not None for query in found], np.bool_)
        there = np.array([query is not None and _chars(query) <= longest for query in found], np.bool_)
        passed[NO_QUERY] += int((~asks).sum())
        passed[TOO_LONG] += int((asks & ~there).sum())
        queries = pa.array(
            [bytes.fromhex(query_id(q)) for q, keep in zip(found, there, strict=True) if keep and q is not None],
            pa.binary(16),
        )
        ids = batch.column("id").filter(pa.array(there))
        names.append(
            np.column_stack(
                [keyed_hash(queries, key), *(fixed(one).view(">u8").astype(np.uint64) for one in (queries, ids))]
            )
        )
        lengths = sum(np.diff(_offsets(batch.column(name))) for name in ("text", "meta"))
        rows.append(np.flatnonzero(there) + first)
        sizes.append(np.asarray(lengths, np.int64)[there])
        first += len(batch)
    if not rows:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    name = np.concatenate(names)
    order = np.lexsort(name.T[::-1])
    asked_for = name[order, 1:3]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (asked_for[1:] != asked_for[:-1]).any(axis=1)
    passed[ASKED_ALIKE] += int((~fresh).sum())
    order = order[fresh]
    passed[""] += len(order)
    return np.concatenate(rows)[order], np.concatenate(sizes)[order]


def _taken(docs: Iterable[Batch], rows: I64, columns: Sequence[str]) -> Iterator[Query]:
    """The queries in some rows, in the order in which these are named."""
    by_row = np.argsort(rows, kind="stable")
    found: dict[int, Query] = {}
    names = ["id", "text", "meta", "source", *columns]
    for some, span in rows_of(docs, rows[by_row]):
        values = zip(*(some.column(name).to_pylist() for name in names), strict=True)
        for place, (one, text, meta, source, *more) in zip(by_row[span].tolist(), values, strict=True):
            told = meta_object(meta)
            messages = _query(text or "", told)
            assert messages is not None
            told = {SUBMIX: source, **told}
            found[place] = Query(one.hex(), query_id(messages), messages, told, dict(zip(columns, more, strict=True)))
    for place in range(len(rows)):
        yield found.pop(place)


def rows_of(docs: Iterable[Batch], wanted: I64) -> Iterator[tuple[pa.RecordBatch, slice]]:
    """Some rows of documents, by their ascending numbers among all: those of each batch that has any, and which they are of
    the wanted ones."""
    first = 0
    for batch in docs:
        low, high = np.searchsorted(wanted, (first, first + len(batch)))
        if low < high:
            yield batch.rows.take(pa.array(wanted[low:high] - first)), slice(low, high)
        first += len(batch)


def _pairs(batch: Batch) -> Iterator[tuple[str | None, str | None]]:
    return zip(batch.column("text").to_pylist(), batch.column("meta").to_pylist(), strict=True)


def _found(text: str | None, meta: str | None) -> tuple[Mapping[str, str], ...] | None:
    return _query(text or "", meta_object(meta))


def _query(text: str, meta: Mapping[str, Any]) -> tuple[Mapping[str, str], ...] | None:
    """What a document asks, without a system message that was drawn for an answer that it has, or had."""
    messages = asked(text, meta)
    return None if messages is None else tuple(without_drawn(messages, meta))


def _chars(messages: Iterable[Mapping[str, str]]) -> int:
    return sum(len(message["content"]) for message in messages)


def _offsets(values: pa.Array) -> npt.NDArray[np.int64]:
    from curate.text.arrow import buffers

    return buffers(values.cast(pa.large_string()))[0]
