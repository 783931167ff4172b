"""``chats.text``: which side of a chat is its document's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.stages.answered import ASSISTANT, MESSAGES, SYSTEM, USER
from curate.stages.base import Context, Filter, Signals
from curate.stages.chat import Chat, Messages, messages_of
from curate.stages.reading_documents import meta_json, meta_object, strings
from curate.stages.registry import register
from curate.text.batch import Batch

_CHAT = Chat()


@register("chats.text")
class ChatsText(Filter):
    """Make what was asked, what was answered, or all of it the text of documents that have `meta.messages`.

    So duplicates, classifiers, languages are told by queries alone, and by whole chats again: `show: query`, then
    what looks at queries, then `show: chat`. What was asked is the last message by the user; the whole chat is what
    user and assistant said, as read.chats gives it. Documents without messages keep their text: a query that was
    read as one. With `drop_answer` documents become such queries: the answer leaves `meta.messages`, too.

    The same last message in another chat is another query: `before: true` adds a column that tells what stands before it,
    system messages included, for `within` of what looks for duplicates.
    """

    reasons: ClassVar = {
        "bad_messages": "`meta.messages` is no list of {role, content}, or an empty one",
        "no_query": "`show` is query, and nothing in the chat is by the user",
        "no_answer": "`show` is answer, and the last message is not the assistant's, or there are no messages",
    }
    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "messages": pa.int64(),
        "bad": pa.bool_(),
        "asked": pa.bool_(),
        "answered": pa.bool_(),
        "before": pa.string(),
    }
    decide_settings: ClassVar = frozenset({"show", "drop_answer"})

    show: Literal["query", "answer", "chat"] = Field("query", description="what becomes the text")
    drop_answer: bool = Field(
        False, description="take the last answer out of `meta.messages` as well; a query that is left alone needs none"
    )

    before: bool = Field(
        False,
        description="add a column `before`, a hash of all that stands before the query but for white space; null: nothing does",
    )

    @model_validator(mode="after")
    def _queries(self) -> Self:
        for name in ("drop_answer", "before"):
            if getattr(self, name) and self.show != "query":
                raise ValueError(f"{name} is for queries: show: query goes with it")
        return self

    def adds(self) -> Mapping[str, pa.DataType]:
        """What stands before the query."""
        return {"before": self.signals["before"]} if self.before else {}

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """How many messages there are, and by whom."""
        found = _messages(docs)
        return {
            "messages": pa.array(np.diff(found.rows), mask=~found.chats),
            "bad": pa.array(found.bad),
            "asked": pa.array(_last(found, USER) >= 0),
            "answered": pa.array(_answered(found)),
            "before": _before(found) if self.before else pa.nulls(len(docs), pa.string()),
        }

    def rules(self, signals: Signals) -> Sequence[tuple[str, pa.Array]]:
        """Each reason's rule."""
        found = [("bad_messages", signals["bad"])]
        if self.show == "query":
            found.append(("no_query", pc.and_not(pc.is_valid(signals["messages"]), signals["asked"])))
        if self.show == "answer":
            found.append(("no_answer", pc.invert(signals["answered"])))
        return found

    def edits(self) -> bool:
        """Always."""
        return True

    def edit(self, docs: Batch, ctx: Context) -> pa.Array:
        """The side of each chat that is shown."""
        found = _messages(docs)
        if self.show == "chat":
            return pc.if_else(pa.array(found.chats), _joined(found), docs.text)
        last = _last(found, USER) if self.show == "query" else np.where(_answered(found), found.rows[1:] - 1, -1)
        said = found.content.take(pa.array(last, mask=last < 0))
        return pc.coalesce(said, docs.text)

    def edits_meta(self) -> bool:
        """Where answers leave it."""
        return self.drop_answer

    def edit_meta(self, docs: Batch, ctx: Context) -> pa.Array:
        """``meta`` without answers."""
        answered = _answered(_messages(docs))
        metas = docs.column("meta").to_pylist()
        return strings([_without(m) if has else m.encode() for m, has in zip(metas, answered, strict=True)])


def _without(meta: str) -> bytes:
    fields: dict[str, Any] = meta_object(meta)
    left = fields.pop(MESSAGES)[:-1]
    return meta_json({**fields, MESSAGES: left} if len(left) > 1 else fields)


def _messages(docs: Batch) -> Messages:
    return docs.view("messages", lambda: messages_of(docs.column("meta"), _CHAT))


def _last(found: Messages, role: str) -> npt.NDArray[np.int64]:
    """int64[n]: the number of each chat's last message in a role; -1: there is none."""
    there = pc.equal(found.role, role).to_numpy(zero_copy_only=False)
    before = np.maximum.accumulate(np.concatenate(([-1], np.where(there, np.arange(len(there)), -1))))
    last = before[found.rows[1:]]
    return np.where(last >= found.rows[:-1], last, -1)


def _answered(found: Messages) -> npt.NDArray[np.bool_]:
    """bool[n]: which chats end with an answer."""
    last = _last(found, ASSISTANT)
    return (last >= 0) & (last == found.rows[1:] - 1)


def _before(found: Messages) -> pa.StringArray:
    """32 hex digits for what stands before each chat's last message by the user: who said what, but for white space; null where
    nothing does. An empty system message says nothing."""
    from curate.text.hashing import hash128, hex_ids
    from curate.text.normal import prose_profile

    chat = np.repeat(np.arange(len(found.chats)), np.diff(found.rows))
    empty = pc.and_(pc.equal(found.role, SYSTEM), pc.equal(pc.utf8_trim_whitespace(found.content), ""))
    stands = (np.arange(len(chat)) < _last(found, USER)[chat]) & ~empty.to_numpy(zero_copy_only=False)
    ends = np.concatenate(([0], np.cumsum(np.bincount(chat[stands], minlength=len(found.chats)))))
    keep = pa.array(stands)
    role, content = (v.filter(keep) for v in (found.role, prose_profile(found.content)))
    # Each with its length in front, so that no content is taken for two messages. Joined they are about what meta was, of 32 bits.
    parts = (role, pc.binary_length(content), content)
    said = pc.binary_join_element_wise(*(part.cast(pa.string()) for part in parts), "\n")
    whole = pc.binary_join(pa.ListArray.from_arrays(pa.array(ends, pa.int32()), said), "\n")
    ids = hex_ids(hash128(whole))
    return pc.if_else(pa.array(np.diff(ends) > 0), ids, pa.scalar(None, pa.string()))


def _joined(found: Messages) -> pa.LargeStringArray:
    """What was said in each chat, without system messages; see answered.text_of."""
    said = pc.not_equal(found.role, SYSTEM)
    before = np.concatenate(([0], np.cumsum(said.to_numpy(zero_copy_only=False))))
    ends = pa.array(before[found.rows], pa.int32())
    # They were strings in meta, of 32-bit offsets: joined they are shorter than the JSON around them.
    contents = found.content.filter(said).cast(pa.string())
    return pc.binary_join(pa.ListArray.from_arrays(ends, contents), "\n\n").cast(pa.large_string())
