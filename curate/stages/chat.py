"""Chats as tokens: messages in their order, with control symbols around them that no text can write.

A message is ``<|im_start|>role⏎content<|im_end|>⏎`` (ChatML), or, where a role has a symbol of its own,
``<|user|>⏎content<|end|>⏎``. Role, content and line feeds are text, each encoded by itself: a content that spells
``<|im_end|>`` is its characters. What is trained on are the contents of some roles, of all turns or of the last message alone,
and the symbols that end them: a model has to learn when to stop, and nobody has to learn what a user says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from curate.stages.answered import ASSISTANT
from curate.stages.strata import META, objects
from curate.stages.tokenizer import Tokenizer

I64 = npt.NDArray[np.int64]
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


class Chat(BaseModel):
    """Where a document's messages are, how they are written, and which of them are trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: str = Field(
        "meta.messages",
        pattern=r"^meta\..+",
        description="field of `meta` with a list of {role, content}; documents without it are encoded as text",
    )
    train_on: tuple[str, ...] = Field(
        ("assistant",), description="roles whose contents, and the symbols that end them, are targets"
    )
    turns: Literal["all", "last"] = Field(
        "all",
        description="which of these are targets: all of a chat's turns, or its `last` message alone: what a log's model said"
        " before a teacher answered is none of the teacher's",
    )
    start: str = Field("<|im_start|>", description="control symbol before a role's name")
    end: str = Field("<|im_end|>", description="control symbol behind a content")
    roles: dict[str, str] = Field(
        default_factory=dict,
        description="control symbols that stand for roles, in place of `start` and the name: {user: <|user|>, ...}",
    )


@dataclass(frozen=True)
class Messages:
    """The messages of n documents.

    Attributes:
        rows: int64[n + 1]; document ``i`` has the messages ``rows[i]:rows[i + 1]``.
        role, content: strings (large_string) of all messages.
        chats: bool[n], which documents have messages; the others are texts.
        bad: bool[n], which have something in their place that is none: no list, an empty one, a role or content that
            is no string, or a role without a symbol.
    """

    rows: I64
    role: pa.LargeStringArray
    content: pa.LargeStringArray
    chats: npt.NDArray[np.bool_]
    bad: npt.NDArray[np.bool_]

    def last(self) -> npt.NDArray[np.bool_]:
        """bool[m]: which messages are the last ones of their documents."""
        found = np.zeros(len(self.role), np.bool_)
        found[self.rows[1:][np.diff(self.rows) > 0] - 1] = True
        return found


def messages_of(metas: pa.StringArray, chat: Chat) -> Messages:
    """The messages in documents' ``meta``."""
    field, metas = chat.messages.removeprefix(META), pc.fill_null(metas, "{}")
    found = _by_arrow(metas, field)
    if found is None:
        values = [_value(meta, field) for meta in metas.to_pylist()]
        found = pa.array([_said(value) for value in values], _MESSAGES)
        wrong = np.array([value is not None and not isinstance(value, list) for value in values], np.bool_)
    else:
        wrong = np.zeros(len(metas), np.bool_)
    chats = found.is_valid().to_numpy(zero_copy_only=False)
    counts = pc.fill_null(pc.list_value_length(found), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = found.flatten()
    role, content = pc.struct_field(flat, "role"), pc.struct_field(flat, "content")
    odd = pc.or_(pc.is_null(role), pc.is_null(content))
    if chat.roles:
        odd = pc.or_(odd, pc.invert(pc.is_in(pc.fill_null(role, ""), pa.array(list(chat.roles), pa.string()))))
    of_row = np.repeat(np.arange(len(metas)), counts)
    hurt = np.bincount(of_row, odd.to_numpy(zero_copy_only=False), len(metas)) > 0
    bad = wrong | (chats & ((counts == 0) | hurt))
    # A bad one has no messages: nothing is encoded of what is dropped.
    keep = ~bad[of_row]
    rows = np.concatenate(([0], np.cumsum(np.where(bad, 0, counts)))).astype(np.int64)
    kept = [values.cast(pa.large_string()).filter(pa.array(keep)) for values in (role, content)]
    return Messages(rows, kept[0], kept[1], chats & ~bad, bad)


def last_answers(metas: pa.StringArray) -> pa.LargeStringArray:
    """What the assistant said last in each document's ``meta.messages``; null where somebody else spoke last, nothing was said,
    or there are no messages."""
    found = messages_of(metas, Chat())
    last = np.where(np.diff(found.rows) > 0, found.rows[1:] - 1, 0)
    there = pa.array(np.diff(found.rows) > 0)
    if not len(found.role):
        return pa.nulls(len(metas), pa.large_string())
    said = found.content.take(pa.array(last))
    by = pc.equal(found.role.take(pa.array(last)), ASSISTANT)
    said_something = pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(said)), 0)
    return pc.if_else(pc.and_(pc.and_(there, by), said_something), said, pa.scalar(None, pa.large_string()))


