"""encode.tokens: every document as a tokenizer's ids, in columns that writers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate import assets
from curate.stages.base import Context, Filter, Signals
from curate.stages.chat import Chat, encoded, messages_of
from curate.stages.registry import register
from curate.stages.tokenizer import load
from curate.text.batch import Batch


@register("encode.tokens")
class EncodeTokens(Filter):
    """Add a document's tokens as columns.

    ``ids`` are little-endian uint16, or uint32 from a vocabulary of 65,536 on, without an end-of-text token; ``count`` is how
    many there are. ``decode(ids)`` is the text, always, and no text is encoded to a control symbol: a literal
    ``<|endoftext|>`` is its characters. A writer names this step (``tokens: STEP``) and is given its tokenizer, too.

    With ``chat`` a document whose ``meta`` has messages is encoded from them, with the tokenizer's control symbols around
    each (``special: ["<|im_start|>", "<|im_end|>"]`` of train.tokenizer makes some), and ``trained`` says which of its tokens
    are targets: lengths of runs, by turns not trained on and trained on. Null: all of them are.

    ``tokenizer`` is a train.tokenizer step, one by name (gpt2, codegen, r50k_base, p50k_base, cl100k_base, o200k_base: fetched
    once, checked by SHA-256), or a file: SentencePiece's ``.model``, Hugging Face's ``tokenizer.json``, a ``.tiktoken``. One
    that would change a text is refused.
    """

    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"tokenizer": "tokenizers"}
    lends: ClassVar[str] = "tokenizer"
    reasons: ClassVar[Mapping[str, str]] = {
        "bad_messages": "what is in the place of its messages is no list of {role, content} of strings, or a role has no symbol"
    }

    tokenizer: str = Field(
        description="a train.tokenizer step, a name (codegen), a tokenizer's file, or a folder with its files"
    )
    chat: Chat | None = Field(None, description="how documents with messages are encoded; null: all are texts")

    @property
    def signals(self) -> Mapping[str, pa.DataType]:  # type: ignore[override]  # depends on `chat`: no class attribute
        """The columns; with ``chat`` also ``bad_messages``."""
        return _COLUMNS if self.chat is None else {**_COLUMNS, "bad_messages": pa.bool_()}

    def adds(self) -> Mapping[str, pa.DataType]:
        """``ids``, ``count``, ``trained``."""
        return _COLUMNS

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """The columns; with ``chat`` also which rows have messages that are none."""
        tokenizer = load(ctx.assets["tokenizer"])
        if self.chat is None:
            return _columns(tokenizer.encode(docs.text), pa.nulls(len(docs), _COLUMNS["trained"]))
        found = messages_of(docs.column("meta"), self.chat)
        columns = _columns(*encoded(docs.text, found, tokenizer, self.chat))
        return {**columns, "bad_messages": pa.array(found.bad)}

    def rules(self, signals: Signals) -> Sequence[tuple[str, pa.Array]]:
        """Of chats alone."""
        return [("bad_messages", signals["bad_messages"])] if self.chat is not None else []

    def warm(self, ctx: Context) -> None:
        """Also looks for the symbols of a chat, before any row is read."""
        super().warm(ctx)
        if self.chat is not None:
            tokenizer = load(ctx.assets["tokenizer"])
            for name in (self.chat.end, *(self.chat.roles.values() or (self.chat.start,))):
                tokenizer.control(name)


_COLUMNS: Final = {"ids": pa.large_binary(), "count": pa.int64(), "trained": pa.list_(pa.int32())}


def _columns(ids: pa.LargeListArray, trained: pa.ListArray) -> dict[str, pa.Array]:
    return {"ids": as_bytes(ids), "count": pa.array(np.diff(ids.offsets.to_numpy())), "trained": trained}


def as_bytes(ids: pa.LargeListArray) -> pa.LargeBinaryArray:
    """Lists of ids as their little-endian bytes, without a copy of them."""
    values = ids.values.to_numpy()
    offsets = ids.offsets.to_numpy() * values.itemsize
    data = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(ids), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def as_ids(data: pa.LargeBinaryArray, dtype: np.dtype[np.uint16] | np.dtype[np.uint32]) -> pa.LargeListArray:
    """What ``as_bytes`` was given; a null is an empty list."""
    from curate.text.arrow import buffers

    offsets, raw = buffers(data)
    values = raw[offsets[0] : offsets[-1]].view(dtype.newbyteorder("<")).astype(dtype, copy=False)
    return pa.LargeListArray.from_arrays(pa.array((offsets - offsets[0]) // dtype.itemsize), pa.array(values))