def _by_arrow(metas: pa.StringArray, field: str) -> pa.ListArray | None:
    """All rows at once by Arrow's own reader; None where it can't: then each is looked at."""
    table = objects(metas, pa.schema([(field, _MESSAGES)]))
    return None if table is None else table.column(field).combine_chunks()


def _value(meta: str, field: str) -> Any:
    try:
        value = json.loads(meta)
    except ValueError:
        return None
    return value.get(field) if isinstance(value, dict) else None


def _said(value: Any) -> list[dict[str, str | None]] | None:
    """A row's messages, null where there are none; what is no string in them is null, and so is a lone surrogate."""
    if not isinstance(value, list):
        return None
    found = []
    for one in value:
        parts = one if isinstance(one, dict) else {}
        found.append({name: _text(parts.get(name)) for name in ("role", "content")})
    return found


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def encoded(
    text: pa.LargeStringArray, messages: Messages, tokenizer: Tokenizer, chat: Chat
) -> tuple[pa.LargeListArray, pa.ListArray]:
    """Ids of each document, and runs of tokens that are not, and are, trained on (null: all are; see EncodeTokens)."""
    texts = tokenizer.encode(
        pc.if_else(pa.array(messages.chats | messages.bad), pa.scalar("", pa.large_string()), text)
    )
    contents = tokenizer.encode(messages.content)
    roles = messages.role.dictionary_encode()
    heads = [_head(name, tokenizer, chat) for name in roles.dictionary.to_pylist()]
    tail = np.concatenate(([tokenizer.control(chat.end)], _ids(tokenizer, "\n"))).astype(tokenizer.dtype)
    pool = np.concatenate([texts.values.to_numpy(), contents.values.to_numpy(), *heads, tail])
    places = np.cumsum([0, len(texts.values), len(contents.values), *map(len, heads)])
    # Segments of the pool in their order: of a text one; of a message its head, its content, its end, its line feed.
    code = roles.indices.to_numpy(zero_copy_only=False)
    targets = pc.is_in(messages.role, pa.array(chat.train_on, pa.large_string())).to_numpy(zero_copy_only=False)
    if chat.turns == "last":
        targets &= messages.last()
    head_sizes = np.array([len(head) for head in heads], np.int64)
    inside, sizes = contents.offsets.to_numpy(), np.diff(contents.offsets.to_numpy())
    end = np.full(len(code), places[-1])
    starts = np.stack([places[2:-1][code], places[1] + inside[:-1], end, end + 1], axis=1).reshape(-1)
    lengths = np.stack([head_sizes[code], sizes, np.ones_like(sizes), np.full_like(sizes, len(tail) - 1)], axis=1)
    trained = np.stack([np.zeros_like(targets), targets, targets, np.zeros_like(targets)], axis=1).reshape(-1)
    return _joined(texts, messages, pool, starts, lengths.reshape(-1)), _runs(messages, lengths.reshape(-1), trained)


def _ids(tokenizer: Tokenizer, text: str) -> npt.NDArray[Any]:
    return tokenizer.encode(pa.array([text], pa.large_string())).values.to_numpy()


def _head(role: str, tokenizer: Tokenizer, chat: Chat) -> npt.NDArray[Any]:
    if role in chat.roles:
        return np.concatenate(([tokenizer.control(chat.roles[role])], _ids(tokenizer, "\n"))).astype(tokenizer.dtype)
    return np.concatenate(([tokenizer.control(chat.start)], _ids(tokenizer, role + "\n"))).astype(tokenizer.dtype)


def _joined(
    texts: pa.LargeListArray, messages: Messages, pool: npt.NDArray[Any], starts: I64, lengths: I64
) -> pa.LargeListArray:
    """Each document's segments of the pool, one after the other: of its messages four each, or of its text."""
    own = texts.offsets.to_numpy()
    before = messages.rows * 4
    where = np.insert(starts, before[:-1], own[:-1])
    how_long = np.insert(lengths, before[:-1], np.diff(own))
    ends = np.concatenate(([0], np.cumsum(how_long)))
    at = np.repeat(where - ends[:-1], how_long) + np.arange(ends[-1])
    offsets = ends[before + np.arange(len(before))]
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(pool[at]))


def _runs(messages: Messages, lengths: I64, trained: npt.NDArray[np.bool_]) -> pa.ListArray:
    """Neighbouring segments that are alike, as one; a chat begins with a head, so with what is not trained on."""
    there = lengths > 0
    owner = np.repeat(np.arange(len(messages.rows) - 1), np.diff(messages.rows) * 4)[there]
    lengths, trained = lengths[there], trained[there]
    first = np.ones(len(lengths), np.bool_)
    first[1:] = (owner[1:] != owner[:-1]) | (trained[1:] != trained[:-1])
    starts = np.flatnonzero(first)
    sums = np.add.reduceat(lengths, starts) if len(starts) else lengths
    counts = np.bincount(owner[starts], minlength=len(messages.chats))
    offsets = pa.array(np.concatenate(([0], np.cumsum(counts))), pa.int32())
    values = pa.array(sums, pa.int32())
    return pa.ListArray.from_arrays(offsets, values, mask=pa.array(~messages.chats))
